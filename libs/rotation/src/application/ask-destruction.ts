import { BackendError, type SuppliedDestroyer } from '#custody';
import { DomainError, WrongExpectedRevisionError } from '#eventlog';
import type { SecretValue } from '#platform';
import {
  decideDestruction,
  requireTokenWanted,
  type DestructionCommand,
} from '../domain/destruction.decider.js';
import type { DestructionState } from '../domain/destruction.state.js';
import type { Attestation } from '../domain/rotation.events.js';
import type { BackEnds } from './back-ends.js';
import { causeOf, isRepeat, type CommandContext, type Ledger } from './ledger.js';
import type { Placed } from './placed.js';
import { effectKey } from './step-performer.js';
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
    const supplies = ask.type === 'supply-token' && !repeated;
    const token = supplies
      ? await this.#supply(destructionId, context.subject, ask.wrapped, expectedRevision)
      : undefined;
    const command = commandOf(ask, context.subject, this.ledger.store.clock.now(), token?.seconds);
    const { history, state, events } = await this.ledger
      .decideAndAppend(
        () => this.ledger.destruction(destructionId),
        (found) => (repeated ? [] : decideDestruction(command, found)),
        (found) => causeOf(context, found.correlationId),
        repeated ? undefined : expectedRevision,
      )
      .catch(async (error: unknown) => {
        // What nobody finds on record deletes nothing.
        await token?.drop();
        throw error;
      });
    if (ask.type === 'reject') await this.#dismiss(state, stream);
    return { id: destructionId, stream, revision: history.revision, changed: events.length > 0 };
  }

  /** Into the back end's memory, and nowhere else. For how many seconds it is good there. */
  async #supply(
    destructionId: string,
    subject: string,
    wrapped: SecretValue,
    expectedRevision: number | undefined,
  ): Promise<SuppliedDestroyer | undefined> {
    const { state, history } = await this.ledger.destruction(destructionId);
    // A wrapping opens once: not for a command that is refused then.
    if (expectedRevision !== undefined && history.revision !== expectedRevision)
      throw new WrongExpectedRevisionError(history.stream, expectedRevision, history.revision);
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
      return await backEnd.supplyDestroyer({ object, key: destroyKey(history.stream) }, wrapped);
    } catch (error) {
      if (!(error instanceof BackendError) || error.errorClass !== 'config') throw error;
      throw new DomainError('destruction.token-refused', error.message, { field: 'wrappedToken' });
    }
  }

  /** Its back end may be away or taken from the settings: then the token ends by its time. */
  async #dismiss({ backEnd }: DestructionState, stream: string): Promise<void> {
    await this.backEnds.find(backEnd?.instance ?? '')?.dismissDestroyer?.(destroyKey(stream));
  }
}

/** As the step that it is for is sent. */
function destroyKey(stream: string): string {
  return effectKey(stream, 'destroy', undefined);
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
