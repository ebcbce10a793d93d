import { WrongExpectedRevisionError, type DomainError } from '#eventlog';
import type { Cause } from '#eventlog/kit';
import type { ClaimKind, NewClaimEvent } from '../domain/claim.events.js';
import type { Ledger } from './ledger.js';
import { claimStream } from './streams.js';

export interface ClaimRequest {
  readonly kind: ClaimKind;
  readonly environment: string;
  readonly value: string;
  /** The stream the fact that uses the claim stands in, or will. */
  readonly by: string;
  readonly subject?: string;
  /** An emergency, or a person's override, takes a claim over. */
  readonly takeOver?: boolean;
  /** Said when somebody else holds it. */
  readonly refused: (holder: string) => DomainError;
}

/**
 * Claims what must be unique before the fact that uses it. Held by the same stream already: nothing to do, so a repeat
 * after a crash goes on. Gives back the subject the claim stands for.
 */
export async function claim(
  ledger: Ledger,
  request: ClaimRequest,
  cause: Cause,
): Promise<string | undefined> {
  const stream = claimStream(ledger.logId, request.kind, request.environment, request.value);
  for (;;) {
    const { history, state } = await ledger.claim(stream);
    if (state.holder === request.by) return state.subject;
    if (state.holder !== undefined && request.takeOver !== true) throw request.refused(state.holder);
    const claimed: NewClaimEvent = {
      type: 'Claimed',
      data: {
        kind: request.kind,
        by: request.by,
        ...(request.subject === undefined ? {} : { subject: request.subject }),
      },
    };
    const events: readonly NewClaimEvent[] =
      state.holder === undefined
        ? [claimed]
        : [{ type: 'Released', data: { by: state.holder, reason: `taken over by ${request.by}` } }, claimed];
    try {
      await ledger.append(history, events, cause);
      return request.subject;
    } catch (error) {
      if (!(error instanceof WrongExpectedRevisionError)) throw error;
    }
  }
}

/** Refuses what somebody else holds, before anything is appended: where two claims are needed, a refusal leaves neither. */
export async function requireFree(ledger: Ledger, request: ClaimRequest): Promise<void> {
  const { kind, environment, value, by, refused } = request;
  const { state } = await ledger.claim(claimStream(ledger.logId, kind, environment, value));
  if (state.holder !== undefined && state.holder !== by) throw refused(state.holder);
}

/** Frees a claim this stream holds; somebody else's is left alone. */
export async function release(
  ledger: Ledger,
  stream: string,
  by: string,
  reason: string,
  cause: Cause,
): Promise<boolean> {
  for (;;) {
    const { history, state } = await ledger.claim(stream);
    if (state.holder !== by) return false;
    const released: NewClaimEvent = { type: 'Released', data: { by, reason } };
    try {
      await ledger.append(history, [released], cause);
      return true;
    } catch (error) {
      if (!(error instanceof WrongExpectedRevisionError)) throw error;
    }
  }
}
