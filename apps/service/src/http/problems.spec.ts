import { BackendError } from '#custody';
import { DomainError, LogUnavailableError, WrongExpectedRevisionError } from '#eventlog';
import { InvalidValueError, ReadModelBehindError } from '#eventlog/kit';
import { ifMatchOf, requireRevision } from './etag.js';
import { answerTo, STATUS_OF } from './problems.js';

const CORRELATION = '6a1d6a56-3c6e-4c6a-8f5e-0a6c7c1f2d33';
const answer = (error: unknown, ifMatch = false) => answerTo(error, { correlationId: CORRELATION, ifMatch });

describe('the answer to an error', () => {
  it.each([
    [new DomainError('family.retired', 'retired'), 409, 'family.retired'],
    [new DomainError('family.not-found', 'none'), 404, 'family.not-found'],
    [new InvalidValueError('body.a', 'must be whole'), 422, 'value.invalid'],
    [new LogUnavailableError('disk full'), 503, 'log.unavailable'],
    [new ReadModelBehindError('behind'), 503, 'read-model.behind'],
    [new WrongExpectedRevisionError('family-x', 1, 2), 409, 'log.wrong-expected-revision'],
    [new BackendError('transient', 'sealed'), 503, 'back-end.transient'],
    [new BackendError('not-found', 'no object'), 404, 'back-end.not-found'],
    [new BackendError('unknown', 'lost'), 502, 'back-end.unknown'],
    [new Error('canary'), 500, 'internal.error'],
    ['canary', 500, 'internal.error'],
  ])('%s', (error, status, code) => {
    const { problem } = answer(error);
    expect(problem).toMatchObject({
      status,
      code,
      correlationId: CORRELATION,
      type: `urn:keyturn:problem:${code}`,
    });
    expect(JSON.stringify(problem)).not.toContain('canary');
  });

  it('is 412 for a lost race where the caller named the revision it had seen', () => {
    const { problem } = answer(new WrongExpectedRevisionError('family-x', 1, 2), true);
    expect(problem).toMatchObject({ status: 412, code: 'precondition.failed' });
  });

  it('says when to ask again where waiting helps', () => {
    expect(answer(new LogUnavailableError('x')).retryAfterSeconds).toBe(1);
    expect(answer(new DomainError('family.retired', 'x')).retryAfterSeconds).toBeUndefined();
  });

  it('names the field of a value that cannot be stored', () => {
    const { problem } = answer(
      new InvalidValueError('body.consumers[2].name', 'must be well-formed Unicode'),
    );
    expect(problem.errors).toEqual([{ field: '/consumers/2/name', message: 'must be well-formed Unicode' }]);
  });

  it('has a known status for every code of the table', () => {
    for (const status of Object.values(STATUS_OF)) expect(status).toBeGreaterThanOrEqual(400);
  });
});

describe('If-Match', () => {
  it('is one strong ETag', () => {
    expect(ifMatchOf('"7"')).toBe(7);
    expect(ifMatchOf(undefined)).toBeUndefined();
    expect(ifMatchOf('*')).toBeUndefined();
    expect(() => ifMatchOf('W/"7"')).toThrow(expect.objectContaining({ code: 'precondition.failed' }));
    expect(() => ifMatchOf('7')).toThrow(expect.objectContaining({ code: 'precondition.invalid' }));
  });

  it('refuses another revision', () => {
    expect(() => requireRevision(7, 8)).toThrow(expect.objectContaining({ code: 'precondition.failed' }));
    expect(() => {
      requireRevision(8, 8);
      requireRevision(undefined, 8);
    }).not.toThrow();
  });
});
