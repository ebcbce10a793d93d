import { jest } from '@jest/globals';
import { byDepth, footingOn, inSlice, sliceText } from '#platform/testing';
import { BackendError, type KeyBackend } from '../key-backend.js';
import { ChaosProxy, deadAddress } from '../testing/chaos-proxy.js';
import {
  cleanRun,
  CLASSES,
  everyCase,
  judge,
  oneOfEachClass,
  ROWS,
  thaw,
  type Case,
  type Clean,
  type FaultedEngine,
  type Ground,
} from '../testing/fault-matrix.js';
import { ownServer } from '../testing/servers.js';
import { VaultDriver } from '../testing/vault-driver.js';
import { openTransit, transitFacts, transitOn } from '../testing/vault-transit.js';
import { TransitEngine } from './transit-engine.js';
import type { ObjectDocument } from './object-document.js';
import type { EngineState, VaultEngine } from './vault-engine.js';

type TransitState = TransitEngine extends VaultEngine<infer State, infer _Wanted> ? State : never;
type TransitWanted = TransitEngine extends VaultEngine<infer _State, infer Wanted> ? Wanted : never;

/** The check takes each effect × each class once; the whole product is each request of each effect × each class. */
jest.setTimeout(byDepth({ check: 600_000, slice: 1_200_000, full: 3_600_000 }));

const footing = footingOn('openbao');

describe(`between Keyturn and ${footing.name}`, () => {
  let ground: Ground;
  beforeAll(async () => {
    const bao = await ownServer(footing);
    ground = {
      bao,
      proxy: await ChaosProxy.start(bao.address),
      driver: await VaultDriver.on(bao),
      dead: await deadAddress(),
    };
  });
  afterAll(async () => {
    ground.driver.close();
    await ground.proxy.close();
    await ground.bao.stop();
  });

  describe('transit', () => {
    faults(async () => transit(ground));
  });

  function faults<State extends EngineState, Wanted>(of: () => Promise<FaultedEngine<State, Wanted>>): void {
    let engine: FaultedEngine<State, Wanted>;
    const clean = new Map<string, Clean>();
    beforeAll(async () => {
      engine = await of();
      for (const row of ROWS) clean.set(row.name, await cleanRun(engine, ground, row));
    });
    const cleanOf = (name: string): Clean => {
      const found = clean.get(name);
      if (found === undefined) throw new Error(`no run of ${name} without a fault`);
      return found;
    };
    const casesOf = (row: Case['row'], place: number): readonly Case[] =>
      byDepth({
        check: () => oneOfEachClass(row, cleanOf(row.name), place),
        slice: () => everyCase(row, cleanOf(row.name)).filter((_, index) => inSlice(index, 4)),
        full: () => everyCase(row, cleanOf(row.name)),
      })();

    let held = 0;
    let all = 0;
    it.each(ROWS.map((row, place) => [row.name, row, place] as const))(
      '%s ends once, or with its surplus on record, whatever goes wrong',
      async (_name, row, place) => {
        const red: string[] = [];
        for (const each of casesOf(row, place)) {
          const { findings, outcome } = await judge(engine, ground, each, { clean: cleanOf(row.name) });
          const at = cleanOf(row.name).requests[each.request]?.path;
          all += 1;
          if (findings.length === 0) held += 1;
          else red.push(`${each.fault.name}, at ${each.request} ${at} (${outcome}): ${findings.join('; ')}`);
        }
        expect(red).toEqual([]);
      },
    );
    it.each(ROWS.map((row) => [row.name, row] as const))(
      '%s: what thaws after a newer attempt took over doubles nothing',
      async (_name, row) => {
        const red: string[] = [];
        const { requests } = cleanOf(row.name);
        for (const [request, { carries, path }] of requests.entries()) {
          if (!carries) continue;
          const { findings, outcome } = await thaw(engine, ground, { row, request }, cleanOf(row.name));
          all += 1;
          if (findings.length === 0) held += 1;
          else red.push(`frozen at ${request} ${path} (${outcome}): ${findings.join('; ')}`);
        }
        expect(red).toEqual([]);
      },
    );
    afterAll(() => {
      process.stdout.write(
        `vault faults, ${engine.name}: ${held} of ${all}${sliceText('each class once')}\n`,
      );
    });

    describe('goes red where the rule is broken', () => {
      const generate = ROWS.find(({ name }) => name === 'generate');
      const judged = async (
        fault: string,
        through: (backend: KeyBackend) => KeyBackend,
        other: FaultedEngine<State, Wanted> = engine,
      ): Promise<string> => {
        const row = generate ?? ROWS[0];
        const found = CLASSES.find(({ name }) => name === fault);
        if (row === undefined || found === undefined) throw new Error('no such case');
        const { requests } = cleanOf(row.name);
        const request = requests.findIndex(({ carries }) => carries);
        const clean = cleanOf(row.name);
        const { findings } = await judge(other, ground, { row, fault: found, request }, { clean, through });
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
        const blind = { ...engine, open: engine.openBlind };
        expect(await judged('the answer is lost', (backend) => backend, blind)).toContain(
          '1 versions more were made, and 0 of them are on record',
        );
      });
    });
  }
});

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

/** Finds no version of its own again, and writes nothing down that it did not make. */
class BlindTransit extends TransitEngine {
  override happened(): boolean {
    return false;
  }

  override seen(document: ObjectDocument): ObjectDocument {
    return document;
  }
}

async function transit({ bao, proxy, driver }: Ground): Promise<FaultedEngine<TransitState, TransitWanted>> {
  const mount = await transitOn(bao);
  const on = { bao, driver, address: proxy.address };
  return {
    name: 'transit',
    documents: `${mount.documents}/data/keyturn/`,
    open: () => openTransit(mount, on),
    openBlind: () => openTransit(mount, { ...on, engine: (client) => new BlindTransit(client) }),
    facts: (object) => transitFacts(bao, object),
    changes: ({ path }, object) => path.startsWith(`/v1/${object}`),
  };
}
