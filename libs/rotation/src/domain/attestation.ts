import { DomainError } from '#eventlog';
import type { Attestation } from './rotation.events.js';

/** What people say they did ends no later than now; a minute is given for clocks that differ. */
const FUTURE_TOLERANCE_MS = 60_000;

/**
 * Refuses an attestation nobody could check: it names a link to its evidence or the SHA-256 of it. In an emergency a note does
 * (`noteSuffices`).
 */
export function requireEvidence(
  { evidence: { link, sha256, note } }: Attestation,
  noteSuffices: boolean,
): void {
  if (link !== undefined || sha256 !== undefined || (noteSuffices && note !== undefined)) return;
  throw new DomainError(
    'attestation.no-evidence',
    'an attestation names its evidence: a link to it, or the SHA-256 of it' +
      (noteSuffices ? ', or in an emergency a note' : ''),
    { field: 'evidence' },
  );
}

export function requireNotInFuture(occurredAt: number | undefined, now: number): void {
  if (occurredAt !== undefined && occurredAt > now + FUTURE_TOLERANCE_MS) {
    throw new DomainError('attestation.in-future', 'it lies in the future', { field: 'occurredAt' });
  }
}
