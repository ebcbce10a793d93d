import { BackendError, type BackendErrorClass } from '../key-backend.js';

/** What a server answered, as far as anything here looks at it. Its body may hold secrets: it MUST NOT be printed or kept. */
export interface VaultAnswer {
  readonly status: number;
  /** Whole, for what does not stand under `data` (logins). */
  readonly body: Readonly<Record<string, unknown>>;
  /** `data` of the body; `undefined` where there is none (204). */
  readonly data: unknown;
  readonly warnings: readonly string[];
  /** Of an error: the server's own words. They name paths and rules; a batch's may hold values and are left out. */
  readonly errors: readonly string[];
  /** Names the request in the server's audit log; 204 has none. */
  readonly requestId?: string;
  /** How far the answering node's storage was (`X-Vault-Index`), where it says so. */
  readonly index?: string;
  /** Of 307: where it points. Never followed for a write before observing. */
  readonly location?: string;
  /** `Retry-After`, milliseconds. */
  readonly retryAfterMs?: number;
}

/**
 * What an answer means for whoever asked. `done`: executed · `not-executed`: certainly without an
 * effect · `unknown`: it may have had one, or may have one later.
 */
export type Meaning =
  | { readonly kind: 'done' }
  | { readonly kind: 'absent' }
  | { readonly kind: 'mismatch' }
  /** The artefact's version lies below what the engine accepts. */
  | { readonly kind: 'too-old' }
  /** KV: that version was deleted or destroyed; what was known of it is there. */
  | { readonly kind: 'deleted' }
  /** The token is not known there: revoked, over, used up. A rule that forbids it says more words. */
  | { readonly kind: 'token-refused' }
  | { readonly kind: 'refused' }
  | { readonly kind: 'not-executed'; readonly errorClass: BackendErrorClass; readonly what: string }
  | { readonly kind: 'unknown'; readonly what: string };

const says = ({ errors }: Pick<VaultAnswer, 'errors'>, ...words: readonly string[]): boolean =>
  errors.some((error) => words.some((word) => error.includes(word)));

/** Errors of transit that come as 500 and are a user's mistake, before anything was touched. */
const PLAIN_500 = [
  'refusing to use soft-deleted key',
  'does not allow rotation within',
  'requested version for signing is less than',
  'is higher than the latest key version',
  'no such key version',
  'put failed due to value being too large',
  'missing role_id',
];

/** Of a 403 that no rule gave: rules answer with several errors in one text. */
const TOKEN_REFUSED = new Set(['permission denied', 'invalid token']);

/** Reads an answer. `effect`: the request would have changed something. */
export function meaningOf(answer: VaultAnswer, effect: boolean): Meaning {
  const { status } = answer;
  // With a wrapping of our own it would have been executed: we ask for none, so that it waits for somebody's approval.
  const wrapped = isRecord(answer.body['wrap_info']);
  const not = (errorClass: BackendErrorClass, what: string): Meaning => ({
    kind: 'not-executed',
    errorClass,
    what,
  });
  if (wrapped) return not('auth', 'it wants somebody to approve it first (wrap_info)');
  if (status === 200 || status === 204) return { kind: 'done' };
  if (status === 403 && TOKEN_REFUSED.has(answer.errors.join('\n').trim())) return { kind: 'token-refused' };
  if (status === 403) return not('auth', 'it is not allowed (403)');
  if (status === 404) return absence(answer);
  if (status === 405 || status === 415) return not('config', `it does not know this request (${status})`);
  if (status === 413) return not('config', 'the request is too large for it (413)');
  if (status === 412) return not('transient', 'its storage is behind (412)');
  if (status === 429) return throttled(answer);
  if (status === 400 && says(answer, 'check-and-set parameter did not match')) return { kind: 'mismatch' };
  if (status === 400 && says(answer, 'disallowed by policy (too old)', 'version is too old'))
    return { kind: 'too-old' };
  // KV in its first moments, or after version 1 became 2.
  if (status === 400 && says(answer, 'This backend will be unavailable for a brief period'))
    return not('transient', 'its mount is being upgraded (400)');
  if (status === 400) return { kind: 'refused' };
  if (status === 503) return unavailable(answer);
  if (status >= 300 && status < 400) {
    // Two of two redirects of a rotate that was cut off had taken effect before.
    return effect
      ? { kind: 'unknown', what: `it points to another node (${status})` }
      : not('transient', `it points to another node (${status})`);
  }
  if (status === 500 && says(answer, ...PLAIN_500)) return not('config', 'it refuses the request (500)');
  if (status === 500 && says(answer, 'local node not active but active cluster node not found'))
    return not('transient', 'no node of it is active');
  const what = `it failed inside (${status})`;
  return effect ? { kind: 'unknown', what } : not('transient', what);
}

function isRecord(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}

/** Only a plain 404 of the object itself means that it is not there; a missing mount or namespace is a mistake. */
function absence(answer: VaultAnswer): Meaning {
  // A deleted version of KV answers with what was known of it.
  if (isRecord(answer.data)) return { kind: 'deleted' };
  if (says(answer, 'no handler for route'))
    return { kind: 'not-executed', errorClass: 'config', what: 'nothing is mounted there' };
  if (says(answer, 'namespace not found'))
    return { kind: 'not-executed', errorClass: 'config', what: 'it has no such namespace' };
  return { kind: 'absent' };
}

function throttled(answer: VaultAnswer): Meaning {
  return says(answer, 'quota')
    ? { kind: 'not-executed', errorClass: 'quota', what: 'a quota of it is used up (429)' }
    : {
        kind: 'not-executed',
        errorClass: 'transient',
        what: 'its storage is behind, or it is a standby (429)',
      };
}

function unavailable(answer: VaultAnswer): Meaning {
  const what = says(answer, 'namespace is sealed')
    ? 'the namespace is sealed'
    : says(answer, 'locked by an administrator')
      ? 'the namespace is locked by an administrator'
      : says(answer, 'sealed')
        ? 'it is sealed'
        : 'it is not available (503)';
  return { kind: 'not-executed', errorClass: 'transient', what };
}

/** The compare-and-set of a write did not fit: somebody else wrote, or our own first try did. */
export class CasMismatchError extends BackendError {
  constructor(message: string) {
    super('transient', message);
    this.name = 'CasMismatchError';
  }
}

/** The engine refused an artefact because its version was withdrawn: the right reason, where a probe asks. */
export class TooOldError extends BackendError {
  constructor(message: string) {
    super('config', message);
    this.name = 'TooOldError';
  }
}

/** The version of KV that was asked for was deleted or destroyed: by the server's own clock, where it deletes by itself. */
export class DeletedError extends BackendError {
  constructor(message: string) {
    super('config', message);
    this.name = 'DeletedError';
  }
}

/** The server does not know the token: another login may help, where nothing was to be changed. */
export class TokenRefusedError extends BackendError {
  constructor(message: string) {
    super('auth', message);
    this.name = 'TokenRefusedError';
  }
}

/** The server refused what was asked, as it was asked. */
export class RequestRefusedError extends BackendError {
  constructor(message: string) {
    super('config', message);
    this.name = 'RequestRefusedError';
  }
}

/** The error of the port for what did not happen, or may have. Says the instance, the path and the meaning; nothing the server sent. */
export function errorOf(
  meaning: Exclude<Meaning, { kind: 'done' | 'absent' }>,
  { instance, path }: { readonly instance: string; readonly path: string },
): BackendError {
  const where = `${instance}, ${path}`;
  if (meaning.kind === 'unknown') return new BackendError('unknown', `${where}: ${meaning.what}`);
  if (meaning.kind === 'mismatch')
    return new CasMismatchError(`${where}: it was changed by somebody else meanwhile`);
  if (meaning.kind === 'too-old') return new TooOldError(`${where}: it refuses what is so old`);
  if (meaning.kind === 'deleted') return new DeletedError(`${where}: its newest version was deleted there`);
  if (meaning.kind === 'token-refused')
    return new TokenRefusedError(`${where}: it does not know the token (403)`);
  if (meaning.kind === 'refused') return new RequestRefusedError(`${where}: it refuses the request (400)`);
  return new BackendError(meaning.errorClass, `${where}: ${meaning.what}`);
}
