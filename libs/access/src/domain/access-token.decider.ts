import { DomainError, type Decider, type NewEventOf, type RecordedEventOf } from '#eventlog';
import { accessEvents, type REVOCATION_REASONS } from './access.events.js';
import type { Role, Scope } from './permissions.js';

const { AccessTokenIssued, AccessTokenRevoked } = accessEvents;
export const accessTokenEvents = { AccessTokenIssued, AccessTokenRevoked } as const;

export type NewAccessTokenEvent = NewEventOf<typeof accessTokenEvents>;
export type AccessTokenEvent = RecordedEventOf<typeof accessTokenEvents>;

export type AccessTokenState =
  | { readonly status: 'none' }
  | {
      readonly status: 'issued' | 'revoked';
      readonly subject: string;
      readonly roles: readonly Role[];
      readonly scope: Scope;
      /** Milliseconds are compared by whoever has a clock; here it is text. */
      readonly expiresAt?: string;
      readonly bootstrap: boolean;
    };

interface IssueAccessToken {
  readonly kind: 'issue';
  readonly token: Extract<NewAccessTokenEvent, { type: 'AccessTokenIssued' }>['data'];
}

interface RevokeAccessToken {
  readonly kind: 'revoke';
  readonly cause: (typeof REVOCATION_REASONS)[number];
  readonly reason: string;
}

export type AccessTokenCommand = IssueAccessToken | RevokeAccessToken;

/** One token's life: issued, then perhaps revoked, and nothing after that. */
export const accessTokenDecider: Decider<
  AccessTokenCommand,
  AccessTokenState,
  NewAccessTokenEvent,
  AccessTokenEvent
> = {
  initialState: { status: 'none' },
  decide: (command, state) => (command.kind === 'issue' ? issue(command, state) : revoke(command, state)),
  evolve: (state, event) => {
    if (event.type === 'AccessTokenIssued') {
      const { subject, roles, scope, expiresAt, bootstrap } = event.data;
      const expiry = expiresAt === undefined ? {} : { expiresAt };
      return { status: 'issued', subject, roles, scope, bootstrap, ...expiry };
    }
    return state.status === 'none' ? state : { ...state, status: 'revoked' };
  },
};

function issue({ token }: IssueAccessToken, state: AccessTokenState): readonly NewAccessTokenEvent[] {
  if (state.status !== 'none') {
    throw new DomainError('token.already-issued', 'This token was issued already');
  }
  return [{ type: 'AccessTokenIssued', data: token }];
}

function revoke(
  { cause, reason }: RevokeAccessToken,
  state: AccessTokenState,
): readonly NewAccessTokenEvent[] {
  if (state.status === 'none') throw new DomainError('token.not-found', 'There is no such token');
  if (state.status === 'issued') return [{ type: 'AccessTokenRevoked', data: { cause, reason } }];
  // Revoking twice is what a repeat looks like; exchanging twice is theft or a race, and loses.
  if (cause === 'used') throw new DomainError('token.code-used', 'This one-time code was used already');
  return [];
}
