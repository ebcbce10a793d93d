import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import { SecretValue, systemClock } from '#platform';
import { haveRealPart } from '#platform/testing';
import type { KeyBackend } from '../key-backend.js';
import { CONNECTION, DatabasePairs, rolesOf } from '../testing/database-pairs.js';
import { Attempts } from '../testing/key-backend.contract.js';
import { OpenBao } from '../testing/openbao.js';
import type { PostgresFace } from '../testing/postgres.js';
import { sharedPostgres, type Shared } from '../testing/servers.js';
import { setUpVault } from '../testing/set-up-vault.js';
import { DatabaseEngine } from './database-engine.js';
import { PostgresProbe } from './database-postgres.js';
import { KeptDocuments } from './kept-documents.js';
import { ObjectStore } from './object-store.js';
import { VaultClient } from './vault-client.js';
import { VaultKeyBackend } from './vault-key-backend.js';
import { VaultIdentity } from './vault-identity.js';

jest.setTimeout(120_000);

const real = haveRealPart('openbao', 3) && haveRealPart('postgres', 3);

(real ? describe : describe.skip)('the policies of database pairs, on a real server', () => {
  const NAMES = ['driver', 'fence', 'probe'] as const;
  const folder = mkdtempSync(join(tmpdir(), 'keyturn-policy-'));
  let bao: OpenBao;
  let postgres: Shared<PostgresFace>;
  let pairs: DatabasePairs;
  let object: string;
  let client: VaultClient | undefined;
  let backend: KeyBackend;
  let driver: string;
  let probe: string;
  let identity: VaultIdentity;
  const token = async (policy: string): Promise<string> => {
    const made = await bao.api<{ auth: { client_token: string } }>('POST', 'auth/token/create', {
      policies: [`keyturn-${policy}`],
      no_default_policy: true,
      period: '1h',
    });
    return made.auth.client_token;
  };
  beforeAll(async () => {
    [bao, postgres] = await Promise.all([OpenBao.start(), sharedPostgres()]);
    pairs = await DatabasePairs.open(bao, postgres, 'database');
    object = await pairs.make();
    setUpVault(bao, folder, [], {
      PAIRS: rolesOf(object).join('/'),
      DB_HOST: '127.0.0.1',
      DB_PORT: String(postgres.port),
      DB_NAME: 'postgres',
    });
    [driver, probe] = await Promise.all([token('driver'), token('probe')]);
    const file = join(folder, 'token');
    writeFileSync(file, driver, { mode: 0o600 });
    const asking = new VaultClient({ instance: 'vault.test', address: bao.address });
    client = asking;
    identity = new VaultIdentity({
      client: asking,
      login: { kind: 'token-file', file },
      fence: { role: 'keyturn-fence', policies: ['keyturn-fence'] },
      clock: systemClock,
    });
    const asked = new PostgresProbe({
      host: '127.0.0.1',
      port: postgres.port,
      database: 'postgres',
      tls: undefined,
    });
    backend = new VaultKeyBackend(new DatabaseEngine(asking, { probes: new Map([[CONNECTION, asked]]) }), {
      instance: 'vault.test',
      store: new ObjectStore({
        client: asking,
        mount: 'keyturn',
        folder: 'objects',
        token: () => identity.token(),
      }),
      identity: {
        token: () => identity.token(),
        once: (seconds) => identity.once(seconds),
        probe: async () => new SecretValue(probe),
        destroyer: () => Promise.reject(new Error('nobody approved a destruction')),
      },
      kept: new KeptDocuments(join(folder, 'documents')),
      clock: async () => Date.now(),
    });
  });
  afterAll(async () => {
    await client?.close();
    await bao.stop();
    await postgres.leave();
    rmSync(folder, { recursive: true, force: true });
  });

  it('are enough for a whole turn', async () => {
    const [blue] = rolesOf(object);
    const attempts = new Attempts({ object, familyId: randomUUID() });
    const old = `${blue}@${new Date(await pairs.lastRotation(blue)).toISOString()}`;
    const { versionId } = await backend.generate(attempts.next(), {
      versionId: randomUUID(),
      algorithm: 'password',
    });
    await backend.publish(attempts.next(), { versions: [versionId], maxAgeSeconds: 300 });
    await backend.switchEmission(attempts.next(), { to: versionId });
    const containing = attempts.next();
    await backend.contain(containing, { versions: [old] });
    await backend.lift(attempts.next(), { versions: [old], containedBy: containing.key });
    await backend.withdraw(attempts.next(), { versions: [old] });
    expect(await backend.probe(object, { refused: [old], accepted: [versionId] })).toMatchObject({
      refused: [{ refused: true, how: expect.stringContaining('refused a login') }],
      accepted: [{ accepted: true, how: expect.stringContaining('let in a login') }],
    });
    await backend.destroy(attempts.next(), { versions: [old] });
  });

  /** What each of the three might be used for by whoever stole it. */
  const EVERYTHING: readonly (readonly [string, string, unknown?])[] = [
    ['LIST', 'database/static-roles'],
    ['POST', 'database/static-roles/ROLE', { db_name: CONNECTION, username: 'x', rotation_period: '1h' }],
    ['DELETE', 'database/static-roles/ROLE'],
    ['POST', 'database/rotate-root/main', {}],
    ['GET', 'database/config/main'],
    ['POST', 'database/config/main', { username: 'x' }],
    ['DELETE', 'database/config/main'],
    ['POST', 'database/reset/main', {}],
    ['LIST', 'database/config'],
    ['POST', 'database/roles/ROLE', { db_name: CONNECTION, creation_statements: 'SELECT 1' }],
    ['GET', 'database/creds/ROLE'],
    ['LIST', 'database/roles'],
    ['GET', 'secret/data/orders'],
    ['GET', 'keyturn/data/objects/transit/keys/jwt'],
    ['POST', 'secret/data/orders', { options: { cas: 0 }, data: { a: 1 } }],
    ['DELETE', 'keyturn/data/objects/database/static-roles/a/b'],
    ['POST', 'keyturn/destroy/objects/database/static-roles/a/b', { versions: [1] }],
    ['DELETE', 'keyturn/metadata/objects/database/static-roles/a/b'],
    ['LIST', 'keyturn/metadata/objects'],
    ['GET', 'transit/keys/jwt'],
    ['POST', 'auth/token/create', { policies: ['keyturn-driver'] }],
    ['POST', 'auth/token/create/another', { ttl: '30s' }],
    ['POST', 'auth/token/create/keyturn-fence', { ttl: '20s', policies: ['root'] }],
    ['POST', 'auth/token/create/keyturn-fence', { ttl: '30s', num_uses: 9, policies: ['keyturn-fence'] }],
    ['POST', 'auth/token/create/keyturn-fence', { policies: ['keyturn-fence'] }],
    ['GET', 'sys/policies/acl/keyturn-driver'],
    ['PUT', 'sys/policies/acl/keyturn-driver', { policy: '' }],
    ['GET', 'sys/mounts'],
    ['PUT', 'sys/seal'],
    ['GET', 'sys/leases/lookup/database'],
  ];
  const OWN: Readonly<Record<(typeof NAMES)[number], readonly (readonly [string, string, unknown?])[]>> = {
    driver: [['GET', 'database/static-roles/ROLE']],
    fence: [['POST', 'database/rotate-role/ROLE', {}]],
    probe: [['GET', 'database/static-creds/ROLE']],
  };

  it.each(NAMES)('%s: what it is for is allowed, and everything else is 403', async (name) => {
    const [role] = rolesOf(object);
    const status = async (method: string, path: string, body?: unknown): Promise<number> => {
      const used =
        name === 'driver'
          ? driver
          : name === 'probe'
            ? probe
            : (await identity.once(20)).reveal().toString('utf8');
      const answer = await fetch(new URL(`/v1/${path.replace('ROLE', role)}`, bao.address), {
        method,
        headers: { 'X-Vault-Token': used },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      await answer.arrayBuffer();
      return answer.status;
    };
    for (const [method, path, body] of OWN[name])
      expect([method, path, [200, 204].includes(await status(method, path, body))]).toEqual([
        method,
        path,
        true,
      ]);
    const others = NAMES.filter((each) => each !== name).flatMap((each) => OWN[each]);
    for (const [method, path, body] of [...EVERYTHING, ...others]) {
      const found = await status(method, path, body);
      // A policy the token role does not allow is refused by it, not by ours.
      const refused = JSON.stringify(body ?? {}).includes('"root"') && name === 'driver' ? 400 : 403;
      expect([method, path, found]).toEqual([method, path, refused]);
    }
  });
});
