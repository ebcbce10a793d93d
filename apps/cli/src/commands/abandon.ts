import type { Command } from 'commander';
import { askRotation } from '../ask.js';
import { defineCommand, ROTATION_ARGUMENT } from '../define-command.js';
import type { CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

interface AbandonOptions extends CommonOptions {
  readonly reason: string;
}

export function registerAbandon(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'abandon',
    summary: 'Give a rotation up where it stands',
    about: 'Nothing is undone: to return to the old version, use rollback.',
    examples: ['keyturn abandon 3f2a91c0 --reason "family is retired next week"'],
    changes: true,
  })
    .argument('<rotation>', ROTATION_ARGUMENT)
    .requiredOption('--reason <text>', 'why')
    .action((rotation: string, options: AbandonOptions) =>
      askRotation(around, options, rotation, {
        action: 'abandon',
        body: { reason: options.reason },
        done: 'Abandoning requested.',
      }),
    );
}
