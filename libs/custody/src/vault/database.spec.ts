import { randomUUID } from 'node:crypto';
import { jest } from '@jest/globals';
import { haveRealPart } from '#platform/testing';
import { BackendError, type KeyBackend } from '../key-backend.js';
import { CONNECTION, DatabasePairs, rolesOf } from '../testing/database-pairs.js';
import { Attempts, keyBackendContract } from '../testing/key-backend.contract.js';
import { OpenBao } from '../testing/openbao.js';
import { Postgres } from '../testing/postgres.js';
import { VaultHarness } from '../testing/vault-harness.js';
import { DatabaseEngine, type DatabaseEngineOptions } from './database-engine.js';
import { PostgresProbe } from './database-postgres.js';

jest.setTimeout(120_000);

const CASES = 50;
const real = haveRealPart('openbao', CASES) && haveRealPart('postgres', CASES);

(real ? describe : describe.skip)('database pairs on a real server and a real PostgreSQL', () => {
  let bao: OpenBao;
  let postgres: Postgres;
  let pairs: DatabasePairs;
  let documents: string;
  const unused: string[] = [];
  const open = (options: Partial<DatabaseEngineOptions> = {}) => {
    const probe = new PostgresProbe({
      host: '127.0.0.1',
      port: postgres.port,
      database: 'postgres',
      withinMs: 1_000,
    });
    return new VaultHarness({
      bao,
      algorithm: 'password',
      documents,
      engine: (client) => new DatabaseEngine(client, { probes: new Map([[CONNECTION, probe]]), ...options }),
      object: () => unused.shift() ?? 'no pair is left',
      values: async (object) =>
        Promise.all(rolesOf(object).map(async (role) => (await pairs.credential(role)).password)),
    });
  };
  beforeAll(async () => {
    [bao, postgres] = await Promise.all([OpenBao.start(), Postgres.start()]);
    pairs = await DatabasePairs.open(bao, postgres);
    documents = await bao.mount('kv', { options: { version: '2' } });
  });
  beforeEach(async () => {
    while (unused.length < 3) unused.push(await pairs.make());
  });
  afterAll(async () => {
    await bao.stop();
    await postgres.stop();
  });

  keyBackendContract('database pairs, OpenBao and PostgreSQL', async () => open({ inUse: 'none' }));
});
