import { DomainError, formatInstant, SYSTEM_ACTOR, type NewEvent, type RecordedEvent } from '#eventlog';
import { deepFreeze, type RecordedOf } from '#eventlog/testing';
import {
  containmentEvents,
  type ContainmentEvent,
  type NewContainmentEvent,
} from '../domain/containment.events.js';
import {
  containedVersions,
  evolveContainment,
  initialContainment,
  type ContainmentState,
} from '../domain/containment.state.js';
import {
  familyDecider,
  initialFamily,
  type FamilyCommand,
  type FamilyConsumer,
  type FamilyState,
} from '../domain/family.decider.js';
import {
  familyEvents,
  type FamilyDetails,
  type FamilyEvent,
  type FamilySchedule,
  type NewFamilyEvent,
  type RotationRequest,
} from '../domain/family.events.js';
import type { HoldsState } from '../domain/holds.state.js';
import { noHolds } from '../domain/holds.state.js';
import {
  attestedBackEnd,
  emergencyDecisions,
  planRotation,
  slowestTrustTerm,
  TERMS_WITHOUT_POLICY,
} from '../domain/plan.js';
import { rotationDecider, type RotationCommand } from '../domain/rotation.decider.js';
import {
  rotationEvents,
  type NewRotationEvent,
  type RotationEvent,
  type RotationPlan,
} from '../domain/rotation.events.js';
import { deniedVersions } from '../domain/saga/holds.js';
import { LEASE_MS } from '../domain/saga/attempts.js';
import { nextContainmentStep, nextStep } from '../domain/rotation.saga.js';
import type { Decision, Perform, RotationView, StepDeclaration } from '../domain/saga/view.js';
import { ENDED, evolveRotation, initialRotation, type RotationState } from '../domain/rotation.state.js';
import { stepEvents, STEPS, type StepName } from '../domain/step.events.js';
import { alreadySo, outcomeOf, versionsOf, type StepVersions } from '../domain/step-effects.js';
import { stepTable } from '../domain/step-table.js';
import { noTelemetry, type TelemetryState } from '../domain/telemetry.state.js';
import {
  FAMILY_ID,
  REQUESTER,
  someConsumers,
  someDetails,
  someRequest,
  someUuid,
  START,
} from './fixtures.js';
import {
  BackEndFault,
  SimulatedBackEnd,
  type BackEndChange,
  type EffectCall,
  type SimulatedEffect,
} from './simulated-back-end.js';

/**
 * One family in a world of plain data: a clock that only a test moves, a back end, an event list per stream. It obeys the
 * saga's decisions as application/rotation-runner.ts and step-performer.ts do, without store or process, so that
 * thousands of histories take seconds.
 */

/** What happens to one attempt. The crashes kill the worker; the next one has another incarnation. */
export const INJECTIONS = [
  'ok',
  'transient',
  'unknown-done',
  'unknown-not-done',
  'unknown-late',
  'auth',
  'config',
  'quota',
  'fenced',
  'view-moved',
  'unobservable',
  'observing-refused',
  'crash-before-effect',
  'crash-after-effect',
  'crash-late',
] as const;
export type Injection = (typeof INJECTIONS)[number];

export interface WorldOptions {
  readonly consumers?: readonly FamilyConsumer[];
  readonly details?: FamilyDetails;
  /** Versions accepted before the history begins; the last one emits. */
  readonly versions?: readonly string[];
  readonly schedule?: FamilySchedule;
  /** The log's lock proves that other incarnations are dead. */
  readonly othersAreDead?: boolean;
  /** A request may take effect after the worker that sent it is dead. */
  readonly outlivesProcess?: boolean;
  /** Whether each event is parsed against its schema, as the kit does; costs time. */
  readonly parses?: boolean;
  /** In place of the saga: the sabotage runs of the laws. */
  readonly saga?: typeof nextStep;
  /** More wake-ups in one go than this are taken for busy; what is broken on purpose is found out sooner. */
  readonly mostWakes?: number;
}

export interface StreamOf<State, Event> {
  readonly state: State;
  readonly events: readonly Event[];
}

type Wake =
  | { readonly finished: true }
  | { readonly finished: false; readonly until?: number; readonly waitsFor: string };

interface Target {
  readonly stream: string;
  readonly slot: number;
  readonly step: StepName;
  readonly versions: StepVersions;
  readonly share?: number | undefined;
  readonly trustTerm?: string | undefined;
  readonly trustEndsAt?: number;
  readonly correlationId: string;
  readonly append: (
    events: readonly (NewRotationEvent | NewContainmentEvent)[],
    causationId: string,
  ) => readonly { readonly id: string; readonly revision: number }[];
}

interface Done {
  readonly settledBy: 'answer' | 'observation';
  readonly provenance: 'performed' | 'observed';
}

/** Places between an intent and its outcome. */
export const BETWEEN = ['after-intent', 'before-effect', 'after-effect'] as const;

/** Where one attempt stands. */
export interface Moment {
  readonly place: (typeof BETWEEN)[number];
  readonly stream: string;
  readonly step: StepName;
  readonly share?: number | undefined;
}

/** The worker died here; whatever it held in memory is gone. */
class Crash extends Error {}

/** The longest any simulated request may take. */
export const LONGEST_REQUEST_MS = 10_000;
const MOST_TURNS = 100;
/** More events than any history needs. */
const MOST_EVENTS = 2_000;
export const BUSY = 'something is busy for ever';
/** More wake-ups than any history needs in one go. */
const MOST_WAKES = 10_000;

export type WorldObserver = {
  readonly onChange?: (world: SimulatedWorld, change: BackEndChange) => void;
  readonly onRotationEvent?: (world: SimulatedWorld, event: RotationEvent) => void;
};

export class SimulatedWorld {
  now = START;
  readonly backEnd: SimulatedBackEnd;
  /** Who holds each consumer's emitter switch. */
  readonly claims = new Map<string, string>();
  family: StreamOf<FamilyState, FamilyEvent> = { state: initialFamily, events: [] };
  readonly rotations = new Map<string, StreamOf<RotationState, RotationEvent>>();
  readonly containments = new Map<string, StreamOf<ContainmentState, ContainmentEvent>>();
  /** Attempts from now on; empty: all is well. */
  injections: Injection[] = [];
  /** Attempts of one step from now on; they come before `injections`. */
  readonly injectAt = new Map<StepName, readonly Injection[]>();
  /** Freezes and other holds, put there by a test. */
  holds: HoldsState = noHolds;
  telemetry: TelemetryState = noTelemetry;
  /** Until then every call to the back end fails in passing. */
  awayUntil = 0;
  /** The newest record of other streams is this far ahead of our clock. */
  behindMs = 0;
  /** The back end's clock is this far ahead of ours. */
  backEndAheadMs = 0;
  /** Called between the intent and the outcome of every attempt: where a test lets somebody come in between. */
  between: ((moment: Moment) => void) | undefined;
  /** What stood when an attempt last looked: what came later cannot call back what is on its way. */
  readonly sent = new Map<
    string,
    { readonly treeSize: number; readonly claims: ReadonlyMap<string, string> }
  >();
  readonly violations: string[] = [];
  /** Which injections an attempt really met. */
  readonly met: Injection[] = [];
  /** What each rotation was last seen waiting for. */
  readonly waits = new Map<string, string>();
  readonly observers: WorldObserver[] = [];
  readonly #options: WorldOptions;
  #incarnation = 1;
  #made = 0;
  #treeSize = 0;
  #overturned = 0;

  constructor(options: WorldOptions = {}) {
    this.#options = options;
    const versions = options.versions ?? ['old'];
    this.backEnd = new SimulatedBackEnd(
      (change) => {
        for (const observer of this.observers) observer.onChange?.(this, change);
      },
      versions,
      START,
    );
    this.decideFamily({ type: 'RegisterFamily', details: options.details ?? someDetails() });
    for (const consumer of options.consumers ?? someConsumers()) {
      this.decideFamily({ type: 'RegisterConsumer', consumer });
    }
    if (options.schedule !== undefined) {
      this.appendFamily([{ type: 'ScheduleSet', data: options.schedule }], REQUESTER);
    }
    this.appendFamily(
      this.backEnd.snapshots().map((snapshot) => ({ type: 'VersionObserved', data: snapshot })),
      REQUESTER,
    );
  }

  get worker(): string {
    return `worker#${this.#incarnation}`;
  }

  rotation(id: string): RotationState {
    return this.rotations.get(id)?.state ?? initialRotation;
  }

  rotationEvents(id: string): readonly RotationEvent[] {
    return this.rotations.get(id)?.events ?? [];
  }

  plan(id: string): RotationPlan {
    const { plan } = this.rotation(id);
    if (plan === undefined) throw new Error(`${id} has no plan`);
    return plan;
  }

  /** A person's command on the family; gives back why it was refused, or nothing. */
  decideFamily(command: FamilyCommand, actor = REQUESTER): string | undefined {
    return this.#deciding(() => {
      this.appendFamily(familyDecider.decide(deepFreeze(command), this.family.state), actor);
    });
  }

  /** A person's command on a rotation; gives back why it was refused, or nothing. */
  ask(id: string, command: RotationCommand, actor = REQUESTER): string | undefined {
    return this.#deciding(() => {
      const decided = rotationDecider.decide(deepFreeze(command), this.rotation(id));
      this.#appendRotation(id, decided, actor, `command-${this.#treeSize}`);
    });
  }

  rollBack(id: string): string | undefined {
    return this.ask(id, {
      type: 'RollBackRotation',
      reason: 'error rates are up',
      compromised: this.family.state.compromised,
      reversible: true,
      contained: containedVersions(
        this.family.state,
        [...this.containments.values()].map(({ state }) => state),
      ),
    });
  }

  /** Denies versions on suspicion, as application/contain-versions.ts does; gives back the containment's id. */
  contain(versions: readonly string[]): string {
    this.#made += 1;
    const id = someUuid(1_000 + this.#made);
    this.decideFamily({ type: 'SuspectCompromise', versions, reason: 'seen in a log', containment: id });
    this.#appendContainment(id, [
      {
        type: 'ContainmentRequested',
        data: {
          family: FAMILY_ID,
          backEnd: attestedBackEnd(this.family.state),
          versions: [...versions],
          reason: 'seen in a log',
        },
      },
    ]);
    return id;
  }

  /**
   * Opens a rotation as application/request-rotation.ts does: the slot first, then its own stream. `crash`: the process
   * dies between the two.
   */
  request(
    changes: Partial<RotationRequest> = {},
    crash = false,
  ): { readonly id: string; readonly refused?: string } {
    this.#made += 1;
    const id = someUuid(1_000 + this.#made);
    const request = someRequest(changes);
    const refused = this.#deciding(() => {
      const decided = familyDecider.decide(
        { type: 'OpenRotation', rotation: id, request },
        this.family.state,
      );
      if (request.emergency === undefined) this.#plannedRotation(id, request);
      this.appendFamily(decided, request.requestedBy);
    });
    if (refused !== undefined) return { id, refused };
    if (crash) this.#die();
    else this.#completeOpening();
    return { id };
  }

  emergency(
    compromisedVersions: readonly string[],
    changes: { readonly contain?: boolean; readonly crash?: boolean } = {},
  ): { readonly id: string; readonly refused?: string } {
    return this.request(
      {
        strategy: 'emergency',
        trigger: 'compromise',
        reason: 'the key is in a public repository',
        emergency: {
          compromisedVersions: [...compromisedVersions],
          discoveredAt: formatInstant(this.now),
          contain: changes.contain ?? true,
        },
      },
      changes.crash ?? false,
    );
  }

  /** Lets every process go as far as it goes now; gives back when the next one wants to be looked at. */
  run(): number | undefined {
    for (let lives = 0; lives < 200; lives += 1) {
      try {
        return this.#runOnce();
      } catch (error) {
        if (!(error instanceof Crash)) throw error;
        this.#die();
      }
    }
    throw new Error('the workers keep dying');
  }

  /** Time passes; whoever wants to be woken is. */
  elapse(ms: number): void {
    const target = this.now + ms;
    const most = this.#options.mostWakes ?? MOST_WAKES;
    for (let turn = 0; turn < most; turn += 1) {
      if (this.wakeNext(target)) return;
    }
    throw new Error(BUSY);
  }

  /** Goes to the next moment at which something wants to happen, at most to `limit`; true: the limit was reached. */
  wakeNext(limit: number): boolean {
    const next = Math.min(this.run() ?? Infinity, this.backEnd.nextLanding() ?? Infinity);
    if (next > limit) {
      this.now = limit;
      this.run();
      return true;
    }
    this.now = Math.max(this.now + 1, next);
    this.backEnd.land(this.now);
    return false;
  }

  /** Every instance of every consumer of a role confirms what the rotation waits for now. */
  confirmAll(id: string, role: 'verifier' | 'emitter'): void {
    const { plan } = this.rotation(id);
    for (const consumer of plan?.consumers ?? []) {
      if (consumer.roles.includes(role)) this.confirm(id, consumer.consumerId, role, consumer.instances);
    }
  }

  confirm(
    id: string,
    consumerId: string,
    role: 'verifier' | 'emitter',
    instances: number,
  ): string | undefined {
    const { plan, returned, switched } = this.rotation(id);
    return this.ask(id, {
      type: role === 'verifier' ? 'ConfirmAcceptance' : 'ConfirmEmission',
      consumerId,
      versionId: (role === 'verifier' ? plan?.incoming : (returned?.to ?? switched?.to)) ?? 'none',
      instances: Array.from({ length: instances }, (_, index) => `pod-${index}`),
    });
  }

  appendFamily(events: readonly NewFamilyEvent[], actor: string): void {
    const stored = this.#record(`family-${FAMILY_ID}`, this.family.events, events, actor, familyEvents);
    this.family = {
      events: [...this.family.events, ...stored],
      state: stored.reduce(familyDecider.evolve, this.family.state),
    };
  }

  view(id: string): RotationView {
    const rotation = this.rotation(id);
    const superseded = rotation.supersedes;
    const containment = this.containments.get(rotation.emergency?.containment ?? '');
    const suspected = this.family.state.suspected.flatMap(
      (suspicion) => this.containments.get(suspicion.containment ?? '')?.state ?? [],
    );
    return {
      rotation,
      family: this.family.state,
      familyRevision: this.family.events.length - 1,
      holds: this.holds,
      telemetry: this.telemetry,
      ...(superseded === undefined ? {} : { superseded: this.rotation(superseded) }),
      ...(rotation.emergency?.containment === undefined
        ? {}
        : { containment: containment?.state ?? initialContainment }),
      contained: suspected,
      claims: rotation.emitters.map((consumerId) => {
        const holder = this.claims.get(consumerId);
        return holder === undefined ? { consumerId } : { consumerId, holder };
      }),
      backEnd: {
        observed: this.#away()
          ? { unavailable: 'it is sealed' }
          : { versions: this.backEnd.snapshots(), clock: this.now + this.backEndAheadMs },
        steps: this.#declared(),
      },
      clocks: { newestRecordedAt: this.now + this.behindMs },
      runner: this.#runner(rotation.steps.open?.worker),
      incomingVersionId: this.incomingOf(id),
    };
  }

  incomingOf(id: string): string {
    return `version-of-${id}`;
  }

  #deciding(decide: () => void): string | undefined {
    try {
      decide();
      return undefined;
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      return error.code;
    }
  }

  #plannedRotation(id: string, request: RotationRequest): RotationPlan {
    const family = this.family.state;
    return planRotation({
      family,
      request,
      incomingVersionId: this.incomingOf(id),
      versions: family.versions,
    });
  }

  #completeOpening(): void {
    const { slot } = this.family.state;
    if (slot?.open !== true || this.rotation(slot.rotation).exists) return;
    const { rotation: id, request, supersedes } = slot;
    const base = {
      type: 'RequestRotation',
      family: FAMILY_ID,
      request,
      ...(supersedes === undefined ? {} : { supersedes }),
    } as const;
    const command: RotationCommand =
      request.emergency === undefined
        ? { ...base, plan: this.#plannedRotation(id, request) }
        : {
            ...base,
            declaration: {
              terms: (request.policy?.terms ?? TERMS_WITHOUT_POLICY).emergency,
              now: slot.openedAt,
              decisions: emergencyDecisions(this.family.state, request, supersedes),
              ...(request.emergency.contain ? { containment: containmentOf(id) } : {}),
            },
          };
    this.#appendRotation(
      id,
      rotationDecider.decide(command, this.rotation(id)),
      slot.openedBy,
      slot.causationId,
    );
  }

  #runOnce(): number | undefined {
    this.#completeOpening();
    let next: number | undefined;
    const wanted = (wake: Wake, id: string): void => {
      this.waits.set(id, wake.finished ? '' : wake.waitsFor);
      if (!wake.finished && wake.until !== undefined) next = Math.min(next ?? Infinity, wake.until);
    };
    // Until nothing moves: what the later ones do may let the earlier ones go on.
    let before = -1;
    for (let round = 0; round < 5 && before !== this.#treeSize; round += 1) {
      before = this.#treeSize;
      next = undefined;
      for (const id of Array.from(this.rotations.keys())) wanted(this.#advance(id), id);
      for (const id of Array.from(this.containments.keys())) wanted(this.#advanceContainment(id), id);
    }
    return next;
  }

  #die(): void {
    this.#incarnation += 1;
  }

  #away(): boolean {
    return this.now < this.awayUntil;
  }

  #runner(openWorker: string | undefined): RotationView['runner'] {
    return {
      worker: this.worker,
      othersAreDead:
        (this.#options.othersAreDead ?? true) && openWorker !== undefined && openWorker !== this.worker,
    };
  }

  #declared(): Readonly<Record<StepName, StepDeclaration>> {
    const outlivesProcess = this.#options.outlivesProcess ?? false;
    const of = (step: StepName): StepDeclaration => ({
      longestRequestMs: stepTable[step].effect === 'probe' ? 0 : LONGEST_REQUEST_MS,
      outlivesProcess,
    });
    return Object.fromEntries(STEPS.map((step) => [step, of(step)])) as Readonly<
      Record<StepName, StepDeclaration>
    >;
  }

  #advance(id: string): Wake {
    for (let turn = 0; turn < MOST_TURNS; turn += 1) {
      if (!this.rotation(id).exists) return { finished: true };
      const view = this.view(id);
      const decision = (this.#options.saga ?? nextStep)(view, this.now);
      const wake = this.#obey(id, view, decision);
      if (wake !== undefined) return wake;
      if (this.#treeSize > MOST_EVENTS) throw new Error(BUSY);
    }
    // One worker alone never needs this many turns.
    this.#overturned += 1;
    if (this.#overturned > 3) throw new Error(BUSY);
    return { finished: false, until: this.now + 1_000, waitsFor: 'its turn' };
  }

  #obey(id: string, view: RotationView, decision: Decision): Wake | undefined {
    switch (decision.kind) {
      case 'perform':
        this.#perform(this.#rotationTarget(view, decision), decision);
        return undefined;
      case 'record':
        this.#appendRotation(id, decision.events, SYSTEM_ACTOR, decision.dueTo);
        return undefined;
      case 'claim-switch': {
        const us = `rotation-${id}`;
        const foreign = decision.consumers.find((consumer) => {
          const holder = this.claims.get(consumer);
          return holder !== undefined && holder !== us && !decision.takeOver.includes(consumer);
        });
        if (foreign !== undefined) {
          return { finished: false, waitsFor: 'a claimed switch', until: this.now + 10_000 };
        }
        for (const consumer of decision.consumers) this.claims.set(consumer, us);
        return undefined;
      }
      case 'release-switch':
        for (const consumer of decision.consumers) {
          if (this.claims.get(consumer) === `rotation-${id}`) this.claims.delete(consumer);
        }
        return undefined;
      case 'open-containment':
        this.#openContainment(view);
        return undefined;
      case 'put-right':
        this.appendFamily(
          decision.versions.map((data) => ({ type: 'VersionObserved', data, provenance: 'observed' })),
          SYSTEM_ACTOR,
        );
        return undefined;
      case 'settle-superseded': {
        const wake = this.#advance(decision.rotation);
        if (ENDED.includes(this.rotation(decision.rotation).phase) || wake.finished) return undefined;
        return {
          finished: false,
          waitsFor: `the superseded rotation's open step: ${wake.waitsFor}`,
          until: wake.until ?? this.now + 1_000,
        };
      }
      case 'close-slot':
        this.appendFamily(
          [
            {
              type: 'RotationClosed',
              data: {
                rotation: id,
                outcome: decision.outcome,
                versions: [...decision.versions],
                ...(view.rotation.accepted === undefined || view.rotation.plan === undefined
                  ? {}
                  : { servedMaxAgeSeconds: view.rotation.plan.maxAgeSeconds }),
              },
            },
          ],
          SYSTEM_ACTOR,
        );
        return undefined;
      case 'wait':
        return {
          finished: false,
          waitsFor: decision.waitsFor,
          ...(decision.until === undefined ? {} : { until: decision.until }),
        };
      case 'finished':
        return { finished: true };
    }
  }

  #openContainment({ rotation, family }: RotationView): void {
    const id = rotation.emergency?.containment;
    const backEnd = family.details?.mode === 'driven' ? family.details.backEnd : attestedBackEnd(family);
    if (id === undefined || backEnd === undefined || rotation.emergency === undefined) return;
    if (!this.containments.has(id)) {
      const trustTerm = slowestTrustTerm(family, rotation.request?.policy?.terms);
      const requested: NewContainmentEvent = {
        type: 'ContainmentRequested',
        data: {
          family: family.familyId,
          backEnd,
          versions: [...rotation.emergency.compromised],
          reason: rotation.request?.reason ?? 'emergency',
          rotation: rotation.rotationId,
          ...(trustTerm === undefined ? {} : { trustTerm }),
        },
      };
      this.#appendContainment(id, [requested]);
    }
    this.#advanceContainment(id);
  }

  #advanceContainment(id: string): Wake {
    for (let turn = 0; turn < MOST_TURNS; turn += 1) {
      const state = this.containments.get(id)?.state ?? initialContainment;
      const decision = nextContainmentStep(
        state,
        {
          backEnd: { observed: { versions: [] }, steps: this.#declared() },
          runner: this.#runner(state.steps.open?.worker),
        },
        this.now,
      );
      switch (decision.kind) {
        case 'finished':
          return { finished: true };
        case 'wait':
          return { finished: false, ...decision };
        case 'suspend':
          this.#appendContainment(id, [
            {
              type: 'ContainmentSuspended',
              data: { code: decision.code, reason: decision.reason, person: 'Platform on call' },
            },
          ]);
          break;
        case 'perform':
          this.#perform(this.#containmentTarget(state), decision);
          break;
      }
    }
    return { finished: false, until: this.now + 1_000, waitsFor: 'its turn' };
  }

  #rotationTarget(view: RotationView, { step, share }: Perform): Target {
    const { rotation, containment, family } = view;
    const id = rotation.rotationId;
    const plan = this.plan(id);
    const covered =
      containment?.trustEndsAt !== undefined &&
      plan.outgoing.every((version) => containment.versions.includes(version));
    const opened = this.family.events.find(
      (event) => event.type === 'RotationOpened' && event.data.rotation === id,
    );
    return {
      stream: `rotation-${id}`,
      step,
      share,
      slot: family.slot?.rotation === id ? family.slot.openedRevision : (opened?.revision ?? -1),
      versions: versionsOf(step, plan, rotation, deniedVersions(view)),
      trustTerm: plan.trustTerm ?? 'PT0S',
      correlationId: rotation.correlationId ?? '',
      ...(covered ? { trustEndsAt: containment.trustEndsAt } : {}),
      append: (events, causationId) =>
        this.#appendRotation(id, events.filter(isRotationEvent), SYSTEM_ACTOR, causationId),
    };
  }

  #containmentTarget(state: ContainmentState): Target {
    return {
      stream: `containment-${state.containmentId}`,
      step: 'contain',
      slot: 0,
      versions: { subject: state.versions, accepted: [], acceptSet: [], out: [] },
      trustTerm: state.trustTerm ?? 'PT0S',
      correlationId: state.correlationId ?? '',
      append: (events) => this.#appendContainment(state.containmentId, events.filter(isContainmentEvent)),
    };
  }

  /** One attempt, as StepPerformer makes it. */
  #perform(target: Target, decision: Perform): void {
    const { step, attempt } = decision;
    const injected = this.#injected(step);
    this.met.push(injected);
    const started: NewRotationEvent = {
      type: 'StepStarted',
      data: {
        step,
        attempt,
        worker: this.worker,
        leaseUntil: formatInstant(this.now + LEASE_MS),
        view: {},
        observesFirst: decision.observesFirst,
        ...(decision.passed.length === 0 ? {} : { passed: [...decision.passed] }),
        ...(decision.share === undefined ? {} : { share: decision.share }),
      },
    };
    const intent = target.append([...decision.gates, started], decision.dueTo).at(-1);
    if (intent === undefined) throw new Error('the intent was not stored');
    const attemptId = intent.id;
    const fail = (
      performed: 'no' | 'unknown',
      errorClass: BackEndFault['errorClass'] | 'view-moved' | 'not-done' | 'refuted',
      reason: string,
    ): void => {
      target.append(
        [{ type: 'StepFailed', data: { step, attempt, performed, errorClass, reason } }],
        attemptId,
      );
    };
    const moment = { stream: target.stream, step, share: target.share };
    // The view is read once more after the intent: who comes before that is seen.
    const seen = this.#looked();
    this.between?.({ place: 'after-intent', ...moment });
    const moved = JSON.stringify(this.#looked()) !== JSON.stringify(seen);
    this.sent.set(attemptId, { treeSize: this.#treeSize, claims: new Map(this.claims) });
    if ((injected === 'view-moved' || moved) && !decision.settleOnly) {
      fail('no', 'view-moved', 'the family has moved');
      return;
    }
    const call: EffectCall = {
      effect: effectOf(step),
      versions: target.versions.subject,
      ...(target.share === undefined ? {} : { share: target.share }),
      key:
        target.share === undefined ? `${target.stream}/${step}` : `${target.stream}/${step}/${target.share}`,
      attemptId,
      fence: { slot: target.slot, step: intent.revision },
      begunAt: this.now,
    };
    try {
      const observed = decision.observesFirst ? this.#observe(target, call, injected) : undefined;
      if (observed === undefined && decision.settleOnly) {
        fail('no', 'not-done', 'observed: it had not happened');
        return;
      }
      this.between?.({ place: 'before-effect', ...moment });
      const done = observed ?? this.#effect(target, call, injected);
      this.between?.({ place: 'after-effect', ...moment });
      if (injected === 'crash-after-effect') throw new Crash();
      target.append([this.#outcome(target, attemptId, done)], attemptId);
    } catch (error) {
      if (!(error instanceof BackEndFault)) throw error;
      fail(error.errorClass === 'unknown' ? 'unknown' : 'no', error.errorClass, error.message);
    }
  }

  /** What the runner reads again between intent and effect. */
  #looked(): unknown {
    return [this.#treeSize, this.holds, [...this.claims]];
  }

  #injected(step: StepName): Injection {
    const [first, ...rest] = this.injectAt.get(step) ?? [];
    if (first === undefined) return this.injections.shift() ?? 'ok';
    this.injectAt.set(step, rest);
    return first;
  }

  #observe(target: Target, call: EffectCall, injected: Injection): Done | undefined {
    const { step, versions, share } = target;
    if (stepTable[step].effect === 'probe') return undefined;
    if (this.#away() || injected === 'unobservable') throw new BackEndFault('transient', 'it is sealed');
    if (injected === 'observing-refused') throw new BackEndFault('auth', 'permission denied');
    if (step !== 'contain') this.backEnd.raise(call.fence, call.attemptId);
    if (this.backEnd.entry(call.key) !== undefined)
      return { settledBy: 'observation', provenance: 'performed' };
    const seen = [
      ...this.backEnd.versions.map((version) => ({
        ...version,
        contained: this.backEnd.denied.includes(version.versionId),
      })),
      ...this.backEnd.denied
        .filter((versionId) => this.backEnd.find(versionId) === undefined && step === 'contain')
        .map((versionId) => ({ versionId, accepted: false, emittingShare: 0, contained: true })),
    ];
    return alreadySo(step, versions, seen, share)
      ? { settledBy: 'observation', provenance: 'observed' }
      : undefined;
  }

  #effect(target: Target, call: EffectCall, injected: Injection): Done {
    const answered = { settledBy: 'answer', provenance: 'performed' } as const;
    if (injected === 'crash-before-effect') throw new Crash();
    if (this.#away() || injected === 'transient' || injected === 'unobservable') {
      throw new BackEndFault('transient', 'it is sealed');
    }
    if (injected === 'observing-refused') throw new BackEndFault('auth', 'permission denied');
    if (injected === 'auth' || injected === 'config' || injected === 'quota' || injected === 'fenced') {
      throw new BackEndFault(injected, `${injected}, as injected`);
    }
    if (target.step === 'verify') {
      if (injected === 'crash-late') throw new Crash();
      if (injected.startsWith('unknown')) throw new BackEndFault('unknown', 'no answer');
      return answered;
    }
    if (injected === 'crash-late') {
      if (this.#options.outlivesProcess === true) this.#sendLate(call);
      throw new Crash();
    }
    if (injected === 'unknown-late') {
      this.#sendLate(call);
      throw new BackEndFault('unknown', 'no answer');
    }
    if (injected === 'unknown-not-done') throw new BackEndFault('unknown', 'no answer');
    try {
      this.backEnd.apply(call, this.now);
    } catch (error) {
      if (
        !(error instanceof BackEndFault) ||
        call.effect !== 'withdraw' ||
        error.errorClass !== 'not-found'
      ) {
        throw error;
      }
      // What the back end does not know it does not accept.
      return { settledBy: 'observation', provenance: 'observed' };
    }
    if (injected === 'unknown-done') throw new BackEndFault('unknown', 'no answer');
    return answered;
  }

  #sendLate(call: EffectCall): void {
    this.backEnd.applyLater(call, this.now + LONGEST_REQUEST_MS - 1);
  }

  #outcome(target: Target, attemptId: string, done: Done): NewRotationEvent | NewContainmentEvent {
    const { step, versions, share, trustTerm, trustEndsAt } = target;
    const accepted = this.backEnd.accepted();
    const wrong =
      versions.subject.find((version) => accepted.includes(version)) ??
      versions.accepted.find((version) => !accepted.includes(version));
    if (step === 'verify' && wrong !== undefined) {
      return {
        type: 'StepFailed',
        data: {
          step,
          attempt: this.#attemptOf(attemptId),
          performed: 'no',
          errorClass: 'refuted',
          reason: `${wrong} is not as it should be`,
        },
      };
    }
    const outcome = outcomeOf({
      step,
      versions,
      share,
      trustTerm,
      trustEndsAt,
      now: this.now,
      done: {
        ...done,
        attemptId,
        backEndAt: formatInstant(this.now),
        ...(step === 'verify' ? { provenance: 'observed' as const } : {}),
        refused: versions.subject.map((versionId) => ({ versionId, how: 'a canary was refused' })),
        accepted: versions.accepted.map((versionId) => ({ versionId, how: 'a canary was accepted' })),
      },
    });
    if (outcome.type === 'OldKeyDestroyed') throw new Error('this world plays rotations, not destructions');
    return outcome;
  }

  #attemptOf(attemptId: string): number {
    for (const { events } of this.rotations.values()) {
      for (const event of events) {
        if (event.id === attemptId && event.type === 'StepStarted') return event.data.attempt;
      }
    }
    return 1;
  }

  #appendRotation(
    id: string,
    events: readonly NewRotationEvent[],
    actor: string,
    causationId: string,
  ): readonly RotationEvent[] {
    const known = this.rotations.get(id) ?? { state: initialRotation, events: [] };
    const definitions = { ...rotationEvents, ...stepEvents };
    const stored = this.#record(`rotation-${id}`, known.events, events, actor, definitions, causationId);
    for (const event of stored) {
      const before = this.rotations.get(id) ?? known;
      this.rotations.set(id, {
        events: [...before.events, event],
        state: evolveRotation(before.state, event),
      });
      for (const observer of this.observers) observer.onRotationEvent?.(this, event);
    }
    return stored;
  }

  #appendContainment(id: string, events: readonly NewContainmentEvent[]): readonly ContainmentEvent[] {
    const known = this.containments.get(id) ?? { state: initialContainment, events: [] };
    const definitions = { ...containmentEvents, ...stepEvents };
    const stored = this.#record(`containment-${id}`, known.events, events, SYSTEM_ACTOR, definitions);
    this.containments.set(id, {
      events: [...known.events, ...stored],
      state: stored.reduce(evolveContainment, known.state),
    });
    return stored;
  }

  /** Parsed against its schema, enveloped, frozen: as the log would give it back. */
  #record<Event extends NewEvent>(
    stream: string,
    before: readonly { readonly recordedAt: number }[],
    events: readonly Event[],
    actor: string,
    definitions: Readonly<Record<string, { readonly schema: { parse(data: unknown): unknown } }>>,
    causationId = stream,
  ): RecordedOf<Event>[] {
    const last = before.at(-1)?.recordedAt ?? 0;
    return events.map((event, index) => {
      const definition = definitions[event.type];
      if (definition === undefined) throw new Error(`${event.type} does not belong into ${stream}`);
      if (this.#options.parses !== false) definition.schema.parse(event.data);
      this.#treeSize += 1;
      return deepFreeze(
        enveloped(event, {
          stream,
          revision: before.length + index,
          treeSize: this.#treeSize,
          recordedAt: Math.max(this.now, last),
          actor,
          causationId,
        }),
      );
    });
  }
}

type Envelope = Pick<
  RecordedEvent,
  'stream' | 'revision' | 'treeSize' | 'recordedAt' | 'actor' | 'causationId'
>;

/** As `recorded` of the kit, with ids that need no hashing. */
function enveloped<Event extends NewEvent>(event: Event, envelope: Envelope): RecordedOf<Event>;
function enveloped(event: NewEvent, envelope: Envelope): RecordedEvent {
  return {
    ...envelope,
    type: event.type,
    data: event.data,
    schemaVersion: 1,
    id: someUuid(10_000_000 + envelope.treeSize),
    correlationId: envelope.stream,
    provenance: event.provenance ?? 'performed',
    origin: { via: 'saga' },
  };
}

function isContainmentEvent(event: NewRotationEvent | NewContainmentEvent): event is NewContainmentEvent {
  return event.type in containmentEvents || event.type in stepEvents;
}

function isRotationEvent(event: NewRotationEvent | NewContainmentEvent): event is NewRotationEvent {
  return event.type in rotationEvents || event.type in stepEvents;
}

function effectOf(step: StepName): SimulatedEffect {
  const { effect } = stepTable[step];
  return effect === 'probe' ? 'contain' : effect;
}

/** The containment that belongs to an emergency. */
export function containmentOf(rotationId: string): string {
  return rotationId.replace('-4000-', '-4c00-');
}
