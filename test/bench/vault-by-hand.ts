import { randomBytes } from 'node:crypto';
import { Pool } from 'undici';

/**
 * The rotation as a careful script does it, with no saga, no record of intents, nothing to take over and one writer by promise: rotate,
 * see that the version lasts, move the pointer by check-and-set, tell the engine, and try that the old version is refused.
 */

export type Engine = 'transit' | 'kv document' | 'kv fields';

export interface Hand {
  readonly address: URL;
  readonly token: string;
  /** Where its pointers lie: MOUNT/data/FOLDER. */
  readonly documents: string;
}

type Json = Readonly<Record<string, unknown>>;

interface KeyData {
  readonly data: {
    readonly latest_version: number;
    readonly keys: Readonly<Record<string, { readonly public_key: string }>>;
  };
}

interface Versioned {
  readonly data: { readonly data: Json; readonly metadata: { readonly version: number } };
}

interface Wrote {
  readonly data: { readonly version: number };
}

const pools = new Map<string, Pool>();

export async function closeHands(): Promise<void> {
  for (const pool of pools.values()) await pool.close();
  pools.clear();
}

async function ask(hand: Hand, method: 'GET' | 'POST' | 'PATCH', path: string, body?: Json) {
  const { origin } = hand.address;
  const pool = pools.get(origin) ?? new Pool(origin, { connections: 32 });
  pools.set(origin, pool);
  const answer = await pool.request({
    method,
    path: `/v1/${path}`,
    headers: {
      'X-Vault-Token': hand.token,
      'Content-Type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json',
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: answer.statusCode, text: await answer.body.text() };
}

// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- what the server answers is JSON, read as what it is documented to be
async function call<T>(hand: Hand, method: 'GET' | 'POST' | 'PATCH', path: string, body?: Json): Promise<T> {
  const { status, text } = await ask(hand, method, path, body);
  if (status >= 300) throw new Error(`${method} ${path}: ${status} ${text}`);
  const parsed: T = text === '' ? {} : JSON.parse(text);
  return parsed;
}

function expect(so: boolean, what: string): void {
  if (!so) throw new Error(`the script stops: ${what}`);
}

/** `first`: makes the object, so that there is something to rotate. */
export async function rotateByHand(
  hand: Hand,
  engine: Engine,
  object: string,
  which: 'first' | 'next',
): Promise<void> {
  switch (engine) {
    case 'transit':
      return which === 'first' ? makeKey(hand, object) : rotateKey(hand, object);
    case 'kv document':
      return which === 'first' ? makeDocument(hand, object) : rotateDocument(hand, object);
    case 'kv fields':
      return which === 'first' ? makeFields(hand, object) : rotateFields(hand, object);
  }
}

async function makeKey(hand: Hand, object: string): Promise<void> {
  await call(hand, 'POST', object, { type: 'ed25519' });
  await call(hand, 'POST', `${hand.documents}/${object}`, {
    options: { cas: 0 },
    data: { accept: [1], emit: 1 },
  });
}

async function rotateKey(hand: Hand, object: string): Promise<void> {
  const key = async (): Promise<KeyData['data']> => (await call<KeyData>(hand, 'GET', object)).data;
  const verb = (name: string): string => object.replace('/keys/', `/${name}/`);
  const input = Buffer.from('canary').toString('base64');
  const sign = async (version: number): Promise<string> => {
    const { data } = await call<{ data: { signature: string } }>(hand, 'POST', verb('sign'), {
      input,
      key_version: String(version),
    });
    return data.signature;
  };
  const { latest_version: old } = await key();
  const before = await sign(old);
  await call(hand, 'POST', `${object}/rotate`, {});
  // Does it last? A change that really changes something writes it down; it is the same key before and after.
  const made = await key();
  const next = made.latest_version;
  expect(next === old + 1, 'somebody else rotated it meanwhile');
  await call(hand, 'POST', `${object}/config`, {
    min_decryption_version: old,
    min_encryption_version: old,
  });
  const kept = await key();
  expect(made.keys[next]?.public_key === kept.keys[next]?.public_key, 'it is another key than a moment ago');
  const after = await sign(next);
  // Accept, emit, drop the old one: the pointer by check-and-set, as emitters and verifiers read it.
  const pointer = `${hand.documents}/${object}`;
  const read = await call<Versioned>(hand, 'GET', pointer);
  let cas = read.data.metadata.version;
  const point = async (data: Json): Promise<void> => {
    cas = (await call<Wrote>(hand, 'POST', pointer, { options: { cas }, data })).data.version;
  };
  await point({ accept: [old, next], emit: old });
  await point({ accept: [old, next], emit: next });
  await call(hand, 'POST', `${object}/config`, {
    min_decryption_version: next,
    min_encryption_version: next,
  });
  await point({ accept: [next], emit: next });
  const refused = await ask(hand, 'POST', verb('verify'), { input, signature: before });
  expect(refused.status === 400 && refused.text.includes('too old'), 'the old version is still accepted');
  const good = await call<{ data: { valid: boolean } }>(hand, 'POST', verb('verify'), {
    input,
    signature: after,
  });
  expect(good.data.valid, 'the new version is not accepted');
}

function newValue(): string {
  return randomBytes(32).toString('base64url');
}

async function makeDocument(hand: Hand, object: string): Promise<void> {
  const data = { keys: { one: newValue() }, accept: ['one'], emit: 'one' };
  await call(hand, 'POST', object, { options: { cas: 0 }, data });
}

interface Metadata {
  readonly data: { readonly current_version: number };
}

async function currentOf(hand: Hand, object: string): Promise<number> {
  const { data } = await call<Metadata>(hand, 'GET', object.replace('/data/', '/metadata/'));
  return data.current_version;
}

/** The key beside the old one, then accept, emit, drop: names are looked at, values never. */
async function rotateDocument(hand: Hand, object: string): Promise<void> {
  let cas = await currentOf(hand, object);
  const patch = async (data: Json): Promise<void> => {
    cas = (await call<Wrote>(hand, 'PATCH', object, { options: { cas }, data })).data.version;
  };
  await patch({ keys: { two: newValue() } });
  await patch({ accept: ['one', 'two'] });
  await patch({ emit: 'two' });
  await patch({ keys: { one: null }, accept: ['two'] });
  await expectNames(hand, object, cas, (names) => !('one' in Object(names['keys'])));
}

async function expectNames(
  hand: Hand,
  object: string,
  version: number,
  so: (names: Json) => boolean,
): Promise<void> {
  const path = `${object.replace('/data/', '/subkeys/')}?version=${version}`;
  const { data } = await call<{ data: { subkeys: Json } }>(hand, 'GET', path);
  expect(so(data.subkeys), 'the old value is still told');
}

async function makeFields(hand: Hand, object: string): Promise<void> {
  await call(hand, 'POST', object, { options: { cas: 0 }, data: { current: newValue() } });
}

/** The next value as `previous` (accepted), the two swapped (emitted with), `previous` dropped: what it swaps it has to read. */
async function rotateFields(hand: Hand, object: string): Promise<void> {
  const { data: read } = await call<Versioned>(hand, 'GET', object);
  let cas = read.metadata.version;
  const next = newValue();
  const { current } = read.data;
  const write = async (data: Json): Promise<void> => {
    cas = (await call<Wrote>(hand, 'POST', object, { options: { cas }, data })).data.version;
  };
  await write({ current, previous: next });
  await write({ current: next, previous: current });
  await write({ current: next });
  await expectNames(hand, object, cas, (names) => !('previous' in names));
}
