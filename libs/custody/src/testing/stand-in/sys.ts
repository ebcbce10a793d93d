import { randomBytes } from 'node:crypto';
import {
  NO_CONTENT,
  NOT_THERE,
  bodyOf,
  found,
  instant,
  listOf,
  secondsOf,
  textOf,
  unsupported,
  type Answer,
  type Ask,
  type Body,
  type Engine,
} from './face.js';
import { Refusal } from './refusal.js';
import { capabilitiesOf, rulesOf } from './policies.js';
import type { Transaction } from './storage.js';

/** `sys/…`: mounts, policies, capabilities, wrapping, quotas. */

export interface Mount {
  readonly type: string;
  readonly options: Body;
}
export interface Quota {
  readonly path: string;
  readonly rate: number;
  /** Milliseconds. */
  readonly interval: number;
}

export const MOUNT = 'sys/mount/';
export const POLICY = 'sys/policy/';
export const QUOTA = 'sys/quota/';
const WRAP = 'sys/wrap/';

const DEFAULT_POLICY = `path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }
path "auth/token/revoke-self" { capabilities = ["update"] }
path "sys/capabilities-self" { capabilities = ["update"] }
path "sys/wrapping/unwrap" { capabilities = ["update"] }`;

/** The texts of these policies; `undefined`: root may do everything. */
export function policiesOf(storage: Transaction, names: readonly string[]): readonly string[] | undefined {
  if (names.includes('root')) return undefined;
  return names.map(
    (name) =>
      storage.read<{ text: string }>(`${POLICY}${name}`)?.text ?? (name === 'default' ? DEFAULT_POLICY : ''),
  );
}

/** Keeps an answer for whoever has the token, once. */
export function wrapped(storage: Transaction, answer: Body, seconds: number, path: string): Body {
  const token = `s.${randomBytes(18).toString('base64url')}`;
  storage.put(`${WRAP}${token}`, { answer, endsAt: Date.now() + seconds * 1_000 });
  const accessor = randomBytes(18).toString('base64url');
  return { token, accessor, ttl: seconds, creation_time: instant(), creation_path: path };
}

export class SysFace implements Engine {
  constructor(
    private readonly types: readonly string[],
    private readonly seal: () => void,
  ) {}

  reachesOut({ path }: Pick<Ask, 'path'>): boolean {
    return path === 'seal';
  }

  answer(ask: Ask): Answer {
    const [face = '', name = '', ...rest] = ask.path.split('/');
    const action = `${ask.method} ${face}`;
    const below = [name, ...rest].join('/');
    switch (action) {
      case 'POST seal':
        this.seal();
        return NO_CONTENT;
      case 'POST mounts':
        return this.#mounted(ask, `${below}/`);
      case 'POST auth':
        return this.#mounted(ask, `auth/${below}/`);
      case 'GET mounts':
        return listed(ask, '');
      case 'GET auth':
        return listed(ask, 'auth/');
      case 'DELETE mounts':
        return unmounted(ask, `${below}/`);
      case 'GET internal':
        return found(rootOf(ask).read(`${MOUNT}${rest.slice(1).join('/')}/`) ?? none());
      case 'POST capabilities-self':
        return capabilities(ask, ask.policies);
      case 'POST capabilities':
        return capabilities(ask, capabilitiesOfToken(ask));
    }
    if (face === 'policies' && name === 'acl') return policy(ask, rest.join('/'));
    if (face === 'quotas' && name === 'rate-limit') return quota(ask, rest.join('/'));
    if (ask.method === 'POST' && ask.path === 'wrapping/unwrap') return unwrapped(ask);
    throw unsupported(ask);
  }

  #mounted(ask: Ask, path: string): Answer {
    const storage = rootOf(ask);
    const type = textOf(ask.body['type']);
    if (!this.types.includes(type)) throw unsupported({ method: 'POST', path: `sys/mounts of ${type}` });
    if (storage.read(`${MOUNT}${path}`) !== undefined)
      throw Refusal.of(400, `path is already in use at ${path}`);
    storage.put(`${MOUNT}${path}`, { type, options: bodyOf(ask.body['options']) } satisfies Mount);
    return NO_CONTENT;
  }
}

const rootOf = ({ storage }: Ask): Transaction => storage.within('');

function none(): never {
  throw NOT_THERE;
}

function listed(ask: Ask, folder: string): Answer {
  const storage = rootOf(ask);
  const found = storage
    .list(`${MOUNT}${folder}`)
    .filter((path) => folder !== '' || !path.startsWith('auth/'))
    .map((path) => [path, storage.read(`${MOUNT}${folder}${path}`)] as const);
  const mounts = Object.fromEntries(found);
  return { status: 200, data: mounts, plain: { ...mounts, data: mounts } };
}

function unmounted(ask: Ask, path: string): Answer {
  const storage = rootOf(ask);
  storage.remove(`${MOUNT}${path}`);
  for (const key of storage.list(`mount/${path}`)) storage.remove(`mount/${path}${key}`);
  return NO_CONTENT;
}

function policy(ask: Ask, name: string): Answer {
  const storage = rootOf(ask);
  const key = `${POLICY}${name}`;
  if (ask.method === 'GET') {
    const { text } = storage.read<{ text: string }>(key) ?? none();
    return found({ name, policy: text });
  }
  if (ask.method === 'DELETE') storage.remove(key);
  else if (ask.method === 'POST') {
    const text = textOf(ask.body['policy']);
    rulesOf(text);
    storage.put(key, { text });
  } else throw unsupported(ask);
  return NO_CONTENT;
}

function quota(ask: Ask, name: string): Answer {
  const storage = rootOf(ask);
  const key = `${QUOTA}${name}`;
  if (ask.method === 'DELETE') storage.remove(key);
  else if (ask.method === 'POST') {
    const { path, rate, interval } = ask.body;
    const every = (secondsOf(interval) ?? 1) * 1_000;
    storage.put(key, { path: textOf(path), rate: Number(rate), interval: every } satisfies Quota);
  } else throw unsupported(ask);
  return NO_CONTENT;
}

function capabilitiesOfToken(ask: Ask): readonly string[] | undefined {
  const storage = rootOf(ask);
  const token = storage.read<{ policies: readonly string[] }>(`token/${textOf(ask.body['token'])}`);
  if (token === undefined) throw Refusal.of(400, 'invalid token');
  return policiesOf(storage, token.policies);
}

function capabilities({ body }: Ask, policies: readonly string[] | undefined): Answer {
  const paths = listOf(body['paths'] ?? body['path']);
  const has = paths.map((path) => [path, policies === undefined ? ['root'] : capabilitiesOf(policies, path)]);
  const data: Body = Object.fromEntries(has);
  return { status: 200, data, plain: { ...data, data } };
}

function unwrapped(ask: Ask): Answer {
  const storage = rootOf(ask);
  const key = `${WRAP}${textOf(ask.body['token'])}`;
  const kept = storage.read<{ answer: Body; endsAt: number }>(key);
  if (kept === undefined || kept.endsAt <= Date.now())
    throw Refusal.of(400, 'wrapping token is not valid or does not exist');
  storage.remove(key);
  return { status: 200, plain: kept.answer };
}
