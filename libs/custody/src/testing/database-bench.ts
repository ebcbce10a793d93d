import { SecretValue } from '#platform';
import type { Footing } from '#platform/testing';
import type { Identity } from '../vault/vault-engine.js';
import { DatabaseEngine, type DatabaseEngineOptions } from '../vault/database-engine.js';
import { PostgresProbe } from '../vault/database-postgres.js';
import { CONNECTION, DatabasePairs, rolesOf } from './database-pairs.js';
import type { Operated, Served } from './openbao.js';
import { Postgres, type PostgresFace } from './postgres.js';
import { ownServer, sharedPostgres, sharedServer } from './servers.js';
import { VaultHarness } from './vault-harness.js';

export type DatabaseHarness = ReturnType<DatabaseBench['open']>;

/** A server over a real PostgreSQL, for the specs of database pairs. */
export class DatabaseBench<Server extends Served = Served, Base extends PostgresFace = PostgresFace> {
  /** Pairs that nobody has used; a harness takes its objects from here. */
  readonly unused: string[] = [];

  private constructor(
    readonly bao: Server,
    readonly postgres: Base,
    readonly pairs: DatabasePairs,
    private readonly documents: string,
    readonly stop: () => Promise<void>,
  ) {}

  /** Both of its own: they may be killed. */
  static async start(footing: Footing): Promise<DatabaseBench<Operated, Postgres>> {
    const [bao, postgres] = await Promise.all([ownServer(footing), Postgres.start()]);
    return DatabaseBench.#on(bao, postgres, async () => {
      await bao.stop();
      await postgres.stop();
    });
  }

  /** With the other specs of this worker. */
  static async shared(footing: Footing): Promise<DatabaseBench> {
    const [bao, postgres] = await Promise.all([sharedServer(footing), sharedPostgres()]);
    return DatabaseBench.#on(bao, postgres, async () => {
      await bao.leave();
      await postgres.leave();
    });
  }

  static async #on<Server extends Served, Base extends PostgresFace>(
    bao: Server,
    postgres: Base,
    stop: () => Promise<void>,
  ): Promise<DatabaseBench<Server, Base>> {
    const pairs = await DatabasePairs.open(bao, postgres);
    const documents = await bao.mount('kv', { options: { version: '2' } });
    return new DatabaseBench(bao, postgres, pairs, documents, stop);
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
}
