import { Option, type Command } from 'commander';
import { askRotation } from '../ask.js';
import { defineCommand, listedBy, ROTATION_ARGUMENT } from '../define-command.js';
import { UsageError } from '../failures.js';
import type { CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

interface ConfirmOptions extends CommonOptions {
  readonly consumer: string;
  readonly kind: 'acceptance' | 'emission';
  readonly version?: string;
  readonly instance: readonly string[];
  readonly withdraw?: boolean;
  readonly reason?: string;
}

export function registerConfirm(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'confirm',
    summary: 'Confirm that instances of a consumer accept or emit with a version',
    about:
      'A consumer counts once all of its instances are confirmed. Confirm what was seen: old versions are revoked on it.',
    examples: [
      'keyturn confirm production/session-jwt --consumer api --kind acceptance --version k2 --instance api-1 --instance api-2',
    ],
    changes: true,
  })
    .argument('<rotation>', ROTATION_ARGUMENT)
    .requiredOption('--consumer <name>', 'name or id of the consumer')
    .addOption(
      new Option('--kind <kind>', 'acceptance: verifies with it; emission: uses it')
        .choices(['acceptance', 'emission'])
        .makeOptionMandatory(),
    )
    .option('--version <version>', 'the version that was seen; needed unless with --withdraw')
    .requiredOption<readonly string[]>('--instance <name>', 'an instance that was seen; repeat it', listedBy)
    .option('--withdraw', 'take the confirmation of these instances back: it was wrong; needs --reason')
    .option('--reason <text>', 'why it is taken back')
    .action((rotation: string, options: ConfirmOptions) => {
      const { consumer, kind, version, instance, withdraw, reason } = options;
      if (withdraw === true) {
        if (reason === undefined) throw new UsageError('--withdraw needs --reason');
        return askRotation(around, options, rotation, {
          action: 'confirmations/withdraw',
          body: { kind, consumer, instances: instance, reason },
          done: `Taken back: ${consumer}. What followed from it stands; what waits for it waits again.`,
        });
      }
      if (version === undefined) throw new UsageError('--version is missing: which version was seen?');
      return askRotation(around, options, rotation, {
        action: 'confirmations',
        body: { kind, consumer, version, instances: instance },
        done: `Confirmed: ${consumer}, ${instance.length} ${instance.length === 1 ? 'instance' : 'instances'}.`,
      });
    });
}
