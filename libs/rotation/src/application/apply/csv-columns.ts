import { z } from 'zod';
import type { Path } from '../files/path.js';

/** How a cell is read. */
type CellKind = 'text' | 'number' | 'boolean' | 'list' | 'json';

/** A column: one value inside a declaration, by its dotted name, such as `owner.role`. */
export interface Column {
  readonly name: string;
  readonly path: readonly string[];
  readonly kind: CellKind;
  readonly optional: boolean;
  /** Needed only where another column of this optional object is there. */
  readonly inside?: string;
}

/** The columns a schema has: every value in it that is no object, also of objects inside. */
export function columnsOf(schema: z.ZodObject): readonly Column[] {
  return columnsIn(schema, [], undefined);
}

function columnsIn(
  schema: z.ZodObject,
  around: readonly string[],
  inside: string | undefined,
): readonly Column[] {
  return Object.entries(schema.shape).flatMap(([field, part]: [string, unknown]): readonly Column[] => {
    const path = [...around, field];
    const { schema: inner, optional } = unwrapped(part);
    if (inner instanceof z.ZodObject) {
      return columnsIn(inner, path, optional ? path.join('.') : inside);
    }
    const kind = cellKind(inner);
    return [{ name: path.join('.'), path, kind, optional, ...(inside === undefined ? {} : { inside }) }];
  });
}

function unwrapped(schema: unknown): { readonly schema: unknown; readonly optional: boolean } {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodNullable) {
    return { schema: unwrapped(schema.unwrap()).schema, optional: true };
  }
  if (schema instanceof z.ZodReadonly) return unwrapped(schema.unwrap());
  return schema instanceof z.ZodPipe ? unwrapped(schema.in) : { schema, optional: false };
}

function cellKind(schema: unknown): CellKind {
  if (schema instanceof z.ZodNumber) return 'number';
  if (schema instanceof z.ZodBoolean) return 'boolean';
  if (schema instanceof z.ZodArray) {
    return ['text', 'number'].includes(cellKind(unwrapped(schema.element).schema)) ? 'list' : 'json';
  }
  return schema instanceof z.ZodObject || schema instanceof z.ZodUnion || schema instanceof z.ZodRecord
    ? 'json'
    : 'text';
}

const BETWEEN_LIST_ENTRIES = '|';

/** What a cell says; what does not fit its kind is left as text, and the schema says what would. */
export function cellValue({ kind }: Column, text: string): unknown {
  switch (kind) {
    case 'text':
      return text;
    case 'number':
      return /^-?\d{1,15}$/.test(text) ? Number(text) : text;
    case 'boolean': {
      // A spreadsheet writes them in capitals.
      const word = text.toLowerCase();
      return word === 'true' ? true : word === 'false' ? false : text;
    }
    case 'list':
      return text.split(BETWEEN_LIST_ENTRIES).map((entry) => entry.trim());
    case 'json':
      try {
        return JSON.parse(text);
      } catch {
        return text;
      }
  }
}

/** Puts a value where its column says, into objects made on the way. */
export function place(into: Map<string, unknown>, path: readonly string[], value: unknown): void {
  const [field, ...rest] = path;
  if (field === undefined) return;
  if (rest.length === 0) {
    into.set(field, value);
    return;
  }
  const inner = into.get(field);
  const map = inner instanceof Map ? inner : new Map<string, unknown>();
  place(map, rest, value);
  into.set(field, map);
}

/** Maps, all the way down, as plain objects. */
export function plain(value: unknown): unknown {
  return value instanceof Map
    ? Object.fromEntries([...value].map(([name, inner]: [unknown, unknown]) => [String(name), plain(inner)]))
    : value;
}

/** A path inside a declaration, as the name of the column it stands in. */
export function columnName(path: Path): string {
  return path.filter((part) => typeof part === 'string').join('.');
}
