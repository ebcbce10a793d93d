import { STATUS_CODES } from 'node:http';
import { HttpException } from '@nestjs/common';
import { BackendError } from '#custody';
import { DomainError, EventLogError, WrongExpectedRevisionError } from '#eventlog';
import { InvalidEventError, InvalidValueError } from '#eventlog/kit';
import type { FieldError } from './field-error.js';
import { InvalidRequestError } from './validation.js';

/** An RFC 9457 answer. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly correlationId: string;
  readonly errors?: readonly FieldError[];
  readonly details?: Readonly<Record<string, unknown>>;
}

export interface Answer {
  readonly problem: Problem;
  readonly retryAfterSeconds?: number;
}

/** The one table code → status. What is not here: `*.not-found` 404, any other broken rule 409. */
export const STATUS_OF: Readonly<Record<string, number>> = {
  'access.unauthenticated': 401,
  'access.code-refused': 401,
  'access.forbidden': 403,
  'access.out-of-scope': 403,
  'attestation.in-future': 422,
  'attestation.no-evidence': 422,
  'back-end.auth': 502,
  'back-end.config': 502,
  'back-end.fenced': 409,
  'back-end.not-known': 422,
  'back-end.object-refused': 422,
  'back-end.quota': 503,
  'back-end.transient': 503,
  'back-end.unknown': 502,
  'back-end.unseen': 503,
  'blackout.ends-before-it-begins': 422,
  'body.too-large': 413,
  'cohorts.faster-than-policy': 422,
  'cohorts.not-rising': 422,
  'cohorts.not-whole': 422,
  'content-type.unsupported': 415,
  'cursor.invalid': 400,
  'compromise.not-suspected': 422,
  'destruction.already-destroyed': 422,
  'destruction.needs-no-token': 422,
  'destruction.own-approval': 403,
  'destruction.token-refused': 422,
  'cutover.no-change-window': 422,
  'cutover.overlap-possible': 422,
  'deviation.expired': 422,
  'deviation.no-policy': 422,
  'deviation.own-approval': 403,
  'deviation.standing': 409,
  'deviation.too-long': 422,
  'emergency.discovered-later': 422,
  'emergency.no-version': 422,
  'event.invalid': 422,
  'family.algorithm-missing': 422,
  'family.algorithm-refused': 422,
  'family.authority-refused': 422,
  'family.back-end-missing': 422,
  'family.overlap-none': 422,
  'family.too-many-consumers': 422,
  'family.too-many-versions': 422,
  'family.usage-mismatch': 422,
  'freeze.ends-before-it-begins': 422,
  'freeze.over': 422,
  'hold.person-needed': 403,
  'idempotency.key-invalid': 400,
  'idempotency.key-missing': 400,
  'idempotency.key-reused': 422,
  'import.invalid': 422,
  'internal.error': 500,
  'json.forbidden-name': 400,
  'json.malformed': 400,
  'json.too-deep': 400,
  'log.append-too-large': 413,
  'log.corrupt': 503,
  'log.integrity': 503,
  'log.unavailable': 503,
  'log.wrong-expected-revision': 409,
  'path.invalid': 400,
  'person.leaves-later': 422,
  'plan.invalid': 422,
  'plan.too-large': 422,
  'policy.cadence-contradicts': 422,
  'policy.effective-too-early': 422,
  'policy.periods-contradict': 422,
  'policy.review-not-later': 422,
  'policy.revision-missing': 422,
  'precondition.failed': 412,
  'precondition.invalid': 400,
  'query.invalid': 400,
  'read-model.behind': 503,
  'rehearsal.in-production': 422,
  'request.invalid': 422,
  'request.malformed': 400,
  'rollback.no-accept-window': 422,
  'review.next-in-past': 422,
  'rotation.no-cohorts': 422,
  'rotation.not-a-rehearsal': 422,
  'rotation.not-an-emergency': 422,
  'rotation.not-rolling': 422,
  'rotation.own-approval': 403,
  'policy.own-approval': 403,
  'runbook.incomplete': 422,
  'schedule.lengthens-policy': 422,
  'schedule.outside-policy': 422,
  'service.not-ready': 503,
  'service.stopping': 503,
  'standing.beyond-review': 422,
  'standing.own-policy': 403,
  'standing.past-its-end': 422,
  'standing.too-long': 422,
  'telemetry.invalid': 422,
  'time-zone.unknown': 422,
  'timeline.before-beginning': 422,
  'timeline.beyond-log': 422,
  'token.expired-at-birth': 422,
  'value.invalid': 422,
  'version.known': 422,
  'version.unknown': 422,
  'window.below-computed': 422,
};

/** When to ask again, for what passes by itself. */
const RETRY_AFTER_SECONDS = 1;
/** A back end that is away is nobody's fault here; readiness and metrics say it. */
export const OF_BACK_ENDS: readonly string[] = ['back-end.transient', 'back-end.quota', 'back-end.unseen'];
const PASSING = [
  'log.unavailable',
  'read-model.behind',
  'service.not-ready',
  'service.stopping',
  ...OF_BACK_ENDS,
];

export interface Circumstances {
  readonly correlationId: string;
  /** The caller named the revision it had seen. */
  readonly ifMatch: boolean;
}

/** What an error is answered with. What nobody foresaw says nothing but its correlation id. */
export function answerTo(error: unknown, { correlationId, ifMatch }: Circumstances): Answer {
  const seen = describe(error);
  const lost = error instanceof WrongExpectedRevisionError && ifMatch;
  const code = lost ? 'precondition.failed' : seen.code;
  const status = statusOf(code);
  const { detail, errors, details } = seen;
  return {
    problem: {
      type: `urn:keyturn:problem:${code}`,
      title: STATUS_CODES[status] ?? 'Error',
      status,
      detail,
      code,
      correlationId,
      ...(errors === undefined ? {} : { errors }),
      ...(details === undefined || Object.keys(details).length === 0 ? {} : { details }),
    },
    ...(PASSING.includes(code) ? { retryAfterSeconds: RETRY_AFTER_SECONDS } : {}),
  };
}

function statusOf(code: string): number {
  return STATUS_OF[code] ?? (code.endsWith('.not-found') ? 404 : 409);
}

type Description = Pick<Problem, 'code' | 'detail' | 'errors' | 'details'>;

function describe(error: unknown): Description {
  if (error instanceof InvalidRequestError) {
    return { code: error.code, detail: 'What was sent does not fit', errors: error.errors };
  }
  if (error instanceof InvalidValueError) {
    const field = `/${error.path
      .replace(/^body\.?/, '')
      .replaceAll(/[.[]/g, '/')
      .replaceAll(']', '')}`;
    return {
      code: error.code,
      detail: error.message,
      errors: [{ field: field === '/' ? '' : field, message: error.problem }],
    };
  }
  if (error instanceof InvalidEventError) {
    return { code: error.code, detail: error.message };
  }
  if (error instanceof DomainError) {
    return { code: error.code, detail: error.message, ...fieldsOf(error) };
  }
  if (error instanceof EventLogError) return ofLog(error);
  if (error instanceof BackendError) {
    return { code: `back-end.${error.errorClass}`, detail: error.message };
  }
  if (error instanceof HttpException) return ofHttp(error);
  return INTERNAL;
}

/** A rule that names its field, or a file with all its errors, is shown the way a refused body is. */
function fieldsOf({ message, details: all }: DomainError): Pick<Description, 'errors' | 'details'> {
  const { field, errors, ...details } = all;
  if (Array.isArray(errors)) {
    const each: readonly unknown[] = errors;
    return { errors: each.filter(isFieldError), details };
  }
  if (typeof field === 'string') {
    return { errors: [{ field: `/${field.replaceAll('.', '/')}`, message }], details };
  }
  return { details };
}

function isFieldError(error: unknown): error is FieldError {
  return typeof error === 'object' && error !== null && 'field' in error && 'message' in error;
}

const INTERNAL: Description = {
  code: 'internal.error',
  detail:
    'Something went wrong here, not with your request. The log of the service knows it by the correlation id',
};

function ofLog(error: EventLogError): Description {
  switch (error.code) {
    case 'log.wrong-expected-revision':
      return { code: error.code, detail: 'It has changed in the meantime: read it again, then decide anew' };
    case 'log.unavailable':
      return {
        code: error.code,
        detail: 'The log cannot be written or read for now; what cannot be recorded is refused',
      };
    case 'log.corrupt':
      return {
        code: error.code,
        detail:
          'The log is not what was written, and nothing is written any more. Stop the service, keep its files, and restore a backup',
      };
    case 'log.integrity':
      return {
        code: error.code,
        detail: `What was asked for rests on an event that is not what was written: ${error.message} Everything else goes on`,
      };
    case 'log.append-too-large':
      return { code: error.code, detail: error.message };
    case 'read-model.behind':
      return {
        code: error.code,
        detail:
          'Nothing is lost, but what you asked for cannot be shown yet; repeat the request with the same Idempotency-Key',
      };
    default:
      return INTERNAL;
  }
}

/** Fastify's and Nest's own refusals: their messages may quote what was sent. */
function ofHttp(error: HttpException): Description {
  switch (error.getStatus()) {
    case 404:
      return { code: 'route.not-found', detail: 'There is nothing at this path for this method' };
    case 413:
      return { code: 'body.too-large', detail: 'The body is larger than 1 MiB' };
    case 415:
      return { code: 'content-type.unsupported', detail: 'A body is application/json' };
    case 503:
      return { code: 'service.stopping', detail: 'The service is stopping' };
    default:
      return error.getStatus() < 500
        ? { code: 'request.malformed', detail: 'The request is not well-formed' }
        : INTERNAL;
  }
}
