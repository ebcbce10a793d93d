import {
  chmodSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { z } from 'zod';
import { openDatabase } from '#eventlog/sqlite';
import { loadConfig } from '#platform';
import { run } from '../../apps/cli/src/testing/run-in.js';
import { startService, type StartedService } from '../../apps/service/src/testing/started-service.js';
import { Stage } from './support.js';

/** A Keyturn that is well, and copies of it that are broken on purpose: each must be named, with what to do. */

jest.setTimeout(240_000);

const base = mkdtempSync(join(tmpdir(), 'keyturn-doctor-'));
const report = z.object({
  problems: z.number(),
  warnings: z.number(),
  findings: z.array(
    z.object({ id: z.string(), state: z.string(), text: z.string(), mend: z.string().optional() }),
  ),
});
type Report = z.output<typeof report> & { readonly code: number };

let service: StartedService;
let well: string;
let familyId: string;
let bareId: string;
let copies = 0;

async function doctor(dataDir: string, env: Record<string, string> = {}, url?: string): Promise<Report> {
  const { code, out, err } = await run(['doctor', '--json'], {
    ...(url === undefined ? {} : { url }),
    env: { KEYTURN_DATA_DIR: dataDir, ...env },
  });
  expect(err).toBe('');
  return { ...report.parse(JSON.parse(out)), code };
}

const stateOf = ({ findings }: Report, id: string): string | undefined =>
  findings.find((each) => each.id === id)?.state;

beforeAll(async () => {
  service = await startService();
  const stage = await Stage.on(service);
  ({ id: familyId } = await stage.familyWithKey());
  // Driven, and not yet rotated: its runbook is nobody's yet.
  ({ id: bareId } = await stage.family({ name: 'without-a-runbook' }));
  // As the files are when nobody has them open.
  well = join(base, 'well');
  await service.call('GET', '/health/ready');
  cpSync(join(service.directory, 'data'), well, { recursive: true });
  chmodSync(well, 0o700);
});
afterAll(async () => {
  await service.stop();
  rmSync(base, { recursive: true, force: true });
});

function broken(breakIt: (directory: string) => void): string {
  copies += 1;
  const directory = join(base, `broken-${copies}`);
  cpSync(well, directory, { recursive: true });
  breakIt(directory);
  return directory;
}

describe('keyturn doctor', () => {
  it('finds nothing wrong where nothing is, and changes no file', async () => {
    const directory = broken(() => undefined);
    const before = readFileSync(join(directory, 'log.sqlite'));
    const found = await doctor(directory);
    expect({
      problems: found.findings.filter(({ state, id }) => state === 'problem' && id !== 'clock'),
    }).toEqual({ problems: [] });
    // The service of this spec keeps a clock of its own, days ahead of the command line's: it is found out.
    expect(found).toMatchObject({ problems: 1, code: 1 });
    expect(stateOf(found, 'clock')).toBe('problem');
    for (const id of [
      'node',
      'environment',
      'data-dir.mode',
      'lock',
      'master-key',
      'jwks',
      'log',
      'read-model',
      'holds',
      'back-end.versions',
    ]) {
      expect({ id, state: stateOf(found, id) }).toEqual({ id, state: 'fine' });
    }
    expect(readFileSync(join(directory, 'log.sqlite')).equals(before)).toBe(true);
  });

  it('speaks to people in marks, and says what to do', async () => {
    const { code, out } = await run(['doctor'], {
      env: { KEYTURN_DATA_DIR: broken((at) => chmodSync(at, 0o755)) },
    });
    expect(code).toBe(1);
    expect(out).toMatch(/^✔ Node \d+/);
    expect(out).toMatch(/✖ .* is open to others \(mode 755\)\n {4}chmod 700 /);
    expect(out).toMatch(/\n\d+ to mend, \d+ to look at\.\n$/);
  });

  const BROKEN: readonly (readonly [
    string,
    (directory: string) => void,
    string,
    'problem' | 'warning',
    RegExp,
  ])[] = [
    [
      'a directory others can read',
      (at) => chmodSync(at, 0o750),
      'data-dir.mode',
      'problem',
      /is open to others/,
    ],
    [
      'a master key others can read',
      (at) => chmodSync(join(at, 'master.key'), 0o644),
      'master-key',
      'problem',
      /open to group or others/,
    ],
    ['no master key', (at) => rmSync(join(at, 'master.key')), 'master-key', 'problem', /no master key/],
    [
      'another master key',
      (at) => writeFileSync(join(at, 'master.key'), randomBytes(32).toString('base64')),
      'master-key',
      'problem',
      /is not the one/,
    ],
    [
      'a rekey that was not finished',
      (at) => {
        renameSync(join(at, 'master.key'), join(at, 'master.key.new'));
        writeFileSync(join(at, 'master.key'), randomBytes(32).toString('base64'), { mode: 0o600 });
      },
      'master-key',
      'warning',
      /was not finished/,
    ],
    [
      'an old master key that lies about',
      (at) => cpSync(join(at, 'master.key'), join(at, 'master.key.old-0badcafe')),
      'master-key.old',
      'warning',
      /1 old master key/,
    ],
    [
      'a JWKS document somebody changed',
      (at) => {
        const [name = ''] = readdirSync(join(at, 'custody/jwks'));
        writeFileSync(join(at, 'custody/jwks', name), '{"keys":[]}');
      },
      'jwks',
      'problem',
      /not what the store says/,
    ],
    [
      'the JWKS documents of a log that was just restored',
      (at) => rmSync(join(at, 'custody/jwks'), { recursive: true }),
      'jwks',
      'warning',
      /not there, as after a restore/,
    ],
    [
      'an event somebody changed',
      (at) => {
        const db = openDatabase(join(at, 'log.sqlite'));
        db.exec(
          "DROP TRIGGER events_are_not_changed; UPDATE events SET body = replace(body, 'Platform', 'Platfurm') WHERE tree_size > 3",
        );
        db.close();
      },
      'log',
      'problem',
      /is not what was written/,
    ],
    [
      'a log of a newer Keyturn',
      (at) => {
        const db = openDatabase(join(at, 'log.sqlite'));
        db.exec('PRAGMA user_version=9');
        db.close();
      },
      'log',
      'problem',
      /version 9/,
    ],
    [
      'a log that is none',
      (at) => {
        for (const name of ['log.sqlite-wal', 'log.sqlite-shm']) rmSync(join(at, name), { force: true });
        writeFileSync(join(at, 'log.sqlite'), randomBytes(8_192));
      },
      'log',
      'problem',
      /damaged/,
    ],
    [
      'a read model that is none',
      (at) => {
        for (const name of readdirSync(at))
          if (/^read-model.*-(?:wal|shm)$/.test(name)) rmSync(join(at, name));
        for (const name of readdirSync(at))
          if (name.startsWith('read-model')) writeFileSync(join(at, name), randomBytes(8_192));
      },
      'read-model',
      'problem',
      /cannot be read/,
    ],
    [
      'a back end that holds something else',
      (at) => {
        const db = openDatabase(join(at, 'custody/custody.sqlite'));
        db.exec('UPDATE versions SET accepted = 0, emitting_share = 0');
        db.close();
      },
      'back-end.versions',
      'problem',
      /does not hold what is recorded/,
    ],
    [
      'a token file others can read',
      (at) => writeFileSync(join(at, 'cli-token'), 'kt1_canary-of-the-token-file\n', { mode: 0o644 }),
      'token-file',
      'problem',
      /can be read by others/,
    ],
    [
      'a backup of long ago',
      (at) =>
        writeFileSync(
          join(at, 'last-backup.json'),
          JSON.stringify({ takenAt: '2020-01-01T00:00:00.000Z', treeSize: 1, target: '/b' }),
        ),
      'backup',
      'warning',
      /taken .* ago/,
    ],
  ];

  it.each(BROKEN)('names %s', async (_name, breakIt, id, state, text) => {
    const found = await doctor(broken(breakIt));
    const finding = found.findings.find((each) => each.id === id);
    expect(finding).toMatchObject({ id, state, text: expect.stringMatching(text) });
    expect(finding?.mend).toBeDefined();
    expect(found.code).toBe(found.problems > 0 ? 1 : 0);
    expect(JSON.stringify(found)).not.toContain('canary');
  });

  it('names a policy nobody approved, a family no policy selects, gaps in a runbook, and no backup', async () => {
    const found = await doctor(broken(() => undefined));
    for (const id of ['policy.none', 'family.runbook', 'backup']) {
      expect({ id, state: stateOf(found, id) }).toEqual({ id, state: 'warning' });
    }
    const gaps = found.findings.find(({ id }) => id === 'family.runbook')?.text;
    expect(gaps).toContain('without-a-runbook');
    expect(gaps).not.toContain('signing');
    expect([familyId, bareId]).toEqual([
      expect.stringMatching(/^[0-9a-f-]{36}$/),
      expect.stringMatching(/^[0-9a-f-]{36}$/),
    ]);
  });

  it('names an environment that cannot be used, never its value', async () => {
    const { code, out } = await run(['doctor', '--json'], {
      env: { KEYTURN_PORT: 'canary', KEYTURN_HOST: '0.0.0.0' },
    });
    expect(code).toBe(1);
    expect(out).toContain('KEYTURN_PORT');
    expect(out).not.toContain('canary');
  });

  it('looks beside a running service, and asks it', async () => {
    const dataDir = join(service.directory, 'data');
    const found = await doctor(dataDir, { KEYTURN_TOKEN: service.token }, service.url);
    expect(found.findings.find(({ id }) => id === 'lock')?.text).toBe(
      `process ${process.pid} has the data directory open`,
    );
    for (const id of ['service', 'service.version', 'log']) {
      expect({ id, state: stateOf(found, id) }).toEqual({ id, state: 'fine' });
    }
    // Nobody answers at that address, though somebody has the files open.
    const wrong = await doctor(dataDir, { KEYTURN_TOKEN: service.token });
    expect(wrong.findings.find(({ id }) => id === 'service')).toMatchObject({
      state: 'problem',
      text: expect.stringContaining('does not answer'),
    });
    const stranger = await doctor(dataDir, { KEYTURN_TOKEN: 'kt1_somebody-elses' }, service.url);
    expect(stateOf(stranger, 'service.token')).toBe('problem');
    expect(loadConfig({ KEYTURN_DATA_DIR: dataDir }).dataDir).toBe(dataDir);
  });
});
