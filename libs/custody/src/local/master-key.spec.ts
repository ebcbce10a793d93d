import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { SecretValue } from '#platform';
import { createMasterKeyFile, loadMasterKey } from './master-key.js';

describe('the master key', () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'keyturn-master-'));
    file = join(folder, 'master.key');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const key = randomBytes(32);
  const write = (text: string): void => writeFileSync(file, text, { mode: 0o600 });
  const errorOf = (work: () => unknown): string => {
    try {
      work();
    } catch (error) {
      return inspect(error, { depth: 8, showHidden: true });
    }
    return 'no error';
  };

  it.each([
    ['base64', key.toString('base64')],
    ['base64 with a line end', `${key.toString('base64')}\n`],
    ['base64url without padding', key.toString('base64url')],
    ['hex', key.toString('hex')],
    ['hex in capitals', key.toString('hex').toUpperCase()],
  ])('is read from a file and from a variable in %s', (_name, text) => {
    write(text);
    expect(loadMasterKey({ file }).reveal()).toEqual(key);
    expect(loadMasterKey({ value: text }).reveal()).toEqual(key);
    expect(loadMasterKey({ value: new SecretValue(text) }).reveal()).toEqual(key);
  });

  it('is created once, 0600, random, and never replaced', () => {
    createMasterKeyFile(file);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const made = readFileSync(file, 'utf8');
    expect(loadMasterKey({ file }).reveal()).toHaveLength(32);
    expect(errorOf(() => createMasterKeyFile(file))).toContain('never replaced');
    expect(readFileSync(file, 'utf8')).toBe(made);
    const other = join(folder, 'other.key');
    createMasterKeyFile(other);
    expect(readFileSync(other, 'utf8')).not.toBe(made);
  });

  it('names what is missing and how to make it', () => {
    expect(errorOf(() => loadMasterKey({ file }))).toMatch(
      /master\.key does not exist; create one with: .*urandom/,
    );
    for (const value of [undefined, '', '  ']) {
      expect(errorOf(() => loadMasterKey({ value }))).toMatch(
        /KEYTURN_MASTER_KEY is not set.*create one with/,
      );
    }
    expect(errorOf(() => loadMasterKey({ value: undefined, name: 'OTHER' }))).toContain('OTHER is not set');
  });

  it('beside keys that are sealed already, nobody is told to make a new one', () => {
    const opens = join(folder, 'custody');
    mkdirSync(opens);
    expect(errorOf(() => loadMasterKey({ file, opens }))).toContain('create one with');
    writeFileSync(join(opens, 'custody.sqlite'), '');
    const error = errorOf(() => loadMasterKey({ file, opens }));
    expect(error).not.toMatch(/create one|urandom/);
    expect(error).toContain(`${file} does not exist, and the keys in ${opens} are sealed`);
    expect(error).toContain('KEYTURN_MASTER_KEY_FILE');
  });

  it.each([0o644, 0o640, 0o604, 0o620, 0o601, 0o660, 0o666])('is refused from a file of mode %o', (mode) => {
    write(key.toString('base64'));
    chmodSync(file, mode);
    const error = errorOf(() => loadMasterKey({ file }));
    expect(error).toContain('open to group or others');
    expect(error).toContain(file);
    expect(error).not.toContain(key.toString('base64').slice(0, 8));
  });

  it('is refused from a folder', () => {
    expect(errorOf(() => loadMasterKey({ file: folder }))).toMatch(/open to group|not a regular file/);
    chmodSync(folder, 0o700);
    expect(errorOf(() => loadMasterKey({ file: folder }))).toContain('not a regular file');
  });

  it.each([
    ['too short', randomBytes(31).toString('base64')],
    ['too long', randomBytes(33).toString('base64')],
    ['short hex', randomBytes(16).toString('hex')],
    ['raw bytes', randomBytes(32).toString('latin1')],
    ['a pass phrase', 'correct horse battery staple'],
    ['one byte repeated', Buffer.alloc(32, 7).toString('base64')],
  ])('is refused when it is %s, without being shown', (_name, text) => {
    write(text);
    for (const error of [
      errorOf(() => loadMasterKey({ file })),
      errorOf(() => loadMasterKey({ value: text })),
    ]) {
      expect(error).toMatch(/neither base64 nor hex|holds \d+ bytes, wanted 32|one byte repeated/);
      expect(error).not.toContain(text.slice(0, 8));
    }
  });
});
