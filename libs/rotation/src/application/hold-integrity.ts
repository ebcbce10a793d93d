import { SYSTEM_ACTOR, WrongExpectedRevisionError } from '#eventlog';
import type { Cause } from '#eventlog/kit';
import { holdsDecider } from '../domain/holds.decider.js';
import type { Ledger } from './ledger.js';

/** Where the log was found not to be what was written. */
export interface IntegrityFinding {
  readonly stream: string;
  readonly revision: number;
  readonly treeSize?: number | undefined;
  readonly what: string;
}

/**
 * Holds emit, revoke and destroy until a person looked into it; emergencies and ways back go on (contracts, When the log is
 * broken). A finding a person has confirmed before holds again after a restart that finds it again: it is still so.
 */
export async function holdIntegrity(ledger: Ledger, finding: IntegrityFinding): Promise<void> {
  const { store } = ledger;
  const { stream, revision, treeSize } = finding;
  const what =
    finding.what
      .replaceAll(/\p{Cc}+/gu, ' ')
      .trim()
      .slice(0, 500) || 'it is not what was written';
  const id = store.ids.random();
  const cause: Cause = { actor: SYSTEM_ACTOR, correlationId: id, causationId: id, origin: { via: 'kit' } };
  const command = {
    type: 'HoldIntegrity',
    what,
    stream,
    revision,
    ...(treeSize === undefined ? {} : { treeSize }),
  } as const;
  for (;;) {
    const { history, state } = await ledger.holds();
    const events = holdsDecider.decide(command, state);
    if (events.length === 0) return;
    try {
      // No event led to it: it is its own cause.
      await store.append(history, events, cause, { eventIds: [id] });
      return;
    } catch (error) {
      if (!(error instanceof WrongExpectedRevisionError)) throw error;
    }
  }
}
