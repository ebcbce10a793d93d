import { SecretValue } from '#platform';
import type { Identity } from '../vault/vault-engine.js';
import { DatabaseEngine, type DatabaseEngineOptions } from '../vault/database-engine.js';
import { PostgresProbe } from '../vault/database-postgres.js';
import { CONNECTION, DatabasePairs, rolesOf } from './database-pairs.js';
import { OpenBao } from './openbao.js';
import { Postgres } from './postgres.js';
import { VaultHarness } from './vault-harness.js';

export type DatabaseHarness = ReturnType<DatabaseBench['open']>;

/** A real server over a real PostgreSQL, for the specs of database pairs. */
export class DatabaseBench {
  /** Pairs that nobody has used; a harness takes its objects from here. */
  readonly unused: string[] = [];

  private constructor(
    readonly bao: OpenBao,
    readonly postgres: Postgres,
    readonly pairs: DatabasePairs,
    private readonly documents: string,
  ) {}

  static async start(): Promise<DatabaseBench> {
    const [bao, postgres] = await Promise.all([OpenBao.start(), Postgres.start()]);
    const pairs = await DatabasePairs.open(bao, postgres);
    return new DatabaseBench(bao, postgres, pairs, await bao.mount('kv', { options: { version: '2' } }));
  }

  open(
    options: Partial<DatabaseEngineOptions> = {},
    identity: (root: Identity) => Partial<Identity> = () => ({}),
  ) {
    const { bao, postgres, pairs, documents, unused } = this;
    const probe = new PostgresProbe({
      tls: undefined,
      host: '127.0.0.1',
      port: postgres.port,
      database: 'postgres',
      withinMs: 1_000,
    });
    return new VaultHarness({
      bao,
      algorithm: 'password',
      documents,
      identity: (_client, root) => ({ ...root, ...identity(root) }),
      engine: (client) => new DatabaseEngine(client, { probes: new Map([[CONNECTION, probe]]), ...options }),
      object: () => {
        const object = unused.shift();
        if (object === undefined) throw new Error('no unused pair is left');
        return object;
      },
      values: async (object) =>
        Promise.all(
          rolesOf(object).map(async (role) => new SecretValue((await pairs.credential(role)).password)),
        ),
    });
  }

  /** As it lies in the server. */
  async document(object: string): Promise<unknown> {
    const { data } = await this.bao.api<{ data: { data: unknown } }>(
      'GET',
      `${this.documents}/data/keyturn/${object}`,
    );
    return data.data;
  }

  async stop(): Promise<void> {
    await this.bao.stop();
    await this.postgres.stop();
  }
}
