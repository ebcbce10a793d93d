import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { loadConfig, systemIds } from '#platform';
import { run, type Ran } from '../../apps/cli/src/testing/run-in.js';
import { assembleApp } from '../../apps/service/src/create-app.js';
import { openKeyturn } from '../../apps/service/src/composition.js';
import { startService, type StartedService } from '../../apps/service/src/testing/started-service.js';
import { ConfirmHold, ConfirmHoldHandler } from '#rotation/application';
import { RotationRunner, type FamilyView } from '#rotation';
import { openSqliteEventLog } from '#eventlog/sqlite';
import { Stage } from './support.js';

/** A backup of a service that goes on working, put back; and what is refused. */

jest.setTimeout(240_000);

const base = mkdtempSync(join(tmpdir(), 'keyturn-backup-'));
let names = 0;
const place = (name: string): string => {
  names += 1;
  return join(base, `${name}-${names}`);
};

let service: StartedService;
let stage: Stage;
let family: FamilyView;
const dataDir = (): string => join(service.directory, 'data');
const cli = (argv: readonly string[], env: Record<string, string> = {}): Promise<Ran> =>
  run(argv, { url: service.url, env: { KEYTURN_DATA_DIR: dataDir(), KEYTURN_TOKEN: service.token, ...env } });
const json = (ran: Ran): Record<string, unknown> => {
  const value: Record<string, unknown> = JSON.parse(ran.out);
  return value;
};

async function eventsIn(
  directory: string,
): Promise<readonly { stream: string; revision: number; type: string }[]> {
  const log = await openSqliteEventLog({ directory }, { readOnly: true });
  const events = [];
  for await (const { stream, revision, type } of log.readAll()) events.push({ stream, revision, type });
  await log.close();
  return events;
}

function everythingIn(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .map(
      (entry) =>
        `${join(entry.parentPath, entry.name).slice(folder.length)} ${entry.isFile() ? readFileSync(join(entry.parentPath, entry.name)).toString('base64').slice(0, 64) : '/'}`,
    )
    .sort();
}

beforeAll(async () => {
  service = await startService();
  stage = await Stage.on(service);
  family = await stage.familyWithKey();
});
afterAll(async () => {
  await service.stop();
  rmSync(base, { recursive: true, force: true });
});

describe('a backup', () => {
  it('taken while the service appends holds everything acknowledged before, and opens', async () => {
    const target = place('live');
    const acknowledged: { stream: string; revision: number }[] = [];
    const stop = new AbortController();
    const writing = (async () => {
      for (let n = 0; !stop.signal.aborted; n += 1) {
        const { status, body } = await service.call('POST', '/api/v1/families', {
          body: { ...FAMILY, name: `busy ${n}`, backEnd: { instance: 'local', object: `keys/busy-${n}` } },
        });
        expect(status).toBe(201);
        acknowledged.push({ stream: `family-${String(body['id'])}`, revision: Number(body['revision']) });
      }
    })();
    while (acknowledged.length < 5) await new Promise((resolve) => setImmediate(resolve));
    const before = [...acknowledged];
    const taken = await cli(['backup', target, '--json']);
    const during = acknowledged.length;
    stop.abort();
    await writing;
    expect({ code: taken.code, err: taken.err }).toEqual({ code: 0, err: '' });
    const events = await eventsIn(target);
    const stored = new Set(events.map(({ stream, revision }) => `${stream}@${revision}`));
    for (const { stream, revision } of before) expect(stored).toContain(`${stream}@${revision}`);
    expect(during).toBeGreaterThan(before.length);
    expect(json(taken)).toMatchObject({
      log: { treeSize: events.length, logId: service.keyturn.store.logId },
    });
  });

  it('is readable by its owner only, says what it holds, and holds no key in the clear', async () => {
    const target = place('quiet');
    const taken = await cli(['backup', target]);
    expect(taken.code).toBe(0);
    expect(taken.out).toContain('Not in   the master key');
    const modes = readdirSync(target, { recursive: true, withFileTypes: true }).map((entry) => {
      const { mode } = statSync(join(entry.parentPath, entry.name));
      return (mode & 0o777).toString(8);
    });
    expect(new Set(modes)).toEqual(new Set(['600', '700']));
    const manifest = readFileSync(join(target, 'manifest.json'), 'utf8');
    expect(JSON.parse(manifest)).toMatchObject({
      oneMoment: true,
      custody: { sealedKeys: 1 },
      holds: { masterKey: false, readModel: false },
    });
    const masterKey = readFileSync(join(dataDir(), 'master.key'), 'utf8').trim();
    for (const text of [
      manifest,
      taken.out,
      readFileSync(join(target, 'custody/custody.sqlite'), 'latin1'),
      readFileSync(join(target, 'log.sqlite'), 'latin1'),
    ]) {
      for (const canary of [masterKey, Buffer.from(masterKey, 'base64').toString('latin1'), service.token]) {
        expect(text).not.toContain(canary);
      }
    }
  });

  it('is refused where something stands already, and where there is no Keyturn; nothing is left behind', async () => {
    const taken = place('taken');
    mkdirSync(taken);
    writeFileSync(join(taken, 'mine'), 'x');
    const refused = await cli(['backup', taken]);
    expect(refused).toMatchObject({ code: 1 });
    expect(refused.err).toContain('is not empty');
    const nowhere = await cli(['backup', place('none')], { KEYTURN_DATA_DIR: place('no-keyturn') });
    expect(nowhere.code).toBe(1);
    expect(nowhere.err).toContain('there is no log in');
    expect(readdirSync(base).filter((name) => name.startsWith('.'))).toEqual([]);
  });
});

describe('a restore', () => {
  const FOLDER = place('source');
  beforeAll(async () => {
    expect((await cli(['backup', FOLDER])).code).toBe(0);
  });
  const masterKeyFile = (): string => join(dataDir(), 'master.key');
  const copy = (): string => {
    const folder = place('copy');
    cpSync(FOLDER, folder, { recursive: true });
    return folder;
  };
  const edit = (folder: string, change: (manifest: Record<string, unknown>) => unknown): void => {
    const path = join(folder, 'manifest.json');
    writeFileSync(path, JSON.stringify(change(JSON.parse(readFileSync(path, 'utf8')))));
  };

  it('of an older backup holds forward steps and says why, goes on after a person has looked', async () => {
    // After the backup the work goes on: a new key is made that the backup's log knows nothing of.
    const { id } = await stage.request(family.id);
    await stage.approve(id);
    await stage.driveTo(id, 'accepting');
    const target = place('restored');
    const ran = await cli(['restore', FOLDER, '--data-dir', target, '--master-key-file', masterKeyFile()]);
    expect({ code: ran.code, err: ran.err }).toEqual({ code: 0, err: '' });
    expect(ran.out).toContain('Every rotation is held');
    expect((statSync(target).mode & 0o777).toString(8)).toBe('700');
    const restored = await eventsIn(target);
    expect(restored.at(-1)?.type).toBe('RestoreHeld');

    const config = loadConfig({ KEYTURN_DATA_DIR: target, KEYTURN_PORT: '0', KEYTURN_LOG: 'silent' });
    const keyturn = await openKeyturn(config, { clock: service.clock, inlineLog: true });
    const { app } = await assembleApp(keyturn);
    await app.listen(0, '127.0.0.1');
    const url = await app.getUrl();
    const there: Stage = await Stage.on({
      ...service,
      keyturn,
      // Tokens are of the log, and so of the backup.
      tokenWith: () => Promise.resolve({ id: '', token: stage.approver, subject: '' }),
      call: async (method, path, options = {}) => {
        const key = `${Date.now()}-${Math.random()}`;
        const token = options.token === undefined ? service.token : options.token;
        const response = await fetch(`${url}${path}`, {
          method,
          headers: {
            ...(token === null ? {} : { authorization: `Bearer ${token}` }),
            ...(method === 'POST' ? { 'idempotency-key': key, 'content-type': 'application/json' } : {}),
          },
          ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
        });
        const text = await response.text();
        return {
          status: response.status,
          headers: response.headers,
          text,
          body: JSON.parse(text) as Record<string, unknown>,
        };
      },
    });
    try {
      const held = await run(['status'], {
        url,
        env: { KEYTURN_DATA_DIR: target, KEYTURN_TOKEN: service.token },
      });
      expect(held.out).toContain('Held by the restore');
      expect(held.out).toContain('keyturn holds confirm restore');
      const next = await there.request(family.id);
      await there.approve(next.id);
      const runner = new RotationRunner({
        ledger: keyturn.ledger,
        backEnds: keyturn.backEnds,
        worker: 'restored#1',
        othersAreDead: () => true,
      });
      const wake = await runner.advance(next.id);
      expect(wake).toMatchObject({ finished: false, waitsFor: expect.stringContaining('restored') });
      const versions = async (): Promise<number> =>
        (await keyturn.backend.observe(family.backEnd?.object ?? '')).versions.length;
      expect(await versions()).toBe(1);

      const confirmed = await run(['holds', 'confirm', 'restore', '--reason', 'compared with the back end'], {
        url,
        env: { KEYTURN_DATA_DIR: target, KEYTURN_TOKEN: service.token },
      });
      expect({ code: confirmed.code, err: confirmed.err }).toEqual({ code: 0, err: '' });
      await runner.advance(next.id);
      expect(await versions()).toBe(2);
      const again = await run(['holds', 'confirm', 'restore', '--reason', 'twice'], {
        url,
        env: { KEYTURN_DATA_DIR: target, KEYTURN_TOKEN: service.token },
      });
      expect(again.code).toBe(1);
      expect(again.err).toContain('hold.not-open');
    } finally {
      await app.close();
      await keyturn.close();
    }
  });

  it('a log put back without it is found older than its back end at start, and held; what was confirmed stays so', async () => {
    const target = place('put-back');
    cpSync(dataDir(), target, { recursive: true });
    for (const name of readdirSync(target)) {
      if (name.startsWith('log.sqlite') || name.startsWith('read-model')) rmSync(join(target, name));
    }
    cpSync(join(FOLDER, 'log.sqlite'), join(target, 'log.sqlite'));
    const config = loadConfig({ KEYTURN_DATA_DIR: target, KEYTURN_PORT: '0', KEYTURN_LOG: 'silent' });
    const types = async (): Promise<readonly string[]> => (await eventsIn(target)).map(({ type }) => type);
    const open = async (): Promise<void> => {
      const keyturn = await openKeyturn(config, { clock: service.clock, inlineLog: true });
      await keyturn.close();
    };
    await open();
    expect((await types()).filter((type) => type === 'RestoreHeld')).toHaveLength(1);
    await open();
    expect((await types()).filter((type) => type === 'RestoreHeld')).toHaveLength(1);
    const keyturn = await openKeyturn(config, { clock: service.clock, inlineLog: true });
    service.clock.advance(1_000);
    await new ConfirmHoldHandler(keyturn.ledger).execute(
      new ConfirmHold(
        { subject: service.subject, commandId: systemIds.random(), requestHash: '0'.repeat(64), via: 'http' },
        'restore',
        'compared with the back end',
      ),
    );
    await keyturn.close();
    await open();
    expect((await types()).filter((type) => type === 'RestoreHeld')).toHaveLength(1);
    expect((await types()).at(-1)).toBe('RestoreConfirmed');
    // A log that has everything its back end did is not held.
    expect((await eventsIn(dataDir())).some(({ type }) => type === 'RestoreHeld')).toBe(false);
  });

  const refused: readonly (readonly [string, () => string, string, RegExp])[] = [
    [
      'a backup of a newer format',
      () => {
        const folder = copy();
        edit(folder, (manifest) => ({ ...manifest, formatVersion: 2, keyturn: '9.1.0' }));
        return folder;
      },
      'backup.too-new',
      /9\.1\.0.*format is 2.*knows 1/s,
    ],
    [
      'a log of a newer Keyturn',
      () => {
        const folder = copy();
        edit(folder, (manifest) => ({
          ...manifest,
          keyturn: '9.1.0',
          log: { ...objectIn(manifest['log']), schema: 7 },
        }));
        return folder;
      },
      'backup.too-new',
      /9\.1\.0.*version 7.*knows 1/s,
    ],
    [
      'one that was never finished',
      () => {
        const folder = copy();
        rmSync(join(folder, 'manifest.json'));
        return folder;
      },
      'backup.not-one',
      /no manifest\.json/,
    ],
    [
      'a flipped bit in the keys',
      () => {
        const folder = copy();
        const path = join(folder, 'custody/custody.sqlite');
        const bytes = readFileSync(path);
        bytes[5_000] = (bytes[5_000] ?? 0) ^ 1;
        writeFileSync(path, bytes);
        return folder;
      },
      'backup.damaged',
      /custody\/custody\.sqlite.*SHA-256/s,
    ],
    [
      'a shorter log',
      () => {
        const folder = copy();
        const path = join(folder, 'log.sqlite');
        writeFileSync(path, readFileSync(path).subarray(0, 8_192));
        return folder;
      },
      'backup.damaged',
      /log\.sqlite.*8192 bytes/s,
    ],
    [
      'the keys of another',
      () => {
        const folder = copy();
        edit(folder, (manifest) => ({
          ...manifest,
          custody: { ...objectIn(manifest['custody']), storeId: '00' },
        }));
        return folder;
      },
      'backup.damaged',
      /custody\.sqlite.*store of another/s,
    ],
  ];
  it.each(refused)('refuses %s, and leaves the target as it was', async (_name, make, code, text) => {
    const folder = make();
    const target = place('target');
    mkdirSync(target);
    const before = everythingIn(folder);
    const ran = await cli(['restore', folder, '--data-dir', target]);
    expect(ran.code).toBe(1);
    expect(ran.err).toContain(code);
    expect(ran.err).toMatch(text);
    expect(readdirSync(target)).toEqual([]);
    expect(everythingIn(folder)).toEqual(before);
    expect(readdirSync(base).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it.each([
    ['names the file of the key that fits, where the folder is not the configured one', 'fits', [], 'file'],
    ['names its copy before one in the environment', 'copied', ['--master-key-file'], 'value'],
    ['says nothing of a file where the key is in the environment', 'fits', [], 'value'],
  ] as const)('its printed next step %s, and that start works', async (_name, outcome, flags, given) => {
    const target = place('next-step');
    const key = readFileSync(masterKeyFile(), 'utf8').trim();
    const env: Record<string, string> =
      given === 'file' ? { KEYTURN_MASTER_KEY_FILE: masterKeyFile() } : { KEYTURN_MASTER_KEY: key };
    const argv = [
      'restore',
      FOLDER,
      '--data-dir',
      target,
      ...flags.flatMap((flag) => [flag, masterKeyFile()]),
    ];
    const ran = await cli(argv, env);
    expect({ code: ran.code, err: ran.err }).toEqual({ code: 0, err: '' });
    expect(ran.out).not.toContain(key);
    const step = /^ {2}2\. (?<drops>env -u KEYTURN_MASTER_KEY )?(?<set>.*) keyturn serve$/m.exec(ran.out);
    const set = Object.fromEntries(
      (step?.groups?.['set'] ?? '').split(' ').map((each) => each.split('=') as [string, string]),
    );
    expect(set['KEYTURN_DATA_DIR']).toBe(target);
    expect(outcome === 'copied' ? set['KEYTURN_MASTER_KEY_FILE'] : target).toContain(target);
    // As the shell that ran the restore would: what it had set stays set.
    const kept = step?.groups?.['drops'] === undefined ? env : {};
    const config = loadConfig({ ...kept, ...set, KEYTURN_PORT: '0', KEYTURN_LOG: 'silent' });
    const keyturn = await openKeyturn(config, { clock: service.clock, inlineLog: true });
    await keyturn.close();
  });

  it('a start without its master key does not advise to make one', async () => {
    const target = place('no-key');
    const ran = await cli(['restore', FOLDER, '--data-dir', target], {
      KEYTURN_MASTER_KEY_FILE: place('nowhere.key'),
    });
    expect(ran.out).toContain(`KEYTURN_MASTER_KEY_FILE=${join(target, 'master.key')} keyturn serve`);
    const config = loadConfig({ KEYTURN_DATA_DIR: target, KEYTURN_LOG: 'silent' });
    const start = openKeyturn(config, { clock: service.clock, inlineLog: true });
    await expect(start).rejects.toThrow(/sealed under a master key that was made before: put that one there/);
    await expect(start).rejects.not.toThrow(/create one with/);
  });

  it('refuses a directory that is not empty, and a master key that is not the one', async () => {
    const ran = await cli(['restore', FOLDER, '--data-dir', dataDir()]);
    expect(ran).toMatchObject({ code: 1 });
    expect(ran.err).toContain('is not empty');
    const other = place('other.key');
    writeFileSync(other, `${Buffer.alloc(32, 'k1').toString('base64')}\n`, { mode: 0o600 });
    const target = place('wrong-key');
    const wrong = await cli(['restore', FOLDER, '--data-dir', target, '--master-key-file', other]);
    expect(wrong.err).toContain('backup.master-key');
    const none = await cli(['restore', FOLDER, '--data-dir', target, '--master-key-file', place('none.key')]);
    expect(none.err).toContain('a new one opens none of them');
    expect(none.err).not.toContain('create one');
    expect(existsSync(target)).toBe(false);
  });
});

function objectIn(value: unknown): object {
  return typeof value === 'object' && value !== null ? value : {};
}

const FAMILY = {
  environment: 'staging',
  kind: 'asymmetric-key',
  algorithm: 'ES256',
  protects: 'application-account',
  usage: 'sign',
  overlap: 'dual',
  mode: 'driven',
  authority: { kind: 'keyturn' },
  owner: { role: 'Platform on-call' },
  team: 'platform',
  artefactLife: 'PT15M',
};
