import { byDepth } from '#platform/testing';
import type { VaultClient } from '../vault/vault-client.js';
import { DatabaseEngine, type DatabaseEngineOptions } from '../vault/database-engine.js';
import { PostgresProbe } from '../vault/database-postgres.js';
import type { EngineState, VaultEngine } from '../vault/vault-engine.js';
import { CONNECTION, DatabasePairs, rolesOf } from './database-pairs.js';
import {
  aWhile,
  type Asked,
  type EngineFacts,
  type FaultClass,
  type FaultedEngine,
  type Ground,
} from './fault-matrix.js';
import type { Operated } from './openbao.js';
import type { Postgres } from './postgres.js';
import { asRoot, VaultHarness } from './vault-harness.js';

type PairState = DatabaseEngine extends VaultEngine<infer State, infer _Wanted> ? State : EngineState;
type PairWanted = DatabaseEngine extends VaultEngine<infer _State, infer Wanted> ? Wanted : never;

/**
 * Two minutes in use; here as short as it can be. Where an attempt thaws it must be longer than the token of its rotate lives (7 s here),
 * as it is in use; and longer than a request before that rotate may take (10 s), where such a one is frozen.
 */
const SETTLES_MS = { else: 400, frozen: byDepth({ check: 8_000, slice: 15_000, full: 15_000 }) };
const ROTATE_WITHIN_MS = 2_000;
const PROBE_WITHIN_MS = 3_000;
const HUNG_WITHIN_MS = 500;
/** The database has the statement by then, and has not answered. */
const IN_THE_MIDDLE_MS = 200;

/** Pairs on one server and one PostgreSQL, which every lane has in common. */
export async function databaseFaults(
  bao: Operated,
  postgres: Postgres,
  {
    name,
    blind,
  }: {
    readonly name: string;
    /** Finds no version of its own again, and writes nothing down that it did not make. */
    readonly blind: (client: VaultClient, options: DatabaseEngineOptions) => DatabaseEngine;
  },
): Promise<(lane: Ground) => FaultedEngine<PairState, PairWanted>> {
  const pairs = await DatabasePairs.open(bao, postgres);
  const documents = await bao.mount('kv', { options: { version: '2' } });
  const probe = new PostgresProbe({
    host: '127.0.0.1',
    port: postgres.port,
    database: 'postgres',
    tls: undefined,
    withinMs: PROBE_WITHIN_MS,
  });
  const options = (settlesAfterMs: number): DatabaseEngineOptions => ({
    probes: new Map([[CONNECTION, probe]]),
    inUse: 'none',
    rotateWithinMs: ROTATE_WITHIN_MS,
    settlesAfterMs,
  });
  const made = (client: VaultClient, settlesAfterMs: number) =>
    new DatabaseEngine(client, options(settlesAfterMs));
  return ({ driver, proxy }) => {
    const unused: string[] = [];
    const common = {
      bao,
      algorithm: 'password',
      documents,
      object: () => {
        const object = unused.shift();
        if (object === undefined) throw new Error('no unused pair is left');
        return object;
      },
    } as const;
    const open = (engine: (client: VaultClient) => DatabaseEngine) =>
      new VaultHarness({
        ...common,
        engine,
        address: proxy.address,
        identity: (client) => driver.identity(client),
      });
    return {
      name,
      classes: classesOf(postgres),
      settlesMs: SETTLES_MS,
      documents: `${documents}/data/keyturn/`,
      ready: async () => {
        unused.push(await pairs.make());
      },
      setUp: new VaultHarness({
        ...common,
        engine: (client) => made(client, SETTLES_MS.else),
        identity: asRoot,
      }),
      open: (way) => open((client) => made(client, SETTLES_MS[way?.frozen === true ? 'frozen' : 'else'])),
      openBlind: () => open((client) => blind(client, options(SETTLES_MS.else))),
      facts: (object) => pairFacts(pairs, postgres, object),
      changes: turns,
    };
  };
}

/** Changes of a password are counted by the database itself; what the server shows is tried there. */
async function pairFacts(pairs: DatabasePairs, postgres: Postgres, object: string): Promise<EngineFacts> {
  let made = 0;
  const limits: Record<string, unknown> = {};
  for (const [place, role] of rolesOf(object).entries()) {
    const { username, password } = await pairs.credential(role);
    const session = await postgres.session(username, password).catch(() => undefined);
    await session?.end();
    made += await postgres.passwordChanges(username);
    limits[`role ${place} gets in`] = session !== undefined;
  }
  return { made, limits };
}

function turns({ path }: Pick<Asked, 'path'>): boolean {
  return path.includes('/rotate-role/');
}

/** It is turned in the database, or a login with it comes next. */
function reachesDatabase({ path }: Asked): boolean {
  return turns({ path }) || path.includes('/static-creds/');
}

/** What happens to the database itself. */
function classesOf(postgres: Postgres): readonly FaultClass[] {
  let under: Promise<unknown> = Promise.resolve();
  const common = { told: false, lasts: true, alone: true, fits: reachesDatabase } as const;
  return [
    {
      ...common,
      name: 'the database stopped',
      trouble: () => ({ before: () => postgres.pause() }),
      heal: () => postgres.resume(),
    },
    {
      ...common,
      name: 'the database hung',
      trouble: () => ({ before: async () => postgres.freeze() }),
      withinMs: HUNG_WITHIN_MS,
      heal: async () => postgres.thaw(),
    },
    {
      ...common,
      name: 'the database killed in the middle of it',
      trouble: () => ({
        before: async () => {
          postgres.freeze();
          under = aWhile(IN_THE_MIDDLE_MS).then(() => postgres.crash());
        },
      }),
      heal: async () => {
        await under;
        await postgres.resume();
      },
    },
    {
      ...common,
      name: 'the server killed right after the database changed',
      trouble: ({ bao }) => ({
        before: async ({ path }) => {
          const role = path.split('/').at(-1) ?? '';
          const { acted } = await postgres.onceChanged(`${role}-user`, () => bao.kill());
          under = acted;
        },
      }),
      heal: async ({ bao }) => {
        await under;
        await bao.restart();
        await bao.active();
      },
      fits: turns,
      // It was in no answer and in no storage: nobody knows that password.
      unseen: 1,
    },
  ];
}
