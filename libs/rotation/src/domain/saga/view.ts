import type { ContainmentState } from '../containment.state.js';
import type { FamilyState } from '../family.decider.js';
import type { HoldsState } from '../holds.state.js';
import type { NewRotationEvent } from '../rotation.events.js';
import type { RotationState } from '../rotation.state.js';
import type { StepName } from '../step.events.js';
import type { TelemetryState } from '../telemetry.state.js';
import type { VersionSnapshot } from '../vocabulary.js';

/** What the saga looks at and what it decides: the words between it, the runner and the simulation. */

/** What the back end declared about one step's effect. */
export interface StepDeclaration {
  /** No request of the effect can still take effect after this long, milliseconds. */
  readonly longestRequestMs: number;
  /** A request may outlive the process that sent it (a remote server); false where the effect dies with its process. */
  readonly outlivesProcess: boolean;
}

export interface BackEndView {
  /** What was observed, or why it could not be. */
  readonly observed:
    | { readonly versions: readonly VersionSnapshot[]; readonly clock?: number }
    | { readonly unavailable: string };
  readonly steps: Readonly<Record<StepName, StepDeclaration>>;
}

export interface ClockView {
  /** The newest `recordedAt` of the log. */
  readonly newestRecordedAt: number;
}

export interface RunnerView {
  /** This worker: `<name>#<incarnation>`. */
  readonly worker: string;
  /** The log's lock proves that every other incarnation is dead (embedded log). */
  readonly othersAreDead: boolean;
}

/** Everything `nextStep` may look at, each part read from its stream or observed, never from a read model. */
export interface RotationView {
  readonly rotation: RotationState;
  readonly family: FamilyState;
  readonly familyRevision: number;
  /** Freezes, and what else holds forward steps. */
  readonly holds: HoldsState;
  readonly telemetry: TelemetryState;
  /** The rotation this emergency supersedes, if it does. */
  readonly superseded?: RotationState;
  readonly containment?: ContainmentState;
  /** The containments the family's suspicions name, as far as they are begun. */
  readonly contained: readonly ContainmentState[];
  /** Emitter-switch claims of whoever was an emitter in this plan at any time: who holds each. */
  readonly claims: readonly { readonly consumerId: string; readonly holder?: string }[];
  readonly backEnd: BackEndView;
  readonly clocks: ClockView;
  readonly runner: RunnerView;
  /** The version id a new key of this rotation gets. */
  readonly incomingVersionId: string;
}

export interface Perform {
  readonly kind: 'perform';
  readonly step: StepName;
  readonly attempt: number;
  /** Observe before repeating anything. */
  readonly observesFirst: boolean;
  /** Only find out what an earlier attempt did; perform nothing. */
  readonly settleOnly: boolean;
  /** Gates that let it pass, recorded with the intent. */
  readonly gates: readonly NewRotationEvent[];
  /** Rules that would hold a planned step forward, and do not hold this one. */
  readonly passed: readonly string[];
  /** Of a cohort: the share it brings emission to. */
  readonly share?: number;
  /** The event that made it due. */
  readonly dueTo: string;
}

export type Decision =
  | Perform
  | { readonly kind: 'record'; readonly events: readonly NewRotationEvent[]; readonly dueTo: string }
  | {
      readonly kind: 'claim-switch';
      readonly consumers: readonly string[];
      /** Those whose switch may be taken from whoever holds it. */
      readonly takeOver: readonly string[];
      readonly dueTo: string;
    }
  | { readonly kind: 'release-switch'; readonly consumers: readonly string[]; readonly dueTo: string }
  | { readonly kind: 'open-containment'; readonly dueTo: string }
  | {
      /** The family's record has these versions otherwise than they were seen. */
      readonly kind: 'put-right';
      readonly versions: readonly VersionSnapshot[];
      readonly dueTo: string;
    }
  | { readonly kind: 'settle-superseded'; readonly rotation: string }
  | {
      readonly kind: 'close-slot';
      readonly outcome: RotationOutcome;
      readonly versions: readonly VersionSnapshot[];
      readonly dueTo: string;
    }
  | { readonly kind: 'wait'; readonly until?: number; readonly waitsFor: string }
  | { readonly kind: 'finished' };

export type RotationOutcome = 'completed' | 'rolled-back' | 'abandoned' | 'rejected' | 'superseded';

export function wait(waitsFor: string, until?: number): Decision {
  return { kind: 'wait', waitsFor, ...(until === undefined ? {} : { until }) };
}

export function cause(rotation: RotationState): string {
  return rotation.lastMove?.eventId ?? '';
}
