import type { EventOrigin, NewEvent, RecordedEvent } from '#eventlog';
import { NO_STREAM, WrongExpectedRevisionError } from '#eventlog';
import type { Cause, EventStore, History, StreamPosition } from '#eventlog/kit';
import { evolveClaim, freeClaim, type ClaimEvent, type ClaimState } from '../domain/claim.events.js';
import type { ContainmentEvent } from '../domain/containment.events.js';
import { evolveContainment, initialContainment, type ContainmentState } from '../domain/containment.state.js';
import type { DestructionEvent } from '../domain/destruction.events.js';
import { evolveDestruction, initialDestruction, type DestructionState } from '../domain/destruction.state.js';
import type { HoldEvent } from '../domain/holds.events.js';
import { evolveHolds, noHolds, type HoldsState } from '../domain/holds.state.js';
import type { TelemetryEvent } from '../domain/telemetry.events.js';
import { evolveTelemetry, noTelemetry, type TelemetryState } from '../domain/telemetry.state.js';
import { familyDecider, type FamilyState } from '../domain/family.decider.js';
import type { FamilyEvent } from '../domain/family.events.js';
import { evolveInventory, noInventory, type InventoryState } from '../domain/inventory.js';
import type { InventoryEvent } from '../domain/inventory.events.js';
import { evolvePerson, presentPerson, type PersonEvent, type PersonState } from '../domain/person.events.js';
import { policyDecider, type PolicyState } from '../domain/policy.decider.js';
import type { PolicyEvent } from '../domain/policy.events.js';
import type { RotationEvent } from '../domain/rotation.events.js';
import { evolveRotation, initialRotation, type RotationState } from '../domain/rotation.state.js';
import {
  containmentStream,
  destructionStream,
  familyStream,
  HOLDS_STREAM,
  departureStream,
  inventoryStream,
  policyStream,
  rotationStream,
  telemetryStream,
} from './streams.js';

/** One aggregate as it was read: its fold, and where its stream stands. */
export interface Loaded<State> {
  readonly history: StreamPosition;
  readonly state: State;
}

/** Who asked, as the edge knows it: becomes the cause of everything the command decides. */
export interface CommandContext {
  readonly subject: string;
  readonly commandId: string;
  readonly requestHash: string;
  readonly via: EventOrigin['via'];
  readonly address?: string;
  /** Where this very command has stored something before: a repeat is answered with what stands there. */
  readonly repeat?: readonly { readonly stream: string }[];
}

/** Whether this command has already decided in that stream. */
export function isRepeat(context: CommandContext, stream: string): boolean {
  return context.repeat?.some((part) => part.stream === stream) === true;
}

export function causeOf(context: CommandContext, correlationId?: string): Cause {
  return {
    actor: context.subject,
    correlationId: correlationId ?? context.commandId,
    causationId: context.commandId,
    origin: {
      via: context.via,
      requestHash: context.requestHash,
      ...(context.address === undefined ? {} : { address: context.address }),
    },
  };
}

/** Folds that are kept; the oldest of them gives way. A family with its history folded is about 10 KB. */
const MOST_KEPT = 2_048;

interface Kept extends Loaded<unknown> {
  readonly goOn: (state: unknown, events: readonly RecordedEvent[]) => unknown;
}

/**
 * Loads aggregates from their streams and appends what was decided. The log alone is the truth: a fold that is kept from an
 * earlier call only saves folding again what was read and checked before, and every load reads what came after it.
 */
export class Ledger {
  readonly #kept = new Map<string, Kept>();

  constructor(readonly store: EventStore) {}

  get logId(): string {
    return this.store.logId;
  }

  async #fold<State, Event extends RecordedEvent>(
    stream: string,
    initial: State,
    evolve: (state: State, event: Event) => State,
  ): Promise<Loaded<State>> {
    // A stream is always folded by the same fold: its category says which.
    const kept = this.#kept.get(stream) as Loaded<State> | undefined;
    const { events, ...history } = await this.store.read(stream, kept?.history);
    // The category of a stream decides its event types; the kit parsed each against its schema.
    const state = (events as readonly Event[]).reduce(evolve, kept?.state ?? initial);
    this.#keep(stream, {
      history,
      state,
      goOn: (from, more) => (more as readonly Event[]).reduce(evolve, from as State),
    });
    return { history, state };
  }

  /** What was kept of a stream is folded anew by its next load: an event of it was found not to be what was written. */
  forget(stream: string): void {
    this.#kept.delete(stream);
  }

  /** What was just appended is folded at once, where it follows what is kept. */
  #advance(at: StreamPosition, { events, ...history }: History): void {
    const kept = this.#kept.get(at.stream);
    if (kept?.history.revision !== at.revision) return;
    this.#keep(at.stream, { ...kept, history, state: kept.goOn(kept.state, events) });
  }

  #keep(stream: string, kept: Kept): void {
    if (kept.history.revision === NO_STREAM) return;
    this.#kept.delete(stream);
    this.#kept.set(stream, kept);
    if (this.#kept.size <= MOST_KEPT) return;
    for (const oldest of this.#kept.keys()) {
      this.#kept.delete(oldest);
      return;
    }
  }

  family(id: string): Promise<Loaded<FamilyState>> {
    return this.#fold<FamilyState, FamilyEvent>(
      familyStream(id),
      familyDecider.initialState,
      familyDecider.evolve,
    );
  }

  rotation(id: string): Promise<Loaded<RotationState>> {
    return this.#fold<RotationState, RotationEvent>(rotationStream(id), initialRotation, evolveRotation);
  }

  containment(id: string): Promise<Loaded<ContainmentState>> {
    return this.#fold<ContainmentState, ContainmentEvent>(
      containmentStream(id),
      initialContainment,
      evolveContainment,
    );
  }

  destruction(id: string): Promise<Loaded<DestructionState>> {
    return this.#fold<DestructionState, DestructionEvent>(
      destructionStream(id),
      initialDestruction,
      evolveDestruction,
    );
  }

  /** A person, as far as it is known that they left. */
  person(subject: string): Promise<Loaded<PersonState>> {
    return this.#fold<PersonState, PersonEvent>(
      departureStream(this.logId, subject),
      presentPerson,
      evolvePerson,
    );
  }

  policy(id: string): Promise<Loaded<PolicyState>> {
    return this.#fold<PolicyState, PolicyEvent>(
      policyStream(id),
      policyDecider.initialState,
      policyDecider.evolve,
    );
  }

  holds(): Promise<Loaded<HoldsState>> {
    return this.#fold<HoldsState, HoldEvent>(HOLDS_STREAM, noHolds, evolveHolds);
  }

  inventory(instance: string): Promise<Loaded<InventoryState>> {
    return this.#fold<InventoryState, InventoryEvent>(
      inventoryStream(this.logId, instance),
      noInventory,
      evolveInventory,
    );
  }

  telemetry(rotationId: string): Promise<Loaded<TelemetryState>> {
    return this.#fold<TelemetryState, TelemetryEvent>(
      telemetryStream(rotationId),
      noTelemetry,
      evolveTelemetry,
    );
  }

  claim(stream: string): Promise<Loaded<ClaimState>> {
    return this.#fold<ClaimState, ClaimEvent>(stream, freeClaim, evolveClaim);
  }

  async append(at: StreamPosition, events: readonly NewEvent[], cause: Cause): Promise<History> {
    const appended = await this.store.append(at, events, cause);
    this.#advance(at, appended);
    return appended;
  }

  /**
   * Appends what `decide` makes of the newest state, and decides anew when somebody else was faster. Gives back the
   * events (none where the decision was "nothing to do") and the position after them.
   */
  async decideAndAppend<State>(
    load: () => Promise<Loaded<State>>,
    decide: (state: State) => readonly NewEvent[],
    cause: (state: State) => Cause,
    expectedRevision?: number,
  ): Promise<{
    readonly history: StreamPosition;
    readonly state: State;
    readonly events: readonly RecordedEvent[];
  }> {
    for (let turn = 0; ; turn += 1) {
      const { history, state } = await load();
      if (expectedRevision !== undefined && history.revision !== expectedRevision) {
        throw new WrongExpectedRevisionError(history.stream, expectedRevision, history.revision);
      }
      const events = decide(state);
      if (events.length === 0) return { history, state, events: [] };
      try {
        const appended = await this.append(history, events, cause(state));
        return { history: appended, state, events: appended.events };
      } catch (error) {
        if (
          !(error instanceof WrongExpectedRevisionError) ||
          turn >= MOST_TURNS ||
          expectedRevision !== undefined
        ) {
          throw error;
        }
      }
    }
  }
}

/** How often a decision is made anew before a busy stream is reported as a conflict. */
const MOST_TURNS = 20;
