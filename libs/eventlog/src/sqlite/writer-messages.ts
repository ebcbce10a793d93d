import type { AppendOutcome, AppendRequest, WrittenEvent } from './writer.js';

/**
 * What crosses to the writer's thread and back, as flat lists: a structured clone writes every property's name again for
 * every object, which costs more than the texts themselves.
 */

/** One append on its way; `id` is what its outcome is told by. */
export interface SentAppend {
  readonly id: number;
  readonly request: AppendRequest;
}

/** One append's outcome on its way back. */
export interface Settled {
  readonly id: number;
  readonly outcome: AppendOutcome;
}

type Field = string | number;

export function packAppends(appends: readonly SentAppend[]): Field[] {
  const fields: Field[] = [];
  for (const { id, request } of appends) {
    const { stream, expected, events } = request;
    fields.push(id, stream, expected, events.length);
    for (const event of events) {
      fields.push(event.revision, event.id, event.type, event.record, event.body, event.leaf);
    }
  }
  return fields;
}

export function unpackAppends(fields: readonly Field[]): SentAppend[] {
  const read = new Reader(fields);
  const appends: SentAppend[] = [];
  while (!read.ended()) {
    const id = read.number();
    const stream = read.text();
    const expected = read.number();
    const events = Array.from({ length: read.number() }, (): WrittenEvent => ({
      revision: read.number(),
      id: read.text(),
      type: read.text(),
      record: read.text(),
      body: read.text(),
      leaf: read.text(),
    }));
    appends.push({ id, request: { stream, expected, events } });
  }
  return appends;
}

/** Appends that were stored, four numbers each; what went otherwise is rare and goes as it is. */
export interface PackedOutcomes {
  readonly stored: Float64Array;
  readonly others: readonly Settled[];
}

const NUMBERS = 4;

export function packOutcomes(settled: readonly Settled[]): PackedOutcomes {
  const stored: number[] = [];
  const others: Settled[] = [];
  for (const { id, outcome } of settled) {
    if (outcome.kind === 'stored') {
      stored.push(id, outcome.outcome === 'appended' ? 1 : 0, outcome.revision, outcome.treeSize);
    } else others.push({ id, outcome });
  }
  return { stored: Float64Array.from(stored), others };
}

export function unpackOutcomes({ stored, others }: PackedOutcomes): Settled[] {
  const settled: Settled[] = [...others];
  for (let at = 0; at < stored.length; at += NUMBERS) {
    const [id = 0, appended = 0, revision = 0, treeSize = 0] = stored.subarray(at, at + NUMBERS);
    const outcome = appended === 1 ? 'appended' : 'repeated';
    settled.push({ id, outcome: { kind: 'stored', outcome, revision, treeSize } });
  }
  // In the order they were asked in: whoever waits on one stream hears of its earlier append first.
  return others.length === 0 ? settled : settled.sort((left, right) => left.id - right.id);
}

class Reader {
  #at = 0;

  constructor(private readonly fields: readonly Field[]) {}

  ended(): boolean {
    return this.#at >= this.fields.length;
  }

  text(): string {
    const field = this.#next();
    if (typeof field !== 'string') throw new Error(`field ${this.#at} of a message is no text`);
    return field;
  }

  number(): number {
    const field = this.#next();
    if (typeof field !== 'number') throw new Error(`field ${this.#at} of a message is no number`);
    return field;
  }

  #next(): Field | undefined {
    const field = this.fields[this.#at];
    this.#at += 1;
    return field;
  }
}
