import { BackendError } from '#custody';
import { DomainError } from '#eventlog';
import type { SecretValue } from '#platform';
import {
  decideDestruction,
  requireTokenWanted,
  type DestructionCommand,
} from '../domain/destruction.decider.js';
import type { Attestation } from '../domain/rotation.events.js';
import type { BackEnds } from './back-ends.js';
import { causeOf, isRepeat, type CommandContext, type Ledger } from './ledger.js';
import type { Placed } from './placed.js';
import { destructionStream } from './streams.js';

export type DestructionAsk =
  | { readonly type: 'approve'; readonly note?: string | undefined }
  | { readonly type: 'reject'; readonly reason: string }
  | { readonly type: 'retry'; readonly reason?: string | undefined }
  /** A token that may delete there, wrapped (docs/vault.md). */
  | { readonly type: 'supply-token'; readonly wrapped: SecretValue }
  | {
      readonly type: 'attest';
      readonly attestation: Attestation;
      readonly occurredAt?: number | undefined;
    };

/** Asks something of a destruction that exists; who asks is filled in from the context. */
export class AskDestruction {
  constructor(
    readonly context: CommandContext,
    readonly destructionId: string,
    readonly ask: DestructionAsk,
    readonly expectedRevision?: number,
  ) {}
}

export class AskDestructionHandler {
  constructor(
    private readonly ledger: Ledger,
    private readonly backEnds: BackEnds,
  ) {}

  async execute({ context, destructionId, ask, expectedRevision }: AskDestruction): Promise<Placed> {
    const stream = destructionStream(destructionId);
    const repeated = isRepeat(context, stream);
    const token =
      ask.type === 'supply-token' && !repeated
        ? await this.#supply(destructionId, context.subject, ask.wrapped)
        : undefined;
    const command = commandOf(ask, context.subject, this.ledger.store.clock.now(), token);
    const { history, events } = await this.ledger.decideAndAppend(
      () => this.ledger.destruction(destructionId),
      (state) => (repeated ? [] : decideDestruction(command, state)),
      (state) => causeOf(context, state.correlationId),
      repeated ? undefined : expectedRevision,
    );
    return { id: destructionId, stream, revision: history.revision, changed: events.length > 0 };
  }

  /** Into the back end's memory, and nowhere else. For how many seconds it is good there. */
  async #supply(destructionId: string, subject: string, wrapped: SecretValue): Promise<number | undefined> {
    const { state } = await this.ledger.destruction(destructionId);
    requireTokenWanted(subject, state);
    const { instance = '', object = '' } = state.backEnd ?? {};
    const backEnd = this.backEnds.get(instance);
    if (backEnd.supplyDestroyer === undefined)
      throw new DomainError(
        'destruction.needs-no-token',
        `${instance} needs no token to destroy with: nothing was taken`,
        { field: 'wrappedToken' },
      );
    try {
      return await backEnd.supplyDestroyer(object, wrapped);
    } catch (error) {
      if (!(error instanceof BackendError) || error.errorClass !== 'config') throw error;
      throw new DomainError('destruction.token-refused', error.message, { field: 'wrappedToken' });
    }
  }
}

function commandOf(
  ask: DestructionAsk,
  subject: string,
  now: number,
  tokenSeconds: number | undefined,
): DestructionCommand {
  switch (ask.type) {
    case 'approve':
      return { type: 'ApproveDestruction', subject, ...(ask.note === undefined ? {} : { note: ask.note }) };
    case 'reject':
      return { type: 'RejectDestruction', reason: ask.reason };
    case 'retry':
      return { type: 'RetryDestruction', ...(ask.reason === undefined ? {} : { reason: ask.reason }) };
    case 'supply-token':
      return {
        type: 'SupplyDestructionToken',
        subject,
        ...(tokenSeconds === undefined ? {} : { endsAt: now + tokenSeconds * 1_000 }),
      };
    case 'attest':
      return {
        type: 'AttestDestruction',
        attestation: ask.attestation,
        now,
        ...(ask.occurredAt === undefined ? {} : { occurredAt: ask.occurredAt }),
      };
  }
}
