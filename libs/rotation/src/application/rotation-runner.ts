import { AppendTooLargeError, DomainError, SYSTEM_ACTOR, WrongExpectedRevisionError } from '#eventlog';
import { InvalidEventError, type Cause } from '#eventlog/kit';
import { BackendError, type KeyBackend } from '#custody';
import { failpoint } from '#platform';
import type { NewContainmentEvent } from '../domain/containment.events.js';
import type { FamilyState } from '../domain/family.decider.js';
import type { NewFamilyEvent } from '../domain/family.events.js';
import type { NewRotationEvent } from '../domain/rotation.events.js';
import { ATTESTED_INSTANCE, attestedBackEnd } from '../domain/plan.js';
import { deniedVersions } from '../domain/saga/holds.js';
import { nextStep } from '../domain/rotation.saga.js';
import type { Decision, Perform, RotationView } from '../domain/saga/view.js';
import { ENDED, type RotationState } from '../domain/rotation.state.js';
import { versionsOf } from '../domain/step-effects.js';
import type { VersionSnapshot } from '../domain/vocabulary.js';
import { stepDeclarations, type BackEnds } from './back-ends.js';
import { claim, release } from './claims.js';
import type { Ledger, Loaded } from './ledger.js';
import { MOST_TURNS, ProcessRunner, trustTermOf, type Wake } from './process-runner.js';
import { completeOpening, completeSuperseded } from './rotation-opening.js';
import { AWAY_MS, BackEndAwayError, StepPerformer, type StepTarget } from './step-performer.js';
import {
  claimStream,
  containmentStream,
  destructionStream,
  familyStream,
  incomingVersionId,
  rotationStream,
} from './streams.js';

export interface RunnerOptions {
  readonly ledger: Ledger;
  readonly backEnds: BackEnds;
  /** `<name>#<random per process>`. */
  readonly worker: string;
  /** The log's lock proves that workers of other incarnations are dead. */
  readonly othersAreDead: (worker: string) => boolean;
}

interface Read {
  readonly view: RotationView;
  readonly rotation: Loaded<RotationState>;
  readonly revisions: Readonly<Record<string, number>>;
}

/** What of the decisions leads to an effect: the back end is looked at before it is carried out. */
const ACTING: readonly Decision['kind'][] = ['perform', 'claim-switch'];

/**
 * Drives rotations, and the processes beside them: reads the view from the streams, asks `nextStep`, obeys, and starts over until
 * there is something to wait for. Keeps nothing in memory but who is being advanced right now.
 */
export class RotationRunner {
  readonly #ledger: Ledger;
  readonly #backEnds: BackEnds;
  readonly #worker: string;
  readonly #othersAreDead: (worker: string) => boolean;
  readonly #performer: StepPerformer;
  readonly #processes: ProcessRunner;
  readonly #queues = new Map<string, Promise<unknown>>();
  readonly #running = new Map<string, AbortController>();
  #stopped = false;

  constructor(options: RunnerOptions) {
    this.#ledger = options.ledger;
    this.#backEnds = options.backEnds;
    this.#worker = options.worker;
    this.#othersAreDead = options.othersAreDead;
    this.#performer = new StepPerformer(options.ledger, options.worker);
    this.#processes = new ProcessRunner({
      ledger: options.ledger,
      backEnds: options.backEnds,
      performer: this.#performer,
      runnerView: (openWorker) => this.#runnerView(openWorker),
    });
  }

  /**
   * Advances one rotation as far as it goes, or for `turns` decisions. One call at a time per rotation; a second waits for
   * the first.
   */
  advance(rotationId: string, familyId?: string, turns = MOST_TURNS): Promise<Wake> {
    return this.#serially(rotationStream(rotationId), (signal) =>
      this.#advance(rotationId, familyId, signal, turns),
    );
  }

  advanceContainment(containmentId: string, familyId?: string): Promise<Wake> {
    return this.#serially(containmentStream(containmentId), (signal) =>
      this.#processes.advanceContainment(containmentId, familyId, signal),
    );
  }

  advanceDestruction(destructionId: string): Promise<Wake> {
    return this.#serially(destructionStream(destructionId), (signal) =>
      this.#processes.advanceDestruction(destructionId, signal),
    );
  }

  /** Begins nothing new and waits for what is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const controller of this.#running.values()) controller.abort();
    await Promise.allSettled(this.#queues.values());
  }

  #serially(stream: string, work: (signal: AbortSignal) => Promise<Wake>): Promise<Wake> {
    const before = this.#queues.get(stream) ?? Promise.resolve();
    const run = before
      .catch(() => undefined)
      .then(async () => {
        if (this.#stopped) return { finished: false, waitsFor: 'the next start' } as const;
        const controller = new AbortController();
        this.#running.set(stream, controller);
        try {
          return await work(controller.signal);
        } finally {
          this.#running.delete(stream);
        }
      });
    const kept = run
      .catch(() => undefined)
      .finally(() => {
        if (this.#queues.get(stream) === kept) this.#queues.delete(stream);
      });
    this.#queues.set(stream, kept);
    return run;
  }

  async #advance(
    rotationId: string,
    familyId: string | undefined,
    signal: AbortSignal,
    turns: number,
  ): Promise<Wake> {
    let lookedAtContainment = false;
    for (let turn = 0; turn < turns; turn += 1) {
      if (signal.aborted)
        return { finished: false, until: 0, waitsFor: 'its worker, which was told to stop' };
      const read = await this.#read(rotationId, familyId);
      if (read === undefined) return { finished: true };
      if (read === 'opening-completed') continue;
      // Contain before restore, also after a crash between the two; one that has to wait holds nothing up.
      const pending = read.view.containment;
      if (!lookedAtContainment && pending?.exists === true && pending.status === 'requested') {
        lookedAtContainment = true;
        await this.advanceContainment(pending.containmentId);
        // That was no decision of this rotation.
        turn -= 1;
        continue;
      }
      const decision = nextStep(read.view, this.#now());
      try {
        const wake = await this.#obey(read, decision, signal);
        if (wake !== undefined) return wake;
      } catch (error) {
        // Somebody else was faster: what they wrote is read and decided upon anew.
        if (error instanceof WrongExpectedRevisionError) continue;
        if (error instanceof BackEndAwayError) return waitingFor(error, this.#now());
        if (!(error instanceof InvalidEventError || error instanceof AppendTooLargeError)) throw error;
        return await this.#unrecordable(rotationId, read, error.message);
      }
    }
    return { finished: false, until: this.#now() + 1_000, waitsFor: 'its turn' };
  }

  #now(): number {
    return this.#ledger.store.clock.now();
  }

  /** Reads every part of the view from its stream; completes an opening that a crash left half done. */
  async #read(
    rotationId: string,
    familyId: string | undefined,
  ): Promise<Read | 'opening-completed' | undefined> {
    const rotation = await this.#ledger.rotation(rotationId);
    if (!rotation.state.exists) {
      if (familyId === undefined) return undefined;
      const { state } = await this.#ledger.family(familyId);
      if (state.slot?.rotation !== rotationId) {
        const completed = await completeSuperseded(this.#ledger, familyId, rotationId);
        return completed ? 'opening-completed' : undefined;
      }
      await completeOpening(this.#ledger, state, state.slot);
      return 'opening-completed';
    }
    const { state } = rotation;
    const family = await this.#ledger.family(state.familyId);
    const holds = await this.#ledger.holds();
    const telemetry = await this.#ledger.telemetry(rotationId);
    const superseded =
      state.supersedes === undefined ? undefined : await this.#ledger.rotation(state.supersedes);
    const containment =
      state.emergency?.containment === undefined
        ? undefined
        : await this.#ledger.containment(state.emergency.containment);
    const contained = await Promise.all(
      family.state.suspected.flatMap((suspicion) =>
        suspicion.containment === undefined ? [] : [this.#ledger.containment(suspicion.containment)],
      ),
    );
    const claims = await Promise.all(
      state.emitters.map(async (consumerId) => {
        const loaded = await this.#ledger.claim(switchClaim(this.#ledger.logId, consumerId));
        return { consumerId, loaded };
      }),
    );
    const backEnd = this.#backEnd(family.state, state);
    const revisions: Record<string, number> = {
      [rotation.history.stream]: rotation.history.revision,
      [family.history.stream]: family.history.revision,
      [holds.history.stream]: holds.history.revision,
      [telemetry.history.stream]: telemetry.history.revision,
    };
    if (superseded !== undefined) revisions[superseded.history.stream] = superseded.history.revision;
    if (containment !== undefined) revisions[containment.history.stream] = containment.history.revision;
    for (const { history } of contained) revisions[history.stream] = history.revision;
    for (const { loaded } of claims) revisions[loaded.history.stream] = loaded.history.revision;
    const view: RotationView = {
      rotation: state,
      family: family.state,
      familyRevision: family.history.revision,
      holds: holds.state,
      telemetry: telemetry.state,
      ...(superseded === undefined ? {} : { superseded: superseded.state }),
      ...(containment === undefined ? {} : { containment: containment.state }),
      contained: contained.map((loaded) => loaded.state),
      claims: claims.map(({ consumerId, loaded }) => ({
        consumerId,
        ...(loaded.state.holder === undefined ? {} : { holder: loaded.state.holder }),
      })),
      backEnd: { observed: { versions: [] }, steps: stepDeclarations(backEnd.declaration) },
      clocks: { newestRecordedAt: await this.#ledger.store.newestRecordedAt() },
      runner: this.#runnerView(state.steps.open?.worker),
      incomingVersionId: incomingVersionId(this.#ledger.logId, rotationId),
    };
    return { rotation, revisions, view: await this.#seen(view, backEnd) };
  }

  #runnerView(openWorker: string | undefined): RotationView['runner'] {
    return {
      worker: this.#worker,
      othersAreDead:
        openWorker !== undefined && openWorker !== this.#worker && this.#othersAreDead(openWorker),
    };
  }

  #backEnd(family: FamilyState, { plan }: Pick<RotationState, 'plan'>): KeyBackend {
    const own = family.details?.mode === 'driven' ? family.details.backEnd?.instance : undefined;
    return this.#backEnds.get(plan?.backEnd.instance ?? own ?? ATTESTED_INSTANCE);
  }

  /**
   * With what a decision may need of the back end: the versions for an emergency's start and for what was attested; else only its clock,
   * and only where something is about to be done. A rotation that waits costs its server nothing.
   */
  async #seen(view: RotationView, backEnd: KeyBackend): Promise<RotationView> {
    const { rotation, family } = view;
    const attested = rotation.unreconciled.length > 0;
    if (ENDED.includes(rotation.phase) && !attested) return view;
    const clockOnly = rotation.emergency === undefined && !attested;
    if (clockOnly && !ACTING.includes(nextStep(view, this.#now()).kind)) return view;
    const observed = await this.#observe(backEnd, family, clockOnly);
    return { ...view, backEnd: { ...view.backEnd, observed } };
  }

  async #observe(
    backEnd: KeyBackend,
    family: FamilyState,
    clockOnly: boolean,
  ): Promise<RotationView['backEnd']['observed']> {
    try {
      const seen = await backEnd.observe(family.details?.backEnd?.object ?? '', { clockOnly });
      const versions = seen.versions.map((version): VersionSnapshot => {
        const {
          versionId,
          algorithm,
          strengthBits,
          fingerprint,
          createdAt,
          accepted,
          emittingShare,
          destroyed,
        } = version;
        return {
          versionId,
          algorithm,
          strengthBits,
          fingerprint,
          createdAt,
          accepted,
          emittingShare,
          destroyed,
          compromised: false,
        };
      });
      return { versions, ...(seen.clock === undefined ? {} : { clock: seen.clock }) };
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      return { unavailable: error.message };
    }
  }

  #cause(state: { readonly correlationId?: string }, causationId: string): Cause {
    return {
      actor: SYSTEM_ACTOR,
      correlationId: state.correlationId ?? causationId,
      causationId,
      origin: { via: 'saga' },
    };
  }

  /** What can never be recorded is not tried for ever: a person is asked, and a retry tries it once more. */
  async #unrecordable(rotationId: string, { view }: Read, why: string): Promise<Wake> {
    // Its intent may stand there since the view was read.
    const { history, state } = await this.#ledger.rotation(rotationId);
    if (state.suspended === undefined) {
      const reason = `what comes next cannot be recorded: ${why}`.replaceAll(/\p{Cc}/gu, ' ');
      const suspended: NewRotationEvent = {
        type: 'RotationSuspended',
        data: {
          code: 'record.impossible',
          reason: reason.slice(0, 500).trim(),
          person: view.family.details?.owner.role ?? 'the family’s owner',
        },
      };
      await this.#ledger.append(history, [suspended], this.#cause(state, state.lastMove?.eventId ?? ''));
    }
    return { finished: false, waitsFor: `a person: what comes next cannot be recorded: ${why}` };
  }

  /** Carries a decision out. `undefined`: look again. */
  async #obey(read: Read, decision: Decision, signal: AbortSignal): Promise<Wake | undefined> {
    const { rotation, view } = read;
    const us = rotation.history.stream;
    switch (decision.kind) {
      case 'perform':
        await this.#perform(read, decision, signal);
        return undefined;
      case 'record':
        await this.#ledger.append(
          rotation.history,
          decision.events,
          this.#cause(rotation.state, decision.dueTo),
        );
        if (decision.events.some((event) => event.type === 'RotationSuperseded'))
          failpoint('seam:superseded-settled');
        return undefined;
      case 'claim-switch':
        return this.#claimSwitch(read, decision);
      case 'release-switch':
        for (const consumerId of decision.consumers) {
          await release(
            this.#ledger,
            switchClaim(this.#ledger.logId, consumerId),
            us,
            'its emitters are switched and settled',
            this.#cause(rotation.state, decision.dueTo),
          );
          failpoint('seam:switch-released');
        }
        return undefined;
      case 'open-containment':
        await this.#openContainment(view, decision.dueTo);
        return undefined;
      case 'put-right': {
        const { history } = await this.#ledger.family(view.family.familyId);
        if (history.revision !== read.revisions[history.stream]) return undefined;
        const observed = decision.versions.map((version): NewFamilyEvent => ({
          type: 'VersionObserved',
          data: version,
          provenance: 'observed',
        }));
        await this.#ledger.append(history, observed, this.#cause(rotation.state, decision.dueTo));
        return undefined;
      }
      case 'settle-superseded':
        return this.#settleSuperseded(decision.rotation);
      case 'close-slot': {
        failpoint('seam:rotation-ended');
        const { history } = await this.#ledger.family(view.family.familyId);
        const closed: NewFamilyEvent = {
          type: 'RotationClosed',
          data: {
            rotation: view.rotation.rotationId,
            outcome: decision.outcome,
            versions: [...decision.versions],
            ...(view.rotation.accepted === undefined || view.rotation.plan === undefined
              ? {}
              : { servedMaxAgeSeconds: view.rotation.plan.maxAgeSeconds }),
          },
        };
        if (history.revision !== read.revisions[history.stream]) return undefined;
        await this.#ledger.append(history, [closed], this.#cause(rotation.state, decision.dueTo));
        return undefined;
      }
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

  /** All or none, in id order: the one that cannot be had gives back those that were. */
  async #claimSwitch(
    read: Read,
    decision: Extract<Decision, { readonly kind: 'claim-switch' }>,
  ): Promise<Wake | undefined> {
    const us = read.rotation.history.stream;
    const cause = this.#cause(read.rotation.state, decision.dueTo);
    const taken: string[] = [];
    for (const consumerId of [...decision.consumers].sort()) {
      try {
        await claim(
          this.#ledger,
          {
            kind: 'emitter-switch',
            environment: '',
            value: consumerId,
            by: us,
            takeOver: decision.takeOver.includes(consumerId),
            refused: (holder) =>
              new DomainError('emitter-switch.claimed', `its emitter is being switched for ${holder}`),
          },
          cause,
        );
        taken.push(consumerId);
        failpoint('seam:switch-claimed');
      } catch (error) {
        if (!(error instanceof DomainError)) throw error;
        for (const other of taken) {
          const stream = switchClaim(this.#ledger.logId, other);
          await release(this.#ledger, stream, us, 'not all emitters could be claimed', cause);
        }
        return { finished: false, waitsFor: error.message, until: this.#now() + 10_000 };
      }
    }
    return undefined;
  }

  async #openContainment(view: RotationView, dueTo: string): Promise<void> {
    const { rotation, family } = view;
    const id = rotation.emergency?.containment;
    const backEnd = family.details?.mode === 'driven' ? family.details.backEnd : attestedBackEnd(family);
    if (id === undefined || backEnd === undefined || rotation.emergency === undefined) return;
    const requested: NewContainmentEvent = {
      type: 'ContainmentRequested',
      data: {
        family: family.familyId,
        backEnd,
        versions: [...rotation.emergency.compromised],
        reason: rotation.request?.reason ?? 'emergency',
        rotation: rotation.rotationId,
        ...trustTermOf(family, rotation.request?.policy?.terms),
        ...(rotation.request?.emergency?.incident === undefined
          ? {}
          : { incident: rotation.request.emergency.incident }),
      },
    };
    const { history, state } = await this.#ledger.containment(id);
    if (!state.exists) {
      await this.#ledger.append(history, [requested], {
        ...this.#cause(rotation, dueTo),
        actor: rotation.requestedBy ?? SYSTEM_ACTOR,
      });
    }
    failpoint('seam:containment-opened');
    await this.advanceContainment(id);
  }

  /** A worker of our own process is told to stop; its outcome counts at once. */
  async #settleSuperseded(rotationId: string): Promise<Wake | undefined> {
    this.#running.get(rotationStream(rotationId))?.abort();
    const wake = await this.advance(rotationId);
    const { state } = await this.#ledger.rotation(rotationId);
    if (ENDED.includes(state.phase) || wake.finished) return undefined;
    return {
      finished: false,
      waitsFor: `the superseded rotation's open step: ${wake.waitsFor}`,
      until: wake.until ?? this.#now() + 1_000,
    };
  }

  async #perform(read: Read, decision: Perform, signal: AbortSignal): Promise<void> {
    const { rotation, view } = read;
    const { state } = rotation;
    const { plan } = state;
    if (plan === undefined)
      throw new Error(`rotation ${state.rotationId} has no plan to perform ${decision.step} by`);
    const slot = slotRevision(view.family, state.rotationId);
    const containment = view.containment;
    // What people say of a containment is compared with nothing, and no bound on trust rests on it.
    const coveredByContainment =
      containment?.trustEndsAt !== undefined &&
      (containment.applied?.attested !== true || plan.attested === true) &&
      plan.outgoing.every((version) => containment.versions.includes(version));
    const target: StepTarget = {
      stream: rotation.history.stream,
      history: rotation.history,
      correlationId: state.correlationId ?? '',
      familyId: state.familyId,
      backEnd: this.#backEnds.get(plan.backEnd.instance),
      object: plan.backEnd.object,
      slot: slot ?? (await this.#openedAt(state)),
      versions: versionsOf(decision.step, plan, state, deniedVersions(view)),
      maxAgeSeconds: plan.maxAgeSeconds,
      ...(decision.share === undefined ? {} : { share: decision.share }),
      ...(plan.trustTerm === undefined ? {} : { trustTerm: plan.trustTerm }),
      ...(coveredByContainment ? { trustEndsAt: containment.trustEndsAt } : {}),
      view: read.revisions,
    };
    await this.#performer.perform(target, decision, signal);
  }

  /** The slot of a superseded rotation is no longer the family's newest: its revision is looked up. */
  async #openedAt(state: RotationState): Promise<number> {
    const { events } = await this.#ledger.store.read(familyStream(state.familyId));
    for (const event of events) {
      if (event.type !== 'RotationOpened') continue;
      const data: unknown = event.data;
      if (
        typeof data === 'object' &&
        data !== null &&
        'rotation' in data &&
        data.rotation === state.rotationId
      ) {
        return event.revision;
      }
    }
    throw new Error(`no slot was ever opened for rotation ${state.rotationId}`);
  }
}

function waitingFor({ message }: BackEndAwayError, now: number): Wake {
  return { finished: false, waitsFor: `the back end: ${message}`, until: now + AWAY_MS };
}

export function switchClaim(logId: string, consumerId: string): string {
  return claimStream(logId, 'emitter-switch', '', consumerId);
}

function slotRevision(family: FamilyState, rotationId: string): number | undefined {
  return family.slot?.rotation === rotationId ? family.slot.openedRevision : undefined;
}
