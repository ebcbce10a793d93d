import { canonicalText } from '#eventlog/kit';

/** One field that is to change. */
export interface FieldChange {
  /** Dotted: `terms.stopEmitting`. */
  readonly field: string;
  /** `null`: nothing stands there. */
  readonly from: unknown;
  readonly to: unknown;
}

/** Every field `wanted` names that differs from what is known. */
export function differences(wanted: unknown, known: unknown, field = ''): readonly FieldChange[] {
  if (wanted === undefined || same(wanted, known)) return [];
  if (isObject(wanted) && isObject(known)) {
    const before = new Map<string, unknown>(Object.entries(known));
    return Object.entries(wanted).flatMap(([name, value]: [string, unknown]) =>
      differences(value, before.get(name), field === '' ? name : `${field}.${name}`),
    );
  }
  return [{ field, from: known ?? null, to: wanted }];
}

export function same(left: unknown, right: unknown): boolean {
  return canonicalText(left ?? null) === canonicalText(right ?? null);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `old → new`, for people. */
export function changeText({ from, to }: Pick<FieldChange, 'from' | 'to'>): string {
  return `${shown(from)} → ${shown(to)}`;
}

const LONGEST_SHOWN = 60;

function shown(value: unknown): string {
  if (value === undefined || value === null) return '(nothing)';
  const text = typeof value === 'string' ? value : canonicalText(value);
  return text.length <= LONGEST_SHOWN ? text : `${text.slice(0, LONGEST_SHOWN - 1)}…`;
}
