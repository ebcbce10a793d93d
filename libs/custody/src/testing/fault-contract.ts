import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { byDepth, DEPTH, inSlice, SEED, sliceText, type Depth } from '#platform/testing';
import { BackendError, EFFECTS, type Effect, type KeyBackend } from '../key-backend.js';
import type { EngineState } from '../vault/vault-engine.js';
import { ChaosProxy, deadAddress } from './chaos-proxy.js';
import {
  CLASSES,
  cleanRun,
  everyCase,
  judge,
  oneOfEachClass,
  refusedRun,
  ROWS,
  thaw,
  type Case,
  type Clean,
  type FaultedEngine,
  type Ground,
  type Row,
  type Turn,
} from './fault-matrix.js';
import type { Operated } from './openbao.js';
import { VaultDriver } from './vault-driver.js';

/** So many cases run at once, each behind a proxy and with a token of its own; what is done to the whole server runs alone. */
const LANES = 3;
/** A slice takes one of so many cases. */
const SLICE = 12;

/** A server and what stands before it, once for each lane. */
export class FaultGround {
  private constructor(
    readonly bao: Operated,
    readonly lanes: readonly Ground[],
  ) {}

  static async before(bao: Operated): Promise<FaultGround> {
    const dead = await deadAddress();
    const lanes: Ground[] = [];
    for (let lane = 0; lane < LANES; lane += 1)
      lanes.push({
        bao,
        proxy: await ChaosProxy.start(bao.address),
        driver: await VaultDriver.on(bao),
        dead,
      });
    return new FaultGround(bao, lanes);
  }

  async close(): Promise<void> {
    for (const { driver, proxy } of this.lanes) {
      driver.close();
      await proxy.close();
    }
    await this.bao.stop();
  }
}

export interface FaultProof<State extends EngineState, Wanted> {
  readonly ground: () => FaultGround;
  /** What all lanes share (mounts), and the engine on one of them. */
  readonly open: (bao: Operated) => Promise<(lane: Ground) => FaultedEngine<State, Wanted>>;
  /** Those that have every effect share what takes long among them, each with a place of its own; the others take a place beside. */
  readonly turn: Turn;
  /**
   * In the check it takes one of so many pairs of effect and class, each class at least once: one engine takes all of them, and what is
   * the same in all is asked of the others in the slice and the whole product. Absent: every pair.
   */
  readonly oneOf?: number;
  /** What it is asked; absent: {@link ROWS}. */
  readonly rows?: readonly Row[];
  /** What it refuses by what it declares, so that no fault can meet it. */
  readonly refuses?: readonly Row[];
  /** So many cases at the least: a proof that shrinks fails. Raise it when rows or classes are added. */
  readonly committed: Readonly<Record<Depth, number>>;
}

interface Lane<State extends EngineState, Wanted> {
  readonly ground: Ground;
  readonly engine: FaultedEngine<State, Wanted>;
}

interface Frozen {
  readonly row: Row;
  readonly request: number;
}

/**
 * One engine through the fault matrix. The check takes each effect × each class once and thaws each row once; the whole product is each
 * request of each row × each class, and each request thawed.
 */
export function faultContract<State extends EngineState, Wanted>(
  name: string,
  { ground, open, turn, committed, oneOf = 1, rows = ROWS, refuses = [] }: FaultProof<State, Wanted>,
): void {
  describe(name, () => {
    const effects = EFFECTS.filter((effect) => rows.some((row) => row.effect === effect));
    let lanes: readonly Lane<State, Wanted>[];
    const clean = new Map<string, Clean>();
    let held = 0;
    let all = 0;

    const first = (): Lane<State, Wanted> => {
      const [lane] = lanes;
      if (lane === undefined) throw new Error('there is no lane');
      return lane;
    };
    const cleanOf = (row: Row): Clean => {
      const found = clean.get(row.name);
      if (found === undefined) throw new Error(`no run of ${row.name} without a fault`);
      return found;
    };
    const classes = () => [...CLASSES, ...(first().engine.classes ?? [])];

    beforeAll(async () => {
      const on = await open(ground().bao);
      lanes = ground().lanes.map((lane) => ({ ground: lane, engine: on(lane) }));
      await inLanes(rows, async (row, lane) => {
        clean.set(row.name, await cleanRun(lane.engine, lane.ground, row));
      });
    });

    afterAll(async () => {
      for (const { engine } of lanes) await engine.setUp.close();
    });

    /** Each in the first lane that is free. */
    async function inLanes<Each>(
      each: readonly Each[],
      run: (one: Each, lane: Lane<State, Wanted>) => Promise<void>,
    ): Promise<void> {
      const left = [...each];
      await Promise.all(
        lanes.map(async (lane) => {
          for (let one = left.shift(); one !== undefined; one = left.shift()) await run(one, lane);
        }),
      );
    }

    function casesOf(effect: Effect, depth: Depth = DEPTH): readonly Case[] {
      const alike = rows.filter((row) => row.effect === effect);
      return alike.flatMap((row) => {
        if (depth === 'check')
          return oneOfEachClass(row, cleanOf(row), { alike, classes: classes(), turn }).filter(
            ({ fault }) => (classes().indexOf(fault) + EFFECTS.indexOf(effect) + SEED) % oneOf === 0,
          );
        const every = everyCase(row, cleanOf(row), classes());
        return depth === 'full' ? every : every.filter((_, index) => inSlice(index, SLICE));
      });
    }

    /** In the check one that does a part of the effect; in a slice some; else all of them. */
    function frozenOf(effect: Effect, depth: Depth = DEPTH): readonly Frozen[] {
      const alike = rows.filter((row) => row.effect === effect);
      return alike.flatMap((row, place) => {
        const { requests } = cleanOf(row);
        const every = requests.map((_, request) => ({ row, request }));
        if (depth !== 'check')
          return every.filter((_, index) => depth === 'full' || inSlice(index + place, SLICE));
        const carrying = every.filter(({ request }) => requests[request]?.carries === true);
        return carrying.slice((SEED + place) % carrying.length).slice(0, 1);
      });
    }

    const countOf = (depth: Depth): number =>
      effects.reduce(
        (sofar, effect) => sofar + casesOf(effect, depth).length + frozenOf(effect, depth).length,
        0,
      );

    const note = (red: string[], at: string, findings: readonly string[]): void => {
      all += 1;
      if (findings.length === 0) held += 1;
      else red.push(`${at}: ${findings.join('; ')}`);
    };
    const failed = (error: unknown): { readonly findings: readonly string[]; readonly outcome: string } => ({
      findings: [inspect(error)],
      outcome: 'it could not be judged',
    });

    it.each(effects.map((effect) => [effect]))(
      '%s ends once, or with its surplus on record, whatever goes wrong',
      async (effect) => {
        const red: string[] = [];
        const cases = casesOf(effect);
        const run = async (each: Case, { engine, ground: on }: Lane<State, Wanted>): Promise<void> => {
          const { row, fault, request } = each;
          const verdict = await judge(engine, on, each, { clean: cleanOf(row) }).catch(failed);
          const at = cleanOf(row).requests[request]?.path;
          note(red, `${row.name}, ${fault.name}, at ${request} ${at} (${verdict.outcome})`, verdict.findings);
        };
        await inLanes(
          cases.filter(({ fault }) => fault.alone !== true),
          run,
        );
        for (const each of cases.filter(({ fault }) => fault.alone === true)) await run(each, first());
        expect(red).toEqual([]);
      },
    );

    it.each(effects.map((effect) => [effect]))(
      '%s: what thaws after a newer attempt took over doubles nothing',
      async (effect) => {
        const red: string[] = [];
        await inLanes(frozenOf(effect), async ({ row, request }, { engine, ground: on }) => {
          const verdict = await thaw(engine, on, { row, request }, cleanOf(row)).catch(failed);
          const at = cleanOf(row).requests[request]?.path;
          note(red, `${row.name}, frozen at ${request} ${at} (${verdict.outcome})`, verdict.findings);
        });
        expect(red).toEqual([]);
      },
    );

    it('is asked every effect, here or as what it refuses', () => {
      const asked = new Set([...rows, ...refuses].map(({ effect }) => effect));
      expect(EFFECTS.filter((effect) => !asked.has(effect))).toEqual([]);
    });
    for (const row of refuses)
      it(`refuses by what it declares, and changes nothing: ${row.name}`, async () => {
        const { engine, ground: on } = first();
        expect(await refusedRun(engine, on, row)).toEqual({ outcome: 'config', changed: false });
      });

    it('took no fewer cases than were committed to', () => {
      expect(all).toBeGreaterThanOrEqual(committed[DEPTH]);
      expect(held).toBe(all);
    });
    afterAll(() => {
      const check = oneOf === 1 ? 'each effect and each class once' : 'each class, and one of its effects';
      const took = byDepth({ check, slice: `one of ${SLICE}`, full: '' });
      const [slice, full] = [countOf('slice'), countOf('full')];
      process.stdout.write(
        `vault faults, ${name}: ${held} of ${all}${sliceText(`${took}; a slice has ${slice}, the whole product ${full}`)}\n`,
      );
    });

    describe('goes red where the rule is broken', () => {
      const judged = async (
        fault: string,
        through: (backend: KeyBackend) => KeyBackend,
        broken: (engine: FaultedEngine<State, Wanted>) => FaultedEngine<State, Wanted> = (engine) => engine,
      ): Promise<string> => {
        const row = rows.find((each) => each.name === 'generate');
        const found = CLASSES.find((each) => each.name === fault);
        if (row === undefined || found === undefined) throw new Error('no such case');
        const { engine, ground: on } = first();
        const request = cleanOf(row).requests.findIndex(({ carries }) => carries);
        const one: Case = { row, fault: found, request };
        const { findings } = await judge(broken(engine), on, one, { clean: cleanOf(row), through });
        return findings.join('; ');
      };

      it('an effect that happened is told as not executed', async () => {
        expect(await judged('the answer is lost', (backend) => telling(backend, 'transient'))).toContain(
          'it says transient of what has happened',
        );
      });

      it('a refusal is told as unknown', async () => {
        expect(await judged('429, a quota', (backend) => telling(backend, 'unknown'))).toContain(
          'it says unknown of what certainly did nothing',
        );
      });

      it('a surplus version is not written down', async () => {
        const blind = await judged(
          'the answer is lost',
          (backend) => backend,
          (engine) => ({ ...engine, open: engine.openBlind }),
        );
        expect(blind).toContain('1 versions more were made, and 0 of them are on record');
      });
    });
  });
}

/** Every error of this class, whatever it was. */
function telling(backend: KeyBackend, errorClass: BackendError['errorClass']): KeyBackend {
  return new Proxy(backend, {
    get: (target, name) => {
      const found: unknown = Reflect.get(target, name, target);
      if (typeof found !== 'function') return found;
      return async (...given: unknown[]) => {
        try {
          return await Reflect.apply(found, target, given);
        } catch (error) {
          throw error instanceof BackendError ? new BackendError(errorClass, error.message) : error;
        }
      };
    },
  });
}
