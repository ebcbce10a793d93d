import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { stringify } from 'yaml';
import { z } from 'zod';
import { CertificateAuthority } from '../testing/certificates.js';
import { BackEndsFileError, readBackEnds } from './vault-config.js';

const ROLE = '6f1c2d3e-0000-4000-8000-000000000001';
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'keyturn-back-ends-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const server = {
  address: 'https://vault.example.com:8200',
  documents: { mount: 'keyturn', folder: 'objects' },
  login: { kind: 'approle', roleId: ROLE, secretIdFile: 'driver.secret-id' },
  fence: { role: 'keyturn-fence', policies: ['keyturn-fence'] },
};
const kv = { instance: 'vault.kv', server: 'prod-eu', engine: 'kv', layout: 'document' };
const transit = { instance: 'vault.prod-eu', server: 'prod-eu', engine: 'transit' };
const connection = { kind: 'postgresql', host: 'db.example.com', port: 5432, database: 'app' };
const database = {
  instance: 'vault.prod-eu-db',
  server: 'prod-eu',
  engine: 'database',
  connections: { main: connection },
};
const whole = (change: object = {}, more: object = {}) => ({
  servers: { 'prod-eu': { ...server, ...change } },
  backEnds: [transit],
  ...more,
});

function fileWith(content: unknown): string {
  const file = join(folder, 'back-ends.yaml');
  writeFileSync(file, typeof content === 'string' ? content : stringify(content));
  return file;
}

function problemsOf(content: unknown): Readonly<Record<string, string>> {
  const file = fileWith(content);
  try {
    readBackEnds(file);
  } catch (error) {
    if (!(error instanceof BackEndsFileError)) throw error;
    for (const line of error.message.split('\n')) expect(line).toContain(file);
    return Object.fromEntries(error.problems.map(({ field, message }) => [field, message]));
  }
  return {};
}

it('reads servers and back ends, names relative to the file', () => {
  const { servers, backEnds } = readBackEnds(
    fileWith(
      whole({
        namespace: 'team1/keys',
        probe: { kind: 'jwt', role: 'probe', file: '/run/token' },
      }),
    ),
  );
  expect(servers).toEqual([
    {
      name: 'prod-eu',
      address: new URL('https://vault.example.com:8200'),
      namespace: 'team1/keys',
      documents: { mount: 'keyturn', folder: 'objects' },
      login: {
        kind: 'approle',
        mount: 'approle',
        roleId: ROLE,
        secretIdFile: join(folder, 'driver.secret-id'),
      },
      probe: { kind: 'jwt', mount: 'jwt', role: 'probe', file: '/run/token' },
      fence: { role: 'keyturn-fence', policies: ['keyturn-fence'] },
    },
  ]);
  expect(backEnds).toEqual([transit]);
});

it.each([
  ['plain HTTP to another machine', { address: 'http://vault.example.com:8200' }, 'address', 'plainHttp'],
  ['no address', { address: 'vault.example.com' }, 'address', 'https://'],
  ['a path in the address', { address: 'https://vault.example.com/v1' }, 'address', 'without user, path'],
  ['a user in the address', { address: 'https://a:b@vault.example.com' }, 'address', 'without user'],
  ['no documents', { documents: undefined }, 'documents', 'missing'],
  ['a path that climbs', { documents: { mount: 'a/../b', folder: 'x' } }, 'documents.mount', '".."'],
  ['a slash at the end', { namespace: 'team1/' }, 'namespace', 'slash'],
  ['a token', { token: 'anything' }, 'token', 'token-file'],
  ['a secret id', { login: { ...server.login, secretId: 'anything' } }, 'login.secretId', 'secretIdFile'],
  [
    'a token in place of a file',
    { login: { kind: 'token-file', file: `hvs.${'a'.repeat(30)}` } },
    'login.file',
    'secret itself',
  ],
  [
    'a secret id in place of a file',
    { login: { ...server.login, secretIdFile: ROLE } },
    'login.secretIdFile',
    'secret itself',
  ],
  ['a login nobody knows', { login: { kind: 'userpass' } }, 'login.kind', 'approle, jwt or token-file'],
  ['a role with a slash', { fence: { role: 'a/b', policies: ['x'] } }, 'fence.role', 'no slash'],
  ['a fence without policies', { fence: { role: 'a', policies: [] } }, 'fence.policies', 'not be empty'],
  ['a typo', { adress: 'x' }, 'adress', 'not known'],
  ['a CA file that is not there', { caFile: 'none.pem' }, 'caFile', 'not there'],
  ['no check of certificates', { tlsSkipVerify: true }, 'tlsSkipVerify', 'caFile'],
] as const)('refuses %s', (_name, change, field, words) => {
  const problems = problemsOf(whole(change));
  expect(Object.keys(problems)).toEqual([`servers.prod-eu.${field}`]);
  expect(problems[`servers.prod-eu.${field}`]).toContain(words);
});

it.each([
  ['a server that is not in the file', [{ ...transit, server: 'prod-us' }], '0.server', 'prod-eu'],
  ['an engine that is not there yet', [{ ...transit, engine: 'pki' }], '0.engine', 'transit'],
  ['a layout nobody knows', [{ ...kv, layout: 'yaml' }], '0.layout', 'document'],
  ['no layout', [{ instance: kv.instance, server: kv.server, engine: kv.engine }], '0.layout', 'document'],
  ['a layout of keys that have none', [{ ...transit, layout: 'document' }], '0.layout', 'not known'],
  ['one layout under two names', [kv, { ...kv, instance: 'vault.b' }], '1', 'vault.kv'],
  ['another name', [{ ...transit, instance: 'prod' }], '0.instance', 'vault.prod-eu'],
  ['one name twice', [transit, { ...transit }], '1.instance', 'used once'],
  ['one engine under two names', [transit, { ...transit, instance: 'vault.b' }], '1', 'vault.prod-eu'],
] as const)('refuses %s', (_name, backEnds, field, words) => {
  const problems = problemsOf(whole({}, { backEnds }));
  expect(problems[`backEnds.${field}`]).toContain(words);
});

it('says what is wrong with the name of a server', () => {
  const servers = { 'Prod EU': server };
  expect(problemsOf(whole({}, { servers }))['servers.Prod EU']).toContain('small letters');
});

it('takes engines and layouts beside each other on one server', () => {
  expect(
    problemsOf(whole({}, { backEnds: [transit, kv, { ...kv, instance: 'vault.fields', layout: 'fields' }] })),
  ).toEqual({});
});

it('refuses a file that is none, and quotes nothing of it', () => {
  const secret = `hvs.${'x'.repeat(40)}`;
  for (const text of [`a: [${secret}`, `a: 1\na: ${secret}`, `- ${secret}`, secret, '', 'a: &x 1\nb: *x']) {
    const problems = problemsOf(text);
    expect([text, Object.keys(problems).length > 0]).toEqual([text, true]);
    expect(JSON.stringify(problems)).not.toContain('xxxxx');
  }
  expect(() => readBackEnds(join(folder, 'none.yaml'))).toThrow('none.yaml: cannot be read (ENOENT)');
  expect(() => readBackEnds(folder)).toThrow('cannot be read (EISDIR)');
  writeFileSync(join(folder, 'no.pem'), 'no certificate');
  expect(problemsOf(whole({ caFile: 'no.pem' }))['servers.prod-eu.caFile']).toContain('PEM');
});

it('takes plain HTTP on this machine, and elsewhere where somebody says so', () => {
  expect(problemsOf(whole({ address: 'http://127.0.0.1:8200' }))).toEqual({});
  expect(problemsOf(whole({ address: 'http://[::1]:8200' }))).toEqual({});
  expect(problemsOf(whole({ address: 'http://vault:8200', plainHttp: true }))).toEqual({});
});

describe('database pairs', () => {
  const read = (change: object, more: object = {}) => {
    const connections = { main: { ...connection, ...change } };
    const { backEnds } = readBackEnds(
      fileWith(whole({}, { backEnds: [{ ...database, connections, ...more }] })),
    );
    return backEnds[0];
  };

  it('are read with where the probe logs in; by verified TLS where nothing is said', () => {
    expect(read({}, { cadenceDays: 30, strengthBits: 128 })).toEqual({
      ...database,
      connections: { main: { ...connection, tls: {} } },
      cadenceDays: 30,
      strengthBits: 128,
    });
    expect(read({ port: undefined, plainText: false })).toMatchObject({
      connections: { main: { port: 5432, tls: {} } },
    });
    const authority = CertificateAuthority.in(folder);
    const caFile = basename(authority.file);
    const tls = { ca: authority.certificate };
    for (const host of ['db.example.com', '127.0.0.1'])
      expect(read({ host, caFile })).toMatchObject({ connections: { main: { host, tls } } });
    expect(JSON.stringify(read({ caFile }))).not.toContain('caFile');
  });

  it('are logged in to in the clear on this machine, and elsewhere where somebody says so', () => {
    const ways = [
      [{ host: '127.0.0.1' }, undefined],
      [{ host: '::1' }, undefined],
      [{ host: 'localhost' }, undefined],
      [{ host: '127.0.0.1', plainText: false }, {}],
      [{ host: '10.0.0.7' }, {}],
      [{ host: 'localhost.example.com' }, {}],
      [{ plainText: true }, undefined],
    ] as const;
    for (const [change, tls] of ways) {
      const { connections } = z
        .object({ connections: z.object({ main: z.object({ tls: z.unknown().optional() }) }) })
        .parse(read(change));
      expect([change, connections.main.tls]).toEqual([change, tls]);
    }
  });

  it.each([
    ['a password', { password: 'anything' }, 'password', 'static-creds'],
    ['a user', { user: 'app' }, 'user', 'user of each role'],
    ['a connection string', { url: 'postgresql://a:b@c/d' }, 'url', 'host, port and database'],
    ['a mode of TLS', { sslmode: 'disable' }, 'sslmode', 'plainText'],
    ['a typo', { hots: 'x' }, 'hots', 'not known'],
    ['another kind of database', { kind: 'mysql' }, 'kind', 'postgresql'],
    ['a user in the host', { host: 'a:b@db.example.com' }, 'host', 'without scheme'],
    ['a socket for a host', { host: '/var/run/postgresql' }, 'host', 'without scheme'],
    ['no database', { database: undefined }, 'database', 'missing'],
    ['a port there is none of', { port: 70_000 }, 'port', '65535'],
    ['a CA file that is not there', { caFile: 'none.pem' }, 'caFile', 'not there'],
    ['plain text and an authority', { plainText: true, caFile: 'ca.pem' }, 'plainText', 'contradict'],
  ] as const)('are refused with %s', (_name, change, field, words) => {
    const connections = { main: { ...connection, ...change } };
    const problems = problemsOf(whole({}, { backEnds: [{ ...database, connections }] }));
    expect(Object.keys(problems)).toEqual([`backEnds.0.connections.main.${field}`]);
    expect(problems[`backEnds.0.connections.main.${field}`]).toContain(words);
  });

  it.each([
    ['no connections', { connections: undefined }, 'connections', 'missing'],
    ['no connection', { connections: {} }, 'connections', 'a connection at least'],
    ['a connection with a slash', { connections: { 'a/b': connection } }, 'connections.a/b', 'db_name'],
    ['a cadence of no days', { cadenceDays: 0 }, 'cadenceDays', '0'],
    ['half a bit', { strengthBits: 0.5 }, 'strengthBits', 'whole'],
    ['a layout', { layout: 'document' }, 'layout', 'not known'],
  ] as const)('are refused with %s', (_name, change, field, words) => {
    const problems = problemsOf(whole({}, { backEnds: [{ ...database, ...change }] }));
    expect(Object.keys(problems)).toEqual([`backEnds.0.${field}`]);
    expect(problems[`backEnds.0.${field}`]).toContain(words);
  });
});
