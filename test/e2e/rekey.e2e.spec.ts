import { randomBytes } from 'node:crypto';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { loadConfig } from '#platform';
import { run, type Ran } from '../../apps/cli/src/testing/run-in.js';
import { openKeyturn } from '../../apps/service/src/composition.js';
import { startService, type StartedService } from '../../apps/service/src/testing/started-service.js';
import { Stage } from './support.js';

/** A new master key by the command line, and a service that starts with it. */

jest.setTimeout(120_000);

const base = mkdtempSync(join(tmpdir(), 'keyturn-rekey-cli-'));
let service: StartedService;
let object: string;
let copies = 0;

beforeAll(async () => {
  service = await startService();
  const family = await (await Stage.on(service)).familyWithKey();
  object = family.backEnd?.object ?? '';
});
afterAll(async () => {
  await service.stop();
  rmSync(base, { recursive: true, force: true });
});

function copy(): string {
  copies += 1;
  const directory = join(base, `copy-${copies}`);
  cpSync(join(service.directory, 'data'), directory, { recursive: true });
  return directory;
}

/** Opens it as the service does, and signs with the key. */
async function starts(directory: string, env: Record<string, string> = {}): Promise<boolean> {
  const config = loadConfig({ KEYTURN_DATA_DIR: directory, KEYTURN_LOG: 'silent', ...env });
  const keyturn = await openKeyturn(config, { clock: service.clock, inlineLog: true });
  try {
    return (await keyturn.backend.sign(object, { sub: 'someone' })).split('.').length === 3;
  } finally {
    await keyturn.close();
  }
}

const rekey = (
  directory: string,
  argv: readonly string[] = [],
  env: Record<string, string> = {},
): Promise<Ran> => run(['local', 'rekey', ...argv], { env: { KEYTURN_DATA_DIR: directory, ...env } });

const shownNowhere = ({ out, err }: Ran, ...secrets: readonly string[]): void => {
  for (const secret of secrets) expect(out + err).not.toContain(secret);
};

describe('keyturn local rekey', () => {
  it('puts a new key in the old one’s place, keeps the old one, and says what to do with it', async () => {
    const directory = copy();
    const before = readFileSync(join(directory, 'master.key'), 'utf8').trim();
    const ran = await rekey(directory);
    expect({ code: ran.code, err: ran.err }).toEqual({ code: 0, err: '' });
    expect(ran.out).toContain('1 key is sealed under the new master key.');
    expect(ran.out).toMatch(/master\.key\.old-[0-9a-f]{8}\. Backups taken until now open with it alone/);
    const [old = ''] = readdirSync(directory).filter((name) => name.startsWith('master.key.old-'));
    expect(readFileSync(join(directory, old), 'utf8').trim()).toBe(before);
    const after = readFileSync(join(directory, 'master.key'), 'utf8').trim();
    expect(after).not.toBe(before);
    shownNowhere(ran, before, after);
    expect(ran.out).toContain(
      `KEYTURN_DATA_DIR=${directory} KEYTURN_MASTER_KEY_FILE=${join(directory, 'master.key')} keyturn serve`,
    );
    expect(await starts(directory)).toBe(true);
  });

  it('takes old and new from the environment; then only the new one opens it', async () => {
    const directory = copy();
    const old = readFileSync(join(directory, 'master.key'), 'utf8').trim();
    const fresh = randomBytes(32).toString('base64');
    rmSync(join(directory, 'master.key'));
    const alone = await rekey(directory, [], { KEYTURN_MASTER_KEY: old });
    expect({ code: alone.code, text: alone.err }).toMatchObject({
      code: 2,
      text: expect.stringContaining('KEYTURN_NEW_MASTER_KEY'),
    });
    const ran = await rekey(directory, [], { KEYTURN_MASTER_KEY: old, KEYTURN_NEW_MASTER_KEY: fresh });
    expect(ran.code).toBe(0);
    shownNowhere(ran, old, fresh);
    await expect(starts(directory, { KEYTURN_MASTER_KEY: old })).rejects.toThrow('not the one');
    expect(await starts(directory, { KEYTURN_MASTER_KEY: fresh })).toBe(true);
    const again = await rekey(directory, ['--json'], {
      KEYTURN_MASTER_KEY: old,
      KEYTURN_NEW_MASTER_KEY: fresh,
    });
    expect(JSON.parse(again.out)).toMatchObject({ outcome: 'finished' });
  });

  it('makes the new key in a file that is named', async () => {
    const directory = copy();
    const file = join(base, 'elsewhere.key');
    const ran = await rekey(directory, ['--new-key-file', file]);
    expect(ran.code).toBe(0);
    expect(ran.out).toContain(`KEYTURN_DATA_DIR=${directory} KEYTURN_MASTER_KEY_FILE=${file} keyturn serve`);
    expect(await starts(directory, { KEYTURN_MASTER_KEY_FILE: file })).toBe(true);
  });

  it('is refused while the service runs, where there is no back end, and with a key that is none', async () => {
    const running = await rekey(join(service.directory, 'data'));
    expect(running.code).toBe(1);
    expect(running.err).toContain('log.locked');
    const nothing = await rekey(join(base, 'nothing'));
    expect(nothing.err).toContain('there is no local back end');
    expect(existsSync(join(base, 'nothing'))).toBe(false);
    const without = copy();
    rmSync(join(without, 'master.key'));
    for (const argv of [[], ['--new-key-file', join(base, 'fresh.key')]]) {
      const unsealed = await rekey(without, argv);
      expect(unsealed.code).toBe(1);
      expect(unsealed.err).toContain('put that one there');
      expect(unsealed.err).not.toContain('create one with');
    }
    const directory = copy();
    const file = join(base, 'phrase.key');
    writeFileSync(file, 'canary horse battery staple', { mode: 0o600 });
    const phrase = await rekey(directory, ['--new-key-file', file]);
    expect(phrase.code).toBe(1);
    shownNowhere(phrase, 'canary');
    expect(await starts(directory)).toBe(true);
  });
});
