import type { Command } from 'commander';
import type { CommonOptions } from './session.js';
import { instantArgument } from './words.js';

/** What a person brings who says that something was done outside of Keyturn. */
export interface EvidenceOptions extends CommonOptions {
  readonly evidence?: string;
  readonly sha256?: string;
  readonly note?: string;
  readonly by?: string;
  readonly at?: string;
}

export function takesEvidence(command: Command): Command {
  return command
    .option('--evidence <url>', 'where the evidence can be looked at')
    .option('--sha256 <hex>', 'SHA-256 of the evidence')
    .option('--note <text>', 'what else is worth knowing; in an emergency enough by itself')
    .option('--by <who>', 'who performed it, where that is not you')
    .option('--at <instant>', 'when it was so; left out: not recorded');
}

/** The attestation as the service takes it. Whether its evidence suffices, the service says: in an emergency less does. */
export function attestationOf(
  { evidence, sha256, note, by, at }: EvidenceOptions,
  now: number,
): Readonly<Record<string, unknown>> {
  return {
    evidence: {
      ...(evidence === undefined ? {} : { link: evidence }),
      ...(sha256 === undefined ? {} : { sha256 }),
      ...(note === undefined ? {} : { note }),
    },
    ...(by === undefined ? {} : { by }),
    ...(at === undefined ? {} : { occurredAt: instantArgument(at, now) }),
  };
}
