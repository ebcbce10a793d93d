import { randomUUID } from 'node:crypto';
import { AppRole } from './approle.js';
import { DatabaseEngine } from './database.js';
import { secondsOf, type Answer, type Ask, type Body, type Engine, type Method } from './face.js';
import { Refusal } from './refusal.js';
import { KvEngine } from './kv.js';
import { isAllowed } from './policies.js';
import type { Storage, Transaction } from './storage.js';
import { MOUNT, policiesOf, QUOTA, SysFace, wrapped, type Mount, type Quota } from './sys.js';
import { presented, TokenMethod } from './tokens.js';
import { TransitEngine } from './transit.js';

/** A request as it came over HTTP. */
export interface Heard {
  readonly method: string;
  /** Below `/v1/`. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly header: (name: string) => string;
  readonly text: string;
  readonly signal: AbortSignal;
}

export interface Said {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Body | undefined;
}

/** To be answered by the node that leads: this one does not write. */
export const HAND_ON = Symbol('hand on');

const METHODS: Readonly<Record<string, Method>> = {
  GET: 'GET',
  LIST: 'LIST',
  POST: 'POST',
  PUT: 'POST',
  PATCH: 'PATCH',
  DELETE: 'DELETE',
};
const PERMISSION_DENIED = 'permission denied';

export interface NodeOptions {
  readonly storage: Storage;
  readonly cluster: string;
  readonly leads: boolean;
  readonly seal: () => void;
}

interface Routed {
  readonly engine: Engine;
  readonly mount: string;
  readonly prefix: string;
}

/** What one unsealed node does with a request: who asks, what may be done, which engine, what lasts. Gone with its process. */
export class Node {
  readonly #engines = new Map<string, Engine>();
  readonly #counted = new Map<string, { readonly since: number; times: number }>();

  constructor(private readonly options: NodeOptions) {
    this.#engines.set('auth/token/', new TokenMethod());
    this.#engines.set('sys/', new SysFace(['kv', 'transit', 'database', 'approle'], options.seal));
    // Roles turn by themselves from the moment the server is unsealed.
    if (options.leads)
      for (const path of options.storage.keys(MOUNT)) this.#engineOf(path.slice(MOUNT.length));
  }

  stop(): void {
    for (const engine of this.#engines.values()) engine.stop?.();
  }

  async answer(heard: Heard): Promise<Said | typeof HAND_ON> {
    try {
      return await this.#answered(heard);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return { status: error.status, headers: error.headers, body: { errors: error.errors } };
    }
  }

  async #answered(heard: Heard): Promise<Said | typeof HAND_ON> {
    const { storage, leads } = this.options;
    if (heard.header('x-vault-namespace') !== '') throw Refusal.of(404, 'namespace not found');
    const listed = heard.query.get('list') === 'true' && heard.method === 'GET';
    const method = listed ? 'LIST' : METHODS[heard.method];
    if (method === undefined) throw Refusal.of(405);
    if (!leads && this.#isBehind(heard)) {
      if (heard.header('x-vault-inconsistent') === 'forward-active-node') return HAND_ON;
      throw new Refusal(429, [], { 'Retry-After': '1' });
    }
    this.#count(heard.path);
    const body = bodyIn(heard, method);
    const { path, query, signal } = heard;
    const login = /^auth\/.+\/login$/.test(path);
    const known = login ? {} : this.#known(heard);
    if (known === HAND_ON) return HAND_ON;
    const work = storage.begin();
    const asked = { method, path, query, body, signal, contentType: heard.header('content-type') };
    const ask: Ask = { ...asked, storage: work };
    const routed = this.#route(path);
    const within = {
      ...ask,
      ...known,
      path: path.slice(routed.mount.length),
      storage: work.within(routed.prefix),
    };
    if (!login && !mayAsk(routed, within, asked)) throw Refusal.several(403, PERMISSION_DENIED);
    if (routed.engine === NOWHERE)
      throw Refusal.of(404, `no handler for route "${path}". route entry not found.`);
    if (!leads && routed.engine.reachesOut?.(within) === true) return HAND_ON;
    const answer = await routed.engine.answer(within);
    const said = this.#said(answer, heard, work);
    if (work.writes) {
      if (!leads) return HAND_ON;
      work.commit();
    }
    return { ...said, headers: this.#index(answer) };
  }

  /** Counted whatever comes of the request. */
  #known({ header }: Heard) {
    const { storage, leads } = this.options;
    const counting = storage.begin();
    const token = presented(
      counting,
      header('x-vault-token') || header('authorization').replace('Bearer ', ''),
    );
    if (counting.writes && !leads) return HAND_ON;
    if (token === undefined) throw Refusal.of(403, PERMISSION_DENIED);
    counting.commit();
    const policies = policiesOf(storage.begin(), token.policies);
    return policies === undefined ? { token } : { token, policies };
  }

  #route(path: string): Routed {
    const mounts = [
      ...this.#engines.keys(),
      ...this.options.storage.keys(MOUNT).map((key) => key.slice(MOUNT.length)),
    ];
    const [mount] = mounts
      .filter((each) => path.startsWith(each))
      .sort((one, other) => other.length - one.length);
    const engine = mount === undefined ? undefined : this.#engineOf(mount);
    if (mount === undefined || engine === undefined) return { engine: NOWHERE, mount: '', prefix: '' };
    return { engine, mount, prefix: `mount/${mount}` };
  }

  #engineOf(mount: string): Engine | undefined {
    const known = this.#engines.get(mount);
    if (['sys/', 'auth/token/'].includes(mount)) return known;
    const entry = this.options.storage.begin().read<Mount>(`${MOUNT}${mount}`);
    if (entry === undefined) {
      known?.stop?.();
      this.#engines.delete(mount);
      return undefined;
    }
    if (known !== undefined) return known;
    const made = this.#made(entry.type, mount);
    this.#engines.set(mount, made);
    return made;
  }

  #made(type: string, mount: string): Engine {
    const { storage, leads } = this.options;
    if (type === 'transit') return new TransitEngine(leads);
    if (type === 'database') return new DatabaseEngine(() => storage.begin(`mount/${mount}`), leads);
    return type === 'approle' ? new AppRole() : new KvEngine();
  }

  /** An index of this cluster that has not come here yet. Any other is passed over. */
  #isBehind({ header }: Heard): boolean {
    const text = header('x-vault-index');
    if (text === '') return false;
    const { cluster, value }: { cluster?: string; value?: string } = JSON.parse(
      Buffer.from(text, 'base64').toString('utf8'),
    );
    return cluster === this.options.cluster && BigInt(value ?? '0') > BigInt(this.options.storage.index);
  }

  #index({ status, data, plain }: Answer): Readonly<Record<string, string>> {
    if (status === 404 && data === undefined && plain === undefined) return {};
    if (status >= 400 && status !== 404) return {};
    const { cluster, storage } = this.options;
    const index = JSON.stringify({ cluster, value: String(storage.index) });
    return { 'X-Vault-Index': Buffer.from(index).toString('base64') };
  }

  #count(path: string): void {
    const quotas = this.options.storage.begin();
    for (const name of quotas.list(QUOTA)) {
      const quota = quotas.read<Quota>(`${QUOTA}${name}`);
      if (quota === undefined || !path.startsWith(quota.path)) continue;
      const now = this.#counted.get(name);
      const counted =
        now !== undefined && now.since + quota.interval > Date.now() ? now : { since: Date.now(), times: 0 };
      counted.times += 1;
      this.#counted.set(name, counted);
      if (counted.times > quota.rate)
        throw Refusal.of(429, `request path "${path}": rate limit quota exceeded`);
    }
  }

  /** Whoever wants it wrapped gets a token for it: it was executed all the same. */
  #said({ status, data, auth, warnings, plain }: Answer, { header, path }: Heard, work: Transaction): Said {
    const wrap = secondsOf(header('x-vault-wrap-ttl')) ?? 0;
    const none = status === 204 || plain === '';
    const body = none ? undefined : (plain ?? { ...FRAME, request_id: randomUUID(), data: data ?? null });
    const whole =
      none || (auth === undefined && warnings === undefined)
        ? body
        : { ...body, auth: auth ?? null, warnings: warnings ?? null };
    if (wrap === 0 || whole === undefined || status >= 400) return { status, headers: {}, body: whole };
    const info = wrapped(work.within(''), whole, wrap, path);
    return { status: 200, headers: {}, body: { ...FRAME, request_id: '', wrap_info: info } };
  }
}

const NOWHERE: Engine = {
  answer: () => {
    throw Refusal.of(404);
  },
};

const FRAME = {
  request_id: '',
  lease_id: '',
  renewable: false,
  lease_duration: 0,
  data: null,
  wrap_info: null,
  warnings: null,
  auth: null,
};

function mayAsk({ engine }: Routed, ask: Ask, { path }: { readonly path: string }): boolean {
  if (ask.policies === undefined) return true;
  const creates = engine.exists?.(ask) === false;
  return isAllowed(ask.policies, { method: ask.method, path, body: ask.body, creates });
}

function bodyIn({ text, header }: Heard, method: Method): Body {
  const type = header('content-type');
  if (method === 'PATCH' && type !== 'application/merge-patch+json')
    throw Refusal.of(415, `PATCH requires Content-Type of application/merge-patch+json, provided ${type}`);
  if (text === '' || method === 'GET' || method === 'LIST') return {};
  try {
    const body: Body = JSON.parse(text);
    return body;
  } catch {
    throw Refusal.of(400, 'failed to decode JSON input: unexpected EOF');
  }
}
