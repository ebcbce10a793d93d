import type { Command } from 'commander';
import { containmentSchema } from '../api.js';
import { defineCommand, CONTAINMENT_ARGUMENT } from '../define-command.js';
import { findContainment } from '../find-process.js';
import { containmentLines } from '../process-text.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

export function registerContainmentRetry(containment: Command, around: Surroundings): void {
  defineCommand(containment, {
    usage: 'retry',
    summary: 'Try a suspended containment again, once its cause is gone',
    about: 'What became of the try before is observed first; nothing is done twice on a guess.',
    examples: ['keyturn containment retry 3f2a91c0', 'keyturn containment retry production/session-jwt'],
    changes: true,
  })
    .argument('<containment>', CONTAINMENT_ARGUMENT)
    .action(async (text: string, options: CommonOptions) => {
      const session = new Session(around, options);
      const { id } = await findContainment(session, text);
      const body = {};
      const shown = await session.client.post(`/containments/${id}/retry`, containmentSchema, { body });
      session.answer(shown, () => {
        session.line(session.paint('Retry requested.', 'green'));
        session.lines(containmentLines(session, shown));
      });
    });
}
