import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import { openDatabase } from '#eventlog/sqlite';
import { filesUnder, formsOf, hitsOf, inflated, valuesIn } from './canary-scan.js';

/** As others would write them, not as the scanner does. */
function planted(secret: Buffer): readonly (readonly [string, Buffer])[] {
  const hex = secret.toString('hex');
  const inside = (before: string, after: string): Buffer =>
    Buffer.concat([Buffer.from(before), secret, Buffer.from(after)]);
  return [
    ['as it is', secret],
    ['reversed', Buffer.from(secret).reverse()],
    ['hex', Buffer.from(hex)],
    ['hex, large letters', Buffer.from(hex.toUpperCase())],
    ['base64', Buffer.from(secret.toString('base64'))],
    ['base64url', Buffer.from(secret.toString('base64url'))],
    ['base64, one byte on', Buffer.from(inside('x', 'yz').toString('base64'))],
    ['base64url, two bytes on', Buffer.from(inside('xy', 'z').toString('base64url'))],
    ['base64, in an address', Buffer.from(encodeURIComponent(secret.toString('base64')))],
    ['every byte with a percent sign', Buffer.from(hex.replace(/../g, '%$&'))],
    ['hex as UTF-16 LE', Buffer.from(hex, 'utf16le')],
    ['base64 as UTF-16 BE', Buffer.from(secret.toString('base64'), 'utf16le').swap16()],
    ['hex, reversed', Buffer.from(hex).reverse()],
  ];
}

/** Of secrets that are text. */
function plantedText(text: string): readonly (readonly [string, Buffer])[] {
  return [
    ...planted(Buffer.from(text)),
    ['JSON', Buffer.from(JSON.stringify({ password: text }))],
    ['JSON within JSON', Buffer.from(JSON.stringify(JSON.stringify({ password: text })))],
    ['in an address', Buffer.from(new URLSearchParams({ token: text }).toString().replaceAll('+', '%20'))],
    ['UTF-16 LE', Buffer.from(text, 'utf16le')],
    ['UTF-16 BE', Buffer.from(text, 'utf16le').swap16()],
  ];
}

const key = randomBytes(32);
const password = `pass"word\\${randomBytes(9).toString('base64')} %`;
const token = `s.${randomBytes(18).toString('base64url')}`;

it.each([
  ...planted(key).map((form) => ['a key', key, ...form] as const),
  ...plantedText(password).map((form) => ['a password', Buffer.from(password), ...form] as const),
  ...plantedText(token).map((form) => ['a token', Buffer.from(token), ...form] as const),
])('finds %s: %#', (name, secret, _form, bytes) => {
  const place = Buffer.concat([randomBytes(100), bytes, randomBytes(100)]);
  expect(hitsOf(new Map([[name, secret]]), new Map([['a place', place]]))).toEqual([`${name} in a place`]);
});

it('finds what stands at the very beginning and at the very end', () => {
  const sought = new Map([['a key', key]]);
  const places = new Map([
    ['first', Buffer.concat([key, randomBytes(9)])],
    ['last', Buffer.concat([randomBytes(9), key])],
    ['alone', key],
  ]);
  expect(hitsOf(sought, places)).toEqual(['a key in first', 'a key in last', 'a key in alone']);
});

it('finds nothing in noise, in half a secret, and in another secret', () => {
  const canaries = new Map([
    ['a key', key],
    ['a password', Buffer.from(password)],
    ['a token', Buffer.from(token)],
  ]);
  const places = new Map([
    ['noise', randomBytes(1_000_000)],
    ['half', key.subarray(0, 16)],
    ['another', Buffer.concat(formsOf(randomBytes(32)))],
  ]);
  expect(hitsOf(canaries, places)).toEqual([]);
});

describe('in places of each kind', () => {
  const folder = mkdtempSync(join(tmpdir(), 'keyturn-canary-scan-'));
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const canaries = new Map([['a token', Buffer.from(token)]]);

  it('a file, below any folder', () => {
    mkdirSync(join(folder, 'deep', 'er'), { recursive: true });
    writeFileSync(join(folder, 'deep', 'er', 'log'), `x${token}y`);
    expect(hitsOf(canaries, filesUnder(folder))).toEqual(['a token in deep/er/log']);
  });

  it('a database: a row, a row that was deleted, and one that lies over several pages', () => {
    const file = join(folder, 'a.sqlite');
    const database = openDatabase(file);
    database.exec('CREATE TABLE texts (id INTEGER PRIMARY KEY, text TEXT, bytes BLOB)');
    const insert = database.prepare('INSERT INTO texts (text, bytes) VALUES (?, ?)');
    insert.run(`deleted ${token}`, Buffer.alloc(0));
    database.exec('DELETE FROM texts');
    database.close();
    // The freed cell is still in the file, or in the log before it.
    const pages = new Map([...filesUnder(folder)].filter(([name]) => name.startsWith('a.sqlite')));
    expect(hitsOf(canaries, pages).length).toBeGreaterThan(0);
    expect(hitsOf(canaries, new Map([['rows', valuesIn(file)]]))).toEqual([]);
    // One of these is cut by the end of a page, and found nevertheless.
    for (const before of [4_000, 4_040, 4_060, 4_080]) {
      const other = join(folder, `b${before}.sqlite`);
      const long = openDatabase(other);
      long.exec('CREATE TABLE texts (bytes BLOB)');
      const value = Buffer.concat([Buffer.alloc(before), Buffer.from(token), Buffer.alloc(9_000)]);
      long.prepare('INSERT INTO texts (bytes) VALUES (?)').run(value);
      long.close();
      expect(hitsOf(canaries, new Map([['rows', valuesIn(other)]]))).toEqual(['a token in rows']);
    }
  });

  it('a PDF, whose streams are packed', () => {
    const stream = deflateSync(Buffer.from(`BT (${token}) Tj ET`));
    const pdf = Buffer.concat([
      Buffer.from('%PDF-1.7\n1 0 obj\n<< >>\nstream\n'),
      stream,
      Buffer.from('\nendstream\nendobj\n'),
    ]);
    expect(hitsOf(canaries, new Map([['raw', pdf]]))).toEqual([]);
    expect(hitsOf(canaries, new Map([['inflated', inflated(pdf)]]))).toEqual(['a token in inflated']);
  });

  it('what a process prints', () => {
    const said = execFileSync(process.execPath, ['-e', `console.log({ token: process.env.T })`], {
      env: { T: token },
    });
    expect(hitsOf(canaries, new Map([['stdout', said]]))).toEqual(['a token in stdout']);
  });
});
