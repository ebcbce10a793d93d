import type { Command } from 'commander';
import { askRotation } from '../ask.js';
import { defineCommand, ROTATION_ARGUMENT } from '../define-command.js';
import type { CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

interface RetryOptions extends CommonOptions {
  readonly reason?: string;
}

export function registerRetry(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'retry',
    summary: 'Try a suspended rotation again, once its cause is gone',
    examples: ['keyturn retry 3f2a91c0 --reason "Vault is unsealed again"'],
    changes: true,
  })
    .argument('<rotation>', ROTATION_ARGUMENT)
    .option('--reason <text>', 'why')
    .action((rotation: string, { reason, ...options }: RetryOptions) =>
      askRotation(around, options, rotation, {
        action: 'retry',
        body: reason === undefined ? {} : { reason },
        done: 'Retry requested.',
      }),
    );
}
