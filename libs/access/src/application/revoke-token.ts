import { DomainError } from '#eventlog';
import type { Cause, EventStore, StreamPosition } from '#eventlog/kit';
import { accessTokenDecider } from '../domain/access-token.decider.js';
import { covers, type Principal } from '../domain/permissions.js';
import { readIssuedToken } from './stored-token.js';

export interface RevokeTokenCommand {
  readonly issuer?: Principal;
  readonly tokenId: string;
  readonly reason: string;
}

/** Takes a token away, for good. Doing it twice is no error. */
export class RevokeToken {
  constructor(private readonly store: EventStore) {}

  async execute(command: RevokeTokenCommand, cause: Cause): Promise<StreamPosition> {
    const { issuer, tokenId, reason } = command;
    const { at, state } = await readIssuedToken(this.store, tokenId);
    if (issuer !== undefined && !covers(issuer.scope, state.scope)) {
      throw new DomainError('access.out-of-scope', 'This token reaches further than yours');
    }
    const events = accessTokenDecider.decide({ kind: 'revoke', cause: 'revoked', reason }, state);
    return events.length === 0 ? at : this.store.append(at, events, cause);
  }
}
