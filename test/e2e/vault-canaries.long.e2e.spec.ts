import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { jest } from '@jest/globals';
import { parse } from 'yaml';
import { loadConfig } from '#platform';
import { haveRealPart } from '#platform/testing';
import { InventoryReconciler, type FamilyView, type PolicyView, type RotationViewJson } from '#rotation';
import { openKeyturn } from '../../apps/service/src/composition.js';
import { ChaosProxy, type OwnAnswer, type Passed } from '../../libs/custody/src/testing/chaos-proxy.js';
import { KvOperator } from '../../libs/custody/src/testing/kv-operator.js';
import { OpenBao } from '../../libs/custody/src/testing/openbao.js';
import { setUpVault } from '../../libs/custody/src/testing/set-up-vault.js';
import { filesUnder, hitsOf, inflated, valuesIn } from '../support/canary-scan.js';
import { COMPLETE_RUNBOOK } from '../support/runbook.js';
import { EVERYWHERE, familyBody, policyBody, wish } from './support.js';

/**
 * A service as a user starts it, with a real server behind it that is made to fail in ways that repeat what it was sent: no secret of it
 * stands anywhere afterwards. Beside `canaries.e2e.spec.ts`, which is about the local back end.
 */

// Whole processes with windows of real seconds, on a busy machine.
jest.setTimeout(900_000);

const CASES = 5;
const real = haveRealPart('openbao', CASES);
const MAIN = 'dist/apps/cli/src/main.js';
const MOUNT = 'secret';
/** Between two looks at a rotation: whoever looks often keeps a busy service from going on. */
const LOOK_MS = 1_000;
/** So often a request was answered by the proxy with what was in it. */
const ECHOES = 12;

interface Said {
  stdout: string;
  stderr: string;
}

/** Named so that whoever sees one in a log knows what it is. */
const canary = (of: string): string => `canary-${of}-${randomBytes(12).toString('hex')}`;

(real ? describe : describe.skip)(
  'a service with a real server behind it, its secrets and its failures',
  () => {
    const directory = mkdtempSync(join(tmpdir(), 'keyturn-vault-canaries-'));
    const dataDir = join(directory, 'data');
    const settings = join(directory, 'settings');
    const backEndsFile = join(settings, 'back-ends.yaml');
    const masterKey = randomBytes(32);
    const canaries = new Map<string, Buffer>([['the master key', masterKey]]);
    const places = new Map<string, Buffer>();
    const families = new Map<string, FamilyView>();
    const rotations: string[] = [];
    const said: Said = { stdout: '', stderr: '' };
    let bao: OpenBao;
    let proxy: ChaosProxy;
    let operator: KvOperator;
    let child: ChildProcess | undefined;
    let url = '';
    let token = '';
    let approver = '';
    let errors = '';
    let answers = 0;
    let echoed = 0;

    const secret = (name: string, text: string): string => {
      canaries.set(name, Buffer.from(text));
      return text;
    };

    const environment = (change: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv => ({
      HOME: directory,
      KEYTURN_DATA_DIR: dataDir,
      KEYTURN_PORT: '0',
      KEYTURN_LOG: 'json',
      KEYTURN_MASTER_KEY: masterKey.toString('base64'),
      KEYTURN_BACK_ENDS: backEndsFile,
      DEBUG: '*',
      ...change,
    });

    /** `keyturn ARGUMENTS`, as a user types it. All it prints is a place. It asks the server through the proxy, which runs here. */
    async function cli(
      name: string,
      args: readonly string[],
      change: Readonly<Record<string, string>> = {},
    ): Promise<{ readonly code: number | null; readonly stderr: string }> {
      const env = environment({ KEYTURN_URL: url, KEYTURN_TOKEN: token, ...change });
      const ran = spawn(process.execPath, [MAIN, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
      const [stdout, stderr, code] = await Promise.all([
        text(ran.stdout),
        text(ran.stderr),
        new Promise<number | null>((resolve) => ran.once('exit', resolve)),
      ]);
      places.set(`keyturn ${name}`, Buffer.from(`${stdout}\n${stderr}`));
      return { code, stderr };
    }

    async function started(): Promise<string | undefined> {
      const before = said.stdout.length;
      child = spawn(process.execPath, [MAIN, 'serve'], {
        env: environment(),
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      child.stdout?.on('data', (chunk: Buffer) => (said.stdout += chunk.toString()));
      child.stderr?.on('data', (chunk: Buffer) => (said.stderr += chunk.toString()));
      const giveUp = Date.now() + 60_000;
      for (;;) {
        const [, at] = /listens on (\S+)/.exec(said.stdout.slice(before)) ?? [];
        if (at !== undefined) {
          url = at;
          return /token bootstrap (\S+) --name/.exec(said.stdout)?.[1];
        }
        if (Date.now() > giveUp) throw new Error(`it does not start: ${said.stderr}`);
        await aMoment();
      }
    }

    async function stopped(): Promise<void> {
      const { exitCode = 0 } = child ?? {};
      if (child === undefined || exitCode !== null) return;
      const ended = new Promise((resolve) => child?.once('exit', resolve));
      child.kill('SIGTERM');
      await ended;
    }

    async function send(method: string, path: string, by: string, body?: unknown): Promise<Response> {
      return fetch(`${url}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${by}`,
          'content-type': 'application/json',
          'idempotency-key': randomUUID(),
        },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
    }

    async function asked<T>(method: string, path: string, by: string, body?: unknown): Promise<T> {
      const response = await send(method, `/api/v1${path}`, by, body);
      const text = await response.text();
      if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
      const parsed: T = text === '' ? undefined : JSON.parse(text);
      return parsed;
    }

    async function fails(method: string, path: string, by: string, body?: unknown): Promise<void> {
      const response = await send(method, path, by, body);
      expect(response.status).toBeGreaterThanOrEqual(400);
      errors += `${[...response.headers].join('\n')}\n${await response.text()}\n`;
    }

    const look = (id: string): Promise<RotationViewJson> => asked('GET', `/rotations/${id}`, token);

    /** Until it is over, or `until` says so: confirms what is asked for, and tries again what a person is asked about. */
    async function drive(
      id: string,
      until: (rotation: RotationViewJson) => boolean = ({ ended }) => ended,
      patience = 300_000,
    ): Promise<RotationViewJson> {
      const giveUp = Date.now() + patience;
      for (;;) {
        const rotation = await look(id);
        if (until(rotation)) return rotation;
        if (Date.now() > giveUp) throw new Error(`it stays ${rotation.phase}: ${rotation.waitsFor ?? ''}`);
        for (const { kind, consumer, version, missing } of rotation.confirmations) {
          if (!missing || version === null || (kind === 'acceptance') !== (rotation.phase === 'accepting'))
            continue;
          const body = { kind, consumer, version, instances: ['one'] };
          await send('POST', `/api/v1/rotations/${id}/confirmations`, token, body);
        }
        if (/person/.test(rotation.waitsFor ?? ''))
          await send('POST', `/api/v1/rotations/${id}/retry`, token, { reason: 'the server is well again' });
        await aMoment(LOOK_MS);
      }
    }

    async function rotation(familyId: string, change: object = {}): Promise<string> {
      // The one before may be over a moment before its family is free.
      const giveUp = Date.now() + 30_000;
      for (;;) {
        const path = `/api/v1/families/${familyId}/rotations`;
        const response = await send('POST', path, token, { ...wish(), ...change });
        const text = await response.text();
        // Nor is one planned before it is seen what its object holds.
        if ([409, 503].includes(response.status) && Date.now() < giveUp) {
          await aMoment(200);
          continue;
        }
        if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
        const made: RotationViewJson = JSON.parse(text);
        await asked('POST', `/rotations/${made.id}/approve`, approver, {});
        rotations.push(made.id);
        return made.id;
      }
    }

    async function family(name: string, change: Readonly<Record<string, unknown>>): Promise<FamilyView> {
      const body = familyBody({ artefactLife: 'PT1S', name, ...change });
      const made = await asked<FamilyView>('POST', '/families', token, body);
      const consumers = `/families/${made.id}/consumers`;
      await asked('POST', consumers, token, { name: `issuer of ${name}`, roles: ['emitter'] });
      await asked('POST', consumers, token, {
        name: `api of ${name}`,
        roles: ['verifier'],
        cacheTtl: 'PT1S',
      });
      await asked('PUT', `/families/${made.id}/runbook`, token, COMPLETE_RUNBOOK);
      families.set(name, made);
      return made;
    }

    const transit = (key: string) => ({
      backEnd: { instance: 'vault.keyturn', object: `transit/keys/${key}` },
    });
    const kv = (instance: string, name: string) => ({
      kind: 'shared-secret',
      algorithm: 'HS256',
      usage: 'mac',
      backEnd: { instance, object: `${MOUNT}/data/app/${name}` },
    });

    /** One request of these is answered with everything that was in it: body, headers, and where it should go instead. */
    function echo(status: number, method: string, path: RegExp): void {
      const answer: { status: number; headers: Record<string, string>; body: string } = {
        status,
        headers: {},
        body: '',
      };
      const before = async ({ token: by = 'none', body }: Passed): Promise<void> => {
        echoed += 1;
        const all = `${by} ${body}`;
        answer.headers = {
          'content-type': status === 200 ? 'text/plain' : 'application/json',
          'x-echo': all,
          'set-cookie': `token=${by}`,
          'retry-after': '0',
          'www-authenticate': all,
          location: `http://127.0.0.1:9/v1/x?token=${by}&body=${encodeURIComponent(body)}`,
        };
        answer.body =
          status === 200
            ? `<html>${all}`
            : JSON.stringify({ errors: [all, body], warnings: [all], data: all });
      };
      const instead: OwnAnswer = answer;
      proxy.plan({ before, instead }, (request) => request.method === method && path.test(request.path));
    }

    /** What went by: tokens that it was signed in with or that were good for one request, and values that were written. */
    function rememberWhatPassed(): void {
      for (const { token: by, body, path } of proxy.passed) {
        if (by !== undefined) canaries.set(`a token ${by.slice(-6)}`, Buffer.from(by));
        if (!path.includes(`/${MOUNT}/data/app/`)) continue;
        for (const [value] of body.matchAll(/(?<=")[\w-]{43}(?=")/g))
          secret(`a value ${value.slice(-6)}`, value);
      }
      proxy.forget();
    }

    async function everyGet(): Promise<void> {
      const { paths }: { paths: Readonly<Record<string, object>> } = JSON.parse(
        readFileSync('docs/openapi.json', 'utf8'),
      );
      const ids: Readonly<Record<string, readonly string[]>> = {
        family: [...families.values()].map(({ id }) => id),
        familyId: [...families.values()].map(({ id }) => id),
        rotation: rotations,
        policy: (await asked<{ items: { id: string }[] }>('GET', '/policies', token)).items.map(
          ({ id }) => id,
        ),
        containment: (await asked<{ items: { id: string }[] }>('GET', '/containments', token)).items.map(
          ({ id }) => id,
        ),
        destruction: [randomUUID()],
      };
      for (const [path, methods] of Object.entries(paths)) {
        if (!('get' in methods) || path.endsWith('/stream')) continue;
        const [, name] = /\{(\w+)\}/.exec(path) ?? [];
        for (const id of name === undefined ? [''] : (ids[name] ?? [])) {
          const at = path.replace(/\{\w+\}/, id);
          const response = await send('GET', at === '/api/v1/log/events' ? `${at}?limit=5000` : at, token);
          const bytes = Buffer.from(await response.arrayBuffer());
          places.set(`GET ${at}`, Buffer.concat([Buffer.from([...response.headers].join('\n')), bytes]));
          answers += 1;
          if (at.endsWith('.pdf') && response.ok) pdf(at, bytes);
        }
      }
    }

    /** As its reader sees it, and as it lies there unpacked. */
    function pdf(name: string, bytes: Buffer): void {
      const file = join(directory, 'a.pdf');
      const open = join(directory, 'open.pdf');
      writeFileSync(file, bytes);
      expect(inflated(bytes).length).toBeGreaterThan(500);
      places.set(`${name}, inflated`, inflated(bytes));
      if (spawnSync('qpdf', ['--qdf', '--object-streams=disable', file, open]).status === 0)
        places.set(`${name}, by qpdf`, readFileSync(open));
      const read = spawnSync('pdftotext', [file, '-']);
      if (read.status === 0) places.set(`${name}, its text`, read.stdout);
    }

    async function openServer(): Promise<void> {
      bao = await OpenBao.start();
      proxy = await ChaosProxy.start(bao.address);
      operator = new KvOperator(bao);
      mkdirSync(settings);
      const yaml: { servers: Record<string, object>; backEnds: object[] } = parse(
        setUpVault(bao, settings, ['jwt', 'rolled', 'leaked', 'drifts', 'echo']),
      );
      canaries.set('the root token', bao.rootToken.reveal());
      for (const who of ['driver', 'probe']) {
        // The one the script made is replaced by one that is known for what it is.
        secret(
          `the first secret id of the ${who}`,
          readFileSync(join(settings, `${who}.secret-id`), 'utf8').trim(),
        );
        await bao.api('POST', `auth/approle/role/keyturn-${who}/custom-secret-id`, {
          secret_id: secret(`the secret id of the ${who}`, canary(`${who}-secret-id`)),
        });
        writeFileSync(join(settings, `${who}.secret-id`), canaries.get(`the secret id of the ${who}`) ?? '');
      }
      await bao.api('POST', `sys/mounts/${MOUNT}`, { type: 'kv', options: { version: '2' } });
      for (const policy of ['kv-driver', 'kv-fields-driver']) {
        const text = readFileSync(`deploy/vault/${policy}.hcl`, 'utf8');
        await bao.api('POST', `sys/policies/acl/${policy}`, { policy: text });
        const id = secret(`the token of ${policy}`, canary(policy));
        await bao.api('POST', 'auth/token/create', { id, policies: [policy], no_default_policy: true });
        writeFileSync(join(settings, `${policy}.token`), id, { mode: 0o600 });
      }
      const server = (file: string) => ({
        address: proxy.address.href,
        documents: { mount: MOUNT, folder: 'keyturn' },
        login: { kind: 'token-file', file },
        fence: { role: 'keyturn-fence', policies: ['keyturn-fence'] },
      });
      const [named] = Object.values(yaml.servers);
      // A database pair belongs here, once its engine stands in the settings: its two passwords are canaries, too.
      const written = {
        servers: {
          keyturn: { ...named, address: proxy.address.href },
          blind: server('kv-driver.token'),
          reading: server('kv-fields-driver.token'),
        },
        backEnds: [
          ...yaml.backEnds,
          { instance: 'vault.kv', server: 'blind', engine: 'kv', layout: 'document' },
          { instance: 'vault.kv-paths', server: 'blind', engine: 'kv', layout: 'paths' },
          { instance: 'vault.kv-fields', server: 'reading', engine: 'kv', layout: 'fields' },
        ],
      };
      // JSON is YAML.
      writeFileSync(backEndsFile, JSON.stringify(written));
    }

    async function signIn(): Promise<void> {
      const code = secret('the one-time code', (await started()) ?? '');
      const first = await asked<{ token: string }>('POST', '/tokens/bootstrap', 'none', {
        code,
        name: 'Ada',
      });
      token = secret('the token of Ada', first.token);
      const order = {
        subject: { name: 'Bo', kind: 'person' },
        roles: ['approver', 'viewer', 'auditor'],
        scope: EVERYWHERE,
        label: 'Bo',
      };
      const second = await asked<{ token: string }>('POST', '/tokens', token, order);
      approver = secret('the token of Bo', second.token);
      const terms = { margins: { clockSkew: 'PT0S', safety: 'PT0S' }, settle: 'PT0S', watch: 'PT0S' };
      const body = policyBody(Date.now(), { selector: { environment: 'staging' } }, terms);
      const policy = await asked<PolicyView>('POST', '/policies', token, body);
      await asked('POST', `/policies/${policy.id}/approve`, approver, {});
    }

    /** Two rotations each, a rollback, an emergency that contains, and one among failures. */
    async function story(): Promise<void> {
      const each: readonly (readonly [string, object])[] = [
        ['jwt', transit('jwt')],
        ['drifts', transit('drifts')],
        ['document', kv('vault.kv', 'document')],
        ['paths', kv('vault.kv-paths', 'paths')],
        ['fields', kv('vault.kv-fields', 'fields')],
      ];
      const whole = async (name: string, change: Readonly<Record<string, unknown>>): Promise<void> => {
        const { id } = await family(name, change);
        await drive(await rotation(id));
        if (name === 'jwt' || name === 'fields') await drive(await rotation(id));
      };
      await Promise.all([
        ...each.map(([name, change]) => whole(name, { ...change })),
        (async () => {
          const { id } = await family('rolled', transit('rolled'));
          await drive(await rotation(id));
          const back = await rotation(id);
          await drive(back, ({ phase }) => ['emitting', 'draining'].includes(phase));
          await asked('POST', `/rotations/${back}/rollback`, token, { reason: 'verifiers refuse it' });
          await drive(back);
        })(),
        (async () => {
          const { id } = await family('leaked', transit('leaked'));
          await drive(await rotation(id));
          await drive(await rotation(id, { strategy: 'emergency', trigger: 'compromise' }));
        })(),
      ]);
    }

    async function amongFailures(): Promise<void> {
      for (const [status, method, path] of [
        [403, 'POST', /auth\/token\/create/],
        [307, 'POST', /auth\/token\/create/],
        [200, 'POST', /auth\/token\/create/],
        [400, 'POST', /transit\/keys\/echo$/],
        [429, 'POST', /transit\/keys\/echo\/config/],
        [500, 'POST', /transit\/sign\/echo/],
        [400, 'GET', /transit\/keys\/echo$/],
        [307, 'GET', /objects\/transit\/keys\/echo$/],
        [400, 'POST', /secret\/data\/app\/echo/],
        [413, 'POST', /secret\/data\/app\/echo/],
        [403, 'GET', /secret\/metadata\/app\/echo/],
        [200, 'GET', /secret\/metadata\/app\/echo/],
        [400, 'GET', /secret\/config/],
        [307, 'POST', /secret\/data\/app\/echo/],
        [500, 'POST', /secret\/data\/app\/echo/],
      ] as const)
        echo(status, method, path);
      const [key, value] = [
        await family('echo', transit('echo')),
        await family('echo of a value', kv('vault.kv-fields', 'echo')),
      ];
      const ids = [await rotation(key.id), await rotation(value.id)];
      // How far they come is not the point here: what they met is.
      await Promise.all(
        ids.map((id) =>
          drive(id, ({ ended }) => ended || echoed >= ECHOES + 3, 90_000).catch(() => undefined),
        ),
      );
    }

    /** The driver's token is gone and its secret id is not good any more; another one is then put in its place. */
    async function failedLogin(): Promise<void> {
      const tokens = new Set(proxy.passed.flatMap(({ token: by }) => (by === undefined ? [] : [by])));
      rememberWhatPassed();
      const file = join(settings, 'driver.secret-id');
      writeFileSync(file, secret('a secret id that is not good', canary('wrong-secret-id')));
      for (const each of tokens)
        if (!each.startsWith('canary-'))
          await bao.api('POST', 'auth/token/revoke', { token: each }).catch(() => undefined);
      echo(400, 'POST', /auth\/approle\/login/);
      const { id } = families.get('jwt') ?? { id: '' };
      const waiting = await rotation(id);
      const refused = (): boolean =>
        proxy.passed.some(
          ({ path, body }) => path.includes('approle/login') && body.includes('wrong-secret-id'),
        );
      const giveUp = Date.now() + 60_000;
      while (!refused() && Date.now() < giveUp) await aMoment(200);
      expect(refused()).toBe(true);
      await cli('doctor, with a login that is refused', ['doctor']);
      places.set(
        'back ends, with a login that is refused',
        Buffer.from(await (await send('GET', '/api/v1/back-ends', token)).text()),
      );
      writeFileSync(file, canaries.get('the secret id of the driver') ?? '');
      await send('POST', `/api/v1/rotations/${waiting}/abandon`, token, { reason: 'the login was refused' });
    }

    /** Secrets where none belong: in requests, and in the settings. */
    async function wrongPlaces(): Promise<void> {
      const misplaced = secret('a token in the wrong place', `s.${randomBytes(18).toString('base64url')}`);
      const wrapped = await bao.wrapped('sys/wrapping/wrap', { a: 1 });
      const wrapping = secret('a wrapped token', wrapped.reveal().toString('utf8'));
      for (const each of [misplaced, wrapping, approver]) {
        await fails('GET', `/api/v1/families?token=${each}`, token);
        await fails('GET', `/api/v1/rotations/${each}`, token);
        await fails(
          'POST',
          '/api/v1/families',
          token,
          familyBody({ backEnd: { instance: each, object: each } }),
        );
        await fails('POST', '/api/v1/families', token, familyBody({ usage: each }));
        await fails('POST', '/api/v1/families', token, `{"name": "${each}`);
        await fails('GET', '/api/v1/families', each === approver ? `${each}x` : each);
      }
      const bad = join(directory, 'bad.yaml');
      const good: { servers: Record<string, Record<string, unknown>>; backEnds: unknown } = JSON.parse(
        readFileSync(backEndsFile, 'utf8'),
      );
      const { keyturn: server = {} } = good.servers;
      const jwt = `eyJhbGciOiJIUzI1NiJ9.${randomBytes(20).toString('base64url')}.x`;
      secret('a JWT in the wrong place', jwt);
      const secretId = randomUUID();
      secret('a secret id in the wrong place', secretId);
      for (const [name, change] of [
        ['token', { token: misplaced }],
        ['tokenFile', { login: { kind: 'token-file', file: misplaced } }],
        ['secretIdFile', { login: { kind: 'approle', roleId: 'x', secretIdFile: secretId } }],
        ['kind', { login: { kind: misplaced } }],
        ['jwt', { login: { kind: 'jwt', role: 'x', file: jwt } }],
        ['address', { address: `https://${misplaced}@vault.example.com/${jwt}` }],
        ['namespace', { namespace: `${misplaced}\n` }],
        ['caFile', { caFile: misplaced }],
        ['fence', { fence: { role: misplaced, policies: [] } }],
      ] as const) {
        writeFileSync(bad, JSON.stringify({ ...good, servers: { keyturn: { ...server, ...change } } }));
        await refusesToStart(name, { KEYTURN_BACK_ENDS: bad });
      }
      writeFileSync(bad, `servers: { a: { token: ${misplaced}\n  jwt: "${jwt}`);
      await refusesToStart('no YAML', { KEYTURN_BACK_ENDS: bad });
    }

    async function refusesToStart(name: string, change: Readonly<Record<string, string>>): Promise<string> {
      const other = { KEYTURN_DATA_DIR: join(directory, 'other'), ...change };
      const ran = await cli(`serve: ${name}`, ['serve'], other);
      expect([name, ran.code === 0, ran.stderr]).toEqual([
        name,
        false,
        expect.stringMatching(/KEYTURN_BACK_ENDS|NODE_DEBUG/),
      ]);
      await cli(`doctor: ${name}`, ['doctor'], other);
      return ran.stderr;
    }

    /** Somebody with the keys of the server turns one past Keyturn; the daily comparison finds it. */
    async function drift(): Promise<void> {
      await bao.api('POST', 'transit/keys/drifts/rotate', {});
      await operator.patch(`${MOUNT}/data/app/document`, {
        stranger: secret('a stranger’s value', canary('stranger')),
      });
      const written = process.stdout.write.bind(process.stdout);
      const config = loadConfig({ ...environment(), KEYTURN_LOG: 'silent' });
      const keyturn = await openKeyturn(config, { inlineLog: true });
      try {
        const reconciler = new InventoryReconciler(keyturn.ledger, keyturn.backEnds);
        const idOf = (name: string): string => families.get(name)?.id ?? '';
        await reconciler.reconcile('vault.keyturn', [idOf('drifts')]);
        await reconciler.reconcile('vault.kv', [idOf('document')]);
        await keyturn.readModel.caughtUp();
      } finally {
        await keyturn.close();
        process.stdout.write = written;
      }
    }

    beforeAll(async () => {
      if (!existsSync(MAIN)) throw new Error('build first: npx tsc -p tsconfig.build.json');
      await openServer();
      await signIn();
      await story();
      await failedLogin();
      await amongFailures();
      await wrongPlaces();
      await stopped();
      await drift();
      await started();
      await everyGet();
      for (const args of [
        ['doctor'],
        ['doctor', '--json'],
        ['status'],
        ['families'],
        ['rotations', '--json'],
        ['obligations'],
        ['back-ends'],
      ])
        await cli(args.join(' '), args);
      for (const id of rotations.slice(0, 3)) await cli(`timeline ${id}`, ['timeline', id]);
      await cli('backup', ['backup', join(directory, 'backup')]);
      // While it runs: the write-ahead logs too.
      for (const [name, bytes] of filesUnder(dataDir)) places.set(`${name}, running`, bytes);
      await stopped();
      for (const folder of [dataDir, join(directory, 'backup')]) {
        for (const [name, bytes] of existsSync(folder) ? filesUnder(folder) : []) {
          places.set(`${folder === dataDir ? '' : 'backup '}${name}`, bytes);
          if (name.endsWith('.sqlite'))
            places.set(`${folder} ${name}, every value`, valuesIn(join(folder, name)));
        }
      }
      rememberWhatPassed();
      const names = ['document', 'paths', 'paths/blue', 'paths/green', 'fields', 'echo'];
      for (const value of await operator.values(...names.map((name) => `${MOUNT}/data/app/${name}`)))
        secret(`a value ${value.reveal().toString().slice(-6)}`, value.reveal().toString());
      places.set('error answers', Buffer.from(errors));
      const code = canaries.get('the one-time code')?.toString() ?? '';
      // What the first start prints is the one place where the code belongs.
      places.set('stdout', Buffer.from(said.stdout.replace(code, '')));
      places.set('stderr', Buffer.from(said.stderr));
    });

    afterAll(async () => {
      child?.kill('SIGKILL');
      await proxy.close();
      await bao.stop();
      rmSync(directory, { recursive: true, force: true });
    });

    it('met everything it was to meet', async () => {
      expect(echoed).toBeGreaterThanOrEqual(ECHOES);
      const events = places.get('GET /api/v1/log/events')?.toString() ?? '';
      for (const type of [
        'OldKeyRevoked',
        'StepFailed',
        'RotationRolledBack',
        'DriftObserved',
        'ContainmentApplied',
      ])
        expect([type, events.includes(`keyturn.${type}"`)]).toEqual([type, true]);
      const kinds = (of: RegExp): number => [...canaries.keys()].filter((name) => of.test(name)).length;
      // One of each secret that was turned, and the one that two fields began with.
      expect(kinds(/^a value/)).toBeGreaterThanOrEqual(5);
      expect(kinds(/^a token /)).toBeGreaterThanOrEqual(20);
      expect([...canaries.values()].every((each) => each.length >= 16)).toBe(true);
      expect(answers).toBeGreaterThan(100);
      expect([...places.keys()]).toEqual(
        expect.arrayContaining([
          'log.sqlite',
          'log.sqlite-wal, running',
          'read-model.1.sqlite',
          'GET /metrics',
          'error answers',
          'stdout',
          'stderr',
        ]),
      );
      expect([...places.keys()].some((name) => name.startsWith('back-ends/vault.keyturn/'))).toBe(true);
      expect([...places.keys()].some((name) => name.startsWith('backup '))).toBe(true);
      expect([...places.keys()].some((name) => name.endsWith('record.pdf, inflated'))).toBe(true);
    });

    it('no token, secret id, value or key stands in any file, output, answer, export, metric, record or backup, with DEBUG=*', () => {
      expect(hitsOf(canaries, places)).toEqual([]);
    });

    it('one that is planted in each kind of place is found', () => {
      const [token_] = [...canaries].filter(([name]) => name.startsWith('a token '));
      const [name, bytes] = token_ ?? ['', Buffer.alloc(0)];
      const one = new Map([[name, bytes]]);
      for (const [place, whole] of places) {
        if (whole.length > 2_000_000) continue;
        const middle = whole.length >> 1;
        const planted = Buffer.concat([whole.subarray(0, middle), bytes, whole.subarray(middle)]);
        expect(hitsOf(one, new Map([[place, planted]]))).toEqual([`${name} in ${place}`]);
      }
    });

    it('prints nothing at all for DEBUG=*: every line is its own', () => {
      expect(said.stderr).toBe('');
      const lines = said.stdout.split('\n').filter((line) => line.startsWith('{'));
      expect(lines.length).toBeGreaterThan(0);
      for (const line of lines) expect(JSON.parse(line)).toHaveProperty('level');
    });

    it('does not start with a NODE_DEBUG that would print what passes through connections', async () => {
      for (const sections of ['http,net,tls,undici', 'stream', '*']) {
        const words = await refusesToStart(`NODE_DEBUG=${sections}`, { NODE_DEBUG: sections });
        expect(words).toContain('NODE_DEBUG: makes Node print what passes through connections');
      }
    });
  },
);

async function aMoment(milliseconds = 50): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
}
