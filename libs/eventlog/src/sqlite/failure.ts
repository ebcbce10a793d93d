import { isNativeError } from 'node:util/types';

/** What a failed SQLite call means for whoever made it. */
export type SqlFailure =
  /** The file is not what was written: stop. */
  | 'corrupt'
  /** No space: rolled back, may work later. */
  | 'full'
  /** The disk failed: what the call did is not known. */
  | 'io'
  /** Somebody else holds a lock. */
  | 'busy'
  /** Not writable, not to be opened, out of memory. */
  | 'refused'
  /** The statement does not fit the tables. */
  | 'logic'
  /** A mistake of ours, or no SQLite error at all. */
  | 'other';

/** What an error says, from whatever realm. */
export function messageOf(error: unknown): string {
  return isNativeError(error) ? error.message : String(error);
}

/** Reads the primary result code (sqlite.org/rescode.html) off an error of the driver. */
export function sqlFailure(error: unknown): SqlFailure {
  // Not by `instanceof`: the driver's errors may be of another realm (jest).
  if (typeof error !== 'object' || error === null) return 'other';
  if ('errcode' in error && typeof error.errcode === 'number')
    return FAILURES[error.errcode & 0xff] ?? 'other';
  // The binding leaves the code out where a statement fails between two of its rows; SQLite's own words are fixed.
  if (!('code' in error) || error.code !== 'ERR_SQLITE_ERROR') return 'other';
  return IN_WORDS[messageOf(error)] ?? 'other';
}

/** As `sqlite3_errstr` has them. */
const IN_WORDS: Readonly<Record<string, SqlFailure>> = {
  'database disk image is malformed': 'corrupt',
  'file is not a database': 'corrupt',
  'disk I/O error': 'io',
  'database or disk is full': 'full',
  'database is locked': 'busy',
  'database table is locked': 'busy',
  'out of memory': 'refused',
  'attempt to write a readonly database': 'refused',
  'unable to open database file': 'refused',
};

const FAILURES: Readonly<Record<number, SqlFailure>> = {
  1: 'logic', // ERROR
  3: 'refused', // PERM
  5: 'busy', // BUSY
  6: 'busy', // LOCKED
  7: 'refused', // NOMEM
  8: 'refused', // READONLY
  10: 'io', // IOERR
  11: 'corrupt', // CORRUPT
  13: 'full', // FULL
  14: 'refused', // CANTOPEN
  23: 'refused', // AUTH
  26: 'corrupt', // NOTADB
};
