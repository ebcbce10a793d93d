import { Option, type Command } from 'commander';
import { askRotation } from '../ask.js';
import { defineCommand, ROTATION_ARGUMENT } from '../define-command.js';
import { UsageError } from '../failures.js';
import type { CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

interface OverrideOptions extends CommonOptions {
  readonly gate: string;
  readonly consumer?: string;
  readonly reason: string;
}

const GATES = ['acceptance-confirmations', 'emission-confirmations', 'emitter-switch', 'telemetry'];

export function registerOverride(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'override',
    summary: 'Let a rotation pass a gate without one of its consumers, or without telemetry',
    about:
      'Recorded with your name and the reason, and shown in every report. A gate never shortens a window.',
    examples: [
      'keyturn override production/session-jwt --gate telemetry --reason "the sampler is down; checked the access log by hand"',
      'keyturn override production/session-jwt --gate acceptance-confirmations --consumer mobile-app --reason "cannot confirm; caches for 24 h, waited 48 h"',
    ],
    changes: true,
  })
    .argument('<rotation>', ROTATION_ARGUMENT)
    .addOption(new Option('--gate <gate>', 'the gate that holds').choices(GATES).makeOptionMandatory())
    .option(
      '--consumer <name>',
      'name or id of the consumer; of every gate but telemetry, which is no one consumer’s',
    )
    .requiredOption('--reason <text>', 'why it may pass')
    .action((rotation: string, options: OverrideOptions) => {
      const { gate, consumer, reason } = options;
      if ((gate === 'telemetry') !== (consumer === undefined)) {
        throw new UsageError(
          consumer === undefined
            ? `--consumer is missing: whose ${gate.replace('-', ' ')} may be passed over?`
            : '--consumer does not go with telemetry, which is no one consumer’s',
        );
      }
      return askRotation(around, options, rotation, {
        action: 'overrides',
        body: { gate, ...(consumer === undefined ? {} : { consumer }), reason },
        done: `Overridden${consumer === undefined ? '' : ` for ${consumer}`}.`,
      });
    });
}
