import { ProblemError, UnavailableError } from './failures.js';
import { adviceOn, failureJson, problemLines } from './problem-text.js';
import { paintFor, printable } from './terminal.js';

const plain = paintFor({ colours: false });

describe('problemLines', () => {
  it('says what, why, and each field on a line of its own', () => {
    const lines = problemLines(
      {
        title: 'Unprocessable Entity',
        status: 422,
        code: 'request.invalid',
        detail: 'What was sent does not fit',
        correlationId: 'c-1',
        errors: [
          { field: '/reason', message: 'must not be empty' },
          { field: '', message: 'is not an object' },
          { field: 'families[0].name', message: 'is missing', line: 7 },
        ],
      },
      plain,
    );
    expect(lines).toEqual([
      'Unprocessable Entity (request.invalid)',
      '  What was sent does not fit',
      '  /reason: must not be empty',
      '  is not an object',
      '  line 7, families[0].name: is missing',
      '  correlation id c-1',
    ]);
  });

  it('says a field once where the service has nothing else to say', () => {
    const errors = [{ field: '/reason', message: 'must not be empty' }];
    const detail = '/reason: must not be empty';
    expect(
      problemLines({ title: 'Unprocessable Entity', code: 'request.invalid', detail, errors }, plain),
    ).toEqual(['Unprocessable Entity (request.invalid)', '  /reason: must not be empty']);
  });

  it('lets nothing through that a terminal would obey', () => {
    const lines = problemLines(
      { title: 'Conflict', code: 'x', detail: 'reason: \u001B[2Jgone\u202E', errors: [] },
      plain,
    );
    expect(lines[1]).toBe('  reason: \uFFFD[2Jgone\uFFFD');
    expect(printable('tab\tand\nline stay, \u009B goes')).toBe('tab\tand\nline stay, \uFFFD goes');
  });
});

describe('a failure', () => {
  it('gives a script its key, so that it can repeat the very same request', () => {
    const failure = new ProblemError({ title: 'Conflict', code: 'rotation.already-running' }, 409, 'key-1');
    expect(failureJson(failure)).toEqual({
      error: { title: 'Conflict', code: 'rotation.already-running' },
      exitCode: 1,
      idempotencyKey: 'key-1',
    });
  });

  it('tells a person how to repeat what may have been done', () => {
    expect(adviceOn(new UnavailableError('timeout', 'too slow', 'key-2')).join('\n')).toContain(
      '--idempotency-key key-2',
    );
    expect(adviceOn(new UnavailableError('timeout', 'too slow'))).toEqual([]);
  });
});
