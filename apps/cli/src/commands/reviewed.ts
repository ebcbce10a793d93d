import type { Command } from 'commander';
import { familySchema } from '../api.js';
import { defineCommand, FAMILY_ARGUMENT } from '../define-command.js';
import { findFamily } from '../find.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

interface ReviewedOptions extends CommonOptions {
  readonly summary: string;
  readonly next: string;
}

export function registerReviewed(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'reviewed',
    summary: "Record that a family's runbook was gone through, and when it is next",
    about: 'Settles the review that is owed. The review after an emergency is "keyturn review".',
    examples: [
      'keyturn reviewed production/session-jwt --summary "windows and on-call checked; rollback rehearsed" --next 2027-03-01',
    ],
    changes: true,
  })
    .argument('<family>', FAMILY_ARGUMENT)
    .requiredOption('--summary <text>', 'what was looked at, what changed')
    .requiredOption('--next <date>', 'when it is reviewed again, such as 2027-03-01')
    .action(async (text: string, { summary, next: nextReview, ...options }: ReviewedOptions) => {
      const session = new Session(around, options);
      const family = await findFamily(session, text);
      const path = `/families/${family.id}/reviews`;
      const shown = await session.client.post(path, familySchema, { body: { summary, nextReview } });
      session.answer(shown, () => {
        session.line(
          session.paint(`${shown.qualifiedName}: reviewed; the next one is due on ${nextReview}.`, 'green'),
        );
      });
    });
}
