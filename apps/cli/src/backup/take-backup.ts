import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { formatInstant } from '#eventlog';
import { InterruptedError, RefusedError } from '../failures.js';
import type { Places } from '#service/places';
import { FORMAT_VERSION, hashOf, MANIFEST, type Manifest } from './manifest.js';

export interface BackupOptions {
  readonly places: Places;
  /** A folder that does not exist yet, or is empty. */
  readonly target: string;
  readonly version: string;
  readonly now: number;
  readonly interrupted: AbortSignal;
  readonly onProgress: (what: 'bytes' | 'events', done: number, total: number) => void;
}

export interface TakenBackup {
  readonly manifest: Manifest;
  readonly bytes: number;
}

/** What the last backup of a data directory left there for `doctor` and the metrics. */
export const LAST_BACKUP = 'last-backup.json';

/** How often both are pinned anew where something was recorded between the two. */
const MOST_PINS = 20;

/**
 * Copies log and custody store as of one moment, beside whoever runs them, and takes no lock. The log is pinned first:
 * what a log speaks of must be in the store beside it, while an effect the log does not know yet is found by observing
 * (docs/adr/0025). Appears whole or not at all.
 */
export async function takeBackup(options: BackupOptions): Promise<TakenBackup> {
  const { places, target, version, now, interrupted, onProgress } = options;
  const sqlite = await import('#eventlog/sqlite');
  if (!existsSync(join(places.log, sqlite.LOG_FILE))) {
    throw new RefusedError(
      'log.not-found',
      `there is no log in ${places.log}, so there is nothing to back up: is KEYTURN_DATA_DIR right?`,
    );
  }
  requireEmpty(target);
  const { log, custody, oneMoment } = await pinBoth(places);
  const fresh = join(dirname(target), `.${basename(target)}.partial-${process.pid}`);
  try {
    mkdirSync(dirname(target), { recursive: true });
    requireSpace(dirname(target), log.bytes + (custody?.bytes ?? 0));
    mkdirSync(fresh, { mode: 0o700 });
    const total = log.bytes + (custody?.bytes ?? 0);
    const files: Manifest['files'] = [];
    const copy = async (
      path: Manifest['files'][number]['path'],
      from: { readonly bytes: number; copyTo(to: string, told: (done: number) => void): Promise<void> },
      before: number,
    ): Promise<void> => {
      const to = join(fresh, path);
      await from.copyTo(to, (done) => {
        onProgress('bytes', before + done, total);
      });
      if (interrupted.aborted) throw new InterruptedError();
      files.push({ path, bytes: from.bytes, sha256: await hashOf(to) });
    };
    await copy('log.sqlite', log, 0);
    if (custody !== undefined) {
      mkdirSync(join(fresh, 'custody'), { mode: 0o700 });
      await copy('custody/custody.sqlite', custody, log.bytes);
    }
    const logId = await checkEvents(fresh, log.treeSize, (done) => {
      if (interrupted.aborted) throw new InterruptedError();
      onProgress('events', done, log.treeSize);
    });
    const manifest: Manifest = {
      format: 'keyturn-backup',
      formatVersion: FORMAT_VERSION,
      keyturn: version,
      takenAt: formatInstant(now),
      log: {
        logId,
        schema: sqlite.LOG_SCHEMA_VERSION,
        treeSize: log.treeSize,
        newestRecordedAt: log.newestRecordedAt,
      },
      custody: custody === undefined ? null : custodyPart(custody.facts),
      oneMoment,
      holds: {
        log: 'every event, with the names of people and systems in them; no secret value',
        keys:
          custody === undefined
            ? 'none: there was no local back end'
            : 'the keys of the local back end, sealed (AES-256-GCM) under the master key',
        masterKey: false,
        readModel: false,
        servedDocuments: false,
      },
      files,
    };
    writeDurably(join(fresh, MANIFEST), `${JSON.stringify(manifest, undefined, 2)}\n`);
    for (const folder of [join(fresh, 'custody'), fresh]) if (existsSync(folder)) syncPath(folder);
    renameSync(fresh, target);
    syncPath(dirname(target));
    remember(places.log, { takenAt: manifest.takenAt, treeSize: log.treeSize, target });
    return { manifest, bytes: total };
  } finally {
    rmSync(fresh, { recursive: true, force: true });
    log.release();
    custody?.release();
  }
}

async function pinBoth(places: Places) {
  const [{ openLogSnapshot }, { openCustodySnapshot, STORE_FILE }] = await Promise.all([
    import('#eventlog/sqlite'),
    import('#custody/local'),
  ]);
  for (let turn = 1; ; turn += 1) {
    const log = openLogSnapshot(places.log);
    // A store that is being made has no schema yet; it has no key either.
    const there = existsSync(join(places.custody, STORE_FILE));
    let custody: ReturnType<typeof openCustodySnapshot> | undefined;
    try {
      custody = there ? openCustodySnapshot(places.custody) : undefined;
      const after = openLogSnapshot(places.log);
      const oneMoment = after.treeSize === log.treeSize;
      after.release();
      // An effect stands between its intent and its outcome: where neither was appended, none is half in.
      if (oneMoment || turn === MOST_PINS) return { log, custody, oneMoment };
    } catch (error) {
      custody?.release();
      log.release();
      throw error;
    }
    custody?.release();
    log.release();
    await wait(10 * turn);
  }
}

function custodyPart(facts: {
  readonly schema: number;
  readonly storeId: string;
  readonly versions: number;
  readonly sealedKeys: number;
  readonly effects: number;
  readonly newestEffectAt?: string;
}): Manifest['custody'] {
  const { schema, storeId, versions, sealedKeys, effects, newestEffectAt } = facts;
  return { schema, storeId, versions, sealedKeys, effects, newestEffectAt: newestEffectAt ?? null };
}

/** A backup that cannot be read back is none: every event of the copy is opened, its hashes compared. */
async function checkEvents(folder: string, size: number, onEvent: (done: number) => void): Promise<string> {
  const [{ openSqliteEventLog }, { openSealed }] = await Promise.all([
    import('#eventlog/sqlite'),
    import('#eventlog/kit'),
  ]);
  const log = await openSqliteEventLog({ directory: folder }, { readOnly: true });
  try {
    let logId: string | undefined;
    let seen = 0;
    for await (const event of log.readAll()) {
      seen += 1;
      const { data } = openSealed(event);
      if (seen === 1 && typeof data === 'object' && data !== null && 'logId' in data)
        logId = String(data.logId);
      if (seen % 500 === 0) onEvent(seen);
    }
    onEvent(seen);
    if (seen !== size || logId === undefined) {
      throw new RefusedError(
        'log.corrupt',
        `the copy holds ${seen} of ${size} events; run verify on the log`,
      );
    }
    return logId;
  } finally {
    await log.close();
  }
}

export function requireEmpty(target: string): void {
  if (!existsSync(target)) return;
  if (readdirSync(target).length > 0) {
    throw new RefusedError(
      'target.not-empty',
      `${target} is not empty: name a folder that does not exist yet`,
    );
  }
}

export function requireSpace(folder: string, wanted: number): void {
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  if (free < wanted) {
    throw new RefusedError(
      'disk.full',
      `${folder} has ${free} bytes free, ${wanted} are needed; nothing was written`,
    );
  }
}

/** For `doctor`; a folder we may not write to is no reason to fail after the backup stands. */
function remember(directory: string, what: Readonly<Record<string, unknown>>): void {
  const path = join(directory, LAST_BACKUP);
  try {
    writeDurably(`${path}.${process.pid}`, `${JSON.stringify(what)}\n`);
    renameSync(`${path}.${process.pid}`, path);
  } catch {
    rmSync(`${path}.${process.pid}`, { force: true });
  }
}

export function writeDurably(path: string, text: string): void {
  const file = openSync(path, 'w', 0o600);
  try {
    writeFileSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  chmodSync(path, 0o600);
}

export function syncPath(path: string): void {
  const file = openSync(path, 'r');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
