import type { Command } from 'commander';
import { policySchema } from '../api.js';
import { defineCommand } from '../define-command.js';
import { RefusedError } from '../failures.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

interface RevokeOptions extends CommonOptions {
  readonly reason: string;
}

export function registerStandingRevoke(standing: Command, around: Surroundings): void {
  defineCommand(standing, {
    usage: 'revoke',
    summary: 'End a standing approval before its time; what it approved stays approved',
    examples: ['keyturn standing revoke 7f6c2d10 --reason "the board wants to see each of them"'],
    changes: true,
  })
    .argument('<approval>', 'its id, or the beginning of one, as keyturn standing list shows it')
    .requiredOption('--reason <text>', 'why')
    .action(async (text: string, options: RevokeOptions) => {
      const session = new Session(around, options);
      const { items } = await session.client.all('/policies', policySchema);
      const found = items.flatMap((policy) =>
        (policy.standing ?? [])
          .filter(({ approval }) => approval === text || (text.length >= 4 && approval.startsWith(text)))
          .map(({ approval }) => ({ policy: policy.id, approval })),
      );
      const [only, ...others] = found;
      if (only === undefined) {
        throw new RefusedError('standing.not-found', `there is no standing approval "${text}"`);
      }
      if (others.length > 0) {
        throw new RefusedError('standing.ambiguous', `more than one begins with "${text}": write more of it`);
      }
      const path = `/policies/${only.policy}/standing-approvals/${only.approval}/revoke`;
      const policy = await session.client.post(path, policySchema, { body: { reason: options.reason } });
      session.answer(policy, () => {
        session.line(
          session.paint('Revoked. Rotations asked for from now on wait for an approval.', 'green'),
        );
      });
    });
}
