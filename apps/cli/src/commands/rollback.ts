import type { Command } from 'commander';
import { askRotation } from '../ask.js';
import { defineCommand, ROTATION_ARGUMENT } from '../define-command.js';
import type { CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

interface RollbackOptions extends CommonOptions {
  readonly reason: string;
}

export function registerRollback(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'rollback',
    summary: 'Return a running rotation to the old version',
    about:
      'Needs no approval before the point of no return; past it, it is refused with the reason. An open step is settled\nfirst. A compromised version is never returned to.',
    examples: ['keyturn rollback production/session-jwt --reason "login errors since the switch"'],
    changes: true,
  })
    .argument('<rotation>', ROTATION_ARGUMENT)
    .requiredOption('--reason <text>', 'why')
    .action((rotation: string, options: RollbackOptions) =>
      askRotation(around, options, rotation, {
        action: 'rollback',
        body: { reason: options.reason },
        done: 'Rollback requested.',
      }),
    );
}
