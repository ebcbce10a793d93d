/**
 * A value as it would come back from JSON: without properties that are `undefined`. So a fold that is carried in memory
 * gives the same bytes as one that was stored and parsed between any two events. What `before` already holds is not
 * looked at again: a fold shares most of its state with the one before.
 */
export function asStored<Value>(value: Value, before: unknown): Value {
  return keep(value, before) as Value;
}

function keep(value: unknown, before: unknown): unknown {
  if (value === before || typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return keepItems(value, Array.isArray(before) ? before : []);
  const known: Readonly<Record<string, unknown>> = isRecord(before) ? before : {};
  let changed = false;
  const entries: [string, unknown][] = [];
  for (const [name, inner] of Object.entries(value)) {
    const kept = keep(inner, known[name]);
    changed ||= kept !== inner || inner === undefined;
    if (inner !== undefined) entries.push([name, kept]);
  }
  return changed ? Object.fromEntries(entries) : value;
}

function keepItems(items: readonly unknown[], before: readonly unknown[]): readonly unknown[] {
  // By index: JSON writes a hole, and what is undefined, as null.
  const kept = Array.from({ length: items.length }, (_, index) => keep(items[index] ?? null, before[index]));
  return kept.every((item, index) => item === items[index]) ? items : kept;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
