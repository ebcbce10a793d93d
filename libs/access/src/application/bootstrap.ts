import { derivedId, type SecretValue } from '#platform';
import {
  DomainError,
  formatInstant,
  parseInstant,
  SYSTEM_ACTOR,
  WrongExpectedRevisionError,
} from '#eventlog';
import type { Cause, EventStore, StreamPosition } from '#eventlog/kit';
import { accessTokenDecider } from '../domain/access-token.decider.js';
import { UNLIMITED, type Role } from '../domain/permissions.js';
import { IssueToken, type IssuedToken } from './issue-token.js';
import { readIssuedToken, readToken } from './stored-token.js';
import type { TokenDirectory } from './token-directory.js';
import { hashOfSecret, isCode, newCode } from './token-secret.js';

/** How long a one-time sign-in is good for. */
export const BOOTSTRAP_LIFETIME_MS = 24 * 60 * 60 * 1000;

/** The first person does everything a person does; separation of duties still compares subjects. */
export const BOOTSTRAP_ROLES: readonly Role[] = [
  'admin',
  'operator',
  'approver',
  'responder',
  'auditor',
  'viewer',
];

export interface OneTimeSignIn {
  /** Printed once, kept nowhere. */
  readonly code: SecretValue;
  readonly expiresAt: number;
  readonly at: StreamPosition;
}

/**
 * The one-time sign-in of a service nobody has signed in to yet; `undefined` once somebody has. A code was printed once
 * and is kept nowhere, so each start before that makes a new one and takes the old one away: losing the paper, or
 * dying before it was printed, locks nobody out. MUST be called when `directory` has caught up.
 */
export class OpenBootstrap {
  constructor(
    private readonly store: EventStore,
    private readonly directory: TokenDirectory,
  ) {}

  async execute(): Promise<OneTimeSignIn | undefined> {
    const { store } = this;
    const tokens = this.directory.tokens();
    if (tokens.some((token) => !token.bootstrap)) return undefined;
    const id = store.ids.random();
    const cause = {
      actor: SYSTEM_ACTOR,
      correlationId: id,
      causationId: id,
      origin: { via: 'kit' },
    } as const;
    for (const { tokenId } of tokens) {
      const { at, state } = await readIssuedToken(store, tokenId);
      const reason = 'a newer one-time sign-in was printed';
      const events = accessTokenDecider.decide({ kind: 'revoke', cause: 'replaced', reason }, state);
      if (events.length > 0) await store.append(at, events, cause);
    }
    const { secret, hash } = newCode();
    const expiresAt = store.clock.now() + BOOTSTRAP_LIFETIME_MS;
    const { at, state } = await readToken(store, derivedId(store.logId, id));
    const events = accessTokenDecider.decide(
      {
        kind: 'issue',
        token: {
          subject: SYSTEM_ACTOR,
          tokenHash: hash,
          roles: [...BOOTSTRAP_ROLES],
          scope: UNLIMITED,
          label: 'one-time sign-in',
          expiresAt: formatInstant(expiresAt),
          bootstrap: true,
        },
      },
      state,
    );
    return { code: secret, expiresAt, at: await store.append(at, events, cause) };
  }
}

export interface ExchangeCommand {
  readonly code: string;
  readonly name: string;
  /** Where it came from. */
  readonly origin: Cause['origin'];
}

/** Exchanges a one-time code, exactly once, for a person and a token. */
export class ExchangeBootstrap {
  constructor(
    private readonly store: EventStore,
    private readonly directory: TokenDirectory,
  ) {}

  async execute({ code, name, origin }: ExchangeCommand): Promise<IssuedToken> {
    const { store } = this;
    const entry = this.directory.tokenByHash(hashOfSecret(code));
    if (!isCode(code) || entry === undefined || !entry.bootstrap)
      throw refused('This is no one-time code of ours');
    const { at, state } = await readIssuedToken(store, entry.tokenId);
    const expiresAt = parseInstant(state.expiresAt ?? '') ?? 0;
    if (expiresAt <= store.clock.now())
      throw refused('This one-time code has expired; start the service anew for another');
    // Derived from the code: however often it is tried, it makes one subject and one token.
    const commandId = derivedId(store.logId, SYSTEM_ACTOR, 'POST', '/api/v1/tokens/bootstrap', entry.tokenId);
    const subject = derivedId(store.logId, commandId, 'subject');
    const cause = { actor: subject, correlationId: commandId, causationId: commandId, origin };
    try {
      const reason = 'exchanged for an access token';
      const events = accessTokenDecider.decide({ kind: 'revoke', cause: 'used', reason }, state);
      // Who appends this at its exact revision has won; everybody else has nothing.
      await store.append(at, events, cause);
    } catch (error) {
      if (error instanceof WrongExpectedRevisionError) throw refused('This one-time code was used already');
      if (error instanceof DomainError) throw refused(error.message);
      throw error;
    }
    return new IssueToken(store).execute(
      {
        subject: { name, kind: 'person' },
        roles: state.roles,
        scope: state.scope,
        label: 'first sign-in',
      },
      cause,
    );
  }
}

function refused(message: string): DomainError {
  return new DomainError('access.code-refused', message);
}
