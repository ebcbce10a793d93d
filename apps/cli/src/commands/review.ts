import type { Command } from 'commander';
import { askRotation } from '../ask.js';
import { defineCommand, ROTATION_ARGUMENT } from '../define-command.js';
import type { CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

interface ReviewOptions extends CommonOptions {
  readonly summary: string;
}

export function registerReview(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'review',
    summary: 'Record the post-incident review of an emergency',
    about: 'Owed within the time the policy sets, 24 hours unless told otherwise.',
    examples: [
      'keyturn review production/session-jwt --summary "Key leaked in a CI log; log access closed, 14 sessions ended"',
    ],
    changes: true,
  })
    .argument('<rotation>', ROTATION_ARGUMENT)
    .requiredOption('--summary <text>', 'what happened, what was learnt')
    .action((rotation: string, options: ReviewOptions) =>
      askRotation(around, options, rotation, {
        action: 'review',
        body: { summary: options.summary },
        done: 'Review recorded.',
        orLast: true,
      }),
    );
}
