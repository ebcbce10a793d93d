import { decideDestruction, type DestructionCommand } from '../domain/destruction.decider.js';
import type { Attestation } from '../domain/rotation.events.js';
import { causeOf, isRepeat, type CommandContext, type Ledger } from './ledger.js';
import type { Placed } from './placed.js';
import { destructionStream } from './streams.js';

export type DestructionAsk =
  | { readonly type: 'approve'; readonly note?: string | undefined }
  | { readonly type: 'reject'; readonly reason: string }
  | { readonly type: 'retry'; readonly reason?: string | undefined }
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
  constructor(private readonly ledger: Ledger) {}

  async execute({ context, destructionId, ask, expectedRevision }: AskDestruction): Promise<Placed> {
    const stream = destructionStream(destructionId);
    const repeated = isRepeat(context, stream);
    const command = commandOf(ask, context.subject, this.ledger.store.clock.now());
    const { history, events } = await this.ledger.decideAndAppend(
      () => this.ledger.destruction(destructionId),
      (state) => (repeated ? [] : decideDestruction(command, state)),
      (state) => causeOf(context, state.correlationId),
      repeated ? undefined : expectedRevision,
    );
    return { id: destructionId, stream, revision: history.revision, changed: events.length > 0 };
  }
}

function commandOf(ask: DestructionAsk, subject: string, now: number): DestructionCommand {
  switch (ask.type) {
    case 'approve':
      return { type: 'ApproveDestruction', subject, ...(ask.note === undefined ? {} : { note: ask.note }) };
    case 'reject':
      return { type: 'RejectDestruction', reason: ask.reason };
    case 'retry':
      return { type: 'RetryDestruction', ...(ask.reason === undefined ? {} : { reason: ask.reason }) };
    case 'attest':
      return {
        type: 'AttestDestruction',
        attestation: ask.attestation,
        now,
        ...(ask.occurredAt === undefined ? {} : { occurredAt: ask.occurredAt }),
      };
  }
}
