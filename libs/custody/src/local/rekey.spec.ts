import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { openDatabase } from '#eventlog/sqlite';
import { SecretValue, systemClock } from '#platform';
import {
  keysUnder,
  rekeyFixture,
  removeFixture,
  startOver,
  type RekeyFixture,
} from '../testing/rekey-fixture.js';
import {
  createMasterKeyFile,
  loadMasterKey,
  openLocalKeyBackend,
  opensWith,
  rekeyMasterKeyFile,
  rekeyStore,
} from './index.js';

describe('a new master key', () => {
  let at: RekeyFixture;
  beforeEach(async () => {
    at = await rekeyFixture();
  });
  afterEach(() => removeFixture(at));

  const storeBytes = (): string =>
    readdirSync(at.directory)
      .filter((name) => name.startsWith('custody.sqlite'))
      .map((name) => readFileSync(join(at.directory, name)).toString('hex').toUpperCase())
      .join('');

  it('seals every key anew, takes the old one’s place, and keeps the old one', async () => {
    const before = readFileSync(at.file, 'utf8');
    const done = rekeyMasterKeyFile(at);
    expect(done).toMatchObject({ resealed: 3, outcome: 'done', scrubbed: true });
    expect(readFileSync(at.file, 'utf8')).not.toBe(before);
    expect(statSync(at.file).mode & 0o777).toBe(0o600);
    expect(done.oldKeyFile).toMatch(/master\.key\.old-[0-9a-f]{8}$/);
    expect(readFileSync(done.oldKeyFile ?? '', 'utf8')).toBe(before);
    expect(statSync(done.oldKeyFile ?? '').mode & 0o777).toBe(0o600);
    expect(existsSync(`${at.file}.new`)).toBe(false);
    await startOver(at);
    expect(() => keysUnder(at.directory, done.oldKeyFile ?? '')).toThrow('does not open');
  });

  it('leaves nothing in the files that the old key still opens', () => {
    const db = openDatabase(join(at.directory, 'custody.sqlite'), { readOnly: true });
    const sealed = db
      .prepare('SELECT hex(material) AS sealed FROM versions WHERE material IS NOT NULL')
      .all()
      .map((row) => String(row['sealed']));
    db.close();
    const found = (): number => sealed.filter((hex) => storeBytes().includes(hex)).length;
    expect([sealed.length, found()]).toEqual([3, 3]);
    rekeyMasterKeyFile(at);
    expect(found()).toBe(0);
  });

  it('can be changed as often as wanted; each old key is kept under a name of its own', async () => {
    const kept = [1, 2, 3].map(() => rekeyMasterKeyFile(at).oldKeyFile ?? '');
    expect(new Set(kept).size).toBe(3);
    expect(kept.every((path) => existsSync(path))).toBe(true);
    await startOver(at);
  });

  it('comes from elsewhere where it is kept elsewhere; a repeat says that it is done', () => {
    const oldKey = loadMasterKey({ file: at.file });
    const newKey = new SecretValue(randomBytes(32));
    const { directory } = at;
    expect(rekeyStore({ directory, oldKey, newKey })).toMatchObject({ resealed: 3, outcome: 'done' });
    expect(rekeyStore({ directory, oldKey, newKey })).toMatchObject({ resealed: 0, outcome: 'finished' });
    expect(opensWith(directory, newKey)).toBe(true);
    expect(opensWith(directory, oldKey)).toBe(false);
    // Not a file of ours: it is left as it was.
    expect(loadMasterKey({ file: at.file }).reveal()).toEqual(oldKey.reveal());
  });

  it('is refused where it is the old one, and where the old one is not the store’s', () => {
    const oldKey = loadMasterKey({ file: at.file });
    const { directory, keys } = at;
    expect(() => rekeyStore({ directory, oldKey, newKey: oldKey })).toThrow('is the old one');
    const foreign = new SecretValue(randomBytes(32));
    expect(() =>
      rekeyStore({ directory, oldKey: foreign, newKey: new SecretValue(randomBytes(32)) }),
    ).toThrow('not the one');
    const other = join(at.base, 'other.key');
    createMasterKeyFile(other);
    expect(() => rekeyMasterKeyFile({ directory, file: other })).toThrow('does not open');
    expect(existsSync(`${other}.new`)).toBe(false);
    expect(keysUnder(directory, at.file)).toBe(keys);
  });

  it('is not stopped by a torn key file that an earlier run left', async () => {
    writeFileSync(`${at.file}.new`, 'AAAA', { mode: 0o600 });
    await startOver(at);
    expect(rekeyMasterKeyFile(at)).toMatchObject({ resealed: 3, outcome: 'done' });
    await startOver(at);
  });

  it('changes nothing where no new key can be written', () => {
    mkdirSync(`${at.file}.new`);
    writeFileSync(join(`${at.file}.new`, 'in the way'), '');
    expect(() => rekeyMasterKeyFile(at)).toThrow('directory');
    expect(keysUnder(at.directory, at.file)).toBe(at.keys);
  });

  it('does not begin while the store is open elsewhere', () => {
    const backend = openLocalKeyBackend({
      directory: at.directory,
      masterKey: loadMasterKey({ file: at.file }),
      clock: systemClock,
    });
    expect(() => rekeyMasterKeyFile(at)).toThrow('one process at a time');
    backend.close();
    expect(keysUnder(at.directory, at.file)).toBe(at.keys);
  });
});
