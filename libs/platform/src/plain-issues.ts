import type { z } from 'zod';

export interface PlainIssue {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** What a schema found wrong, in the words of whoever has to mend it: the same for a file and for a request. */
export function plainIssues(issue: z.core.$ZodIssue, around: PlainIssue['path'] = []): readonly PlainIssue[] {
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
  if (issue.code === 'invalid_format') return formatMessage(issue);
  if (issue.code === 'too_small') return `must ${atLeast(issue)}`;
  return issue.code === 'too_big' ? `must ${atMost(issue)}` : issue.message;
}

const FORMATS: Readonly<Record<string, string>> = {
  url: 'must be a URL, such as https://example.com/evidence/17',
  date: 'must be a day, such as 2026-01-31',
  datetime: 'must be an instant, such as 2026-01-31T10:00:00.000Z',
  uuid: 'must be a UUID',
};

/** A schema that says more of its format than the library does is left its own words. */
function formatMessage({ format, message }: z.core.$ZodIssueInvalidStringFormat): string {
  return message.startsWith('Invalid ') ? (FORMATS[format] ?? message) : message;
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
