import type { Command } from 'commander';
import { dueSchema } from '../api.js';
import { defineCommand, FAMILY_ARGUMENT } from '../define-command.js';
import { dueColumns } from '../due-text.js';
import { findFamily } from '../find.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

export function registerSchedule(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'schedule',
    summary: 'What is due when, overdue first',
    about:
      'Families nothing is known of ("never rotated", "never observed") are listed as such, never as in time.',
    examples: ['keyturn schedule', 'keyturn schedule production/session-jwt', 'keyturn schedule --json'],
  })
    .argument('[family]', FAMILY_ARGUMENT)
    .action(async (text: string | undefined, options: CommonOptions) => {
      const session = new Session(around, options);
      if (text !== undefined) {
        const { id } = await findFamily(session, text);
        const owed = await session.client.all('/schedule', dueSchema, { family: id });
        session.answer(owed, () => {
          session.table(owed.items, dueColumns());
        });
        return;
      }
      const { items, treeSize, asOf } = await session.client.all('/schedule', dueSchema);
      session.answer({ items, treeSize, asOf }, () => {
        if (items.length === 0)
          session.line('No family has a due date yet: register one with keyturn apply.');
        else session.table(items, dueColumns());
        session.examples(items);
        session.line(session.paint(`as of ${asOf ?? 'now'}, tree size ${treeSize ?? 'not told'}`, 'dim'));
      });
    });
}
