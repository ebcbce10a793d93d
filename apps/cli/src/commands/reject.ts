import type { Command } from 'commander';
import { askRotation } from '../ask.js';
import { defineCommand, ROTATION_ARGUMENT } from '../define-command.js';
import type { CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

interface RejectOptions extends CommonOptions {
  readonly reason: string;
}

export function registerReject(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'reject',
    summary: 'Refuse a rotation that waits for approval',
    about:
      'A planned rotation ends here. Refusing an emergency afterwards is recorded as an exception; it undoes nothing.',
    examples: ['keyturn reject 3f2a91c0 --reason "release freeze until Monday"'],
    changes: true,
  })
    .argument('<rotation>', ROTATION_ARGUMENT)
    .requiredOption('--reason <text>', 'why')
    .action((rotation: string, options: RejectOptions) =>
      askRotation(around, options, rotation, {
        action: 'reject',
        body: { reason: options.reason },
        done: 'Rejected.',
        orLast: true,
      }),
    );
}
