import type { Command } from 'commander';
import { askRotation } from '../ask.js';
import { defineCommand, ROTATION_ARGUMENT } from '../define-command.js';
import type { CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

interface PauseOptions extends CommonOptions {
  readonly reason: string;
}

export function registerPause(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'pause',
    summary: 'Hold a rotation before its next step',
    about: 'Windows keep running, and so do its due dates; only steps wait.',
    examples: ['keyturn pause production/session-jwt --reason "deploy under way"'],
    changes: true,
  })
    .argument('<rotation>', ROTATION_ARGUMENT)
    .requiredOption('--reason <text>', 'why')
    .action((rotation: string, options: PauseOptions) =>
      askRotation(around, options, rotation, {
        action: 'pause',
        body: { reason: options.reason },
        done: 'Pause requested.',
      }),
    );
}
