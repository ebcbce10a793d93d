import { DomainError, type RecordedEvent } from '#eventlog';
import type { EventStore, History } from '#eventlog/kit';
import {
  accessTokenDecider,
  accessTokenEvents,
  type AccessTokenEvent,
  type AccessTokenState,
} from '../domain/access-token.decider.js';

export interface StoredToken {
  readonly at: History;
  readonly state: AccessTokenState;
}

export async function readToken(store: EventStore, tokenId: string): Promise<StoredToken> {
  const at = await store.read(`token-${tokenId}`);
  const state = at.events
    .filter(isTokenEvent)
    .reduce(accessTokenDecider.evolve, accessTokenDecider.initialState);
  return { at, state };
}

export async function readIssuedToken(
  store: EventStore,
  tokenId: string,
): Promise<StoredToken & { readonly state: Exclude<AccessTokenState, { status: 'none' }> }> {
  const { at, state } = await readToken(store, tokenId);
  if (state.status === 'none') throw new DomainError('token.not-found', 'There is no such token');
  return { at, state };
}

// The store has parsed every event by its definition: the type says what the data is.
function isTokenEvent(event: RecordedEvent): event is AccessTokenEvent {
  return Object.hasOwn(accessTokenEvents, event.type);
}
