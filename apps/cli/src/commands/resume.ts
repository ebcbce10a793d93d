import type { Command } from 'commander';
import { askRotation } from '../ask.js';
import { defineCommand, ROTATION_ARGUMENT } from '../define-command.js';
import type { CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

interface ResumeOptions extends CommonOptions {
  readonly reason?: string;
}

export function registerResume(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'resume',
    summary: 'Let a paused rotation go on',
    examples: ['keyturn resume production/session-jwt --reason "deploy is through"'],
    changes: true,
  })
    .argument('<rotation>', ROTATION_ARGUMENT)
    .option('--reason <text>', 'why')
    .action((rotation: string, { reason, ...options }: ResumeOptions) =>
      askRotation(around, options, rotation, {
        action: 'resume',
        body: reason === undefined ? {} : { reason },
        done: 'Resumed.',
      }),
    );
}
