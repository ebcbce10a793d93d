import { containedVersions } from '../domain/containment.state.js';
import { rotationDecider, type RotationCommand } from '../domain/rotation.decider.js';
import type { Attestation, OVERRIDABLE } from '../domain/rotation.events.js';
import type { StepName } from '../domain/step.events.js';
import type { BackEnds } from './back-ends.js';
import { causeOf, isRepeat, type CommandContext, type Ledger } from './ledger.js';
import type { Placed } from './placed.js';
import { rotationStream } from './streams.js';

/** A version people made, as far as they say. */
export interface GeneratedByPeople {
  readonly versionId?: string | undefined;
  readonly algorithm?: string | undefined;
  readonly strengthBits?: number | undefined;
  readonly fingerprint?: string | undefined;
}

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
      readonly gate: (typeof OVERRIDABLE)[number];
      readonly consumerId?: string | undefined;
      readonly reason: string;
    }
  | {
      readonly type: 'withdraw-confirmation';
      readonly kind: 'acceptance' | 'emission';
      readonly consumerId: string;
      readonly instances: readonly string[];
      readonly reason: string;
    }
  | { readonly type: 'rollback'; readonly reason: string; readonly acceptWindow?: string | undefined }
  | { readonly type: 'switch-to-attested'; readonly step: StepName; readonly reason: string }
  | {
      readonly type: 'attest';
      readonly step: StepName;
      readonly attestation: Attestation;
      /** Milliseconds: when it was so, where that is known. */
      readonly occurredAt?: number | undefined;
      readonly generated?: GeneratedByPeople | undefined;
    }
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
  constructor(
    private readonly ledger: Ledger,
    private readonly backEnds: BackEnds,
  ) {}

  async execute({ context, rotationId, ask, expectedRevision }: AskRotation): Promise<Placed> {
    const command =
      ask.type === 'rollback'
        ? await this.#rollBack(rotationId, ask)
        : await this.#withKnown(rotationId, commandOf(ask, context.subject, this.ledger.store.clock.now()));
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

  /** What people made is told from what the family had before, which a plan does not carry whole. */
  async #withKnown(rotationId: string, command: RotationCommand): Promise<RotationCommand> {
    if (command.type !== 'AttestStep') return command;
    const { state } = await this.ledger.rotation(rotationId);
    if (!state.exists) return command;
    const { versions, compromised } = (await this.ledger.family(state.familyId)).state;
    return { ...command, known: [...versions.map((version) => version.versionId), ...compromised] };
  }

  /** What was compromised or destroyed, and whether the back end can take a revocation back, decides about a rollback. */
  async #rollBack(
    rotationId: string,
    ask: Extract<RotationAsk, { readonly type: 'rollback' }>,
  ): Promise<RotationCommand> {
    const { state } = await this.ledger.rotation(rotationId);
    const family = state.exists ? (await this.ledger.family(state.familyId)).state : undefined;
    const backEnd = this.backEnds.find(state.plan?.backEnd.instance ?? '');
    const containments = await Promise.all(
      (family?.suspected ?? []).flatMap(({ containment }) =>
        containment === undefined ? [] : [this.ledger.containment(containment)],
      ),
    );
    const goneFor = backEnd?.declaration.pointOfNoReturn;
    return {
      type: 'RollBackRotation',
      reason: ask.reason,
      compromised: family?.compromised ?? [],
      contained:
        family === undefined
          ? []
          : containedVersions(
              family,
              containments.map((loaded) => loaded.state),
            ),
      destroyed: (family?.versions ?? []).flatMap((version) =>
        version.destroyed ? [version.versionId] : [],
      ),
      reversible: goneFor !== undefined && goneFor !== 'withdraw' && goneFor !== 'cut-over',
      ...(ask.acceptWindow === undefined ? {} : { acceptWindow: ask.acceptWindow }),
    };
  }
}

function commandOf(
  ask: Exclude<RotationAsk, { readonly type: 'rollback' }>,
  subject: string,
  now: number,
): RotationCommand {
  switch (ask.type) {
    case 'approve':
      return { type: 'ApproveRotation', subject, now, ...(ask.note === undefined ? {} : { note: ask.note }) };
    case 'reject':
      return { type: 'RejectRotation', subject, reason: ask.reason };
    case 'confirm':
      return {
        type: ask.kind === 'acceptance' ? 'ConfirmAcceptance' : 'ConfirmEmission',
        consumerId: ask.consumerId,
        versionId: ask.versionId,
        instances: ask.instances,
      };
    case 'withdraw-confirmation': {
      const { kind, consumerId, instances, reason } = ask;
      return { type: 'WithdrawConfirmation', kind, consumerId, instances, reason };
    }
    case 'override':
      return {
        type: 'OverrideConfirmation',
        gate: ask.gate,
        ...(ask.consumerId === undefined ? {} : { consumerId: ask.consumerId }),
        reason: ask.reason,
      };
    case 'switch-to-attested':
      return { type: 'SwitchToAttested', step: ask.step, reason: ask.reason, now };
    case 'attest':
      return {
        type: 'AttestStep',
        step: ask.step,
        attestation: ask.attestation,
        now,
        ...(ask.occurredAt === undefined ? {} : { occurredAt: ask.occurredAt }),
        ...(ask.generated === undefined ? {} : { generated: said(ask.generated) }),
      };
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

/** Without what was not said. */
function said(
  generated: GeneratedByPeople,
): NonNullable<Extract<RotationCommand, { readonly type: 'AttestStep' }>['generated']> {
  const { versionId, algorithm, strengthBits, fingerprint } = generated;
  return {
    ...(versionId === undefined ? {} : { versionId }),
    ...(algorithm === undefined ? {} : { algorithm }),
    ...(strengthBits === undefined ? {} : { strengthBits }),
    ...(fingerprint === undefined ? {} : { fingerprint }),
  };
}
