import type { Command } from 'commander';
import { askRotation } from '../ask.js';
import { defineCommand, parsedBy, ROTATION_ARGUMENT } from '../define-command.js';
import type { CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { durationArgument } from '../words.js';

interface RollbackOptions extends CommonOptions {
  readonly reason: string;
  readonly acceptWindow?: string;
}

export function registerRollback(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'rollback',
    summary: 'Return a running rotation to the old version',
    about:
      'Needs no approval before the point of no return; past it, it is refused with the reason. An open step is settled\nfirst. A compromised version is never returned to. After the revocation the old version is accepted again first, and its\naccept window passes anew; --accept-window cuts that, as your recorded decision.',
    examples: [
      'keyturn rollback production/session-jwt --reason "login errors since the switch"',
      'keyturn rollback production/session-jwt --reason "an old client is refused" --accept-window 0s',
    ],
    changes: true,
  })
    .argument('<rotation>', ROTATION_ARGUMENT)
    .requiredOption('--reason <text>', 'why')
    .option(
      '--accept-window <time>',
      'after the revocation, instead of the plan’s: 0s, 10m',
      parsedBy(durationArgument),
    )
    .action((rotation: string, options: RollbackOptions) =>
      askRotation(around, options, rotation, {
        action: 'rollback',
        body: {
          reason: options.reason,
          ...(options.acceptWindow === undefined ? {} : { acceptWindow: options.acceptWindow }),
        },
        done: 'Rollback requested.',
      }),
    );
}
