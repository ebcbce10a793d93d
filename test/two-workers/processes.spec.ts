import { randomUUID } from 'node:crypto';
import { byDepth, ManualClock, someOf } from '#platform/testing';
import { containmentStream, destructionStream, stepTable, type RotationRunner, type Wake } from '#rotation';
import { Barrier, PLACES, workerOf, type Place } from '../support/barrier.js';
import { difference, withoutAttempts } from '../support/comparable.js';
import { disagreements, effectsOf, fenceOf } from '../support/script-stage.js';
import { World } from '../support/world.js';
import { THAWS, type Thaw } from './two-workers.js';

/**
 * The two workers over the processes beside a rotation: a containment and its lifting, and a destruction. The first worker is
 * frozen in one attempt, the second takes over, the first is thawed: the back end's own ledger holds every effect once.
 */

const MINUTES = 60_000;
/** Each place with another thaw stands in each third of them. */
const WAYS = THAWS.flatMap((thaw, turn) =>
  PLACES.map((_, index) => ({ thaw, place: PLACES[(index + turn) % PLACES.length] ?? PLACES[0] })),
);

/** One process of a family of its own, as far as its worker is told to go on. */
interface Played {
  readonly familyId: string;
  readonly object: string;
  readonly stream: string;
  readonly advance: (runner: RotationRunner) => Promise<Wake>;
  /** What people do once it waits for nobody else; `false`: nothing is left. */
  readonly ask: () => Promise<boolean>;
}

interface Process {
  readonly name: string;
  readonly steps: readonly (keyof typeof stepTable)[];
  readonly begin: (world: World) => Promise<Played>;
}

async function familyOf(world: World): Promise<{ familyId: string; object: string; name: string }> {
  const name = `family-${randomUUID()}`;
  const { id } = await world.registerFamily({ name, algorithm: 'ES256', artefactLife: 'PT1H' });
  await world.registerConsumer(id, {
    name: `api-of-${name}`,
    roles: ['emitter', 'verifier'],
    cacheTtl: 'PT5M',
  });
  return { familyId: id, object: `keys/${name}`, name };
}

const PROCESSES: readonly Process[] = [
  {
    name: 'a containment, and its lifting',
    steps: ['contain', 'lift'],
    begin: async (world) => {
      const { familyId, object } = await familyOf(world);
      const version = await world.firstVersion(familyId);
      const { id } = await world.contain(familyId, [version]);
      let asked = false;
      return {
        familyId,
        object,
        stream: containmentStream(id),
        advance: (runner) => runner.advanceContainment(id, familyId),
        ask: async () => {
          if (asked) return false;
          asked = true;
          await world.reviseFamily(familyId, {
            type: 'ClearCompromise',
            versions: [version],
            reason: 'a test key',
          });
          await world.askContainment(id, { type: 'lift', reason: 'it was a test key' });
          return true;
        },
      };
    },
  },
  {
    name: 'a destruction',
    steps: ['destroy'],
    begin: async (world) => {
      const { familyId, object } = await familyOf(world);
      const old = await world.firstVersion(familyId);
      await world.firstVersion(familyId);
      const { id } = await world.destroy(familyId, [old]);
      await world.askDestruction(id, { type: 'approve' }, world.approver);
      return {
        familyId,
        object,
        stream: destructionStream(id),
        advance: (runner) => runner.advanceDestruction(id),
        ask: () => Promise.resolve(false),
      };
    },
  },
];

interface Account {
  readonly events: readonly unknown[];
  readonly effects: readonly string[];
}

let world: World;
let clock: ManualClock;
let proved = 0;
let all = 0;

beforeAll(async () => {
  clock = new ManualClock('2026-03-02T09:00:00.000Z');
  world = await World.open({ clock });
});
afterAll(() => world.close());

/** Ids of one run stand for those of another: only how many there are, and in which order, is compared. */
function unnamed(value: unknown): unknown {
  const names = new Map<string, string>();
  const text = JSON.stringify(value).replaceAll(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, (id) => {
    const name = names.get(id) ?? `id ${names.size}`;
    names.set(id, name);
    return name;
  });
  const named: unknown = JSON.parse(text);
  return named;
}

async function accountOf({ stream, object }: Played): Promise<Account> {
  const events = (await world.facts(stream)).map(({ type, provenance, data }) => ({
    type,
    provenance,
    data,
  }));
  return {
    events: withoutAttempts(events).map(unnamed),
    effects: effectsOf(world, object).map(({ effect }) => effect),
  };
}

/** To the end, by whichever worker `advance` sends. */
async function play(process: Played, advance: () => Promise<Wake>): Promise<void> {
  for (let turn = 0; turn < 60; turn += 1) {
    const wake = await advance();
    if (wake.finished) {
      if (!(await process.ask())) return;
      continue;
    }
    if (wake.until === undefined) throw new Error(`it waits for ${wake.waitsFor}`);
    clock.advance(Math.max(0, wake.until - clock.now()));
  }
  throw new Error('it does not end');
}

async function prove(
  process: Process,
  attempt: number,
  place: Exclude<Place, 'observed'>,
  thaw: Thaw,
  wanted: Account,
  sabotaged = false,
): Promise<string | undefined> {
  const played = await process.begin(world);
  const barrier = new Barrier(
    place,
    (_intent, number) => number === attempt,
    sabotaged
      ? (given) => ({ ...given, ...fenceOf(world, played.object), key: `${given.key}#${given.attemptId}` })
      : undefined,
  );
  const middle = new Barrier(
    'observed',
    ({ step }) => thaw === 'in-the-middle' && step === barrier.caught?.step,
  );
  const frozen = workerOf(world, 'a#1', barrier);
  const other = workerOf(world, 'b#1', middle, sabotaged);
  let pending: Promise<Wake> | undefined;
  const settleFrozen = async (): Promise<void> => {
    barrier.thaw();
    const waiting = pending;
    pending = undefined;
    await waiting;
  };
  try {
    await play(played, async () => {
      if (!barrier.met) {
        const wake = played.advance(frozen);
        const first = await Promise.race([wake, barrier.frozen]);
        if (first !== undefined) return first;
        pending = wake;
      }
      const wake = played.advance(other);
      if (middle.met || pending === undefined) return wake;
      const first = await Promise.race([wake, middle.frozen]);
      if (first === undefined) {
        await settleFrozen();
        middle.thaw();
        return wake;
      }
      const { caught } = barrier;
      const outcome = caught === undefined ? undefined : stepTable[caught.step].outcome;
      const settled = (await world.facts(played.stream)).some(({ type }) => type === outcome);
      if (thaw === 'settled' && settled) await settleFrozen();
      return first;
    });
    if (!barrier.met) return 'the first worker was never frozen there';
    if (thaw === 'in-the-middle' && !middle.met) return 'the second worker was never met in the middle';
    await settleFrozen();
    const before = await world.store.log.treeSize();
    for (const runner of [frozen, other]) await played.advance(runner);
    if ((await world.store.log.treeSize()) !== before) return 'after the end somebody still acted';
    return (
      difference(wanted, await accountOf(played)) ?? (await disagreements(world, world.backEnd, played))[0]
    );
  } finally {
    barrier.thaw();
    middle.thaw();
    await pending?.catch(() => undefined);
  }
}

async function undisturbed(process: Process): Promise<Account> {
  const played = await process.begin(world);
  const watch = new Barrier('after-intent', () => false);
  const runner = workerOf(world, 'alone#1', watch);
  await play(played, () => played.advance(runner));
  expect(watch.intents.map(({ step }) => step)).toEqual(process.steps);
  return accountOf(played);
}

describe('two workers on one process', () => {
  it.each(PROCESSES)(
    '$name: every effect once, whoever did it',
    async (process) => {
      const wanted = await undisturbed(process);
      const wrong: string[] = [];
      for (const [number, step] of process.steps.entries()) {
        for (const { place, thaw } of someOf(WAYS, 3)) {
          all += 1;
          const problem = await prove(process, number + 1, place, thaw, wanted).catch(String);
          if (problem === undefined) proved += 1;
          else wrong.push(`${step}, ${place}, thawed ${thaw}: ${problem}`);
        }
      }
      expect(wrong).toEqual([]);
    },
    10 * MINUTES,
  );

  it('takes every place and thaw of every step', () => {
    console.log(`two workers on processes: ${proved} of ${all}`);
    expect(all).toBe(byDepth({ check: 9, slice: 27, full: 27 }));
    expect(proved).toBe(all);
  });

  it(
    'goes red where the frozen worker carries neither its fence nor its key',
    async () => {
      for (const process of PROCESSES) {
        const wanted = await undisturbed(process);
        const problem = await prove(process, 1, 'before-effect', 'at-the-end', wanted, true).catch(String);
        expect({ process: process.name, problem }).toEqual({
          process: process.name,
          problem: expect.any(String),
        });
      }
    },
    10 * MINUTES,
  );
});
