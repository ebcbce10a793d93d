import { z } from 'zod';
import type { SecretValue } from '#platform';
import { EventReader, type ServerSentEvent } from './event-reader.js';
import { causeOf, codeOf, nameOf } from './error-code.js';
import { InterruptedError, ProblemError, UnavailableError, type Problem } from './failures.js';
import { printable } from './terminal.js';

/** How long an answer may take, from the first byte sent to the last one read. */
const ANSWER_MS = 10_000;
/** Documents and files are larger. */
export const DOCUMENT_MS = 60_000;
/** A stream may run for hours; it says something more often than this. */
const SILENCE_MS = 60_000;
/** Waits before a safe request is repeated. */
const AGAIN_AFTER_MS = [200, 800];
const PASSING = [502, 503, 504];

export interface ClientOptions {
  readonly url: string;
  readonly token: SecretValue | undefined;
  /** One a run of the command: a repeat of the run with the same one doubles nothing. */
  readonly idempotencyKey: string;
  readonly interrupted: AbortSignal;
  readonly sleep: (milliseconds: number, signal: AbortSignal) => Promise<void>;
  /** For people: what somebody typed must not reach their terminal as escape sequences. */
  readonly forPeople: boolean;
  /** How many items of a list are read so far; `undefined`: it is read to its end. Only lists of several pages tell. */
  readonly onItems?: (count: number | undefined) => void;
}

export type Query = Readonly<Record<string, string | number | undefined>>;

export interface SendOptions {
  readonly body?: unknown;
  readonly query?: Query | undefined;
  readonly ifMatch?: number | undefined;
  /** Where one run sends several requests. */
  readonly idempotencyKey?: string | undefined;
  readonly signal?: AbortSignal;
  readonly patienceMs?: number;
}

interface Request extends SendOptions {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly accept?: string;
  readonly lastEventId?: string | undefined;
}

const problemSchema = z.looseObject({
  title: z.string(),
  status: z.number().optional(),
  detail: z.string().optional(),
  code: z.string(),
  correlationId: z.string().optional(),
  errors: z
    .array(z.looseObject({ field: z.string(), message: z.string(), line: z.number().optional() }))
    .optional(),
  details: z.record(z.string(), z.unknown()).optional(),
});

/** Speaks to a running Keyturn. Never shows the token, never follows a redirect with it. */
export class ApiClient {
  constructor(readonly options: ClientOptions) {}

  async get<Schema extends z.ZodType>(
    path: string,
    schema: Schema,
    query: Query = {},
  ): Promise<z.output<Schema>> {
    return this.#read(await this.#repeatable({ method: 'GET', path, query }), schema);
  }

  /** Every item of a list, page by page, to its end: a list that looks whole is whole. */
  async all<Item extends z.ZodType>(path: string, item: Item, query: Query = {}): Promise<Listed<Item>> {
    const page = z.looseObject({
      items: z.array(item),
      next: z.string().nullish(),
      treeSize: z.number().optional(),
      asOf: z.string().optional(),
    });
    const items: z.output<Item>[] = [];
    const seen = new Set<string>();
    let first: { treeSize?: number | undefined; asOf?: string | undefined } | undefined;
    try {
      for (let cursor: string | undefined; ;) {
        const got = await this.get(path, page, { ...query, cursor });
        first ??= got;
        for (const item of got.items) items.push(item);
        if (got.next === null || got.next === undefined) break;
        // Else a service that goes round in circles would be asked for ever.
        if (seen.has(got.next)) throw this.#strange('a list comes back to a page it had already');
        seen.add(got.next);
        cursor = got.next;
        this.options.onItems?.(items.length);
      }
    } finally {
      if (seen.size > 0) this.options.onItems?.(undefined);
    }
    return { items, treeSize: first?.treeSize, asOf: first?.asOf };
  }

  async post<Schema extends z.ZodType>(
    path: string,
    schema: Schema,
    options: SendOptions = {},
  ): Promise<z.output<Schema>> {
    return this.send('POST', path, schema, options);
  }

  async send<Schema extends z.ZodType>(
    method: 'POST' | 'PUT' | 'DELETE',
    path: string,
    schema: Schema,
    options: SendOptions = {},
  ): Promise<z.output<Schema>> {
    const idempotencyKey = options.idempotencyKey ?? this.options.idempotencyKey;
    // Never repeated by itself: whoever asked decides, and has the key to do it safely.
    const answer = await this.#exchange({ method, path, ...options, idempotencyKey });
    return this.#read(answer, schema, idempotencyKey);
  }

  /** A document, such as a PDF. */
  async bytes(path: string, query: Query = {}): Promise<Buffer> {
    const { body } = await this.#repeatable({ method: 'GET', path, query, patienceMs: DOCUMENT_MS });
    return body;
  }

  /** The answer's lines as they come, each a JSON value. */
  async *lines<Schema extends z.ZodType>(path: string, schema: Schema): AsyncGenerator<z.output<Schema>> {
    const { idempotencyKey } = this.options;
    const silence = new AbortController();
    const give = (): void => {
      silence.abort(new DOMException('silent for too long', 'TimeoutError'));
    };
    let timer = setTimeout(give, SILENCE_MS);
    try {
      const response = await this.#fetch({ method: 'POST', path, signal: silence.signal, idempotencyKey });
      if (!response.ok) {
        throw problemIn(response, Buffer.from(await response.arrayBuffer()), idempotencyKey);
      }
      let rest = '';
      const decoder = new TextDecoder();
      for await (const chunk of response.body ?? []) {
        clearTimeout(timer);
        timer = setTimeout(give, SILENCE_MS);
        const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) if (line.trim() !== '') yield this.#value(line, schema, idempotencyKey);
      }
      if (rest.trim() !== '') yield this.#value(rest, schema, idempotencyKey);
    } catch (error) {
      throw this.#failure(error, SILENCE_MS, idempotencyKey);
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Server-sent events as they come, until the service ends them or the connection breaks. `lastEventId` is where a broken
   * one goes on. An answer that is no such stream is `UnavailableError`.
   */
  async *events(
    path: string,
    query: Query,
    lastEventId: string | undefined,
  ): AsyncGenerator<ServerSentEvent> {
    const silence = new AbortController();
    const give = (): void => {
      silence.abort(new DOMException('silent for too long', 'TimeoutError'));
    };
    let timer = setTimeout(give, SILENCE_MS);
    try {
      const response = await this.#fetch({
        method: 'GET',
        path,
        query,
        signal: silence.signal,
        accept: 'text/event-stream',
        lastEventId,
      });
      if (!response.ok) throw problemIn(response, Buffer.from(await response.arrayBuffer()));
      if (response.headers.get('content-type')?.startsWith('text/event-stream') !== true) {
        throw this.#strange('it is no stream of events');
      }
      const reading = new EventReader();
      const decoder = new TextDecoder();
      for await (const chunk of response.body ?? []) {
        clearTimeout(timer);
        timer = setTimeout(give, SILENCE_MS);
        yield* reading.read(decoder.decode(chunk, { stream: true }));
      }
    } catch (error) {
      throw this.#failure(error, SILENCE_MS);
    } finally {
      clearTimeout(timer);
      silence.abort();
    }
  }

  async #repeatable(request: Request): Promise<Answer> {
    for (const wait of AGAIN_AFTER_MS) {
      try {
        return await this.#exchange(request);
      } catch (error) {
        const passing =
          (error instanceof ProblemError && PASSING.includes(error.status)) ||
          (error instanceof UnavailableError && error.kind !== 'timeout');
        if (!passing) throw error;
        await this.options.sleep(wait, this.options.interrupted);
      }
    }
    return this.#exchange(request);
  }

  async #exchange(request: Request): Promise<Answer> {
    const { patienceMs = ANSWER_MS, idempotencyKey } = request;
    const late = AbortSignal.timeout(patienceMs);
    const signal = request.signal === undefined ? late : AbortSignal.any([late, request.signal]);
    try {
      const response = await this.#fetch({ ...request, signal });
      const body = Buffer.from(await response.arrayBuffer());
      if (!response.ok) throw problemIn(response, body, idempotencyKey);
      return { body };
    } catch (error) {
      throw this.#failure(error, patienceMs, idempotencyKey);
    }
  }

  #fetch(request: Request): Promise<Response> {
    const { method, path, body, query = {}, ifMatch, idempotencyKey, signal, lastEventId } = request;
    const url = new URL(`${this.options.url}/api/v1${path}`);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const content = body === undefined ? undefined : JSON.stringify(body);
    const headers: Record<string, string> = { accept: request.accept ?? 'application/json' };
    if (lastEventId !== undefined) headers['last-event-id'] = lastEventId;
    if (content !== undefined) headers['content-type'] = 'application/json';
    if (method !== 'GET' && idempotencyKey !== undefined) headers['idempotency-key'] = idempotencyKey;
    if (ifMatch !== undefined) headers['if-match'] = `"${ifMatch}"`;
    const { token, interrupted } = this.options;
    if (token !== undefined) headers['authorization'] = `Bearer ${token.reveal().toString('utf8')}`;
    return fetch(url, {
      method,
      headers,
      // A redirect would carry the token to wherever it points.
      redirect: 'error',
      signal: signal === undefined ? interrupted : AbortSignal.any([interrupted, signal]),
      ...(content === undefined ? {} : { body: content }),
    });
  }

  #read<Schema extends z.ZodType>(
    { body }: Answer,
    schema: Schema,
    idempotencyKey?: string,
  ): z.output<Schema> {
    return this.#value(body.length === 0 ? 'null' : body.toString('utf8'), schema, idempotencyKey);
  }

  /** The data of an event. */
  eventData<Schema extends z.ZodType>({ data }: ServerSentEvent, schema: Schema): z.output<Schema> {
    return this.#value(data, schema);
  }

  #value<Schema extends z.ZodType>(text: string, schema: Schema, idempotencyKey?: string): z.output<Schema> {
    const { forPeople } = this.options;
    let value: unknown;
    try {
      value = JSON.parse(text, (_name, part: unknown) =>
        forPeople && typeof part === 'string' ? printable(part) : part,
      );
    } catch {
      throw this.#strange('it is not JSON', idempotencyKey);
    }
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    throw this.#strange(
      `${issue?.path.map(String).join('.') ?? ''}: ${issue?.message ?? ''}`,
      idempotencyKey,
    );
  }

  #strange(why: string, idempotencyKey?: string): UnavailableError {
    return new UnavailableError(
      'broken',
      `The answer of ${this.options.url} is not what this keyturn expects (${why}). Are both of the same version?`,
      idempotencyKey,
    );
  }

  #failure(error: unknown, patienceMs: number, idempotencyKey?: string): unknown {
    if (this.options.interrupted.aborted) return new InterruptedError();
    if (error instanceof ProblemError || error instanceof UnavailableError) return error;
    const { url } = this.options;
    if (['TimeoutError', 'AbortError'].includes(nameOf(error) ?? '')) {
      return new UnavailableError(
        'timeout',
        `${url} did not answer within ${patienceMs / 1_000} s`,
        idempotencyKey,
      );
    }
    // Of fetch's own errors only the code is said: a message may quote what was sent.
    const code = networkCode(error);
    if (code === undefined) return error;
    return NEVER_SENT.includes(code)
      ? new UnavailableError('refused', `${url} cannot be reached (${code})`)
      : new UnavailableError('broken', `${url} broke off before it had answered (${code})`, idempotencyKey);
  }
}

export interface Listed<Item extends z.ZodType> {
  readonly items: readonly z.output<Item>[];
  readonly treeSize: number | undefined;
  readonly asOf: string | undefined;
}

interface Answer {
  readonly body: Buffer;
}

/** Nobody heard the request, so nothing was done. */
const NEVER_SENT = ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'];

function networkCode(error: unknown): string | undefined {
  if (nameOf(error) !== 'TypeError') return undefined;
  return codeOf(causeOf(error)) ?? 'connection broken';
}

function problemIn(response: Response, body: Buffer, idempotencyKey?: string): ProblemError {
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    value = undefined;
  }
  const parsed = problemSchema.safeParse(value);
  // A proxy in between answers in its own words, or in none.
  const problem: Problem = parsed.success
    ? parsed.data
    : {
        title: response.statusText === '' ? 'Error' : response.statusText,
        status: response.status,
        code: `http.${response.status}`,
        detail: 'Answered without saying why: is there a proxy between, or another service at this address?',
      };
  return new ProblemError(problem, response.status, idempotencyKey);
}
