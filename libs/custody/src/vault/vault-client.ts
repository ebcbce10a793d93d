import nodeVault from 'node-vault';
import type { SecretValue } from '#platform';
import { BackendError } from '../key-backend.js';
import { leaderIndexOf } from './leader-index.js';
import { errorOf, meaningOf, type VaultAnswer } from './vault-answer.js';
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
}

/** What changes something there. `body` may hold secrets in clear: it is handed to the request and to nothing else. */
export interface Effect extends Ask {
  readonly method: 'POST' | 'PATCH' | 'DELETE';
  readonly body?: Readonly<Record<string, unknown>>;
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
    { token, withinMs = WITHIN_MS, signal, rotation, ...rest }: Ask & { readonly body?: unknown },
    query?: string,
  ): Promise<VaultAnswer | undefined> {
    const { instance, namespace } = this.#options;
    const changes = method !== 'GET' && method !== 'LIST';
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
      if (exchange.heard === undefined) throw this.#noAnswer(error, path, changes);
    }
    const { heard } = exchange;
    if (heard === undefined)
      throw new BackendError('unknown', `${instance}, ${path}: the request was not sent`);
    const answer = answerOf(heard);
    if (answer === undefined)
      throw new BackendError(
        changes ? 'unknown' : 'transient',
        `${instance}, ${path}: its answer is no JSON`,
      );
    // A cluster that was restored from a snapshot elsewhere has another name, and ignores the old one's index without a word.
    if (answer.index !== undefined) this.#leaderIndex = leaderIndexOf(answer.index);
    const meaning = meaningOf(answer, changes);
    if (meaning.kind === 'absent') return undefined;
    if (meaning.kind === 'done') return answer;
    throw errorOf(meaning, { instance, path });
  }

  #noAnswer(error: unknown, path: string, changes: boolean): BackendError {
    const { instance } = this.#options;
    if (!(error instanceof NoAnswerError))
      return new BackendError('config', `${instance}, ${path}: the request could not be made`);
    const errorClass = changes && !error.neverSent ? 'unknown' : 'transient';
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
