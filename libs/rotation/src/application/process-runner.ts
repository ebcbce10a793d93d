import { SYSTEM_ACTOR, WrongExpectedRevisionError, type NewEvent } from '#eventlog';
import type { Cause } from '#eventlog/kit';
import { BackendError, type KeyBackend } from '#custody';
import { failpoint } from '#platform';
import type { NewContainmentEvent } from '../domain/containment.events.js';
import type { ContainmentState } from '../domain/containment.state.js';
import type { DestructionState } from '../domain/destruction.state.js';
import type { FamilyState } from '../domain/family.decider.js';
import type { NewFamilyEvent } from '../domain/family.events.js';
import { slowestTrustTerm } from '../domain/plan.js';
import type { PolicyTerms } from '../domain/policy.events.js';
import {
  nextDestructionStep,
  nextLiftStep,
  type ProcessDecision,
  type ProcessView,
} from '../domain/process.saga.js';
import { nextContainmentStep } from '../domain/rotation.saga.js';
import type { Perform, RotationView } from '../domain/saga/view.js';
import { stepDeclarations, type BackEnds } from './back-ends.js';
import type { Ledger, Loaded } from './ledger.js';
import { AWAY_MS, BackEndAwayError, type StepPerformer, type StepTarget } from './step-performer.js';

/** What a rotation, containment or destruction waits for after it was advanced. */
export type Wake =
  | { readonly finished: true }
  | { readonly finished: false; readonly until?: number; readonly waitsFor: string };

/** More turns than any process has steps: reaching it means two workers pull at one; the sweep goes on. */
export const MOST_TURNS = 100;

export interface ProcessRunnerOptions {
  readonly ledger: Ledger;
  readonly backEnds: BackEnds;
  readonly performer: StepPerformer;
  readonly runnerView: (openWorker: string | undefined) => RotationView['runner'];
}

/** What lifting and destroying have in common: their own stream, their family, and the step they perform. */
type Process = Loaded<ContainmentState | DestructionState>;

interface Read {
  readonly view: ProcessView;
  readonly family: Loaded<FamilyState>;
  readonly revisions: Readonly<Record<string, number>>;
}

/**
 * Drives what has no rotation: containments, which wait for nobody, and the two processes that take a family's slot, lifting and
 * destroying. Called by the runner, which lets one worker at a time into each stream.
 */
export class ProcessRunner {
  readonly #ledger: Ledger;
  readonly #backEnds: BackEnds;
  readonly #performer: StepPerformer;
  readonly #runnerView: ProcessRunnerOptions['runnerView'];

  constructor(options: ProcessRunnerOptions) {
    this.#ledger = options.ledger;
    this.#backEnds = options.backEnds;
    this.#performer = options.performer;
    this.#runnerView = options.runnerView;
  }

  advanceContainment(
    containmentId: string,
    familyId: string | undefined,
    signal: AbortSignal,
  ): Promise<Wake> {
    return this.#turns(signal, async () => {
      const loaded = await this.#ledger.containment(containmentId);
      const { state } = loaded;
      if (!state.exists) {
        const opened = familyId !== undefined && (await this.#openSuspected(containmentId, familyId));
        return opened ? undefined : { finished: true };
      }
      return state.applied === undefined ? this.#contain(loaded, signal) : this.#lift(loaded, signal);
    });
  }

  advanceDestruction(destructionId: string, signal: AbortSignal): Promise<Wake> {
    return this.#turns(signal, async () => {
      const loaded = await this.#ledger.destruction(destructionId);
      const { state } = loaded;
      if (!state.exists) return { finished: true };
      const read = await this.#read(loaded, state.status === 'approved');
      return this.#obey(loaded, read, nextDestructionStep(state, read.view, this.#now()), signal);
    });
  }

  async #turns(signal: AbortSignal, turn: () => Promise<Wake | undefined>): Promise<Wake> {
    for (let count = 0; count < MOST_TURNS; count += 1) {
      if (signal.aborted) {
        return { finished: false, until: 0, waitsFor: 'its worker, which was told to stop' };
      }
      try {
        const wake = await turn();
        if (wake !== undefined) return wake;
      } catch (error) {
        if (error instanceof BackEndAwayError)
          return {
            finished: false,
            waitsFor: `the back end: ${error.message}`,
            until: this.#now() + AWAY_MS,
          };
        // Somebody else was faster: what they wrote is read and decided upon anew.
        if (!(error instanceof WrongExpectedRevisionError)) throw error;
      }
    }
    return { finished: false, until: this.#now() + 1_000, waitsFor: 'its turn' };
  }

  #now(): number {
    return this.#ledger.store.clock.now();
  }

  #cause(state: { readonly correlationId?: string }, causationId: string): Cause {
    return {
      actor: SYSTEM_ACTOR,
      correlationId: state.correlationId ?? causationId,
      causationId,
      origin: { via: 'saga' },
    };
  }

  async #contain(loaded: Loaded<ContainmentState>, signal: AbortSignal): Promise<Wake | undefined> {
    const { history, state } = loaded;
    const backEnd = this.#backEnds.get(state.backEnd?.instance ?? '');
    const decision = nextContainmentStep(
      state,
      {
        backEnd: { observed: { versions: [] }, steps: stepDeclarations(backEnd.declaration) },
        runner: this.#runnerView(state.steps.open?.worker),
      },
      this.#now(),
    );
    switch (decision.kind) {
      case 'finished':
        return { finished: true };
      case 'wait':
        return waking(decision);
      case 'suspend': {
        const family = await this.#ledger.family(state.familyId);
        const suspended: NewContainmentEvent = {
          type: 'ContainmentSuspended',
          data: {
            code: decision.code,
            reason: decision.reason.slice(0, 500),
            person: family.state.details?.owner.role ?? 'the family’s owner',
          },
        };
        await this.#ledger.append(history, [suspended], this.#cause(state, decision.dueTo));
        return undefined;
      }
      case 'perform':
        if (!backEnd.declaration.capabilities.performs) {
          return { finished: false, waitsFor: 'an attestation of contain' };
        }
        // Its own stream only: a containment waits for nobody else, and has no place among the fences.
        await this.#perform(loaded, { slot: 0, revisions: {} }, decision, signal);
        return undefined;
    }
  }

  async #lift(loaded: Loaded<ContainmentState>, signal: AbortSignal): Promise<Wake | undefined> {
    const read = await this.#read(loaded, false);
    return this.#obey(loaded, read, nextLiftStep(loaded.state, read.view, this.#now()), signal);
  }

  /** Reads every part of a process's view from its stream; `observes` asks the back end for its clock too. */
  async #read({ state }: Process, observes: boolean): Promise<Read> {
    const family = await this.#ledger.family(state.familyId);
    const holds = await this.#ledger.holds();
    const backEnd = this.#backEnds.get(state.backEnd?.instance ?? '');
    return {
      family,
      revisions: {
        [family.history.stream]: family.history.revision,
        [holds.history.stream]: holds.history.revision,
      },
      view: {
        family: family.state,
        holds: holds.state,
        backEnd: {
          observed: observes ? await clockOf(backEnd, state.backEnd?.object ?? '') : { versions: [] },
          steps: stepDeclarations(backEnd.declaration),
        },
        clocks: { newestRecordedAt: await this.#ledger.store.newestRecordedAt() },
        runner: this.#runnerView(state.steps.open?.worker),
      },
    };
  }

  async #obey(
    loaded: Process,
    { view, family, revisions }: Read,
    decision: ProcessDecision<NewEvent>,
    signal: AbortSignal,
  ): Promise<Wake | undefined> {
    const { history, state } = loaded;
    switch (decision.kind) {
      case 'finished':
        return { finished: true };
      case 'wait':
        return waking(decision);
      case 'record':
        await this.#ledger.append(history, decision.events, this.#cause(state, decision.dueTo));
        return undefined;
      case 'take-slot': {
        const taken: NewFamilyEvent = {
          type: 'SlotTaken',
          data: { process: decision.process, id: idOfProcess(state) },
        };
        await this.#ledger.append(family.history, [taken], this.#cause(state, decision.dueTo));
        failpoint('seam:process-slot-taken');
        return undefined;
      }
      case 'free-slot': {
        failpoint('seam:process-ended');
        const freed: NewFamilyEvent = {
          type: 'SlotFreed',
          data: {
            process: decision.process,
            id: idOfProcess(state),
            ...(decision.destroyed.length === 0 ? {} : { destroyed: [...decision.destroyed] }),
          },
        };
        await this.#ledger.append(family.history, [freed], this.#cause(state, decision.dueTo));
        return undefined;
      }
      case 'perform':
        await this.#perform(
          loaded,
          { slot: view.family.process?.takenRevision ?? 0, revisions },
          decision,
          signal,
        );
        return undefined;
    }
  }

  async #perform(
    { history, state }: Process,
    { slot, revisions }: { readonly slot: number; readonly revisions: Readonly<Record<string, number>> },
    decision: Perform,
    signal: AbortSignal,
  ): Promise<void> {
    const trustTerm = 'trustTerm' in state ? state.trustTerm : undefined;
    const target: StepTarget = {
      stream: history.stream,
      history,
      correlationId: state.correlationId ?? '',
      familyId: state.familyId,
      backEnd: this.#backEnds.get(state.backEnd?.instance ?? ''),
      object: state.backEnd?.object ?? '',
      slot,
      versions: { subject: state.versions, accepted: [], acceptSet: [], out: [] },
      maxAgeSeconds: 0,
      ...(trustTerm === undefined ? {} : { trustTerm }),
      view: { ...revisions, [history.stream]: history.revision },
    };
    await this.#performer.perform(target, decision, signal);
  }

  /** A suspicion that asked for a containment, whose stream a crash left unwritten. */
  async #openSuspected(containmentId: string, familyId: string): Promise<boolean> {
    const { state } = await this.#ledger.family(familyId);
    const suspicion = state.suspected.find((each) => each.containment === containmentId);
    const backEnd = state.details?.backEnd;
    if (suspicion === undefined || backEnd === undefined) return false;
    const { history } = await this.#ledger.containment(containmentId);
    const requested: NewContainmentEvent = {
      type: 'ContainmentRequested',
      data: {
        family: familyId,
        backEnd,
        versions: [...suspicion.versions],
        reason: suspicion.reason,
        ...trustTermOf(state, undefined),
      },
    };
    await this.#ledger.append(history, [requested], {
      actor: suspicion.by,
      correlationId: suspicion.correlationId,
      causationId: suspicion.causationId,
      origin: { via: 'saga' },
    });
    return true;
  }
}

export function trustTermOf(
  family: FamilyState,
  terms: PolicyTerms | undefined,
): { readonly trustTerm?: string } {
  const trustTerm = slowestTrustTerm(family, terms);
  return trustTerm === undefined ? {} : { trustTerm };
}

function idOfProcess(state: ContainmentState | DestructionState): string {
  return 'containmentId' in state ? state.containmentId : state.destructionId;
}

function waking(decision: { readonly waitsFor: string; readonly until?: number }): Wake {
  return {
    finished: false,
    waitsFor: decision.waitsFor,
    ...(decision.until === undefined ? {} : { until: decision.until }),
  };
}

/** What a hold compares: the back end's clock, where it has one and can be asked. */
async function clockOf(backEnd: KeyBackend, object: string): Promise<RotationView['backEnd']['observed']> {
  try {
    const { clock } = await backEnd.observe(object);
    return { versions: [], ...(clock === undefined ? {} : { clock }) };
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    return { unavailable: error.message };
  }
}
