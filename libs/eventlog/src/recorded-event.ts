import type { z } from 'zod';

/** How a fact is known. Every report says which. */
export const PROVENANCES = ['performed', 'observed', 'confirmed', 'attested', 'imported'] as const;
export type Provenance = (typeof PROVENANCES)[number];

/** The actor of everything the saga and the kit append. */
export const SYSTEM_ACTOR = 'system';

/** The id of the singleton streams `log`, `holds`, `checkpoints`. */
export const NIL_UUID = '00000000-0000-0000-0000-000000000000';

/** A fact a decider wants recorded; the kit adds envelope, salt and hashes. */
export interface NewEvent<Type extends string = string, Data = unknown> {
  readonly type: Type;
  readonly data: Data;
  /** `performed` unless told. */
  readonly provenance?: Provenance;
  /** Milliseconds; left out where the instant was not recorded. */
  readonly occurredAt?: number;
}

/** A fact as it was read back: parsed, upcast to the newest schema, with its envelope. */
export interface RecordedEvent<Type extends string = string, Data = unknown> {
  readonly type: Type;
  readonly data: Data;
  /** The version it was stored with, before upcasting. */
  readonly schemaVersion: number;
  readonly id: string;
  readonly stream: string;
  readonly revision: number;
  readonly treeSize: number;
  readonly recordedAt: number;
  readonly occurredAt?: number;
  readonly actor: string;
  readonly onBehalfOf?: string;
  readonly correlationId: string;
  readonly causationId: string;
  readonly provenance: Provenance;
  readonly origin: EventOrigin;
}

/** Where an append came from. */
export interface EventOrigin {
  readonly via: 'http' | 'cli' | 'import' | 'saga' | 'kit';
  readonly address?: string;
  /** SHA-256 (hex) of the request's RFC 8785 bytes, for what a command decided. */
  readonly requestHash?: string;
}

/** One event type: the schema of its newest version and the steps that lift older data to it. */
export interface EventDefinition<Schema extends z.ZodType = z.ZodType> {
  readonly version: number;
  readonly schema: Schema;
  /** What the fact says, in one sentence, for the generated catalogue. */
  readonly about: string;
  /** `upcast[n]` lifts data of version n to n+1. */
  readonly upcast?: Readonly<Record<number, (data: unknown) => unknown>>;
}

export type EventDefinitions = Readonly<Record<string, EventDefinition>>;

/** The union of new events a set of definitions allows. */
export type NewEventOf<Definitions extends EventDefinitions> = {
  [Type in keyof Definitions & string]: NewEvent<Type, z.output<Definitions[Type]['schema']>>;
}[keyof Definitions & string];

/** The union of recorded events a set of definitions allows. */
export type RecordedEventOf<Definitions extends EventDefinitions> = {
  [Type in keyof Definitions & string]: RecordedEvent<Type, z.output<Definitions[Type]['schema']>>;
}[keyof Definitions & string];

/** A pure decision maker over one aggregate's history. Property functions, so that passing them around is safe. */
export interface Decider<Command, State, New, Recorded> {
  readonly initialState: State;
  readonly decide: (command: Command, state: State) => readonly New[];
  readonly evolve: (state: State, event: Recorded) => State;
}

/** A command that must not be issued. `code` is `noun.problem`, stable; the edge maps it to an HTTP status. */
export class DomainError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly details: Readonly<Record<string, unknown>> = {},
  ) {
    super(message);
    this.name = 'DomainError';
  }
}
