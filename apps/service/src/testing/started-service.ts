import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { loadConfig } from '#platform';
import { ManualClock } from '#platform/testing';
import { assembleApp } from '../create-app.js';
import { openKeyturn, type Keyturn } from '../composition.js';
import type { Route } from '../http/route-table.js';

/** A service on a free port with a directory and a clock of its own, for e2e specs. */
export interface StartedService {
  readonly keyturn: Keyturn;
  readonly clock: ManualClock;
  readonly url: string;
  readonly port: number;
  readonly routes: readonly Route[];
  /** The token of the first person, with every role a person has. */
  readonly token: string;
  readonly subject: string;
  readonly directory: string;
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  /** A token with these roles, for a subject of its own. */
  tokenWith(
    roles: readonly string[],
    change?: Record<string, unknown>,
  ): Promise<{ id: string; token: string; subject: string }>;
  stop(): Promise<void>;
}

interface CallOptions {
  readonly body?: unknown;
  /** Sent as it is. */
  readonly raw?: string | Uint8Array<ArrayBuffer>;
  readonly headers?: Readonly<Record<string, string>>;
  /** The first person's unless told; `null`: none. */
  readonly token?: string | null;
  /** Random unless told; `null`: none. */
  readonly key?: string | null;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body where it is a JSON object, else empty. */
  readonly body: Readonly<Record<string, unknown>>;
}

export async function startService(
  environment: Readonly<Record<string, string>> = {},
  startsAt: string | number = '2026-03-02T09:00:00.000Z',
): Promise<StartedService> {
  const directory = await mkdtemp(join(tmpdir(), 'keyturn-e2e-'));
  const config = loadConfig({
    KEYTURN_DATA_DIR: join(directory, 'data'),
    KEYTURN_PORT: '0',
    KEYTURN_LOG: 'silent',
    ...environment,
  });
  const clock = new ManualClock(startsAt);
  const keyturn = await openKeyturn(config, { clock, inlineLog: true });
  const { app, routes } = await assembleApp(keyturn);
  const signIn = await keyturn.openBootstrap();
  await app.listen(0, '127.0.0.1');
  const url = await app.getUrl();
  let token: string | null = null;

  const call = async (method: string, path: string, options: CallOptions = {}): Promise<Answer> => {
    const headers = new Headers(options.headers);
    const bearer = options.token === undefined ? token : options.token;
    if (bearer !== null) headers.set('authorization', `Bearer ${bearer}`);
    const key = options.key === undefined ? randomUUID() : options.key;
    if (key !== null && method === 'POST') headers.set('idempotency-key', key);
    const body = options.raw ?? (options.body === undefined ? undefined : JSON.stringify(options.body));
    if (body !== undefined && !headers.has('content-type')) headers.set('content-type', 'application/json');
    const response = await fetch(`${url}${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body }),
    });
    // A stream ends only when its reader goes.
    const streamed = response.headers.get('content-type')?.startsWith('text/event-stream') === true;
    if (streamed) await response.body?.cancel();
    const text = streamed ? '' : await response.text();
    return { status: response.status, headers: response.headers, text, body: objectIn(text) };
  };

  const first = await call('POST', '/api/v1/tokens/bootstrap', {
    body: { code: signIn?.code.reveal().toString(), name: 'First Person' },
    key: null,
  });
  token = textIn(first, 'token');

  return {
    keyturn,
    clock,
    url,
    port: Number(new URL(url).port),
    routes,
    token,
    subject: textIn(first, 'subject'),
    directory,
    call,
    tokenWith: async (roles, change = {}) => {
      const scope = { environments: 'all', teams: 'all' };
      const body = {
        subject: { name: roles.join('+'), kind: 'workload' },
        roles,
        scope,
        label: 'e2e',
        ...change,
      };
      const answer = await call('POST', '/api/v1/tokens', { body });
      return { id: textIn(answer, 'id'), token: textIn(answer, 'token'), subject: textIn(answer, 'subject') };
    },
    stop: async () => {
      await app.close();
      await keyturn.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function objectIn(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : {};
  } catch {
    return {};
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function textIn({ status, text, body }: Answer, name: string): string {
  const value = body[name];
  if (typeof value !== 'string') throw new Error(`no ${name} in the answer ${status} ${text}`);
  return value;
}
