/** Two histories of one script are the same where they differ in nothing but attempts, instants and random ids. */

const DROPPED_EVENTS = ['StepStarted', 'StepFailed'];
const DROPPED_FIELDS = [
  'attemptId',
  'settledBy',
  'backEndAt',
  'trustEndsAt',
  'createdAt',
  'fingerprint',
  'actual',
  'since',
  'discoveredAt',
  'approvalDueAt',
  'reviewDueAt',
  'leftAt',
];

/** An event as far as histories are compared. */
export interface Told {
  readonly type: string;
  readonly provenance: string;
  readonly data: unknown;
}

export function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => !DROPPED_FIELDS.includes(name))
      .map(([name, inner]) => [name, plain(inner)]),
  );
}

/** Without attempts; a gate recorded with an intent is recorded again with the next attempt's intent. */
export function withoutAttempts(events: readonly Told[]): readonly unknown[] {
  const kept = events
    .filter((event) => !DROPPED_EVENTS.includes(event.type))
    .map(({ type, provenance, data }) =>
      type === 'FreezeDeclared' ? { type, provenance } : plain({ type, provenance, data }),
    );
  return kept.filter((event, index) => {
    const text = JSON.stringify(event);
    return (
      !text.includes('"GateEvaluated"') || kept.findIndex((other) => JSON.stringify(other) === text) === index
    );
  });
}

/** The first place at which two values differ, in words; nothing where they are equal. */
export function difference(wanted: unknown, actual: unknown, path = ''): string | undefined {
  if (JSON.stringify(wanted) === JSON.stringify(actual)) return undefined;
  if (typeof wanted === 'object' && wanted !== null && typeof actual === 'object' && actual !== null) {
    const names = new Set([...Object.keys(wanted), ...Object.keys(actual)]);
    for (const name of names) {
      const inner = difference(
        Object.entries(wanted).find(([key]) => key === name)?.[1],
        Object.entries(actual).find(([key]) => key === name)?.[1],
        `${path}/${name}`,
      );
      if (inner !== undefined) return inner;
    }
  }
  return `${path}: wanted ${JSON.stringify(wanted)?.slice(0, 300)}, got ${JSON.stringify(actual)?.slice(0, 300)}`;
}

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;

/** With names for ids, and what is ordered by id ordered by name: runs in different families compare. */
export function named(value: unknown, names: ReadonlyMap<string, string>): unknown {
  const all = new Map(names);
  const text = JSON.stringify(value).replace(UUID, (id) => {
    const known = all.get(id) ?? `id ${all.size - names.size + 1}`;
    all.set(id, known);
    return known;
  });
  return sorted(JSON.parse(text));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) {
    const inner: readonly unknown[] = value.map(sorted);
    const keys = inner.map(nameOf);
    if (keys.some((key) => key === undefined)) return inner;
    return [...inner].sort((left, right) => ((nameOf(left) ?? '') < (nameOf(right) ?? '') ? -1 : 1));
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, sorted(inner)]));
}

/** What an element is ordered by, where that is an id. */
function nameOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (typeof value !== 'object' || value === null) return undefined;
  for (const [name, inner] of Object.entries(value)) {
    if ((name === 'consumerId' || name === 'versionId') && typeof inner === 'string') return inner;
  }
  return undefined;
}
