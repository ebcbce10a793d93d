import { randomBytes } from 'node:crypto';
import { chmodSync, closeSync, existsSync, mkdirSync, openSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { JWK } from 'jose';
import { z } from 'zod';
import { openDatabase, type SqlDatabase } from '#eventlog/sqlite';
import { failpoint } from '#platform';
import {
  KEY_ALGORITHMS,
  BackendError,
  EFFECTS,
  type Fence,
  type LedgerEntry,
  type ObservedVersion,
} from '../key-backend.js';
import { fsyncFolder } from '../fsync-folder.js';
import type { KeySealer } from './key-material.js';

export const SCHEMA_VERSION = 2;

/** Held open in an exclusive transaction: the store itself stays readable for a backup. */
const LOCK_FILE = 'custody.lock';
export const STORE_FILE = 'custody.sqlite';
export const DOCUMENT_FOLDER = 'jwks';

/** Another connection holds the store at most this long; less than the shortest declared request. */
const BUSY_TIMEOUT_MS = 1_000;

/** `contained_by`: the key of the containment's effect. A version is denied while one of its rows is not lifted. */
const DENIED = `
CREATE TABLE denied (
  object TEXT NOT NULL REFERENCES objects (object), version_id TEXT NOT NULL, contained_by TEXT NOT NULL,
  at TEXT NOT NULL, lifted_at TEXT,
  PRIMARY KEY (object, version_id, contained_by)
) STRICT;
CREATE TRIGGER denied_is_kept BEFORE DELETE ON denied BEGIN SELECT RAISE(ABORT, 'the deny set is kept'); END;
CREATE TRIGGER denied_only_lifts BEFORE UPDATE ON denied
  WHEN OLD.lifted_at IS NOT NULL OR NEW.lifted_at IS NULL OR NEW.object <> OLD.object OR NEW.version_id <> OLD.version_id
    OR NEW.contained_by <> OLD.contained_by OR NEW.at <> OLD.at
  BEGIN SELECT RAISE(ABORT, 'a deny is only ever lifted, once'); END;
`;

const SCHEMA = `
CREATE TABLE store (
  one INTEGER PRIMARY KEY CHECK (one = 1), store_id BLOB NOT NULL, check_value BLOB NOT NULL
) STRICT;
CREATE TABLE objects (
  object TEXT PRIMARY KEY, family_id TEXT NOT NULL UNIQUE, max_age INTEGER
) STRICT;
CREATE TABLE fences (
  object TEXT PRIMARY KEY, slot INTEGER NOT NULL, step INTEGER NOT NULL, attempt_id TEXT NOT NULL
) STRICT;
CREATE TABLE versions (
  object TEXT NOT NULL REFERENCES objects (object), version_id TEXT NOT NULL,
  algorithm TEXT NOT NULL, strength_bits INTEGER NOT NULL, fingerprint TEXT NOT NULL, created_at TEXT NOT NULL,
  accepted INTEGER NOT NULL DEFAULT 0 CHECK (accepted IN (0, 1)),
  emitting_share INTEGER NOT NULL DEFAULT 0 CHECK (emitting_share BETWEEN 0 AND 100),
  published INTEGER NOT NULL DEFAULT 0 CHECK (published IN (0, 1)),
  destroyed INTEGER NOT NULL DEFAULT 0 CHECK (destroyed IN (0, 1)),
  public_jwk TEXT, material BLOB,
  PRIMARY KEY (object, version_id),
  CHECK (emitting_share = 0 OR accepted = 1),
  CHECK (accepted = 0 OR published = 1),
  CHECK (destroyed = (material IS NULL)),
  CHECK (destroyed = 0 OR accepted = 0)
) STRICT;
CREATE TABLE ledger (
  key TEXT PRIMARY KEY, object TEXT NOT NULL, attempt_id TEXT NOT NULL, effect TEXT NOT NULL, versions TEXT NOT NULL,
  at TEXT NOT NULL, result TEXT NOT NULL
) STRICT;
CREATE TRIGGER ledger_is_kept BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is kept'); END;
CREATE TRIGGER ledger_is_final BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is final'); END;
${DENIED}
PRAGMA user_version = ${SCHEMA_VERSION};
`;

/**
 * Since version 2 a deny stands for one containment, and a lifted one is kept. Version 1 knew one row a version: whose it was
 * stands in the ledger, written in the same transaction.
 */
const FROM_VERSION_1 = `
ALTER TABLE denied RENAME TO denied_1;
DROP TRIGGER denied_only_grows;
${DENIED}
INSERT OR IGNORE INTO denied (object, version_id, contained_by, at)
  SELECT l.object, v.value, l.key, l.at FROM ledger l, json_each(l.versions) v WHERE l.effect = 'contain';
INSERT INTO denied (object, version_id, contained_by, at)
  SELECT object, version_id, 'not recorded', at FROM denied_1 o
  WHERE NOT EXISTS (SELECT 1 FROM denied d WHERE d.object = o.object AND d.version_id = o.version_id);
DROP TABLE denied_1;
PRAGMA user_version = ${SCHEMA_VERSION};
`;

const bytes = z.custom<Uint8Array>((value) => ArrayBuffer.isView(value));
const flag = z.union([z.literal(0), z.literal(1)]).transform((value) => value === 1);

const storeRow = z.object({ store_id: bytes, check_value: bytes });

const sealedRow = z.object({ object: z.string(), version_id: z.string(), material: bytes });

const objectRow = z
  .object({ object: z.string(), family_id: z.string(), max_age: z.number().nullable() })
  .transform((row) => ({ object: row.object, familyId: row.family_id, maxAge: row.max_age ?? undefined }));

const fenceRow = z
  .object({ slot: z.number(), step: z.number(), attempt_id: z.string() })
  .transform((row) => ({ fence: { slot: row.slot, step: row.step }, attemptId: row.attempt_id }));

const jwkSchema = z.record(z.string(), z.string());

const versionRow = z
  .object({
    version_id: z.string(),
    algorithm: z.enum(KEY_ALGORITHMS),
    strength_bits: z.number(),
    fingerprint: z.string(),
    created_at: z.string(),
    accepted: flag,
    emitting_share: z.number(),
    published: flag,
    contained: flag,
    destroyed: flag,
    public_jwk: z.string().nullable(),
  })
  .transform((row) => ({
    versionId: row.version_id,
    algorithm: row.algorithm,
    strengthBits: row.strength_bits,
    fingerprint: row.fingerprint,
    createdAt: row.created_at,
    accepted: row.accepted,
    emittingShare: row.emitting_share,
    published: row.published,
    contained: row.contained,
    destroyed: row.destroyed,
    publicJwk: row.public_jwk === null ? undefined : jwkSchema.parse(JSON.parse(row.public_jwk)),
  }));

const ledgerRow = z
  .object({
    key: z.string(),
    object: z.string(),
    attempt_id: z.string(),
    effect: z.enum(EFFECTS),
    versions: z.string(),
    at: z.string(),
    result: z.string(),
  })
  .transform((row) => ({
    key: row.key,
    object: row.object,
    attemptId: row.attempt_id,
    effect: row.effect,
    versions: z.array(z.string()).parse(JSON.parse(row.versions)),
    at: row.at,
    result: row.result,
  }));

export interface StoredObject {
  readonly object: string;
  readonly familyId: string;
  /** `undefined` until something was published. */
  readonly maxAge: number | undefined;
}

export interface StoredVersion extends ObservedVersion {
  /** Was accepted at least once. */
  readonly published: boolean;
  readonly publicJwk: JWK | undefined;
}

/** `result` is the JSON the effect was answered with. */
export interface StoredEntry extends LedgerEntry {
  readonly object: string;
  readonly result: string;
}

/**
 * The accept set, the deny set, the fences and the ledger: one SQLite file, one process. What is read here is always
 * the last committed state; every change belongs into `transaction`.
 */
export class CustodyStore {
  readonly #db: SqlDatabase;
  readonly #lock: SqlDatabase | undefined;
  #closed = false;

  private constructor(db: SqlDatabase, lock?: SqlDatabase) {
    this.#db = db;
    this.#lock = lock;
  }

  static open(directory: string, sealer: KeySealer): CustodyStore {
    const made = prepareDirectory(directory);
    const lock = takeLock(directory);
    let db: SqlDatabase | undefined;
    try {
      const path = join(directory, STORE_FILE);
      const documents = join(directory, DOCUMENT_FOLDER);
      if (!existsSync(path) && readdirSync(documents).some((name) => name.endsWith('.json'))) {
        throw new BackendError(
          'config',
          `${path} is missing but ${documents} holds published documents: restore the store from its backup`,
        );
      }
      touchPrivate(path);
      db = openDatabase(path, { synchronous: 'FULL' });
      db.exec(`PRAGMA busy_timeout=${BUSY_TIMEOUT_MS}; PRAGMA secure_delete=ON`);
      prepareSchema(db, sealer);
      if (made) fsyncFolder(directory);
      return new CustodyStore(db, lock);
    } catch (error) {
      db?.close();
      releaseLock(lock);
      throw error;
    }
  }

  /** For looking only, beside whoever runs the store and without its key. */
  static openReader(directory: string): CustodyStore {
    const db = openDatabase(join(directory, STORE_FILE), { readOnly: true });
    const version = Number(db.prepare('PRAGMA user_version').get()?.['user_version']);
    if (version !== SCHEMA_VERSION) {
      db.close();
      throw new BackendError(
        'config',
        `${db.path} has schema ${version}, this Keyturn knows ${SCHEMA_VERSION}`,
      );
    }
    return new CustodyStore(db);
  }

  /** Whether the store knows this master key; `false` also where there is none. Takes no lock and changes nothing. */
  static opensWith(directory: string, sealer: KeySealer): boolean {
    const path = join(directory, STORE_FILE);
    if (!existsSync(path)) return false;
    const db = openDatabase(path, { readOnly: true });
    try {
      if (Number(db.prepare('PRAGMA user_version').get()?.['user_version']) === 0) return false;
      const row = db.prepare('SELECT store_id, check_value FROM store').get();
      if (row === undefined) return false;
      const { store_id, check_value } = storeRow.parse(row);
      return sealer.matches(store_id, check_value);
    } finally {
      db.close();
    }
  }

  /** In a transaction: everything sealed by one is sealed by the other, and the store knows that one again. */
  reseal(from: KeySealer, to: KeySealer): number {
    const rows = z
      .array(sealedRow)
      .parse(
        this.#db
          .prepare('SELECT object, version_id, material FROM versions WHERE material IS NOT NULL')
          .all(),
      );
    for (const { object, version_id: versionId, material } of rows) {
      const opened = from.open(material, object, versionId);
      const sealed = to.seal(opened, object, versionId);
      const again = to.open(sealed, object, versionId);
      const same = again.equals(opened);
      opened.fill(0);
      again.fill(0);
      if (!same) throw new Error(`version ${versionId} does not open as it was sealed`);
      this.#db
        .prepare('UPDATE versions SET material = ? WHERE object = ? AND version_id = ?')
        .run(sealed, object, versionId);
      failpoint('rekey:key-resealed');
    }
    const { store_id } = storeRow.parse(this.#db.prepare('SELECT store_id, check_value FROM store').get());
    this.#db.prepare('UPDATE store SET check_value = ?').run(to.checkValue(store_id));
    return rows.length;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#db.close();
    if (this.#lock !== undefined) releaseLock(this.#lock);
  }

  transaction<T>(work: () => T): T {
    return this.#db.transaction(work);
  }

  objects(): readonly StoredObject[] {
    const rows = this.#db.prepare('SELECT object, family_id, max_age FROM objects ORDER BY object').all();
    return z.array(objectRow).parse(rows);
  }

  object(object: string): StoredObject | undefined {
    const row = this.#db
      .prepare('SELECT object, family_id, max_age FROM objects WHERE object = ?')
      .get(object);
    return row === undefined ? undefined : objectRow.parse(row);
  }

  objectOfFamily(familyId: string): StoredObject | undefined {
    const row = this.#db
      .prepare('SELECT object, family_id, max_age FROM objects WHERE family_id = ?')
      .get(familyId);
    return row === undefined ? undefined : objectRow.parse(row);
  }

  claimObject(object: string, familyId: string): void {
    this.#db.prepare('INSERT INTO objects (object, family_id) VALUES (?, ?)').run(object, familyId);
  }

  setMaxAge(object: string, seconds: number): void {
    this.#db.prepare('UPDATE objects SET max_age = ? WHERE object = ?').run(seconds, object);
  }

  fence(object: string): { readonly fence: Fence; readonly attemptId: string } | undefined {
    const row = this.#db.prepare('SELECT slot, step, attempt_id FROM fences WHERE object = ?').get(object);
    return row === undefined ? undefined : fenceRow.parse(row);
  }

  raiseFence(object: string, fence: Fence, attemptId: string): void {
    this.#db
      .prepare('INSERT OR REPLACE INTO fences (object, slot, step, attempt_id) VALUES (?, ?, ?, ?)')
      .run(object, fence.slot, fence.step, attemptId);
  }

  /** In the order of every list and document: by creation, then by id. */
  versions(object: string): readonly StoredVersion[] {
    const rows = this.#db
      .prepare(
        `SELECT version_id, algorithm, strength_bits, fingerprint, created_at, accepted, emitting_share, published,
           EXISTS (SELECT 1 FROM denied d WHERE d.object = v.object AND d.version_id = v.version_id
             AND d.lifted_at IS NULL) AS contained,
           destroyed, public_jwk
         FROM versions v WHERE object = ? ORDER BY created_at, version_id`,
      )
      .all(object);
    return z.array(versionRow).parse(rows);
  }

  addVersion(
    object: string,
    version: Omit<StoredVersion, 'accepted' | 'emittingShare' | 'contained' | 'destroyed' | 'published'>,
    sealed: Uint8Array,
  ): void {
    this.#db
      .prepare(
        `INSERT INTO versions
           (object, version_id, algorithm, strength_bits, fingerprint, created_at, public_jwk, material)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        object,
        version.versionId,
        version.algorithm,
        version.strengthBits,
        version.fingerprint,
        version.createdAt,
        version.publicJwk === undefined ? null : JSON.stringify(version.publicJwk),
        sealed,
      );
  }

  accept(object: string, versionId: string): void {
    this.#db
      .prepare('UPDATE versions SET accepted = 1, published = 1 WHERE object = ? AND version_id = ?')
      .run(object, versionId);
  }

  withdraw(object: string, versionId: string): void {
    this.#db
      .prepare('UPDATE versions SET accepted = 0, emitting_share = 0 WHERE object = ? AND version_id = ?')
      .run(object, versionId);
  }

  /** `rest` keeps what `share` leaves. */
  emitWith(object: string, versionId: string, share: number, rest: string | undefined): void {
    this.#db.prepare('UPDATE versions SET emitting_share = 0 WHERE object = ?').run(object);
    const set = this.#db.prepare(
      'UPDATE versions SET emitting_share = ? WHERE object = ? AND version_id = ?',
    );
    set.run(share, object, versionId);
    if (rest !== undefined) set.run(100 - share, object, rest);
  }

  deny(object: string, versionId: string, containedBy: string, at: string): void {
    this.#db
      .prepare('INSERT OR IGNORE INTO denied (object, version_id, contained_by, at) VALUES (?, ?, ?, ?)')
      .run(object, versionId, containedBy, at);
  }

  /** What another containment denies stays denied. */
  lift(object: string, versionId: string, containedBy: string, at: string): void {
    this.#db
      .prepare(
        `UPDATE denied SET lifted_at = ?
         WHERE object = ? AND version_id = ? AND contained_by = ? AND lifted_at IS NULL`,
      )
      .run(at, object, versionId, containedBy);
  }

  destroy(object: string, versionId: string): void {
    this.#db
      .prepare('UPDATE versions SET destroyed = 1, material = NULL WHERE object = ? AND version_id = ?')
      .run(object, versionId);
  }

  /** The sealed material; `undefined` once it is destroyed. */
  material(object: string, versionId: string): Uint8Array | undefined {
    const row = this.#db
      .prepare('SELECT material FROM versions WHERE object = ? AND version_id = ?')
      .get(object, versionId);
    return row === undefined ? undefined : (bytes.nullable().parse(row['material']) ?? undefined);
  }

  entry(key: string): StoredEntry | undefined {
    const row = this.#db
      .prepare('SELECT key, object, attempt_id, effect, versions, at, result FROM ledger WHERE key = ?')
      .get(key);
    return row === undefined ? undefined : ledgerRow.parse(row);
  }

  /** Newest first. */
  newestEntries(limit: number): readonly StoredEntry[] {
    const rows = this.#db
      .prepare(
        'SELECT key, object, attempt_id, effect, versions, at, result FROM ledger ORDER BY rowid DESC LIMIT ?',
      )
      .all(limit);
    return z.array(ledgerRow).parse(rows);
  }

  forgetFences(): void {
    this.#db.prepare('DELETE FROM fences').run();
  }

  addEntry(entry: StoredEntry): void {
    this.#db
      .prepare(
        'INSERT INTO ledger (key, object, attempt_id, effect, versions, at, result) VALUES (?, ?, ?, ?, ?, ?, ?)',
      )
      .run(
        entry.key,
        entry.object,
        entry.attemptId,
        entry.effect,
        JSON.stringify(entry.versions),
        entry.at,
        entry.result,
      );
  }

  /** Empties the write-ahead log, where pages from before a destruction still stand. `false`: it could not, ask again. */
  scrub(): boolean {
    try {
      return this.#db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get()?.['busy'] === 0;
    } catch {
      return false;
    }
  }
}

function prepareSchema(db: SqlDatabase, sealer: KeySealer): void {
  const version = Number(db.prepare('PRAGMA user_version').get()?.['user_version']);
  if (version > SCHEMA_VERSION) {
    throw new BackendError('config', `${db.path} was written by a newer Keyturn (schema ${version})`);
  }
  if (version === 0) {
    const storeId = randomBytes(16);
    db.transaction(() => {
      db.exec(SCHEMA);
      db.prepare('INSERT INTO store (one, store_id, check_value) VALUES (1, ?, ?)').run(
        storeId,
        sealer.checkValue(storeId),
      );
    });
    return;
  }
  const row = db.prepare('SELECT store_id, check_value FROM store').get();
  if (row === undefined)
    throw new BackendError('config', `${db.path} has lost its master key check: restore it`);
  const { store_id, check_value } = storeRow.parse(row);
  if (!sealer.matches(store_id, check_value)) {
    throw new BackendError(
      'config',
      `The master key is not the one ${db.path} was made with; nothing was changed`,
    );
  }
  if (version === 1) {
    db.transaction(() => {
      db.exec(FROM_VERSION_1);
    });
  }
}

/** Whether anything had to be made. */
function prepareDirectory(directory: string): boolean {
  const made = mkdirSync(directory, { recursive: true, mode: 0o700 });
  const mode = statSync(directory).mode & 0o777;
  if ((mode & 0o077) !== 0) {
    throw new BackendError(
      'config',
      `${directory} is open to group or others (mode ${mode.toString(8).padStart(4, '0')}): chmod 700 it`,
    );
  }
  return (
    mkdirSync(join(directory, DOCUMENT_FOLDER), { recursive: true, mode: 0o700 }) !== undefined ||
    made !== undefined
  );
}

function takeLock(directory: string): SqlDatabase {
  const path = join(directory, LOCK_FILE);
  touchPrivate(path);
  const lock = openDatabase(path, { synchronous: 'NORMAL' });
  try {
    lock.exec('PRAGMA busy_timeout=0; BEGIN IMMEDIATE');
    return lock;
  } catch {
    lock.close();
    throw new BackendError(
      'config',
      `The local back end in ${directory} is open already: one process at a time`,
    );
  }
}

/** Closing alone may leave the transaction to the garbage collector, for as long as a statement is not collected. */
function releaseLock(lock: SqlDatabase): void {
  lock.exec('ROLLBACK');
  lock.close();
}

/** SQLite gives its side files the mode of the main one, so that one is made first. */
function touchPrivate(path: string): void {
  closeSync(openSync(path, 'a', 0o600));
  chmodSync(path, 0o600);
}
