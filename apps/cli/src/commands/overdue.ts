import type { Command } from 'commander';
import { dueSchema } from '../api.js';
import { defineCommand } from '../define-command.js';
import { dueColumns } from '../due-text.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

export function registerOverdue(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'overdue',
    summary: 'What is overdue: rotations and reviews, the latest first',
    about: 'Says what each due date stands on. A fact recorded late never turns late into on time.',
    examples: ['keyturn overdue', "keyturn overdue --json | jq '.items | length'"],
  }).action(async (options: CommonOptions) => {
    const session = new Session(around, options);
    const { items, treeSize, asOf } = await session.client.all('/schedule/overdue', dueSchema);
    session.answer({ items, treeSize, asOf }, () => {
      if (items.length === 0) session.line('Nothing is overdue among the families known here.');
      else session.table(items, dueColumns());
      session.examples(items);
      session.line(session.paint(`as of ${asOf ?? 'now'}, tree size ${treeSize ?? 'not told'}`, 'dim'));
    });
  });
}
