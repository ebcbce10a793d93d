import type { CliFailure, FieldProblem, Problem } from './failures.js';
import { oneLine, printable, type Paint } from './terminal.js';

/** A problem as clear lines: what, why, and each field on a line of its own. */
export function problemLines(problem: Problem, paint: Paint): readonly string[] {
  const { title, code, detail, errors = [], correlationId } = problem;
  return [
    `${paint(oneLine(title), 'bold', 'red')} ${paint(`(${oneLine(code)})`, 'dim')}`,
    ...(detail === undefined || detail === fieldsText(errors)
      ? []
      : printable(detail)
          .split('\n')
          .map((line) => `  ${line}`)),
    ...errors.slice(0, MOST_SHOWN).map(({ field, message, ...at }) => {
      const place = [placeText(at), oneLine(field)].filter((part) => part !== '');
      return `  ${[place.join(', '), oneLine(message)].filter((part) => part !== '').join(': ')}`;
    }),
    ...(errors.length <= MOST_SHOWN
      ? []
      : [`  … and ${errors.length - MOST_SHOWN} more; all of them with --json`]),
    ...(correlationId === undefined ? [] : [paint(`  correlation id ${oneLine(correlationId)}`, 'dim')]),
  ];
}

/** What the service says where it says nothing but the fields: they follow on lines of their own. */
function fieldsText(errors: readonly FieldProblem[]): string {
  return errors.map(({ field, message }) => (field === '' ? message : `${field}: ${message}`)).join('; ');
}

/** More than these nobody reads on a terminal. */
const MOST_SHOWN = 100;

/** `families.csv:12`, as editors open it; without a file `line 12`. */
export function placeText({ file, line }: Pick<FieldProblem, 'file' | 'line'>): string {
  if (file === undefined) return line === undefined ? '' : `line ${line}`;
  return line === undefined || line === 0 ? oneLine(file) : `${oneLine(file)}:${line}`;
}

/** What a script gets on the output, and nothing else. */
export function failureJson(failure: CliFailure): Readonly<Record<string, unknown>> {
  return {
    error: failure.problem,
    exitCode: failure.exitCode,
    ...(failure.idempotencyKey === undefined ? {} : { idempotencyKey: failure.idempotencyKey }),
  };
}

/** What a person may do about it. */
export function adviceOn(failure: CliFailure): readonly string[] {
  switch (failure.problem.code) {
    case 'cli.unreachable':
      return ['Is it running? Start it with "keyturn serve", or name it in KEYTURN_URL.'];
    case 'access.unauthenticated':
      return [
        'Put a token into KEYTURN_TOKEN, or sign in once: keyturn token bootstrap CODE --name "Your Name" --save',
      ];
    default:
      return failure.idempotencyKey !== undefined && failure.exitCode === 3
        ? [
            'Whether it was done is not known. Repeat the command with this key: it is done at most once.',
            `  --idempotency-key ${failure.idempotencyKey}`,
          ]
        : [];
  }
}
