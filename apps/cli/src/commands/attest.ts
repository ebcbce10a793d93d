import { Option, type Command } from 'commander';
import { askRotation } from '../ask.js';
import { defineCommand, ROTATION_ARGUMENT } from '../define-command.js';
import { UsageError } from '../failures.js';
import { attestationOf, takesEvidence, type EvidenceOptions } from '../evidence.js';
import type { Surroundings } from '../surroundings.js';

interface AttestOptions extends EvidenceOptions {
  readonly step: string;
  readonly takeOver?: boolean;
  readonly reason?: string;
  readonly version?: string;
  readonly algorithm?: string;
  readonly fingerprint?: string;
}

const STEPS = [
  'generate',
  'accept',
  'emit',
  'revoke',
  'verify',
  'cutover',
  'reaccept',
  'return',
  'withdraw',
  'cutback',
];

export function registerAttest(program: Command, around: Surroundings): void {
  const command = defineCommand(program, {
    usage: 'attest',
    summary: 'Say, with evidence, that people or a pipeline performed a step',
    about:
      'An attested family waits for this at every step. Any step of another family can be taken over first with --take-over,\nfor example while its back end is sealed; once the back end can be seen again, it is compared with what was attested.',
    examples: [
      'keyturn attest payments/api-key --step generate --version v7 --evidence https://ci.example/runs/811',
      'keyturn attest production/session-jwt --step revoke --take-over --reason "the back end is sealed"',
      'keyturn attest production/session-jwt --step revoke --sha256 9f86d0…0f00a08 --by "Platform on call" --at 2026-02-01T02:10:00Z',
    ],
    changes: true,
  })
    .argument('<rotation>', ROTATION_ARGUMENT)
    .addOption(new Option('--step <step>', 'which step').choices(STEPS).makeOptionMandatory())
    .option('--take-over', 'take the step out of the back end’s hands; needs --reason, attests nothing yet')
    .option('--reason <text>', 'why it is taken over');
  takesEvidence(command)
    .option('--version <id>', 'of generate: what the new version is called there')
    .option('--algorithm <name>', 'of generate')
    .option('--fingerprint <text>', 'of generate; never the value')
    .action((rotation: string, options: AttestOptions) => {
      const { step, takeOver, reason } = options;
      if (takeOver === true) {
        if (reason === undefined)
          throw new UsageError('--take-over needs --reason: it is a recorded decision');
        return askRotation(around, options, rotation, {
          action: `steps/${step}/switch-to-attested`,
          body: { reason },
          done: `People perform ${step} now: attest it once it is done.`,
        });
      }
      return askRotation(around, options, rotation, {
        action: `steps/${step}/attest`,
        body: bodyOf(options, around.clock.now()),
        done: `Attested: ${step}.`,
      });
    });
}

function bodyOf(options: AttestOptions, now: number): Readonly<Record<string, unknown>> {
  const { version, algorithm, fingerprint } = options;
  const generated = {
    ...(version === undefined ? {} : { versionId: version }),
    ...(algorithm === undefined ? {} : { algorithm }),
    ...(fingerprint === undefined ? {} : { fingerprint }),
  };
  return {
    ...attestationOf(options, now),
    ...(Object.keys(generated).length === 0 ? {} : { generated }),
  };
}
