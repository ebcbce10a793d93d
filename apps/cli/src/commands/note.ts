import type { Command } from 'commander';
import { askRotation } from '../ask.js';
import { defineCommand, ROTATION_ARGUMENT } from '../define-command.js';
import type { CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

export function registerNote(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'note',
    summary: "Add a note to a rotation's record",
    about: 'Stays in the record for ever: never write a secret into it.',
    examples: ['keyturn note production/session-jwt "ticket OPS-4411 has the approval thread"'],
    changes: true,
  })
    .argument('<rotation>', ROTATION_ARGUMENT)
    .argument('<note>', 'what is to be known')
    .action((rotation: string, note: string, options: CommonOptions) =>
      askRotation(around, options, rotation, {
        action: 'notes',
        body: { note },
        done: 'Noted.',
        orLast: true,
      }),
    );
}
