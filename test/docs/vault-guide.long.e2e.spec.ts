import { execFile, spawn, type ChildProcess } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { jest } from '@jest/globals';
import { parseAllDocuments } from 'yaml';
import { haveRealPart } from '#platform/testing';
import {
  acceptsMac,
  makeMac,
  readLogin,
  readSecret,
  signToken,
  tokenVerifier,
  usedVersion,
} from '../../examples/vault-consumer/consumer.mjs';
import { freePort } from '../../libs/custody/src/testing/free-port.js';
import { OPENBAO } from '../../libs/custody/src/testing/openbao.js';
import { Postgres } from '../../libs/custody/src/testing/postgres.js';

const MINUTE = 60_000;
/** Some sixty commands, each a process: a minute or two on a machine that is idle. */
const AT_MOST_MS = 20 * MINUTE;
jest.setTimeout(AT_MOST_MS);

const CASES = 4;
const real = haveRealPart('openbao', CASES) && haveRealPart('postgres', CASES);

const PAGE = readFileSync('docs/vault.md', 'utf8');
/** Block by block: what a reader copies, and whether it keeps running in a terminal of its own. */
const COMMANDS = [...PAGE.matchAll(/^```sh( terminal)?\n([\s\S]*?)^```$/gm)].map(
  ([, terminal, text = '']) => ({ keeps: terminal !== undefined, text }),
);

/** docs/vault.md, as somebody follows it on a fresh machine: each block in order, in one shell; nothing is skipped. */
(real ? describe : describe.skip)('docs/vault.md', () => {
  const said: string[] = [];
  const terminals: ChildProcess[] = [];
  let home: string;
  let work: string;
  let postgres: Postgres;
  let address: string;
  let service: string;

  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), 'keyturn-guide-'));
    work = join(home, 'keyturn-vault');
    postgres = await Postgres.start();
    const [bao, cluster, keyturn] = [await freePort(), await freePort(), await freePort()];
    address = `http://127.0.0.1:${bao}`;
    service = `http://127.0.0.1:${keyturn}`;
    const ports = new Map([
      ['8200', bao],
      ['8201', cluster],
      ['7411', keyturn],
      ['5432', postgres.port],
    ]);
    const here = (text: string): string =>
      text.replaceAll(/\b(?:8200|8201|7411|5432)\b/g, (port) => String(ports.get(port)));
    const path = programs(home);
    const environment = {
      PATH: `${path}:/usr/local/bin:/usr/bin:/bin`,
      HOME: home,
      PGPASSWORD: postgres.rootPassword,
    };
    // What a block exported, and where it went, is where the next one begins.
    const begin = `set -eu\numask 077\nif [ -f "$HOME/shell" ]; then . "$HOME/shell"; cd "$PWD"; fi\n`;
    for (const { keeps, text } of COMMANDS) {
      const script = `${begin}${here(text)}`;
      if (keeps) {
        terminals.push(spawn('bash', ['-c', script], { env: environment, detached: true, stdio: 'ignore' }));
        continue;
      }
      said.push(await run(`${script}\nexport -p > "$HOME/shell"`, environment));
    }
  }, AT_MOST_MS);

  afterAll(async () => {
    for (const terminal of terminals.reverse()) await ended(terminal);
    await postgres.stop();
    rmSync(home, { recursive: true, force: true });
  });

  const root = (): string =>
    /Root Token: (\S+)/.exec(readFileSync(join(work, 'init.txt'), 'utf8'))?.[1] ?? '';
  async function ask<T>(token: string, path: string, body?: unknown): Promise<T> {
    const answer = await fetch(`${address}/v1/${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { 'X-Vault-Token': token },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const parsed: T = JSON.parse(await answer.text());
    return parsed;
  }
  async function tokenOf(policy: string): Promise<string> {
    const made = await ask<{ auth: { client_token: string } }>(root(), 'auth/token/create', {
      policies: [policy],
      no_default_policy: true,
    });
    return made.auth.client_token;
  }

  it('ends with a rotation completed on each engine, and the old versions refused', () => {
    const rotations =
      said.find((text) => text.includes('demo/orders-database') && text.includes('completed')) ?? '';
    for (const family of ['demo/session-jwt', 'demo/payments-hmac', 'demo/orders-database'])
      expect(rotations).toMatch(new RegExp(`${family}.*completed`));
    // A field is printed without an end of line, where no terminal reads it.
    expect(said).toContainEqual(expect.stringMatching(/^2\n?\[[\w-]+\]/));
    expect(said.join('\n')).not.toContain('still works');
  });

  it('has every step of each rotation in the audit log of the server', () => {
    const log = said.find((text) => text.includes('x-keyturn-rotation')) ?? '';
    const steps = [...log.matchAll(/rotation-([\w-]+)\/(\w+)/g)].map(([, id, step]) => `${id} ${step}`);
    expect(new Set(steps.map((step) => step.split(' ')[0])).size).toBe(5);
    for (const step of ['generate', 'revoke']) expect(steps.some((each) => each.endsWith(step))).toBe(true);
  });

  it('has its agent render the document and the pointer', async () => {
    const [document, pointer] = [join(work, 'payments.json'), join(work, 'session-jwt.json')];
    for (let tries = 0; tries < 300 && !(existsSync(document) && existsSync(pointer)); tries += 1)
      await new Promise((done) => setTimeout(done, 100));
    const rendered: { emit: string; accept: string[]; keys: Record<string, string> } = JSON.parse(
      readFileSync(document, 'utf8'),
    );
    expect(rendered.accept).toEqual([rendered.emit]);
    expect(rendered.keys[rendered.emit]).toHaveLength(43);
    expect(JSON.parse(readFileSync(pointer, 'utf8'))).toMatchObject({ key_version: '2' });
  });

  it('has its plain Node application sign, verify, accept and log in, with the policies of the page and no more', async () => {
    const object = 'transit/keys/session-jwt';
    const issuer = { address, token: await tokenOf('session-issuer') };
    const used = await usedVersion(issuer, object);
    expect(used.engine).toBe('2');
    const token = await signToken(issuer, object, used, {
      sub: 'nobody',
      exp: Math.floor(Date.now() / 1_000) + 60,
    });
    const bearer = readFileSync(join(work, 'data/cli-token'), 'utf8').split('\n')[0] ?? '';
    const listed = await fetch(`${service}/api/v1/families`, {
      headers: { authorization: `Bearer ${bearer}` },
    });
    const families: { items: { id: string; name: string }[] } = JSON.parse(await listed.text());
    const id = families.items.find(({ name }) => name === 'session-jwt')?.id ?? '';
    const verify = tokenVerifier(`${service}/jwks/${id}`, 1_000);
    expect(await verify(token)).toMatchObject({ sub: 'nobody' });
    await expect(signToken(issuer, object, { ...used, engine: '1' }, {})).rejects.toThrow('403');

    const payments = { address, token: await tokenOf('payments') };
    const secret = await readSecret(payments, 'secret/data/payments/hmac');
    expect(acceptsMac(secret, 'payment 1', makeMac(secret, 'payment 1'))).toBe(true);
    expect(acceptsMac(secret, 'payment 2', makeMac(secret, 'payment 1'))).toBe(false);

    const orders = { address, token: await tokenOf('orders') };
    const { username, password } = await readLogin(orders, 'database/static-roles/orders-blue/orders-green');
    expect(username).toBe('orders-green');
    await (await postgres.session(username, password)).end();
  });
});

it('the YAML of docs/vault.md is YAML, and the operator’s has the fields of its documentation', () => {
  const blocks = [...PAGE.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, text = '']) => text);
  const kubernetes = parseAllDocuments(blocks.find((text) => text.includes('kind: SecretStore')) ?? '');
  const [store, secret] = kubernetes.map((document): unknown => document.toJS());
  expect(store).toMatchObject({
    apiVersion: 'external-secrets.io/v1',
    spec: { provider: { vault: { path: 'secret', version: 'v2', auth: { appRole: { secretRef: {} } } } } },
  });
  expect(secret).toMatchObject({
    kind: 'ExternalSecret',
    spec: { secretStoreRef: { name: 'keyturn' }, data: [{ remoteRef: { key: 'payments/hmac' } }] },
  });
});

/** What the page calls by name, as it would lie on a reader's path; psql is not part of the PostgreSQL we have, so its SQL goes by `pg`. */
function programs(home: string): string {
  const folder = join(home, 'bin');
  mkdirSync(folder);
  symlinkSync(OPENBAO, join(folder, 'bao'));
  const node = (name: string, script: string, ...args: readonly string[]): void => {
    const command = [process.execPath, script, ...args].map((word) => `'${word}'`).join(' ');
    writeFileSync(join(folder, name), `#!/bin/sh\nexec ${command} "$@"\n`, { mode: 0o755 });
  };
  node('keyturn', resolve('dist/apps/cli/src/main.js'));
  writeFileSync(
    join(folder, 'psql.mjs'),
    `import { createRequire } from 'node:module';
const { Client } = createRequire(${JSON.stringify(resolve('package.json'))})('pg');
const client = new Client({ ssl: false });
try {
  await client.connect();
  await client.query(process.argv[process.argv.indexOf('-c') + 1]);
  await client.end();
} catch (error) {
  process.stderr.write(error.message + '\\n');
  process.exitCode = 2;
}
`,
  );
  node('psql', join(folder, 'psql.mjs'));
  return folder;
}

function run(script: string, env: Readonly<Record<string, string>>): Promise<string> {
  return new Promise((done, failed) => {
    execFile('bash', ['-c', script], { env, timeout: AT_MOST_MS }, (error, stdout, stderr) => {
      if (error === null) done(stdout);
      else failed(new Error(`${script}\nended with ${error.code ?? error.signal}:\n${stdout}${stderr}`));
    });
  });
}

/** The shell, and what it started. */
async function ended(terminal: ChildProcess): Promise<void> {
  const { pid } = terminal;
  if (pid === undefined || terminal.exitCode !== null) return;
  const over = new Promise((done) => terminal.once('exit', done));
  try {
    process.kill(-pid, 'SIGTERM');
  } catch {
    return;
  }
  await over;
}
