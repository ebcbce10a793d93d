import { derivedId, type SecretValue } from '#platform';
import { DomainError, formatInstant, NO_STREAM } from '#eventlog';
import type { Cause, EventStore, StreamPosition } from '#eventlog/kit';
import type { NewAccessEvent, SubjectKind } from '../domain/access.events.js';
import { accessTokenDecider } from '../domain/access-token.decider.js';
import { covers, type Principal, type Role, type Scope } from '../domain/permissions.js';
import { readToken } from './stored-token.js';
import { newToken } from './token-secret.js';

export interface IssueTokenCommand {
  /** Who asks; nobody where the operator of the machine does it beside the service. */
  readonly issuer?: Principal;
  /** A known one, or one to be registered. */
  readonly subject: { readonly id: string } | { readonly name: string; readonly kind: SubjectKind };
  readonly roles: readonly Role[];
  readonly scope: Scope;
  readonly label: string;
  readonly expiresAt?: number;
}

export interface IssuedToken {
  readonly tokenId: string;
  readonly subject: string;
  /** Left out for a repeat: it was shown once and is kept nowhere. */
  readonly secret?: SecretValue;
  readonly at: StreamPosition;
}

/** Gives a token to a subject, and registers the subject where it is new. */
export class IssueToken {
  constructor(private readonly store: EventStore) {}

  /** `cause.causationId` is the command id: the ids of what is created are derived from it, so a repeat finds them. */
  async execute(command: IssueTokenCommand, cause: Cause): Promise<IssuedToken> {
    const { store } = this;
    const { issuer, roles, scope, label, expiresAt } = command;
    const tokenId = derivedId(store.logId, cause.causationId);
    const { at, state } = await readToken(store, tokenId);
    if (state.status !== 'none') return { tokenId, subject: state.subject, at };

    if (issuer !== undefined && !covers(issuer.scope, scope)) {
      throw new DomainError(
        'access.out-of-scope',
        'A token cannot reach further than the token that issues it',
      );
    }
    if (expiresAt !== undefined && expiresAt <= store.clock.now()) {
      throw new DomainError('token.expired-at-birth', 'expiresAt lies in the past');
    }
    const subject = await this.#subject(command.subject, cause);
    const { secret, hash } = newToken();
    const events = accessTokenDecider.decide(
      {
        kind: 'issue',
        token: {
          subject,
          tokenHash: hash,
          roles: [...new Set(roles)],
          scope,
          label,
          bootstrap: false,
          ...(expiresAt === undefined ? {} : { expiresAt: formatInstant(expiresAt) }),
        },
      },
      state,
    );
    return { tokenId, subject, secret, at: await store.append(at, events, cause) };
  }

  /** First, so that no token ever stands for an unknown subject; a crash after it leaves a name without a token. */
  async #subject(subject: IssueTokenCommand['subject'], cause: Cause): Promise<string> {
    const { store } = this;
    if ('id' in subject) {
      const { revision } = await store.read(`subject-${subject.id}`);
      if (revision === NO_STREAM) throw new DomainError('subject.not-found', 'There is no such subject');
      return subject.id;
    }
    const id = derivedId(store.logId, cause.causationId, 'subject');
    const at = await store.read(`subject-${id}`);
    if (at.revision === NO_STREAM) {
      const registered: NewAccessEvent = { type: 'SubjectRegistered', data: subject };
      await store.append(at, [registered], cause);
    }
    return id;
  }
}
