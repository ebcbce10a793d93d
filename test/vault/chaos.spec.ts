import { jest } from '@jest/globals';
import { byDepth, haveRealPart, ManualClock, SEED, sliceText } from '#platform/testing';
import { ChaosProxy, deadAddress, type Trouble } from '../../libs/custody/src/testing/chaos-proxy.js';
import { CLASSES, type FaultClass } from '../../libs/custody/src/testing/fault-matrix.js';
import { OpenBao } from '../../libs/custody/src/testing/openbao.js';
import { openTransit } from '../../libs/custody/src/testing/vault-transit.js';
import type { ObjectDocument } from '../../libs/custody/src/vault/object-document.js';
import { TransitEngine } from '../../libs/custody/src/vault/transit-engine.js';
import { workerOf } from '../support/barrier.js';
import { ground as scriptGround } from '../support/script-stage.js';
import type { Script, Stage } from '../support/scripts.js';
import {
  awayText,
  following,
  VAULT_ENGINES,
  VAULT_SCRIPTS,
  vaultCustody,
  vaultGround,
  VaultProcess,
  vaultSettings,
  type VaultGround,
} from '../support/vault-custody.js';
import { World } from '../support/world.js';
import { brokenAfter, brokenNow } from './laws.js';
import { playHelped } from './people.js';

/**
 * Whole rotations while the way to the server, or the server itself, goes wrong: which requests meet which fault is drawn by a seed.
 * After every decision the laws that hold in between are asked of the server, past Keyturn; at the end, those that hold at rest.
 */

jest.setTimeout(byDepth({ check: 600_000, slice: 1_800_000, full: 7_200_000 }));

const SEEDS = byDepth({ check: 2, slice: 12, full: 60 });
/** Each of them with each engine. */
const CASES = SEEDS * VAULT_ENGINES.length;
/** Of the requests of one rotation, roughly: a fault drawn beyond its last one meets nothing. */
const REQUESTS = 90;
const FAULTS = 6;
/** 64 MB more each: the matrix of single calls has it (libs/custody/src/vault/faults.spec.ts). */
const TAKEN = CLASSES.filter(({ name }) => name !== 'a body without an end');
/** The server comes down, or is sealed: one of them in a rotation is enough. */
const HEAVY = (fault: FaultClass): boolean => /sealed|killed/.test(fault.name);
/** Looks of Keyturn at a server that stays away: each asks it nothing and records nothing. */
const AWAY_TURNS = 3;

const real = haveRealPart('openbao', CASES);

/** The same numbers for the same seed. */
function drawer(seed: number): (below: number) => number {
  let state = (seed * 2_654_435_761) >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

(real ? describe : describe.skip)('rotations through chaos', () => {
  let bao: OpenBao;
  let dead: URL;
  let ground: VaultGround;
  let proxy: ChaosProxy;
  let clock: ManualClock;
  let process: VaultProcess;
  let world: World;
  let proved = 0;
  let all = 0;
  let met = 0;
  let people = 0;

  beforeAll(async () => {
    bao = await OpenBao.start();
    dead = await deadAddress();
    ground = await vaultGround(bao);
    proxy = await ChaosProxy.start(bao.address);
    clock = new ManualClock('2026-03-02T09:00:00.000Z');
    process = new VaultProcess(vaultSettings(ground, proxy.address), clock);
    world = await World.open({ clock, besides: Object.values(process.backEnds) });
  });
  afterAll(async () => {
    await world.close();
    await process.close();
    await proxy.close();
    ground.driver.close();
    await bao.stop();
  });

  /** What still has to be mended by an operator, and after how many more looks they come. */
  const ill: { readonly fault: FaultClass; turns: number }[] = [];

  async function heal(at: (turns: number) => boolean): Promise<void> {
    for (const each of ill) each.turns -= 1;
    for (const each of ill.filter(({ turns }) => at(turns))) {
      ill.splice(ill.indexOf(each), 1);
      await each.fault.heal?.({ bao, proxy, driver: ground.driver, dead });
    }
  }

  function plan(draw: (below: number) => number): void {
    let heavy = 0;
    for (let number = 0; number < FAULTS; number += 1) {
      const fault = TAKEN[draw(TAKEN.length)];
      const skip = draw(REQUESTS);
      if (fault === undefined || (HEAVY(fault) && (heavy += 1) > 1)) continue;
      const trouble = fault.trouble({ bao, proxy, driver: ground.driver, dead });
      const noted: Trouble = {
        ...trouble,
        before: async (request) => {
          met += 1;
          if (fault.heal !== undefined) ill.push({ fault, turns: AWAY_TURNS });
          // While it is sealed or down there is nothing more to break.
          await trouble.before?.(request).catch(() => undefined);
        },
        ...(trouble.after === undefined
          ? {}
          : { after: (request) => trouble.after?.(request).catch(() => undefined) ?? Promise.resolve() }),
      };
      proxy.plan(noted, undefined, skip);
    }
  }

  async function prove(engine: (typeof VAULT_ENGINES)[number], seed: number): Promise<string | undefined> {
    const draw = drawer(seed);
    const script = VAULT_SCRIPTS[draw(VAULT_SCRIPTS.length)];
    if (script === undefined) throw new Error('there is no script');
    proxy.forget();
    const backEnd = process.backEnds[engine];
    const base = await scriptGround(world, clock, script.overlap, vaultCustody(ground, engine, backEnd));
    // Nothing is accepted beside what an emergency contains, and a cut-over has no overlap: their laws are those at rest.
    const between = script.overlap === 'dual' && !script.name.startsWith('emergency');
    plan(draw);
    const wrong: string[] = [];
    const runner = workerOf(world, `chaos#${seed}`, undefined, true, backEnd);
    const look = async <T>(turn: () => Promise<T>): Promise<T> => {
      if (awayText(backEnd) !== undefined) await process.vault.look();
      const wake = await turn();
      await heal((turns) => turns <= 0);
      if (between && ill.length === 0) wrong.push(...(await brokenNow(ground, process, base)));
      return wake;
    };
    const stage = {
      ...base,
      advance: (id: string) => look(() => runner.advance(id, base.familyId, 1)),
      advanceContainment: (id: string) => look(() => runner.advanceContainment(id, base.familyId)),
    };
    try {
      const played = await playHelped(stage, script);
      people += played.asked.length;
      if (played.phase !== script.ends) wrong.push(`it ended ${played.phase}, not ${script.ends}`);
      for (const why of played.asked) if (why.length < 20) wrong.push(`a person is asked for “${why}”`);
      proxy.forget();
      await heal(() => true);
      await proxy.settled();
      await process.vault.look();
      wrong.push(...(await brokenAfter(world, ground, base, played.rotations)));
    } finally {
      proxy.forget();
      await heal(() => true);
      await process.vault.look();
    }
    return wrong.length === 0 ? undefined : `${script.name}: ${wrong.slice(0, 4).join('; ')}`;
  }

  it.each(VAULT_ENGINES)(
    '%s: every rotation ends, and the server has what the record says',
    async (engine) => {
      const red: string[] = [];
      for (let number = 0; number < SEEDS; number += 1) {
        const seed = SEED + number;
        all += 1;
        const problem = await prove(engine, seed).catch((error: unknown) =>
          error instanceof Error ? (error.stack ?? error.message).slice(0, 900) : String(error),
        );
        if (problem === undefined) proved += 1;
        else red.push(`seed ${seed}: ${problem}`);
      }
      expect(red).toEqual([]);
    },
  );

  it('takes as many as were committed, and every fact of them is one that is decoded', async () => {
    globalThis.process.stdout.write(
      `rotations through chaos: ${proved} of ${all}${sliceText(`${SEEDS} seeds of each engine`)}, ${met} faults met, ${people} times a person asked\n`,
    );
    expect(all).toBe(CASES);
    expect(proved).toBe(all);
    expect(met).toBeGreaterThanOrEqual(CASES);
    let facts = 0;
    for await (const logged of world.store.log.readAll()) {
      expect(world.store.decode(logged).type).not.toBe('');
      facts += 1;
    }
    expect(facts).toBeGreaterThan(CASES * 15);
  });

  it('goes red where an engine finds nothing again and writes no surplus down', async () => {
    const { transit, documents } = ground;
    const other = openTransit(
      { transit, documents },
      {
        bao,
        driver: ground.driver,
        address: proxy.address,
        engine: (client) => new BlindEngine(client),
      },
    );
    const backEnd = following(other.backend, clock);
    const apart = await World.open({ clock, besides: [backEnd] });
    try {
      const base = await scriptGround(apart, clock, 'dual', vaultCustody(ground, 'transit', backEnd));
      proxy.forget();
      proxy.plan({ answer: 'cut' }, ({ path }) => path.endsWith('/rotate'));
      const runner = workerOf(apart, 'blind#1', undefined, true, backEnd);
      const { rotations } = await playHelped({ ...base, ...driving(runner, base.familyId) }, graceful());
      expect(proxy.outstanding).toBe(0);
      const wrong = await brokenAfter(apart, ground, base, rotations);
      expect(wrong).toContainEqual(expect.stringMatching(/3 versions were made, and 2 are on record/));
    } finally {
      await apart.close();
      await other.close();
    }
  });

  it('goes red where the server refuses what is still accepted', async () => {
    const backEnd = process.backEnds.transit;
    const base = await scriptGround(world, clock, 'dual', vaultCustody(ground, 'transit', backEnd));
    expect(await brokenNow(ground, process, base)).toEqual([]);
    await bao.api('POST', `${base.object}/rotate`);
    await bao.api('POST', `${base.object}/config`, { min_decryption_version: 2, min_encryption_version: 2 });
    expect(await brokenNow(ground, process, base)).toEqual([expect.stringContaining('refuses version 1')]);
  });
});

class BlindEngine extends TransitEngine {
  override happened(): boolean {
    return false;
  }

  override seen(document: ObjectDocument): ObjectDocument {
    return document;
  }
}

function graceful(): Script {
  const found = VAULT_SCRIPTS.find(({ name }) => name === 'graceful');
  if (found === undefined) throw new Error('there is no graceful script');
  return found;
}

function driving(
  runner: ReturnType<typeof workerOf>,
  familyId: string,
): Pick<Stage, 'advance' | 'advanceContainment'> {
  return {
    advance: (id) => runner.advance(id, familyId, 1),
    advanceContainment: (id) => runner.advanceContainment(id, familyId),
  };
}
