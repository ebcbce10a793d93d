import { Pool, type Dispatcher } from 'undici';

/**
 * What carries the requests of node-vault, in the place of its own (docs/adr/0029): bodies bounded in both directions, a limit
 * of time on every request, no redirect followed, no proxy out of the environment, and answers with their headers.
 */

/** No answer that is read here is larger; a key with 10,000 versions is 2 MiB. */
const MOST_BYTES = 8 * 1024 * 1024;
const CONNECT_MS = 5_000;

/** One answer as it came: nothing is believed of it yet. */
export interface Heard {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

/** A request that got no whole answer. Carries no request, header or value: whoever prints it learns what failed and no more. */
export class NoAnswerError extends Error {
  constructor(
    /** It certainly did not reach the server. */
    readonly neverSent: boolean,
    /** What of the connection failed, such as `ECONNREFUSED`. */
    readonly code: string,
  ) {
    super(neverSent ? `no connection (${code})` : `no whole answer (${code})`);
    this.name = 'NoAnswerError';
  }
}

export interface Sent {
  readonly method: Dispatcher.HttpMethod | 'LIST';
  /** With its query, from the first slash on. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
  /** Milliseconds until the whole answer is here. */
  readonly withinMs: number;
  readonly signal: AbortSignal | undefined;
}

/** Before a byte of the request was written. */
const NEVER_SENT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'ERR_TLS_CERT_ALTNAME_INVALID',
]);

export class VaultTransport {
  readonly #pool: Pool;

  /** `ca`: PEM of who signed the server's certificate, instead of the system's. */
  constructor(address: URL, ca?: string) {
    this.#pool = new Pool(address.origin, {
      connections: 32,
      connect: { timeout: CONNECT_MS, ...(ca === undefined ? {} : { ca }) },
      // The limit of the whole request is its own.
      headersTimeout: 0,
      bodyTimeout: 0,
      maxResponseSize: MOST_BYTES,
    });
  }

  async send({ method, path, headers, body, withinMs, signal }: Sent): Promise<Heard> {
    if (signal?.aborted === true) throw new NoAnswerError(true, 'ABORTED');
    const late = AbortSignal.timeout(withinMs);
    try {
      const answer = await this.#pool.request({
        // The server's own LIST is no method of the standard.
        method,
        path,
        headers,
        ...(body === undefined ? {} : { body }),
        signal: signal === undefined ? late : AbortSignal.any([signal, late]),
      });
      const text = await answer.body.text();
      return { status: answer.statusCode, headers: answer.headers, text };
    } catch (error) {
      const code = late.aborted ? 'TIMEOUT' : codeOf(error);
      throw new NoAnswerError(NEVER_SENT.has(code), code);
    }
  }

  async close(): Promise<void> {
    await this.#pool.destroy();
  }
}

function codeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return 'UNKNOWN';
  if ('code' in error && typeof error.code === 'string') return error.code;
  return 'name' in error && error.name === 'AbortError' ? 'ABORTED' : 'UNKNOWN';
}
