import type { Command } from 'commander';
import { policySchema } from '../api.js';
import { defineCommand } from '../define-command.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { day, shortId } from '../words.js';

export function registerStandingList(standing: Command, around: Surroundings): void {
  defineCommand(standing, {
    usage: 'list',
    summary: 'The standing approvals there are and were',
    examples: ['keyturn standing list'],
  }).action(async (options: CommonOptions) => {
    const session = new Session(around, options);
    const { items: policies, treeSize } = await session.client.all('/policies', policySchema);
    const items = policies.flatMap((policy) =>
      (policy.standing ?? []).map((each) => ({ ...each, policy: policy.name })),
    );
    session.answer({ items, treeSize }, () => {
      if (items.length === 0) {
        session.line('No standing approval was ever granted.');
        return;
      }
      session.table(items, [
        { title: 'ID', cell: (each) => shortId(each.approval), style: () => ['dim'] },
        { title: 'POLICY', cell: (each) => each.policy, shrinks: true },
        { title: 'STATUS', cell: (each) => each.status },
        { title: 'COVERS', cell: (each) => each.strategies.join(', '), shrinks: true },
        { title: 'UNTIL', cell: (each) => day(each.until) },
        { title: 'WHY', cell: (each) => each.reason, shrinks: true },
      ]);
    });
  });
}
