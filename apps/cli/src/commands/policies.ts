import type { Command } from 'commander';
import { z } from 'zod';
import { policySchema, type Policy } from '../api.js';
import { defineCommand } from '../define-command.js';
import { deviationText } from '../family-text.js';
import { findFamily } from '../find.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { lengthOf, shortId } from '../words.js';

interface PoliciesOptions extends CommonOptions {
  readonly for?: string;
}

const boundSchema = z.looseObject({
  policy: z.looseObject({ name: z.string() }).nullable(),
  why: z.string(),
});

export function registerPolicies(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'policies',
    summary: 'The policies, what they select and which wait for approval',
    examples: [
      'keyturn policies',
      'keyturn policies --for production/session-jwt',
      'keyturn policies --json',
    ],
  })
    .option('--for <family>', 'only the one that binds this family, and why: environment/name or id')
    .action(async (options: PoliciesOptions) => {
      const session = new Session(around, options);
      if (options.for !== undefined) {
        const { id, qualifiedName, deviations } = await findFamily(session, options.for);
        const bound = await session.client.get(`/families/${id}/policy`, boundSchema);
        session.answer(bound, () => {
          session.line(
            `${session.paint(qualifiedName, 'bold')}  ${bound.policy === null ? 'no policy' : `policy ${bound.policy.name}`}`,
          );
          session.line(`  ${bound.why}`);
          for (const deviation of deviations ?? []) session.line(`  deviation ${deviationText(deviation)}`);
        });
        return;
      }
      const { items, treeSize } = await session.client.all('/policies', policySchema);
      session.answer({ items, treeSize }, () => {
        if (items.length === 0) {
          session.line('No policy is defined here: declare them with keyturn apply -f families.yaml');
          return;
        }
        session.table(items, [
          { title: 'ID', cell: (policy) => shortId(policy.id), style: () => ['dim'] },
          { title: 'POLICY', cell: (policy) => policy.name, shrinks: true },
          { title: 'SELECTS', cell: selects, shrinks: true },
          { title: 'STOP EMITTING', cell: (policy) => lengthOf(policy.details.terms.stopEmitting) },
          { title: 'STOP ACCEPTING', cell: (policy) => lengthOf(policy.details.terms.stopAccepting) },
          { title: 'APPROVALS', cell: (policy) => String(policy.details.terms.approvals), align: 'right' },
          {
            title: 'STATUS',
            cell: (policy) => policy.status,
            style: ({ status }) => (status === 'waits for approval' ? ['yellow'] : []),
          },
        ]);
        const waiting = items.filter((policy) => policy.status === 'waits for approval');
        if (waiting.length > 0) session.line();
        for (const policy of waiting) {
          session.line(
            `  ${session.paint('next', 'dim')}  ${session.paint(`keyturn approve ${policy.id}`, 'cyan')}`,
          );
        }
      });
    });
}

function selects({ selector }: Policy): string {
  const parts = [selector.protection, selector.kind, selector.environment].filter(
    (part) => part !== undefined,
  );
  return parts.length === 0 ? 'everything' : parts.join(', ');
}
