import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import { systemClock } from '#platform';
import { haveRealPart } from '#platform/testing';
import { DatabasePairs, rolesOf } from '../testing/database-pairs.js';
import { OpenBao } from '../testing/openbao.js';
import { Postgres } from '../testing/postgres.js';
import { setUpVault } from '../testing/set-up-vault.js';
import { checkBackEnds } from './check-back-ends.js';
import { readBackEnds } from './vault-config.js';

jest.setTimeout(60_000);

const CASES = 4;
// deploy/vault/setup.sh makes canaries with it.
const real = haveRealPart('openbao', CASES) && haveRealPart('openssl', CASES) && haveRealPart('postgres', 1);

(real ? describe : describe.skip)('what keyturn doctor says of a real server', () => {
  let bao: OpenBao;
  let out: string;
  let file: string;
  beforeAll(async () => {
    bao = await OpenBao.start();
    out = mkdtempSync(join(tmpdir(), 'keyturn-check-'));
    file = join(out, 'back-ends.yaml');
    writeFileSync(file, setUpVault(bao, out, ['jwt']));
  });
  afterAll(async () => {
    await bao.stop();
    rmSync(out, { recursive: true, force: true });
  });

  async function check(key = 'jwt') {
    const objects = [{ instance: 'vault.keyturn', object: `transit/keys/${key}` }];
    const found = await checkBackEnds(readBackEnds(file), objects, systemClock);
    return Object.fromEntries(
      found.map(({ id, state, text, mend }) => [
        id.replace('back-end.keyturn.', ''),
        [state, `${text} ${mend ?? ''}`],
      ]),
    );
  }

  it('finds nothing wrong where setup.sh set it up', async () => {
    expect(await check()).toEqual({
      server: ['fine', expect.stringContaining('2.7.2')],
      login: ['fine', expect.stringContaining('may do there what it has to')],
      probe: ['fine', expect.stringContaining('may do there what it has to')],
      fence: ['fine', expect.stringContaining('may do there what it has to')],
      documents: ['fine', expect.stringContaining('check-and-set')],
    });
  });

  it('names what is missing: a capability, a fence, check-and-set, a login', async () => {
    expect(await check('another')).toMatchObject({
      login: ['fine', expect.anything()],
      probe: [
        'problem',
        expect.stringMatching(/lacks update on transit\/sign\/another; .*transit-probe\.hcl/),
      ],
    });
    const policy = 'path "transit/keys/+/config" { capabilities = ["update"] }';
    const kept = await bao.api<{ data: { policy: string } }>('GET', 'sys/policies/acl/keyturn-fence');
    await bao.api('PUT', 'sys/policies/acl/keyturn-fence', { policy });
    await bao.api('POST', 'keyturn/config', { cas_required: false });
    expect(await check()).toMatchObject({
      fence: ['problem', expect.stringMatching(/update on transit\/keys\/jwt\/rotate.*transit-fence\.hcl/)],
      documents: ['warning', expect.stringContaining('cas_required=true')],
    });
    await bao.api('PUT', 'sys/policies/acl/keyturn-fence', { policy: kept.data.policy });
    await bao.api('POST', 'auth/token/roles/keyturn-fence', { token_num_uses: 0 });
    expect(await check()).toMatchObject({
      'fence.refused': ['problem', expect.stringContaining('token_num_uses')],
    });
    const secret = join(out, 'driver.secret-id');
    const good = readFileSync(secret);
    writeFileSync(secret, 'wrong-2c41');
    const found = await check();
    expect(found).toMatchObject({ 'login.refused': ['problem', expect.stringContaining(secret)] });
    expect(JSON.stringify(found)).not.toContain('wrong-2c41');
    writeFileSync(secret, good);
  });

  it('looks at secrets of KV and at database pairs, and at who may read passwords', async () => {
    const postgres = await Postgres.start();
    try {
      const folder = mkdtempSync(join(out, 'all-'));
      const pairs = await DatabasePairs.open(bao, postgres, 'database');
      const [good, short] = [await pairs.make(), await pairs.make('1000h')];
      const names = [good, short].map((object) => rolesOf(object).join('/'));
      const at = join(folder, 'back-ends.yaml');
      const made = setUpVault(bao, folder, ['jwt'], {
        NAME: 'all',
        KV_SECRETS: 'payments/hmac orders/webhook:paths billing/key:fields',
        PAIRS: [...names, 'none-1/none-2'].join(' '),
        DB_HOST: '127.0.0.1',
        DB_PORT: String(postgres.port),
        DB_NAME: 'postgres',
      });
      writeFileSync(at, made);
      const objects = [
        { instance: 'vault.all', object: 'transit/keys/jwt' },
        { instance: 'vault.all-kv', object: 'secret/data/payments/hmac' },
        { instance: 'vault.all-kv-paths', object: 'secret/data/orders/webhook' },
        { instance: 'vault.all-kv-fields', object: 'secret/data/billing/key' },
        { instance: 'vault.all-db', object: good },
      ];
      const look = async (more: readonly string[] = []) =>
        checkBackEnds(
          readBackEnds(at),
          [...objects, ...more.map((object) => ({ instance: 'vault.all-db', object }))],
          systemClock,
        );
      const fine = await look();
      expect(fine.filter(({ state }) => state !== 'fine')).toEqual([]);
      expect(fine.map(({ id }) => id)).toContain('back-end.vault.all-db.pairs');
      const missing = 'database/static-roles/none-1/none-2';
      const found = Object.fromEntries(
        (await look([short, missing, 'database/static-roles/other-1/other-2'])).map((each) => [
          each.id,
          each,
        ]),
      );
      expect(found[`back-end.vault.all-db.${short}`]).toMatchObject({
        state: 'problem',
        text: expect.stringContaining('set its rotation_period to 77760000s or more'),
      });
      expect(found[`back-end.vault.all-db.${missing}`]).toMatchObject({
        state: 'problem',
        text: expect.stringContaining('is not there: create it'),
      });
      expect(found['back-end.all.probe']).toMatchObject({
        state: 'problem',
        text: expect.stringContaining('read on database/static-creds/other-1'),
        mend: expect.stringContaining('database-probe.hcl'),
      });
      await bao.api('POST', 'auth/approle/role/all-driver', { token_policies: ['all-driver', 'all-probe'] });
      expect((await look()).filter(({ state }) => state !== 'fine')).toEqual([
        expect.objectContaining({ id: 'back-end.vault.all-db.passwords', state: 'warning' }),
      ]);
    } finally {
      await postgres.stop();
    }
  });

  it('says that it is sealed, or away', async () => {
    await bao.seal();
    expect(await check()).toEqual({ server: ['problem', expect.stringContaining('sealed')] });
    await bao.stop();
    expect(await check()).toEqual({ server: ['problem', expect.stringContaining('ECONNREFUSED')] });
  });
});
