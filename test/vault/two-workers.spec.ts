import { jest } from '@jest/globals';
import { byDepth, DEPTH, haveRealPart, inSlice, ManualClock, sliceText } from '#platform/testing';
import { ChaosProxy, type Passed } from '../../libs/custody/src/testing/chaos-proxy.js';
import { OpenBao } from '../../libs/custody/src/testing/openbao.js';
import { PLACES, type Door } from '../support/barrier.js';
import {
  VAULT_ENGINES,
  VAULT_SCRIPTS,
  vaultCustody,
  vaultGround,
  VaultProcess,
  vaultSettings,
  type VaultEngineName,
  type VaultGround,
} from '../support/vault-custody.js';
import { World } from '../support/world.js';
import { Arena, THAWS, type Case, type Undisturbed } from '../two-workers/two-workers.js';
import { brokenAfter } from './laws.js';

/**
 * The two workers of test/two-workers on one real server and one log, each with its own connection, token and index. Beside the places
 * inside Keyturn the first one is frozen at the server's door: with a request of its effect on its way. Record and ledger must be the
 * undisturbed ones, and the server's own metadata must show as many versions as are on record.
 */

jest.setTimeout(byDepth({ check: 600_000, slice: 1_800_000, full: 7_200_000 }));

/** Held at the door: the first, the second … request of the effect that changes something. */
const DOORS = [0, 1, 2, 3] as const;
const WAYS = THAWS.flatMap((thaw) => [
  ...PLACES.map((place) => ({ place, thaw, door: 0 })),
  ...DOORS.map((door) => ({ place: 'at-the-door', thaw, door }) as const),
]);
const COMMITTED_CASES = byDepth({ check: 7, slice: 250, full: 2_000 });
/** Scripts the check takes; the whole product takes all. */
const CHECKED = ['graceful'];

const real = haveRealPart('openbao', COMMITTED_CASES);

(real ? describe : describe.skip)('two workers on one server', () => {
  let ground: VaultGround;
  let bao: OpenBao;
  let proxy: ChaosProxy;
  let clock: ManualClock;
  let first: VaultProcess;
  let second: VaultProcess;
  let world: World;
  let skip = 0;
  let oldTokensLive = false;
  let proved = 0;
  let all = 0;

  beforeAll(async () => {
    bao = await OpenBao.start();
    ground = await vaultGround(bao);
    proxy = await ChaosProxy.start(bao.address);
    clock = new ManualClock('2026-03-02T09:00:00.000Z');
    first = new VaultProcess(vaultSettings(ground, proxy.address), clock);
    second = new VaultProcess(vaultSettings(ground), clock);
    world = await World.open({ clock, besides: Object.values(first.backEnds) });
  });
  afterAll(async () => {
    await world.close();
    await first.close();
    await second.close();
    await proxy.close();
    ground.driver.close();
    await bao.stop();
  });

  /** Time leaps here and not in the server: a token of one request, which lives for 20 s, is over by the time its request thaws. */
  const door: Door = (standStill) => {
    const before = async ({ token, path }: Passed): Promise<void> => {
      await standStill();
      if (!oldTokensLive && isEngines(path)) await bao.api('POST', 'auth/token/revoke', { token });
    };
    proxy.plan({ before }, changes, skip);
    return () => {
      proxy.forget();
    };
  };
  /** A change by compare-and-set needs no token of its own. */
  const isEngines = (path: string): boolean => path.startsWith(`/v1/${ground.transit}/`);
  const changes = ({ method, path }: Passed): boolean =>
    method !== 'GET' &&
    [ground.transit, ground.kv, ground.documents].some((mount) => path.startsWith(`/v1/${mount}/`)) &&
    !/\/(?:sign|verify)\//.test(path);

  function arenaOf(engine: VaultEngineName): Arena {
    const custody = vaultCustody(ground, engine, first.backEnds[engine]);
    return new Arena(world, clock, custody, second.backEnds[engine], door, (base, rotations) =>
      brokenAfter(world, ground, base, rotations),
    );
  }

  async function prove(arena: Arena, one: Case & { readonly door: number }, wanted: Undisturbed) {
    proxy.forget();
    skip = one.door;
    const problem = await arena.prove(one, wanted).catch(String);
    // The effect sends fewer requests that change something: there is no such case.
    if (one.place === 'at-the-door' && problem === NEVER_FROZEN) return;
    all += 1;
    if (problem === undefined) proved += 1;
    else return `${one.what}, ${one.place} ${one.door}, thawed ${one.thaw}: ${problem}`;
    return;
  }

  const scripts = VAULT_SCRIPTS.filter(({ name }) => DEPTH !== 'check' || CHECKED.includes(name));
  it.each(VAULT_ENGINES.flatMap((engine) => scripts.map((script) => ({ engine, script }))))(
    '$engine, $script.name: every effect once, whoever did it',
    async ({ engine, script }) => {
      const arena = arenaOf(engine);
      const wanted = await arena.undisturbed(script);
      const wrong: (string | undefined)[] = [];
      for (const [number, what] of wanted.steps.entries()) {
        for (const [index, way] of WAYS.entries()) {
          const taken = byDepth({
            check: inSlice(number * 5 + index, WAYS.length),
            slice: inSlice(number * 5 + index, 9),
            full: true,
          });
          if (taken) wrong.push(await prove(arena, { script, attempt: number + 1, what, ...way }, wanted));
        }
      }
      expect(wrong.filter((each) => each !== undefined)).toEqual([]);
    },
  );

  it('takes as many as were committed', () => {
    process.stdout.write(
      `two workers on a real server: ${proved} of ${all}${sliceText('of 21 ways of each step some')}\n`,
    );
    expect(proved).toBe(all);
    expect(all).toBeGreaterThanOrEqual(COMMITTED_CASES);
  });

  it.each([
    {
      name: 'the fence of the record is not kept',
      what: 'accept',
      place: 'before-effect',
      sabotage: 'unfenced',
      law: /effects/,
    },
    {
      name: 'the token of one request outlives its step',
      what: 'generate',
      place: 'at-the-door',
      sabotage: 'none',
      law: /version/,
    },
  ] as const)('goes red where $name', async ({ what, place, sabotage, law }) => {
    const [script] = VAULT_SCRIPTS;
    if (script === undefined) throw new Error('there is no script');
    const arena = arenaOf('transit');
    const wanted = await arena.undisturbed(script);
    proxy.forget();
    oldTokensLive = true;
    // Of generate: what it begins goes into the document first, then the key is rotated.
    skip = 1;
    const attempt = wanted.steps.indexOf(what) + 1;
    try {
      expect(
        await arena.prove({ script, attempt, what, place, thaw: 'at-the-end' }, wanted, sabotage),
      ).toMatch(law);
    } finally {
      oldTokensLive = false;
    }
  });
});

const NEVER_FROZEN = 'the first worker was never frozen there';
