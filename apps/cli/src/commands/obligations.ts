import { Option, type Command } from 'commander';
import { missedSchema } from '../api.js';
import { defineCommand } from '../define-command.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { day } from '../words.js';

interface ObligationsOptions extends CommonOptions {
  readonly state: 'open' | 'settled' | 'all';
}

export function registerObligations(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'obligations',
    summary: 'What was owed by a date and missed: since when, and how it ended',
    about:
      'From the record: an approval in retrospect, a review, a departure, a deviation that ended. What is late now, and what is to come: keyturn overdue, keyturn schedule.',
    examples: ['keyturn obligations --state open', "keyturn obligations --json | jq '.items | length'"],
  })
    .addOption(
      new Option('--state <state>', 'open: still owed; settled: done late, refused, moved or lapsed')
        .choices(['open', 'settled', 'all'])
        .default('all'),
    )
    .action(async (options: ObligationsOptions) => {
      const session = new Session(around, options);
      const { items, treeSize } = await session.client.all('/obligations', missedSchema, {
        state: options.state,
      });
      session.answer({ items, treeSize }, () => {
        if (items.length === 0)
          session.line('Nothing of this kind was missed among the families known here.');
        else {
          session.table(items, [
            { title: 'DUE', cell: ({ due }) => day(due) },
            {
              title: 'OWED BY',
              cell: (item) => item.family?.qualifiedName ?? item.policy?.name ?? '',
              shrinks: true,
            },
            { title: 'WHAT', cell: ({ what }) => what, shrinks: true },
            {
              title: 'SETTLED',
              cell: ({ settled }) => (settled === null ? 'still owed' : `${day(settled.at)}, ${settled.how}`),
              style: ({ settled }) => (settled === null ? ['red'] : []),
            },
          ]);
        }
      });
    });
}
