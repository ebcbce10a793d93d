import { randomUUID } from 'node:crypto';
import { expect } from '@jest/globals';
import { SecretValue } from '#platform';
import { several, type Line } from './measured.js';

const DENIED = [403, several('permission denied')];
const NO_TOKEN = [403, 'permission denied'];

/** vault-http.md, common rules, tokens, logins and fences, health. */
export const SERVER_LINES: readonly Line[] = [
  [
    'a token that is not known is told in other words than a rule that forbids',
    async (on) => {
      const { data } = on.secret();
      const token = await on.tokenWith(`path "${on.kv}/data/*" { capabilities = ["read"] }`);
      expect((await on.ask('GET', data, undefined, { token })).status).toBe(404);
      expect(await on.told('POST', data, { data: {} }, { token })).toEqual(DENIED);
      expect(await on.told('GET', 'nowhere/x', undefined, { token })).toEqual(DENIED);
      expect(await on.told('GET', 'nowhere/x')).toEqual([
        404,
        'no handler for route "nowhere/x". route entry not found.',
      ]);
      // In the middle of what it was doing.
      await on.ask('POST', 'auth/token/revoke', { token: token.reveal().toString('utf8') });
      expect(await on.told('GET', data, undefined, { token })).toEqual(NO_TOKEN);
      expect(await on.told('GET', data, undefined, { token: new SecretValue('nonsense') })).toEqual(NO_TOKEN);
      const namespace = { headers: { 'X-Vault-Namespace': 'nobody' } };
      expect(await on.told('GET', data, undefined, namespace)).toEqual([404, 'namespace not found']);
      expect((await on.told('POST', data, '{"data":'))[0]).toBe(400);
    },
  ],
  [
    'a token for one request is good for one, whatever comes of it, and of a role as the role says',
    async (on) => {
      const { data } = on.secret();
      const policy = `path "${on.kv}/data/*" { capabilities = ["create", "update"] }`;
      const once = await on.tokenWith(policy, { num_uses: 1 });
      expect((await on.told('POST', data, {}, { token: once }))[0]).toBe(400);
      expect(await on.told('POST', data, { data: {} }, { token: once })).toEqual(NO_TOKEN);
      const role = randomUUID();
      await on.ask('PUT', `sys/policies/acl/${role}`, { policy });
      const settings = {
        token_num_uses: 1,
        orphan: true,
        token_no_default_policy: true,
        allowed_policies: [role],
      };
      await on.ask('POST', `auth/token/roles/${role}`, { token_type: 'service', ...settings });
      const path = `auth/token/create/${role}`;
      const { auth } = (await on.ask('POST', path, { ttl: '20s', policies: [role] })).body;
      expect(auth).toMatchObject({ num_uses: 1, lease_duration: 20, orphan: true, policies: [role] });
      expect((await on.told('POST', path, { ttl: '20s', policies: ['root'] }))[0]).toBe(400);
      expect(await on.told('POST', 'auth/token/create/nobody', {})).toEqual([400, 'unknown role nobody']);
      const token = await on.token({ ttl: '20s' }, role);
      const both = await Promise.all([1, 2, 3].map(() => on.told('POST', data, { data: {} }, { token })));
      expect(both.filter(([status]) => status === 200)).toHaveLength(1);
    },
  ],
  [
    'a token dies with its parent, with its time, and is renewed',
    async (on) => {
      const parent = await on.tokenWith(
        'path "auth/token/*" { capabilities = ["create", "update", "read"] }',
      );
      const made = await on.ask('POST', 'auth/token/create', {}, { token: parent });
      const auth: { client_token?: string } = Object(made.body['auth']);
      const child = new SecretValue(auth.client_token ?? '');
      const self = (token: SecretValue) => on.ask('GET', 'auth/token/lookup-self', undefined, { token });
      expect((await self(child)).data).toMatchObject({ orphan: false });
      await on.ask('POST', 'auth/token/revoke', { token: parent.reveal().toString('utf8') });
      expect((await self(child)).status).toBe(403);
      const short = await on.token({ ttl: '1s', policies: ['default'] });
      await new Promise((done) => setTimeout(done, 2_100));
      expect((await self(short)).status).toBe(403);
      const renewed = await on.token({ ttl: '60s', policies: ['default'] });
      const again = await on.ask('POST', 'auth/token/renew-self', {}, { token: renewed });
      expect(again.body['auth']).toMatchObject({ lease_duration: 60, renewable: true });
      expect((await self(renewed)).data['last_renewal_time']).toBeGreaterThan(0);
    },
  ],
  [
    'a policy lets through what it names: the path that says most, its parameters, their values',
    async (on) => {
      const secret = on.secret();
      const { data } = secret;
      const token = await on.tokenWith(`
# The path that says most counts alone.
path "${on.kv}/data/*" { capabilities = ["deny"] }
path "${data}" { capabilities = ["create", "patch"]  required_parameters = ["options", "data"] }
path "${on.transit}/keys/+/config" {
  capabilities       = ["update"]
  allowed_parameters = { "min_decryption_version" = [], "min_encryption_version" = ["1"] }
}
path "${on.kv}/metadata/+" { capabilities = ["read"] }`);
      const as = { token };
      expect(await on.told('POST', data, { data: {} }, as)).toEqual(DENIED);
      const first = { options: { cas: 0 }, data: {} };
      expect((await on.ask('POST', data, first, as)).status).toBe(200);
      // The second write is no create any more.
      expect(await on.told('POST', data, { options: { cas: 1 }, data: {} }, as)).toEqual(DENIED);
      expect((await on.ask('PATCH', data, { options: { cas: 1 }, data: {} }, as)).status).toBe(200);
      expect(await on.told('GET', data, undefined, as)).toEqual(DENIED);
      expect((await on.ask('GET', secret.metadata, undefined, as)).status).toBe(200);
      expect(await on.told('DELETE', secret.metadata, undefined, as)).toEqual(DENIED);
      const config = `${on.transit}/keys/${await on.key()}/config`;
      expect((await on.ask('POST', config, { min_decryption_version: 1 }, as)).status).toBe(200);
      expect((await on.ask('POST', config, { min_encryption_version: '1' }, as)).status).toBe(200);
      expect(await on.told('POST', config, { min_encryption_version: 0 }, as)).toEqual(DENIED);
      expect(await on.told('POST', config, { deletion_allowed: true }, as)).toEqual(DENIED);
      const paths = [data, `${data}-other`];
      const seen = await on.ask('POST', 'sys/capabilities', {
        token: token.reveal().toString('utf8'),
        paths,
      });
      expect(seen.data).toMatchObject({ [data]: ['create', 'patch'], [`${data}-other`]: ['deny'] });
    },
  ],
  [
    'AppRole: its own words for each mistake, secret ids that are used up, and a lock after bad ones',
    async (on) => {
      await on.ask('POST', 'sys/auth/approle', { type: 'approle' });
      const login = (role_id: unknown, secret_id: unknown) =>
        on.ask('POST', 'auth/approle/login', { role_id, secret_id });
      const name = `auth/approle/role/${randomUUID()}`;
      await on.ask('POST', name, { token_policies: 'default', token_ttl: '60s' });
      const { role_id } = (await on.ask('GET', `${name}/role-id`)).data;
      const secret = async (more = {}) => (await on.ask('POST', `${name}/secret-id`, more)).data['secret_id'];
      const once = await secret({ num_uses: 1 });
      expect((await login(role_id, once)).body['auth']).toMatchObject({ lease_duration: 60 });
      expect((await login(role_id, once)).errors).toEqual(['invalid role or secret ID']);
      expect((await login(undefined, once)).errors).toEqual(['missing role_id']);
      const good = await secret();
      expect((await login(role_id, good)).status).toBe(200);
      const bad = [];
      for (let count = 0; count < 6; count += 1) bad.push((await login(role_id, 'bad')).status);
      expect(bad).toEqual([400, 400, 400, 400, 400, 403]);
      expect((await login(role_id, good)).status).toBe(403);
    },
  ],
  [
    'a wrapped write was executed, says no request id, and is unwrapped once',
    async (on) => {
      const { data } = on.secret();
      const headers = { 'X-Vault-Wrap-TTL': '60' };
      const { body } = await on.ask('POST', data, { data: { a: 'b' } }, { headers });
      const { token }: { token?: string } = Object(body['wrap_info']);
      expect([body['data'], body['request_id']]).toEqual([null, '']);
      expect((await on.ask('GET', data)).data['data']).toEqual({ a: 'b' });
      expect((await on.ask('POST', 'sys/wrapping/unwrap', { token })).data).toMatchObject({ version: 1 });
      expect(await on.told('POST', 'sys/wrapping/unwrap', { token })).toEqual([
        400,
        'wrapping token is not valid or does not exist',
      ]);
    },
  ],
  [
    'a quota that is used up answers 429 in words, and executes nothing',
    async (on) => {
      const { data } = on.secret();
      await on.ask('POST', 'sys/quotas/rate-limit/q', { path: `${on.kv}/`, rate: 1, interval: '60s' });
      await on.ask('GET', data);
      expect(await on.told('POST', data, { data: {} })).toEqual([
        429,
        `request path "${data}": rate limit quota exceeded`,
      ]);
      await on.ask('DELETE', 'sys/quotas/rate-limit/q');
      expect((await on.ask('GET', data)).status).toBe(404);
    },
  ],
  [
    'sealed it answers 503, and what it knew is there when it is unsealed; a SIGKILL takes nothing that was answered',
    async (on) => {
      const { data } = on.secret();
      const token = await on.token({ policies: ['default'], ttl: '60s' });
      await on.ask('POST', data, { data: { a: 1 } });
      await on.server.seal();
      expect(await on.told('GET', data)).toEqual([503, 'Vault is sealed']);
      expect((await on.ask('GET', 'sys/health')).status).toBe(503);
      expect((await on.ask('GET', 'sys/health?sealedcode=200')).body).toMatchObject({ sealed: true });
      await on.server.unseal();
      await on.server.crash();
      expect((await on.ask('GET', data)).data['data']).toEqual({ a: 1 });
      expect((await on.ask('GET', 'auth/token/lookup-self', undefined, { token })).status).toBe(200);
      const { status, body } = await on.ask('GET', 'sys/health');
      expect([status, body]).toMatchObject([200, { sealed: false, standby: false, initialized: true }]);
    },
  ],
  [
    'answers carry the index of the storage; a refusal and a plain 404 have none',
    async (on) => {
      const { data } = on.secret();
      const indexOf = (text: string | null): { cluster?: string; value?: string } =>
        JSON.parse(Buffer.from(text ?? '', 'base64').toString('utf8'));
      const one = indexOf((await on.ask('POST', data, { data: {} })).header('x-vault-index'));
      const two = indexOf((await on.ask('POST', data, { data: {} })).header('x-vault-index'));
      expect(one.cluster).toBe(two.cluster);
      expect(Number(two.value)).toBeGreaterThan(Number(one.value));
      const cas = { options: { cas: 9 }, data: {} };
      expect((await on.ask('POST', data, cas)).header('x-vault-index')).toBeNull();
      expect((await on.ask('GET', `${data}-none`)).header('x-vault-index')).toBeNull();
      // Only what leads needs not have what it is asked for.
      const further = Buffer.from(JSON.stringify({ ...one, value: '9999999' })).toString('base64');
      const headers = { 'X-Vault-Index': further, 'X-Vault-Inconsistent': 'forward-active-node' };
      expect((await on.ask('GET', data, undefined, { headers })).status).toBe(200);
    },
  ],
];
