import { expect } from '@jest/globals';
import { DomainError, type Decider, type NewEvent, type RecordedEvent } from '../recorded-event.js';
import { history } from './recorded.js';

/** Freezes a value through and through: a decider that changes what it was given fails its own examples. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  // Object.freeze leaves `set` and `add` working, so they would slip through.
  if (value instanceof Map || value instanceof Set)
    throw new TypeError('no Map or Set in states and messages');
  Object.freeze(value);
  for (const inner of Object.values(value)) deepFreeze(inner);
  return value;
}

/** The state after `events`, with every event and every state on the way frozen. */
export function frozenFold<Command, State, New extends NewEvent, Recorded>(
  decider: Decider<Command, State, New, Recorded>,
  events: readonly Recorded[],
): State {
  return events.reduce<State>(
    (state, event) => deepFreeze(decider.evolve(state, deepFreeze(event))),
    deepFreeze(decider.initialState),
  );
}

export interface Given<Command, New> {
  readonly when: (command: Command) => When<New>;
}

export interface When<New> {
  /** Exactly these events, in this order. */
  readonly then: (...events: readonly New[]) => void;
  /** Nothing to do: the repeat of a command that was obeyed. */
  readonly thenNothing: () => void;
  /** A `DomainError` of this code, with at least these details. */
  readonly thenRejected: (code: string, details?: Readonly<Record<string, unknown>>) => void;
}

export interface DeciderSpec<Command, New, Recorded> {
  /** New events are recorded in order (`history`); recorded ones are taken as they are. */
  readonly given: (...events: readonly (New | Recorded)[]) => Given<Command, New>;
}

/** `given(...events).when(command).then(...events)`, over frozen values, each decision made twice. */
export function deciderSpec<Command, State, New extends NewEvent, Recorded extends RecordedEvent>(
  decider: Decider<Command, State, New, Recorded>,
): DeciderSpec<Command, New, Recorded> {
  const fold = (events: readonly (New | Recorded)[]): State =>
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a New with its envelope is a Recorded
    frozenFold(decider, history(...events) as readonly RecordedEvent[] as readonly Recorded[]);
  return {
    given: (...events) => ({
      when: (command) => {
        const decide = (): readonly New[] => {
          const state = fold(events);
          const decided = deepFreeze(decider.decide(deepFreeze(command), state));
          expect(decider.decide(command, state)).toEqual(decided);
          // What was decided must be foldable, or the stream could never be read again.
          fold([...events, ...decided]);
          return decided;
        };
        return {
          // oxlint-disable-next-line unicorn/no-thenable -- the words of the field; nobody awaits it
          then: (...expected) => expect(decide()).toEqual(expected),
          thenNothing: () => expect(decide()).toEqual([]),
          thenRejected: (code, details = {}) => {
            const error = errorOf(decide);
            expect(error).toBeInstanceOf(DomainError);
            expect(error).toMatchObject({ code, details });
          },
        };
      },
    }),
  };
}

function errorOf(decide: () => unknown): unknown {
  try {
    return { decidedInsteadOfRejecting: decide() };
  } catch (error) {
    return error;
  }
}
