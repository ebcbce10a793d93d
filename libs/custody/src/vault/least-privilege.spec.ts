import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import { parse } from 'yaml';
import { SecretValue, systemClock } from '#platform';
import { haveRealPart } from '#platform/testing';
import { Attempts, keyBackendContract } from '../testing/key-backend.contract.js';
import { OpenBao } from '../testing/openbao.js';
import { setUpVault } from '../testing/set-up-vault.js';
import { VaultHarness } from '../testing/vault-harness.js';
import { TransitEngine } from './transit-engine.js';
import { VaultIdentity } from './vault-identity.js';

jest.setTimeout(120_000);

const CASES = 40;
// deploy/vault/setup.sh makes canaries with it.
const real = haveRealPart('openbao', CASES) && haveRealPart('openssl', CASES);
/** More than the suite has cases: each turns keys of its own. */
const KEYS = Array.from({ length: 50 }, (_, number) => `contract-${number}`);

interface SetUp {
  readonly servers: {
    readonly keyturn: {
      readonly login: { readonly kind: 'approle'; readonly roleId: string; readonly secretIdFile: string };
      readonly probe: { readonly kind: 'approle'; readonly roleId: string; readonly secretIdFile: string };
      readonly fence: { readonly role: string; readonly policies: readonly string[] };
      readonly documents: { readonly mount: string; readonly folder: string };
    };
  };
}

(real ? describe : describe.skip)('transit with the policies of deploy/vault and nothing more', () => {
  let bao: OpenBao;
  let out: string;
  let server: SetUp['servers']['keyturn'];
  let used = 0;

  function setUp(): SetUp {
    const made: SetUp = parse(setUpVault(bao, out, KEYS));
    return made;
  }

  const identityOf = (harnessClient: ConstructorParameters<typeof VaultIdentity>[0]['client']) =>
    new VaultIdentity({
      client: harnessClient,
      login: { ...server.login, mount: 'approle' },
      probe: { ...server.probe, mount: 'approle' },
      fence: server.fence,
      clock: systemClock,
    });

  async function tokenWith(policy: string): Promise<string> {
    const made: { auth: { client_token: string } } = await bao.api('POST', 'auth/token/create', {
      policies: [policy],
      no_default_policy: true,
    });
    return made.auth.client_token;
  }

  const open = () =>
    new VaultHarness({
      bao,
      algorithm: 'ES256',
      documents: server.documents.mount,
      folder: server.documents.folder,
      engine: (client) => new TransitEngine(client),
      object: () => {
        used += 1;
        return `transit/keys/${KEYS[used % KEYS.length] ?? ''}`;
      },
      identity: (client) => {
        const identity = identityOf(client);
        return {
          token: () => identity.token(),
          probe: () => identity.probe(),
          once: (seconds) => identity.once(seconds),
          // As an approver of a destruction: with what deletes, and nothing else.
          destroyer: async () => new SecretValue(await tokenWith('keyturn-destroyer')),
        };
      },
    });

  beforeAll(async () => {
    bao = await OpenBao.start();
    out = mkdtempSync(join(tmpdir(), 'keyturn-setup-'));
    ({ keyturn: server } = setUp().servers);
  });
  afterAll(async () => {
    await bao.stop();
    rmSync(out, { recursive: true, force: true });
  });

  keyBackendContract('transit, least privilege', async () => open());

  it('is set up again without harm, and hands secret ids to their owner only', () => {
    const before = readFileSync(server.login.secretIdFile, 'utf8');
    const again = setUp();
    expect(again.servers.keyturn.login.roleId).toBe(server.login.roleId);
    expect(readFileSync(server.login.secretIdFile, 'utf8')).not.toBe(before);
    for (const file of [server.login.secretIdFile, server.probe.secretIdFile])
      expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it('asks check-and-set of every document', async () => {
    const { data } = await bao.api<{ data: { cas_required: boolean } }>(
      'GET',
      `${server.documents.mount}/config`,
    );
    expect(data.cas_required).toBe(true);
  });

  async function statusOf(token: string, method: string, path: string, body?: object): Promise<number> {
    const answer = await fetch(new URL(`/v1/${path}`, bao.address), {
      method,
      headers: {
        'X-Vault-Token': token,
        ...(method === 'PATCH' ? { 'Content-Type': 'application/merge-patch+json' } : {}),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return answer.status;
  }

  it('lets none of its tokens do anything else', async () => {
    const harness = open();
    const attempts = new Attempts(harness.fresh());
    await harness.backend.generate(attempts.next(), { versionId: randomUUID(), algorithm: 'ES256' });
    const key = attempts.object;
    const name = key.slice('transit/keys/'.length);
    const canary = execFileSync(
      'sh',
      [
        '-c',
        `printf 'keyturn canary\\n%s' "$1" | openssl dgst -sha256 -binary | openssl base64 -A`,
        'sh',
        key,
      ],
      { encoding: 'utf8' },
    );
    const { mount, folder } = server.documents;
    const document = `${mount}/data/${folder}/${key}`;
    const written = { options: { cas: 1 }, data: {} };
    const sign = (input: string) => ({ input, key_version: '1', hash_algorithm: 'sha2-256' });
    const text = async (token: Promise<SecretValue>) => (await token).reveal().toString('utf8');
    const driver = await text(harness.identity.token());
    const probe = await text(harness.identity.probe());
    const limits = { min_decryption_version: 1, min_encryption_version: 0 };

    const nobody: readonly (readonly [string, string, object?])[] = [
      ['DELETE', key],
      ['POST', `${key}/trim`, { min_available_version: 1 }],
      ['DELETE', `${key}/soft-delete`],
      ['POST', `${key}/soft-delete-restore`],
      ['POST', `${key}/config`, { ...limits, deletion_allowed: true }],
      ['POST', `${key}/config`, { ...limits, exportable: true }],
      ['POST', `${key}/config`, { ...limits, allow_plaintext_backup: true }],
      ['POST', `${key}/config`, { ...limits, auto_rotate_period: '1h' }],
      ['POST', `${key}/config`, { min_encryption_version: 0 }],
      ['POST', 'transit/keys/other', { type: 'ecdsa-p256', exportable: true }],
      ['POST', 'transit/keys/other', { type: 'aes256-gcm96' }],
      ['POST', 'transit/keys/other', {}],
      ['LIST', 'transit/keys'],
      ['GET', `transit/export/signing-key/${name}`],
      ['GET', `transit/export/public-key/${name}`],
      ['GET', `transit/backup/${name}`],
      ['POST', `transit/encrypt/${name}`, { plaintext: canary }],
      ['POST', `transit/decrypt/${name}`, { ciphertext: 'vault:v1:x' }],
      ['POST', `transit/hmac/${name}`, { input: canary }],
      ['POST', `transit/sign/${name}`, sign('aGVhZGVyLnBheWxvYWQ=')],
      ['POST', `transit/sign/${name}`, { batch_input: [{ input: canary }] }],
      ['POST', `transit/sign/${name}/sha2-256`, sign(canary)],
      ['POST', 'transit/sign/another', sign(canary)],
      ['POST', `transit/verify/${name}`, { input: 'aGVhZGVyLnBheWxvYWQ=', signature: 'vault:v1:x' }],
      ['GET', `${mount}/data/elsewhere`],
      ['GET', `${mount}/data/${folder}/other/keys/x`],
      ['DELETE', document],
      ['PATCH', document, written],
      ['DELETE', `${mount}/metadata/${folder}/${key}`],
      ['POST', `${mount}/destroy/${folder}/${key}`, { versions: [1] }],
      ['LIST', `${mount}/metadata/${folder}`],
      ['POST', `${mount}/config`, { cas_required: false }],
      ['POST', 'auth/token/create', { ttl: '20s' }],
      ['POST', 'auth/token/create-orphan', { ttl: '20s' }],
      ['POST', 'auth/token/create/keyturn-fence', {}],
      ['POST', 'auth/token/create/keyturn-fence', { ttl: '768h' }],
      ['POST', 'auth/token/create/keyturn-fence', { ttl: '20s', num_uses: 5 }],
      ['POST', 'auth/token/create/keyturn-fence', { ttl: '20s', explicit_max_ttl: '768h' }],
      ['POST', 'auth/token/roles/keyturn-fence', { token_num_uses: 0 }],
      ['POST', 'auth/approle/role/keyturn-driver/secret-id'],
      ['POST', 'auth/token/revoke', { token: 'x' }],
      ['PUT', 'sys/policies/acl/keyturn-driver', { policy: '' }],
      ['GET', 'sys/mounts'],
      ['PUT', 'sys/seal'],
    ];
    for (const [method, path, body] of nobody) {
      const who = { driver, probe, fence: await text(harness.identity.once(20)) };
      for (const [whose, token] of Object.entries(who))
        expect([whose, method, path, await statusOf(token, method, path, body)]).toEqual([
          whose,
          method,
          path,
          403,
        ]);
    }
    // One identity's own is not another's; the right one shows that these requests are good.
    const own: readonly (readonly [string, string, object | undefined, 'driver' | 'probe' | 'fence'])[] = [
      ['GET', key, undefined, 'driver'],
      ['GET', document, undefined, 'driver'],
      ['POST', document, written, 'driver'],
      ['POST', 'auth/token/create/keyturn-fence', { ttl: '20s', policies: ['keyturn-fence'] }, 'driver'],
      ['GET', `${mount}/config`, undefined, 'driver'],
      ['POST', `transit/sign/${name}`, sign(canary), 'probe'],
      ['POST', `${key}/config`, limits, 'fence'],
      ['POST', `${key}/rotate`, {}, 'fence'],
      ['POST', 'transit/keys/new-one', { type: 'ed25519' }, 'fence'],
    ];
    for (const [method, path, body, whose] of own) {
      const who = { driver, probe, fence: await text(harness.identity.once(20)) };
      for (const [each, token] of Object.entries(who)) {
        const status = await statusOf(token, method, path, body);
        // Of the right one whatever it answers, it is no refusal: a check-and-set that does not fit is a 400.
        expect([each, method, path, status === 403]).toEqual([each, method, path, each !== whose]);
      }
    }
    // The mount's own rule: nobody writes without comparing.
    expect(await statusOf(driver, 'POST', document, { data: {} })).toBe(400);
    // What a fence is made for, and no other policy.
    expect(
      await statusOf(driver, 'POST', 'auth/token/create/keyturn-fence', { ttl: '20s', policies: ['root'] }),
    ).toBe(400);
    await harness.close();
  });

  it('pins a service that signs to the versions named in its policy', async () => {
    const harness = open();
    const attempts = new Attempts(harness.fresh());
    for (const _ of [1, 2])
      await harness.backend.generate(attempts.next(), { versionId: randomUUID(), algorithm: 'ES256' });
    const name = attempts.object.slice('transit/keys/'.length);
    const { mount, folder } = server.documents;
    const policy = readFileSync('deploy/vault/transit-emitter.hcl', 'utf8')
      .replaceAll('VERSIONS', '"2"')
      .replaceAll('TRANSIT', 'transit')
      .replaceAll('DOCUMENTS', mount)
      .replaceAll('FOLDER', folder)
      .replaceAll('KEY', name);
    await bao.api('PUT', 'sys/policies/acl/emitter', { policy });
    const token = await tokenWith('emitter');
    const body = (version: unknown) => ({ input: 'aGk=', key_version: version, hash_algorithm: 'sha2-256' });
    const path = `transit/sign/${name}`;
    expect(await statusOf(token, 'POST', path, body('2'))).toBe(200);
    for (const version of ['1', '0', '', '00', 1, 2, null])
      expect([version, await statusOf(token, 'POST', path, body(version))]).toEqual([version, 403]);
    expect(await statusOf(token, 'POST', path, { input: 'aGk=' })).toBe(403);
    expect(await statusOf(token, 'GET', `${mount}/data/${folder}/${attempts.object}`)).toBe(200);
    expect(await statusOf(token, 'GET', attempts.object)).toBe(403);
    await harness.close();
  });
});
