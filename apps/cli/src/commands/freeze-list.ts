import type { Command } from 'commander';
import { freezeSchema } from '../api.js';
import { defineCommand } from '../define-command.js';
import { freezeScope } from '../freeze-text.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { day, shortId } from '../words.js';

export function registerFreezeList(freeze: Command, around: Surroundings): void {
  defineCommand(freeze, {
    usage: 'list',
    summary: 'The freezes there are and were',
    examples: ['keyturn freeze list', 'keyturn freeze list --json'],
  }).action(async (options: CommonOptions) => {
    const session = new Session(around, options);
    const { items, treeSize } = await session.client.all('/freezes', freezeSchema);
    session.answer({ items, treeSize }, () => {
      if (items.length === 0) {
        session.line('No freeze was ever declared.');
        return;
      }
      session.table(items, [
        { title: 'ID', cell: (each) => shortId(each.id), style: () => ['dim'] },
        { title: 'FREEZE', cell: (each) => each.name, shrinks: true },
        {
          title: 'STATUS',
          cell: (each) => each.status,
          style: ({ status }) => (status === 'in force' ? ['yellow'] : []),
        },
        { title: 'FROM', cell: (each) => day(each.from) },
        { title: 'UNTIL', cell: (each) => (each.until === null ? 'lifted' : day(each.until)) },
        { title: 'COVERS', cell: (each) => freezeScope(each), shrinks: true },
        { title: 'WHY', cell: (each) => each.reason, shrinks: true },
      ]);
    });
  });
}
