import type { z } from 'zod';
import { plainIssues, unknownFields } from '#platform';
import type { Path } from './path.js';

interface ShapeIssue {
  readonly path: Path;
  readonly message: string;
}

/** What a schema says of a value, and every field it does not know, however deep: what nobody reads must not look accepted. */
export function checkShape<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  instead: Readonly<Record<string, string>> = {},
): { readonly issues: readonly ShapeIssue[]; readonly data?: z.output<Schema> } {
  const parsed = schema.safeParse(value);
  const unknown = unknownFields(schema, value, instead);
  // zod's own word on unknown keys names no known ones.
  const wrong = (parsed.error?.issues ?? []).filter(({ code }) => code !== 'unrecognized_keys');
  const issues = wrong.flatMap((issue) => plainIssues(issue));
  return { issues: [...issues, ...unknown], ...(parsed.success ? { data: parsed.data } : {}) };
}
