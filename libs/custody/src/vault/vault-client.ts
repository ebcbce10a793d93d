import nodeVault from 'node-vault';
import type { SecretValue } from '#platform';
import { BackendError } from '../key-backend.js';
import { leaderIndexOf } from './leader-index.js';
import { errorOf, meaningOf, TokenRefusedError, type VaultAnswer } from './vault-answer.js';
import { sentPath } from './vault-path.js';
import { NoAnswerError, VaultTransport, type Heard, type Sent } from './vault-transport.js';

/** Milliseconds. An RSA key takes up to 2.4 s to rotate in a crowd, a hung database 90 s to answer: a caller that knows says so. */
const WITHIN_MS = 10_000;

export interface VaultClientOptions {
  /** As families name it: `vault.prod-eu`. */
  readonly instance: string;
  readonly address: URL;
  readonly namespace?: string;
  /** PEM. */
  readonly ca?: string;
}

export interface Ask {
  readonly token?: SecretValue;
  readonly withinMs?: number;
  readonly signal?: AbortSignal;
  /** For the server's own audit log: which rotation asks. */
  readonly rotation?: string;
  /** Asked although the server is taken to be away: to find out whether it is back. */
  readonly past?: boolean;
  /** In no namespace, whatever the client's is. */
  readonly outside?: boolean;
}

/** What changes something there. `body` may hold secrets in clear: it is handed to the request and to nothing else. */
export interface Effect extends Ask {
  readonly method: 'POST' | 'PATCH' | 'DELETE';
  readonly body?: Readonly<Record<string, unknown>>;
}

/** Whose tokens requests are sent with, told of one that the server does not know. */
export interface TokenSource {
  /** Forgets it. How to get another one in its place; `undefined`: it was none of these. */
  refused(token: SecretValue): (() => Promise<SecretValue>) | undefined;
}

/** Knows whether the server can be asked at all. */
export interface Watch {
  /** Why nothing is to be asked of it now; `undefined`: it may be. */
  shut(): string | undefined;
  /** It answered, whatever it said. */
  heard(): void;
  /** It gave no answer, or one that says that none of its answers is to be had. */
  failed(reason: string): void;
}

/** Handed through node-vault to the transport, and back with what was heard. */
interface Exchange {
  readonly method: Sent['method'];
  readonly withinMs: number;
  readonly signal: AbortSignal | undefined;
  heard?: Heard;
}

/**
 * One server or cluster, spoken to through node-vault with our own transport. Errors are the port's and are made here: no error of
 * the library leaves, for they carry request, token and value. A write is sent once; whether it may be sent again is its caller's to
 * find out.
 */
export class VaultClient {
  readonly #options: VaultClientOptions;
  readonly #transport: VaultTransport;
  readonly #vault: nodeVault.client;
  #tokens: TokenSource | undefined;
  #watch: Watch | undefined;
  /** Learnt from the first answer that has one, a login's at the latest: nothing is decided on what a standby still has. */
  #leaderIndex: string | undefined;

  constructor(options: VaultClientOptions) {
    this.#options = options;
    this.#transport = new VaultTransport(options.address, options.ca);
    this.#vault = nodeVault({
      endpoint: options.address.origin,
      // Its own prints bodies and tokens for whoever sets DEBUG.
      debug: () => undefined,
      'request-promise': { defaults: () => (request: nodeVault.Option) => this.#carry(request) },
    });
    // What is not given, the library takes from VAULT_* of the environment.
    this.#vault.token = '';
    Object.assign(this.#vault, { namespace: '', pathPrefix: '' });
  }

  get instance(): string {
    return this.#options.instance;
  }

  /** From now on a read whose token is not known any more is asked once again, with another one. */
  useTokens(tokens: TokenSource): void {
    this.#tokens = tokens;
  }

  /** From now on it is told of every answer, and nothing is sent while it says so. */
  watchBy(watch: Watch): void {
    this.#watch = watch;
  }

  /** Reads; `undefined` where the object itself is not there. */
  async read(path: string, ask: Ask & { readonly query?: string } = {}): Promise<VaultAnswer | undefined> {
    return this.#ask('GET', path, ask, ask.query);
  }

  async list(path: string, ask: Ask = {}): Promise<VaultAnswer | undefined> {
    return this.#ask('LIST', path, ask);
  }

  /** Asks for a change, once. `undefined`: what was to be changed is not there. */
  async effect(path: string, effect: Effect): Promise<VaultAnswer | undefined> {
    return this.#ask(effect.method, path, effect);
  }

  async close(): Promise<void> {
    await this.#transport.close();
  }

  async #ask(
    method: Sent['method'],
    path: string,
    ask: Ask & { readonly body?: unknown },
    query?: string,
  ): Promise<VaultAnswer | undefined> {
    try {
      return await this.#asked(method, path, ask, query);
    } catch (error) {
      if (!(error instanceof TokenRefusedError) || ask.token === undefined) throw error;
      const another = this.#tokens?.refused(ask.token);
      // What changes something is never sent again from here: whoever wanted it decides anew.
      if (another === undefined || changes(method)) throw error;
      return this.#asked(method, path, { ...ask, token: await another() }, query);
    }
  }

  async #asked(
    method: Sent['method'],
    path: string,
    ask: Ask & { readonly body?: unknown },
    query?: string,
  ): Promise<VaultAnswer | undefined> {
    const { instance } = this.#options;
    const shut = ask.past === true ? undefined : this.#watch?.shut();
    // Nothing was sent, so that nothing can have happened.
    if (shut !== undefined) throw new BackendError('transient', `${instance}, ${path}: ${shut}`);
    const answer = await this.#answered(method, path, ask, query);
    const meaning = meaningOf(answer, changes(method));
    const none =
      [500, 503].includes(answer.status) &&
      meaning.kind === 'not-executed' &&
      meaning.errorClass === 'transient';
    if (none) this.#watch?.failed(meaning.what);
    else this.#watch?.heard();
    if (meaning.kind === 'absent') return undefined;
    if (meaning.kind === 'done') return answer;
    throw errorOf(meaning, { instance, path });
  }

  async #answered(
    method: Sent['method'],
    path: string,
    { token, withinMs = WITHIN_MS, signal, rotation, outside, ...rest }: Ask & { readonly body?: unknown },
    query?: string,
  ): Promise<VaultAnswer> {
    const { instance } = this.#options;
    const namespace = outside === true ? undefined : this.#options.namespace;
    const effect = changes(method);
    const sent = sentPath(path);
    const exchange: Exchange = { method, withinMs, signal };
    const headers = {
      'X-Vault-Request': 'true',
      ...(token === undefined ? {} : { 'X-Vault-Token': token.reveal().toString('utf8') }),
      ...(namespace === undefined ? {} : { 'X-Vault-Namespace': namespace }),
      ...(rotation === undefined ? {} : { 'X-Keyturn-Rotation': rotation }),
      ...(this.#leaderIndex === undefined
        ? {}
        : { 'X-Vault-Index': this.#leaderIndex, 'X-Vault-Inconsistent': 'forward-active-node' }),
      ...(method === 'PATCH' ? { 'Content-Type': 'application/merge-patch+json' } : {}),
    };
    try {
      await this.#vault.request({
        path: `/${sent}${query === undefined ? '' : `?${query}`}`,
        // The library's own verbs drop headers; a method of its request goes out as it is.
        method,
        headers,
        exchange,
        ...(rest.body === undefined ? {} : { json: rest.body }),
      });
    } catch (error) {
      // An answer that is no success is an answer; the library's error has request and body in it and is dropped.
      if (exchange.heard === undefined) throw this.#noAnswer(error, path, effect);
    }
    const { heard } = exchange;
    if (heard === undefined)
      throw new BackendError('unknown', `${instance}, ${path}: the request was not sent`);
    const answer = answerOf(heard);
    if (answer === undefined)
      throw new BackendError(effect ? 'unknown' : 'transient', `${instance}, ${path}: its answer is no JSON`);
    // A cluster that was restored from a snapshot elsewhere has another name, and ignores the old one's index without a word.
    if (answer.index !== undefined) this.#leaderIndex = leaderIndexOf(answer.index);
    return answer;
  }

  #noAnswer(error: unknown, path: string, effect: boolean): BackendError {
    const { instance } = this.#options;
    if (!(error instanceof NoAnswerError))
      return new BackendError('config', `${instance}, ${path}: the request could not be made`);
    // Told to stop, or given up on by us: that says nothing of the server.
    if (error.code !== 'ABORTED') this.#watch?.failed(error.message);
    const errorClass = effect && !error.neverSent ? 'unknown' : 'transient';
    return new BackendError(errorClass, `${instance}, ${path}: ${error.message}`);
  }

  /** The transport as node-vault calls it: its answer is what the library reads, `exchange` what we do. */
  async #carry(request: nodeVault.Option): Promise<unknown> {
    const { exchange, headers, json, uri }: { exchange: Exchange } & Record<string, unknown> =
      Object(request);
    const { pathname, search } = new URL(String(uri));
    exchange.heard = await this.#transport.send({
      ...exchange,
      path: `${pathname}${search}`,
      headers: { 'Content-Type': 'application/json', ...Object(headers) },
      body: json === undefined || json === true ? undefined : JSON.stringify(json),
    });
    return { statusCode: exchange.heard.status, body: '', request: { path: pathname } };
  }
}

function changes(method: Sent['method']): boolean {
  return method !== 'GET' && method !== 'LIST';
}

function answerOf({ status, headers, text }: Heard): VaultAnswer | undefined {
  const body = bodyOf(text);
  if (body === undefined && status === 200) return undefined;
  const { data, warnings, errors, request_id: requestId } = body ?? {};
  const header = (name: string): string | undefined => {
    const value = headers[name];
    return Array.isArray(value) ? value[0] : value;
  };
  const retryAfter = Number(header('retry-after'));
  const [index, location] = [header('x-vault-index'), header('location')];
  return {
    status,
    body: body ?? {},
    data,
    warnings: texts(warnings),
    errors: texts(errors),
    ...(typeof requestId === 'string' && requestId !== '' ? { requestId } : {}),
    ...(index === undefined ? {} : { index }),
    ...(location === undefined ? {} : { location }),
    ...(Number.isFinite(retryAfter) ? { retryAfterMs: retryAfter * 1_000 } : {}),
  };
}

function bodyOf(text: string): Readonly<Record<string, unknown>> | undefined {
  if (text === '') return {};
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === 'object' && body !== null ? { ...body } : undefined;
  } catch {
    return undefined;
  }
}

function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];
}
