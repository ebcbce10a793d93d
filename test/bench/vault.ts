import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { VaultBackEnds, type BackEndsSettings } from '#custody/vault';
import type { KeyBackend } from '#custody';
import { ManualClock } from '#platform/testing';
import { ClockProxy } from '../../libs/custody/src/testing/clock-proxy.js';
import { ChaosProxy, type Passed } from '../../libs/custody/src/testing/chaos-proxy.js';
import { OpenBao } from '../../libs/custody/src/testing/openbao.js';
import { World } from '../support/world.js';
import { perSecond, type Row } from './rounds.js';
import { closeHands, rotateByHand, type Engine } from './vault-by-hand.js';

/** What a hand-written script would need, and half as much again. */
const GOAL = 1.5;
/** Rotations that are under way at once, on both sides. */
const AT_ONCE = 16;
const POLICY = 'path "*" { capabilities = ["create", "read", "update", "patch", "delete", "list", "sudo"] }';
/** The mounts of the server, by name. */
const [TRANSIT, SECRETS, DOCUMENTS] = ['transit', 'secret', 'keyturn'];

const ENGINES: readonly Engine[] = ['transit', 'kv document', 'kv fields'];

/** What a request is for, in the order in which they are told. */
const PURPOSES = ['engine', 'record', 'fence', 'login', 'health'] as const;
type Purpose = (typeof PURPOSES)[number];

function purposeOf({ path }: Passed): Purpose {
  if (path.startsWith('/v1/auth/token/create/')) return 'fence';
  if (path.startsWith('/v1/auth/')) return 'login';
  if (path.startsWith('/v1/sys/')) return 'health';
  return path.startsWith(`/v1/${DOCUMENTS}/`) ? 'record' : 'engine';
}

interface Opened {
  readonly backEnd: KeyBackend;
  readonly clock: ManualClock;
  close(): Promise<void>;
}

/** A server with its mounts, a proxy that counts before it, and Keyturn's back ends on it. */
class Ground {
  #number = 0;

  private constructor(
    readonly bao: OpenBao,
    readonly proxy: ChaosProxy,
    /** Of the script: it may do everything. */
    readonly token: string,
    private readonly directory: (name: string) => string,
  ) {}

  static async open(directory: (name: string) => string): Promise<Ground> {
    const bao = await OpenBao.start();
    await bao.api('POST', `sys/mounts/${TRANSIT}`, { type: 'transit' });
    for (const mount of [SECRETS, DOCUMENTS]) {
      await bao.api('POST', `sys/mounts/${mount}`, { type: 'kv', options: { version: '2' } });
      await upgraded(bao, mount ?? '');
    }
    await bao.api('PUT', 'sys/policies/acl/bench', { policy: POLICY });
    await bao.api('POST', 'auth/token/roles/bench', {
      token_type: 'service',
      token_num_uses: 1,
      orphan: true,
      token_no_default_policy: true,
      allowed_policies: ['bench'],
    });
    const made: { auth: { client_token: string } } = await bao.api('POST', 'auth/token/create', {
      policies: ['bench'],
      no_parent: true,
      ttl: '24h',
    });
    return new Ground(bao, await ChaosProxy.start(bao.address), made.auth.client_token, directory);
  }

  get number(): number {
    this.#number += 1;
    return this.#number;
  }

  /** The back end of one engine, as the settings of a service open it. `at`: with the proxy before it, or without. */
  backEnd(engine: Engine, at: URL, clock = new ManualClock(Date.now())): Opened {
    const folder = this.directory(`kept-${this.number}`);
    const file = join(folder, 'driver.token');
    writeFileSync(file, this.token, { mode: 0o600 });
    const settings: BackEndsSettings = {
      servers: [
        {
          name: 'bench',
          address: at,
          documents: { mount: DOCUMENTS ?? '', folder: 'objects' },
          login: { kind: 'token-file', file },
          fence: { role: 'bench', policies: ['bench'] },
        },
      ],
      backEnds: [
        engine === 'transit'
          ? { instance: 'vault.bench', server: 'bench', engine: 'transit' }
          : {
              instance: 'vault.bench',
              server: 'bench',
              engine: 'kv',
              layout: engine === 'kv document' ? 'document' : 'fields',
            },
      ],
    };
    const opened = new VaultBackEnds({ settings, directory: folder, clock });
    const [backEnd] = opened.all;
    if (backEnd === undefined) throw new Error('no back end was opened');
    return { backEnd, clock, close: () => opened.close() };
  }

  async close(): Promise<void> {
    await this.proxy.close();
    await this.bao.stop();
  }
}

/** A new mount of KV v2 is upgraded in the background for a moment. */
async function upgraded(bao: OpenBao, mount: string): Promise<void> {
  for (let tries = 0; tries < 100; tries += 1) {
    const done = await bao.api('POST', `${mount}/config`, { cas_required: false }).then(
      () => true,
      () => false,
    );
    if (done) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`the mount ${mount} does not become ready`);
}

/** As a service runs it, on this engine; the log on the disk. */
async function worldOn({ backEnd, clock }: Opened, directory: string): Promise<World> {
  const world = await World.open({ clock, directory, before: () => backEnd });
  await world.policy({ stopEmitting: 'P90D', stopAccepting: 'P120D', approvals: 1 });
  return world;
}

/** A family without a version yet, with an emitter and a verifier. */
async function familyOn(world: World, engine: Engine): Promise<string> {
  const name = newName();
  const { id } = await world.registerFamily({
    name,
    algorithm: engine === 'transit' ? 'EdDSA' : 'HS256',
    artefactLife: 'PT15M',
    backEnd: { instance: 'vault.bench', object: objectOf(engine, name) },
  });
  await world.registerConsumer(id, { name: `${name}-issuer`, roles: ['emitter'] });
  await world.registerConsumer(id, { name: `${name}-api`, roles: ['verifier'], cacheTtl: 'PT1H' });
  return id;
}

function newName(): string {
  return `f${randomUUID().slice(0, 8)}`;
}

function numbered(count: number): readonly number[] {
  return [...Array(count).keys()];
}

function objectOf(engine: Engine, name: string): string {
  return engine === 'transit' ? `${TRANSIT}/keys/${name}` : `${SECRETS}/data/app/${name}`;
}

interface Counted {
  readonly total: number;
  readonly by: Readonly<Record<Purpose, number>>;
}

function counted(passed: readonly Passed[]): Counted {
  const by = { engine: 0, record: 0, fence: 0, login: 0, health: 0 };
  for (const each of passed) by[purposeOf(each)] += 1;
  // Signing in and looking whether it is well is the server's, once for all of its rotations.
  return { total: by.engine + by.record + by.fence, by };
}

/** Every request of one whole graceful rotation, ours and the script's. */
async function countRequests(ground: Ground, engine: Engine, directory: string): Promise<Row> {
  const { proxy } = ground;
  const opened = ground.backEnd(engine, proxy.address);
  const world = await worldOn(opened, directory);
  try {
    const family = await familyOn(world, engine);
    await world.firstVersion(family);
    const { id } = await world.request(family);
    await world.approve(id);
    proxy.forget();
    await world.leapToEnd(id);
    await proxy.settled();
    const ours = counted(proxy.passed);
    const name = newName();
    const hand = { address: proxy.address, token: ground.token, documents: `${DOCUMENTS}/data/script` };
    await rotateByHand(hand, engine, objectOf(engine, name), 'first');
    proxy.forget();
    await rotateByHand(hand, engine, objectOf(engine, name), 'next');
    const theirs = counted(proxy.passed);
    return {
      name: countName(engine),
      ours: ours.total,
      baseline: theirs.total,
      ratio: ours.total / theirs.total,
      unit: 'requests',
      better: 'less',
      goal: GOAL,
      note: `${told(ours)}; the script ${told(theirs)}`,
    };
  } finally {
    await world.close();
    await opened.close();
  }
}

function told({ by }: Counted): string {
  const names: Readonly<Record<Purpose, string>> = {
    engine: 'to the engine',
    record: 'to the record',
    fence: 'tokens for one request',
    login: 'logins (not counted)',
    health: 'looks at its health (not counted)',
  };
  return PURPOSES.filter((each) => by[each] > 0)
    .map((each) => `${by[each]} ${names[each]}`)
    .join(', ');
}

/** So many families due at once, from the request to the completed rotation, and the bare calls as many at once. */
async function measureRate(ground: Ground, families: number, directory: string): Promise<Row> {
  const clock = new ManualClock(Date.now());
  // The server's clock follows the leaps; one more hop for each of our requests, and none for the script's.
  const proxy = await ClockProxy.before(ground.bao.address, () => clock.now());
  const opened = ground.backEnd('transit', proxy.address, clock);
  const world = await worldOn(opened, directory);
  try {
    const due = await inTurns(numbered(families), () => familyOn(world, 'transit'));
    // Each has a version that everybody uses, before all are due.
    await rotateAll(world, opened.clock, due);
    const ours = await perSecond(families, () => rotateAll(world, opened.clock, due));
    const hand = {
      address: ground.bao.address,
      token: ground.token,
      documents: `${DOCUMENTS}/data/script`,
    };
    const objects = numbered(families).map(() => objectOf('transit', newName()));
    await inTurns(objects, (object) => rotateByHand(hand, 'transit', object, 'first'));
    const theirs = await perSecond(families, async () => {
      await inTurns(objects, (object) => rotateByHand(hand, 'transit', object, 'next'));
    });
    return {
      name: `rotations with ${families} due at once, transit, ${AT_ONCE} under way; the script’s bare calls`,
      ours: ours * 60,
      baseline: theirs * 60,
      ratio: ours / theirs,
      unit: 'rotations/min',
      better: 'more',
      goal: null,
      note: 'request, approval, confirmations, every event on disk, and the waits leapt over by a clock that stands still between them; server, script and Keyturn share the cores',
    };
  } finally {
    await world.close();
    await opened.close();
    await proxy.close();
  }
}

async function rotateAll(world: World, clock: ManualClock, families: readonly string[]): Promise<void> {
  const rotations = await inTurns(families, async (family) => {
    const { id } = await world.request(family);
    await world.approve(id);
    return id;
  });
  await leapAllToEnd(world, clock, rotations);
}

/** All of them as far as they go, then to the latest time that one of them waits for, until all are over. */
async function leapAllToEnd(world: World, clock: ManualClock, rotations: readonly string[]): Promise<void> {
  let open = rotations;
  while (open.length > 0) {
    let until = clock.now();
    const left = await inTurns(open, async (id) => {
      for (;;) {
        const wake = await world.advance(id);
        if (wake.finished) return undefined;
        if ((await world.confirmAsked(id)) > 0) continue;
        if (wake.until === undefined) throw new Error(`it waits for ${wake.waitsFor}, and no time is known`);
        until = Math.max(until, wake.until);
        return id;
      }
    });
    open = left.filter((id) => id !== undefined);
    clock.advance(until - clock.now());
  }
}

/** So many at a time, in order. */
async function inTurns<Of, Into>(
  all: readonly Of[],
  work: (each: Of) => Promise<Into>,
): Promise<readonly Into[]> {
  const done: Into[] = [];
  const left = [...all.entries()];
  const worker = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift())
      done[next[0]] = await work(next[1]);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return done;
}

/** Where the server cannot be had. */
function notMeasured(): readonly Row[] {
  const note = 'not measured: OpenBao is not here (npm test fetches it)';
  const nothing = { ours: null, baseline: null, ratio: null, note } as const;
  return [
    ...ENGINES.map((engine): Row => ({
      ...nothing,
      name: countName(engine),
      unit: 'requests',
      better: 'less',
      goal: GOAL,
    })),
    rateNotMeasured('OpenBao is not here (npm test fetches it)'),
  ];
}

function rateNotMeasured(why: string): Row {
  return {
    name: 'rotations with many due at once, transit; the script’s bare calls',
    ours: null,
    baseline: null,
    ratio: null,
    unit: 'rotations/min',
    better: 'more',
    goal: null,
    note: `not measured: ${why}`,
  };
}

function countName(engine: Engine): string {
  return `requests of a graceful rotation, ${engine}; a careful script by hand`;
}

export async function measureVault(
  due: number,
  directory: (name: string) => string,
): Promise<readonly Row[]> {
  if (!OpenBao.installed()) return notMeasured();
  const ground = await Ground.open(directory);
  try {
    const rows: Row[] = [];
    for (const engine of ENGINES)
      rows.push(await countRequests(ground, engine, directory(`vault-${engine.replace(' ', '-')}`)));
    rows.push(
      due === 0
        ? rateNotMeasured('left out of this run (--due 0)')
        : await measureRate(ground, due, directory('vault-rate')),
    );
    return rows;
  } finally {
    await closeHands();
    await ground.close();
  }
}
