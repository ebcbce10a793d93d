import type { Command } from 'commander';
import { timelineLineSchema } from '../api.js';
import { defineCommand, FAMILY_ARGUMENT } from '../define-command.js';
import { findFamily } from '../find.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { entryLines } from './replay.js';

export function registerTimeline(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'timeline',
    summary: 'Every fact of a family and of its rotations, in the order of the log',
    about: 'One rotation in its own rhythm, and an emergency against its T+ targets: keyturn replay.',
    examples: [
      'keyturn timeline production/session-jwt',
      'keyturn timeline production/session-jwt --full --json',
    ],
  })
    .argument('<family>', FAMILY_ARGUMENT)
    .option('--full', 'with the intents and other lines a short view leaves out, and the ids of the events')
    .action(async (text: string, { full, ...options }: CommonOptions & { full?: boolean }) => {
      const session = new Session(around, options);
      const { id, qualifiedName } = await findFamily(session, text);
      const { items, treeSize } = await session.client.all(`/families/${id}/timeline`, timelineLineSchema);
      session.answer({ items, treeSize }, () => {
        session.line(session.paint(qualifiedName, 'bold'));
        for (const entry of items) {
          if (full === true || entry.minor !== true)
            session.lines(entryLines(session, entry, '', full === true));
        }
      });
    });
}
