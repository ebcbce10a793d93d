import { formatInstant, type Provenance } from '#eventlog';
import type { NewContainmentEvent } from './containment.events.js';
import type { NewDestructionEvent } from './destruction.events.js';
import { milliseconds } from './duration.js';
import type { NewRotationEvent, RotationPlan } from './rotation.events.js';
import type { RotationState } from './rotation.state.js';
import type { StepName } from './step.events.js';

/**
 * What a step acts on, how it looks once it is done, and which fact it becomes: one place for the performer, the simulation and
 * for people who attest.
 */

export interface StepVersions {
  readonly incoming?: string;
  readonly algorithm?: NonNullable<RotationPlan['algorithm']>;
  /** The versions to publish, switch to, withdraw, contain or prove refused. */
  readonly subject: readonly string[];
  /** What emits when the step begins. */
  readonly from?: string;
  /** For a verification: what must be accepted meanwhile. */
  readonly accepted: readonly string[];
  /** After an accept: everything that is accepted. */
  readonly acceptSet: readonly string[];
  /** What a cutover puts out. */
  readonly out: readonly string[];
}

/** The versions of one step of a rotation. `contained` is denied, whatever else is accepted: it is not said to be. */
export function versionsOf(
  step: StepName,
  plan: RotationPlan,
  state: Pick<RotationState, 'switched'>,
  contained: readonly string[],
): StepVersions {
  const incoming = plan.incoming === undefined ? [] : [plan.incoming];
  const before = plan.emittingBefore === undefined ? [] : [plan.emittingBefore];
  const acceptedBefore = plan.versionsBefore
    .filter((version) => version.accepted)
    .map((version) => version.versionId);
  const acceptSet = [...new Set([...acceptedBefore, ...incoming])].filter(
    (version) => !contained.includes(version),
  );
  const emits = state.switched === undefined ? before : incoming;
  const [from] = emits;
  const common = {
    ...(plan.algorithm === undefined ? {} : { algorithm: plan.algorithm }),
    ...(plan.incoming === undefined ? {} : { incoming: plan.incoming }),
    ...(from === undefined ? {} : { from }),
    acceptSet,
    accepted: emits,
    out: [],
  };
  switch (step) {
    case 'generate':
    case 'accept':
    case 'emit':
    case 'withdraw':
      return { ...common, subject: incoming };
    case 'cutover':
      return { ...common, subject: incoming, out: plan.outgoing };
    case 'reaccept':
    case 'return':
      return { ...common, subject: before };
    case 'cutback':
      return { ...common, subject: before, out: incoming };
    case 'revoke':
    case 'verify':
      return { ...common, subject: plan.outgoing };
    // Their processes name their own.
    case 'contain':
    case 'lift':
    case 'destroy':
      return { ...common, subject: [] };
  }
}

/** A version as a back end shows it. */
export interface SeenVersion {
  readonly versionId: string;
  readonly accepted: boolean;
  readonly emittingShare?: number | undefined;
  readonly contained?: boolean;
  readonly destroyed?: boolean;
}

/** Whether the back end already shows what the step would bring about, though nothing says that we did it. */
export function alreadySo(
  step: StepName,
  versions: Pick<StepVersions, 'subject' | 'out'>,
  seen: readonly SeenVersion[],
  share = 100,
): boolean {
  const of = (id: string): SeenVersion | undefined => seen.find((version) => version.versionId === id);
  const every = (holds: (version: SeenVersion | undefined) => boolean): boolean =>
    versions.subject.length > 0 && versions.subject.every((id) => holds(of(id)));
  switch (step) {
    case 'generate':
      return every((version) => version !== undefined);
    case 'accept':
    case 'reaccept':
      return every((version) => version?.accepted === true);
    case 'emit':
      return every((version) => version?.emittingShare === share);
    case 'return':
      return every((version) => version?.emittingShare === 100);
    case 'revoke':
      return every((version) => version?.accepted !== true);
    case 'cutover':
    case 'cutback':
      return (
        every((version) => version?.accepted === true && version.emittingShare === 100) &&
        versions.out.every((id) => of(id)?.accepted !== true)
      );
    case 'contain':
      // A deny set says nothing of what enforces it, and another containment's is not ours: it is done again, which changes nothing.
      return false;
    case 'lift':
      return every((version) => version?.contained !== true);
    case 'destroy':
      return every((version) => version?.destroyed === true);
    case 'withdraw':
      // A version that was never accepted looks withdrawn: only the ledger can say that we did it.
      return false;
    case 'verify':
      return false;
  }
}

/** How a step ended, as far as it is known. */
export interface StepDone {
  readonly attemptId?: string;
  readonly settledBy?: 'answer' | 'observation';
  readonly backEndAt?: string;
  readonly provenance: Provenance;
  /** When people say it was so; the saga's own facts have none. */
  readonly occurredAt?: number;
  readonly generated?: {
    readonly algorithm: string;
    readonly strengthBits?: number;
    readonly fingerprint?: string;
  };
  readonly refused?: readonly { readonly versionId: string; readonly how: string }[];
  readonly accepted?: readonly { readonly versionId: string; readonly how: string }[];
}

export interface OutcomeInput {
  readonly step: StepName;
  readonly versions: StepVersions;
  /** The share a cohort brings emission to. */
  readonly share?: number | undefined;
  readonly trustTerm?: string | undefined;
  /** An earlier bound, where a containment set one. */
  readonly trustEndsAt?: number | undefined;
  readonly done: StepDone;
  /** When the outcome is recorded: bounds on trust count from here. */
  readonly now: number;
}

/** What the steps of the processes beside a rotation become. */
export type ProcessOutcome =
  | Extract<NewContainmentEvent, { readonly type: 'ContainmentApplied' | 'ContainmentLifted' }>
  | Extract<NewDestructionEvent, { readonly type: 'OldKeyDestroyed' }>;

export function isProcessOutcome(event: NewRotationEvent | ProcessOutcome): event is ProcessOutcome {
  return (
    event.type === 'ContainmentApplied' ||
    event.type === 'ContainmentLifted' ||
    event.type === 'OldKeyDestroyed'
  );
}

/** The fact a step becomes. */
export function outcomeOf(input: OutcomeInput): NewRotationEvent | ProcessOutcome {
  const { step, versions, share, trustTerm, trustEndsAt, done, now } = input;
  const { provenance } = done;
  const base = {
    provenance,
    ...(done.occurredAt === undefined ? {} : { occurredAt: done.occurredAt }),
  };
  const reference = {
    ...(done.attemptId === undefined ? {} : { attemptId: done.attemptId }),
    ...(done.settledBy === undefined ? {} : { settledBy: done.settledBy }),
    ...(done.backEndAt === undefined ? {} : { backEndAt: done.backEndAt }),
  };
  const from = versions.from === undefined ? {} : { from: versions.from };
  const subject = [...versions.subject];
  const [first = ''] = subject;
  const bound = trustTerm === undefined ? undefined : now + milliseconds(trustTerm);
  const ends = (at: number | undefined): { readonly trustEndsAt?: string } =>
    at === undefined ? {} : { trustEndsAt: formatInstant(at) };
  const sooner =
    bound === undefined || trustEndsAt === undefined ? (bound ?? trustEndsAt) : Math.min(bound, trustEndsAt);
  switch (step) {
    case 'generate':
      return {
        ...base,
        type: 'KeyGenerated',
        data: {
          ...reference,
          versionId: first,
          algorithm: done.generated?.algorithm ?? versions.algorithm ?? 'not recorded',
          ...(done.generated?.strengthBits === undefined
            ? {}
            : { strengthBits: done.generated.strengthBits }),
          ...(done.generated?.fingerprint === undefined ? {} : { fingerprint: done.generated.fingerprint }),
        },
      };
    case 'accept':
      return {
        ...base,
        type: 'DualAcceptDeployed',
        data: { ...reference, versions: [...versions.acceptSet] },
      };
    case 'emit':
      return {
        ...base,
        type: 'EmitterSwitched',
        data: { ...reference, ...from, to: first, share: share ?? 100 },
      };
    case 'revoke':
      return { ...base, type: 'OldKeyRevoked', data: { ...reference, versions: subject, ...ends(sooner) } };
    case 'cutover':
      return {
        ...base,
        type: 'CutOver',
        data: { ...reference, ...from, to: first, versions: [...versions.out], ...ends(sooner) },
      };
    case 'verify':
      return {
        ...base,
        type: 'OldKeyRejectionVerified',
        data: { ...reference, refused: [...(done.refused ?? [])], accepted: [...(done.accepted ?? [])] },
      };
    case 'reaccept':
      return { ...base, type: 'KeyReaccepted', data: { ...reference, versions: subject } };
    case 'return':
      return { ...base, type: 'EmissionReturned', data: { ...reference, ...from, to: first } };
    case 'withdraw':
      return { ...base, type: 'NewKeyWithdrawn', data: { ...reference, versions: subject } };
    case 'cutback':
      return {
        ...base,
        type: 'CutBack',
        data: { ...reference, ...from, to: first, versions: [...versions.out] },
      };
    case 'contain':
      return {
        ...base,
        type: 'ContainmentApplied',
        data: { ...reference, versions: subject, ...ends(bound) },
      };
    case 'lift':
      return { ...base, type: 'ContainmentLifted', data: { ...reference, versions: subject } };
    case 'destroy':
      return { ...base, type: 'OldKeyDestroyed', data: { ...reference, versions: subject } };
  }
}
