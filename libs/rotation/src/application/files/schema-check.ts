import type { z } from 'zod';
import { unknownFields } from '#platform';
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
  const issues = wrong.flatMap((issue) => plainIssues(issue, []));
  return { issues: [...issues, ...unknown], ...(parsed.success ? { data: parsed.data } : {}) };
}

function plainIssues(issue: z.core.$ZodIssue, around: Path): readonly ShapeIssue[] {
  const path = [...around, ...issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part))];
  if (issue.code === 'invalid_union') {
    // Of several shapes, what the nearest one lacks: that is most likely the one that was meant.
    const [nearest] = [...issue.errors].sort((left, right) => left.length - right.length);
    if (nearest !== undefined && nearest.length > 0) {
      return nearest.flatMap((inner) => plainIssues(inner, path));
    }
  }
  return [{ path, message: plainMessage(issue) }];
}

function plainMessage(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_value') {
    if (issue.path.at(-1) === 'usage') {
      return 'must be sign, mac or authenticate; encrypting and wrapping keys are refused for now, because withdrawing one makes old ciphertext unreadable';
    }
    if (issue.values.join() === 'tracked,attested') {
      return 'must be tracked or attested: nothing imported acts, so no driven family is imported; declare it with keyturn apply';
    }
    return `must be ${issue.values.map(String).join(', ')}`.replace(/, ([^,]*)$/, ' or $1');
  }
  if (issue.code === 'invalid_type') {
    return issue.input === undefined && issue.message.includes('undefined')
      ? 'is missing'
      : `must be ${expected(issue.expected)}`;
  }
  if (issue.code === 'too_small') return `must ${atLeast(issue)}`;
  return issue.code === 'too_big' ? `must ${atMost(issue)}` : issue.message;
}

function atLeast({ origin, minimum, inclusive }: z.core.$ZodIssueTooSmall): string {
  if (origin === 'string' || origin === 'array') {
    return minimum === 1 ? 'not be empty' : `have at least ${minimum} ${thingsIn(origin)}`;
  }
  return `be ${inclusive === false ? 'more than' : 'at least'} ${minimum}`;
}

function atMost({ origin, maximum, inclusive }: z.core.$ZodIssueTooBig): string {
  return origin === 'string' || origin === 'array'
    ? `have at most ${maximum} ${thingsIn(origin)}`
    : `be ${inclusive === false ? 'less than' : 'at most'} ${maximum}`;
}

function thingsIn(origin: string): string {
  return origin === 'string' ? 'characters' : 'entries';
}

function expected(type: string): string {
  if (type === 'int') return 'a whole number';
  if (type === 'boolean') return 'true or false';
  return /^[aeio]/.test(type) ? `an ${type}` : `a ${type}`;
}
