import type { CliFailure, Problem } from './failures.js';
import { oneLine, printable, type Paint } from './terminal.js';

/** A problem as clear lines: what, why, and each field on a line of its own. */
export function problemLines(problem: Problem, paint: Paint): readonly string[] {
  const { title, code, detail, errors = [], correlationId } = problem;
  return [
    `${paint(oneLine(title), 'bold', 'red')} ${paint(`(${oneLine(code)})`, 'dim')}`,
    ...(detail === undefined
      ? []
      : printable(detail)
          .split('\n')
          .map((line) => `  ${line}`)),
    ...errors.map(({ field, message, line }) => {
      const place = [line === undefined ? '' : `line ${line}`, oneLine(field)].filter((part) => part !== '');
      return `  ${[place.join(', '), oneLine(message)].filter((part) => part !== '').join(': ')}`;
    }),
    ...(correlationId === undefined ? [] : [paint(`  correlation id ${oneLine(correlationId)}`, 'dim')]),
  ];
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
