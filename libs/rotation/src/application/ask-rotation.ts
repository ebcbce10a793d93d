import { rotationDecider, type RotationCommand } from '../domain/rotation.decider.js';
import { causeOf, isRepeat, type CommandContext, type Ledger } from './ledger.js';
import type { Placed } from './placed.js';
import { rotationStream } from './streams.js';

/** What can be asked of a rotation that exists; who asks is filled in from the context. */
export type RotationAsk =
  | { readonly type: 'approve'; readonly note?: string | undefined }
  | { readonly type: 'reject'; readonly reason: string }
  | {
      readonly type: 'confirm';
      readonly kind: 'acceptance' | 'emission';
      readonly consumerId: string;
      readonly versionId: string;
      readonly instances: readonly string[];
    }
  | {
      readonly type: 'override';
      readonly gate: 'acceptance-confirmations' | 'emission-confirmations' | 'emitter-switch';
      readonly consumerId: string;
      readonly reason: string;
    }
  | { readonly type: 'rollback'; readonly reason: string }
  | { readonly type: 'pause'; readonly reason: string }
  | { readonly type: 'resume'; readonly reason?: string | undefined }
  | { readonly type: 'abandon'; readonly reason: string }
  | { readonly type: 'retry'; readonly reason?: string | undefined }
  | { readonly type: 'note'; readonly note: string }
  | { readonly type: 'review'; readonly summary: string };

/** A request to a running rotation: recorded as such, also while a step is in flight; the saga settles that first. */
export class AskRotation {
  constructor(
    readonly context: CommandContext,
    readonly rotationId: string,
    readonly ask: RotationAsk,
    readonly expectedRevision?: number,
  ) {}
}

export class AskRotationHandler {
  constructor(private readonly ledger: Ledger) {}

  async execute({ context, rotationId, ask, expectedRevision }: AskRotation): Promise<Placed> {
    const before = await this.ledger.rotation(rotationId);
    const compromised =
      ask.type === 'rollback' && before.state.exists
        ? (await this.ledger.family(before.state.familyId)).state.compromised
        : [];
    const command = commandOf(ask, context.subject, compromised);
    const { history, events } = await this.ledger.decideAndAppend(
      () => this.ledger.rotation(rotationId),
      (state) =>
        isRepeat(context, rotationStream(rotationId)) ? [] : rotationDecider.decide(command, state),
      (state) => causeOf(context, state.correlationId),
      isRepeat(context, rotationStream(rotationId)) ? undefined : expectedRevision,
    );
    return {
      id: rotationId,
      stream: rotationStream(rotationId),
      revision: history.revision,
      changed: events.length > 0,
    };
  }
}

function commandOf(ask: RotationAsk, subject: string, compromised: readonly string[]): RotationCommand {
  switch (ask.type) {
    case 'approve':
      return { type: 'ApproveRotation', subject, ...(ask.note === undefined ? {} : { note: ask.note }) };
    case 'reject':
      return { type: 'RejectRotation', subject, reason: ask.reason };
    case 'confirm':
      return {
        type: ask.kind === 'acceptance' ? 'ConfirmAcceptance' : 'ConfirmEmission',
        consumerId: ask.consumerId,
        versionId: ask.versionId,
        instances: ask.instances,
      };
    case 'override':
      return { type: 'OverrideConfirmation', gate: ask.gate, consumerId: ask.consumerId, reason: ask.reason };
    case 'rollback':
      return { type: 'RollBackRotation', reason: ask.reason, compromised };
    case 'pause':
      return { type: 'PauseRotation', reason: ask.reason };
    case 'resume':
      return { type: 'ResumeRotation', ...(ask.reason === undefined ? {} : { reason: ask.reason }) };
    case 'abandon':
      return { type: 'AbandonRotation', reason: ask.reason };
    case 'retry':
      return { type: 'RetryRotation', ...(ask.reason === undefined ? {} : { reason: ask.reason }) };
    case 'note':
      return { type: 'AddNote', note: ask.note };
    case 'review':
      return { type: 'RecordReview', summary: ask.summary };
  }
}
