import type { Command } from 'commander';
import { familySchema, policySchema } from '../api.js';
import { requireAskable, requireYes, type ConfirmedOptions } from '../confirmed.js';
import { defineCommand } from '../define-command.js';
import { findFamily, findPolicy } from '../find.js';
import { Session } from '../session.js';
import type { Surroundings } from '../surroundings.js';

interface RetireOptions extends ConfirmedOptions {
  readonly policy?: boolean;
  readonly reason: string;
}

export function registerRetire(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'retire',
    summary: 'End a family that is used no more, or a policy; there is no way back',
    about:
      'A family is refused while one of its versions is accepted, or a rotation runs. A policy binds no rotation that is asked for\nafterwards; those that run keep its terms. The record of both is kept.',
    examples: [
      'keyturn retire production/old-jwt --reason "the service was switched off in March"',
      'keyturn retire --policy "PCI production" --reason "replaced by PCI 2026"',
    ],
    changes: true,
  })
    .argument(
      '<name>',
      'a family: environment/name or id; with --policy a policy: its name, id or the beginning of one',
    )
    .option('--policy', 'a policy is meant')
    .requiredOption('--reason <text>', 'why')
    .option('--yes', 'do not ask')
    .action(async (text: string, { policy = false, reason, ...options }: RetireOptions) => {
      requireAskable(around, options, 'retire it');
      const session = new Session(around, options);
      const body = { reason };
      if (policy) {
        const { id, name, status } = await findPolicy(session, text);
        session.line(`${session.paint(name, 'bold')}  ${status}`);
        await requireYes(around, options, `Retire the policy ${name} for good?`);
        const shown = await session.client.post(`/policies/${id}/retire`, policySchema, { body });
        session.answer(shown, () => {
          session.line(session.paint(`Retired: policy ${shown.name}.`, 'green'));
        });
        return;
      }
      const { id, qualifiedName, consumers } = await findFamily(session, text);
      session.line(
        `${session.paint(qualifiedName, 'bold')}  ${consumers.length} consumers, ${consumers.map(({ name }) => name).join(', ')}`,
      );
      await requireYes(around, options, `Retire ${qualifiedName} for good?`);
      const shown = await session.client.post(`/families/${id}/retire`, familySchema, { body });
      session.answer(shown, () => {
        session.line(session.paint(`Retired: ${shown.qualifiedName}.`, 'green'));
      });
    });
}
