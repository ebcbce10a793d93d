import { createHash } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { BackendError } from '#custody';
import { LogCorruptError, LogTooNewError } from '#eventlog';
import type { Clock, Ids, SecretValue } from '#platform';
import { codeOf } from '../error-code.js';
import { RefusedError } from '../failures.js';
import { damaged, readManifest, tooNew, type Manifest } from './manifest.js';
import { requireEmpty, requireSpace, syncPath } from './take-backup.js';

export interface RestoreOptions {
  readonly folder: string;
  /** The data directory to be: does not exist, or is empty. */
  readonly target: string;
  readonly version: string;
  readonly clock: Clock;
  readonly ids: Ids;
  /** Put into the new data directory, after it was tried on the keys. */
  readonly masterKeyFile?: string;
  /** The key that the configuration names, wherever it is kept; only tried. */
  readonly configuredKey: () => SecretValue | undefined;
  readonly onProgress: (what: 'bytes' | 'events', done: number, total: number) => void;
}

export interface RestoredBackup {
  readonly manifest: Manifest;
  /** `no-keys`: the backup holds none. */
  readonly masterKey: 'copied' | 'fits' | 'does-not-fit' | 'missing' | 'no-keys';
}

/**
 * Makes a data directory of a backup: everything is checked in a folder beside it first, and it appears whole or not at
 * all. What happened after the backup is not on its record, so that it begins with every rotation held.
 */
export async function restoreBackup(options: RestoreOptions): Promise<RestoredBackup> {
  const { folder, target, version, onProgress } = options;
  const [sqlite, custody] = await Promise.all([import('#eventlog/sqlite'), import('#custody/local')]);
  const { manifest, sha256 } = readManifest(folder, version);
  const newer = (what: string, theirs: number, ours: number): void => {
    if (theirs > ours)
      throw tooNew(`its ${what} has version ${theirs}, this one knows ${ours}`, manifest.keyturn);
  };
  newer('log', manifest.log.schema, sqlite.LOG_SCHEMA_VERSION);
  newer('custody store', manifest.custody?.schema ?? 0, custody.CUSTODY_SCHEMA_VERSION);
  requireEmpty(target);
  mkdirSync(dirname(target), { recursive: true });
  const total = manifest.files.reduce((sum, { bytes }) => sum + bytes, 0);
  requireSpace(dirname(target), total);
  const fresh = join(dirname(target), `.${basename(target)}.restoring-${process.pid}`);
  mkdirSync(fresh, { mode: 0o700 });
  try {
    let done = 0;
    for (const file of manifest.files) {
      await copyChecked(file, { folder, fresh }, (count) => {
        done += count;
        onProgress('bytes', done, total);
      });
    }
    const masterKey = await tryMasterKey(options, manifest, fresh);
    await checkAndHold(options, { manifest, sha256, fresh });
    for (const name of [join(fresh, 'custody'), fresh]) if (existsSync(name)) syncPath(name);
    putInPlace(fresh, target);
    return { manifest, masterKey };
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

async function copyChecked(
  file: Manifest['files'][number],
  { folder, fresh }: { readonly folder: string; readonly fresh: string },
  onBytes: (count: number) => void,
): Promise<void> {
  const from = join(folder, file.path);
  if (!existsSync(from)) throw damaged(file.path, 'it is missing');
  const { size } = statSync(from);
  if (size !== file.bytes) throw damaged(file.path, `it has ${size} bytes, the manifest says ${file.bytes}`);
  const to = join(fresh, file.path);
  mkdirSync(dirname(to), { recursive: true, mode: 0o700 });
  const hash = createHash('sha256');
  const out = await open(to, 'wx', 0o600);
  try {
    for await (const chunk of createReadStream(from, { highWaterMark: 1024 * 1024 })) {
      const bytes: unknown = chunk;
      if (!(bytes instanceof Uint8Array)) throw new Error('a file is read as bytes');
      // Of what is written, not of what is read once more: the two might differ.
      hash.update(bytes);
      await out.write(bytes);
      onBytes(bytes.length);
    }
    await out.sync();
  } finally {
    await out.close();
  }
  const sha256 = hash.digest('hex');
  if (sha256 !== file.sha256) {
    throw damaged(
      file.path,
      `its SHA-256 is ${sha256.slice(0, 16)}…, the manifest says ${file.sha256.slice(0, 16)}…`,
    );
  }
}

async function tryMasterKey(
  { masterKeyFile, configuredKey }: RestoreOptions,
  manifest: Manifest,
  fresh: string,
): Promise<RestoredBackup['masterKey']> {
  if (manifest.custody === null) return 'no-keys';
  const { copyMasterKeyFile, loadMasterKey, opensWith } = await import('#custody/local');
  const custody = join(fresh, 'custody');
  if (masterKeyFile !== undefined) {
    if (!existsSync(masterKeyFile)) {
      throw new RefusedError(
        'backup.master-key',
        `the master key file ${masterKeyFile} does not exist: name the file the keys of this backup were sealed under; a new one opens none of them`,
      );
    }
    if (!opensWith(custody, loadMasterKey({ file: masterKeyFile }))) {
      throw new RefusedError(
        'backup.master-key',
        `the master key in ${masterKeyFile} is not the one the keys of this backup are sealed under. After a "local rekey" an older backup needs the key of then: look for master.key.old-*`,
      );
    }
    copyMasterKeyFile(masterKeyFile, join(fresh, 'master.key'));
    return 'copied';
  }
  const key = configuredKey();
  if (key === undefined) return 'missing';
  return opensWith(custody, key) ? 'fits' : 'does-not-fit';
}

/** Every event is opened as the service would open it; then the copy is marked as older than what may have happened. */
async function checkAndHold(
  { clock, ids, version, onProgress }: RestoreOptions,
  {
    manifest,
    sha256,
    fresh,
  }: { readonly manifest: Manifest; readonly sha256: string; readonly fresh: string },
): Promise<void> {
  // Loaded only here: the service brings all of Nest along.
  const [{ DEFINITIONS }, kit, { openSqliteEventLog }, { readCustodyFacts }, { HoldRestored }] =
    await Promise.all([
      import('#service'),
      import('#eventlog/kit'),
      import('#eventlog/sqlite'),
      import('#custody/local'),
      import('#rotation/application'),
    ]);
  const { logId, treeSize, newestRecordedAt } = manifest.log;
  try {
    const log = await openSqliteEventLog({ directory: fresh }, { inline: true });
    try {
      const store = await kit.openEventStore({ log, definitions: DEFINITIONS, clock, ids });
      if (store.logId !== logId) {
        throw damaged('log.sqlite', `its log id is ${store.logId}, the manifest says ${logId}`);
      }
      const families = new Set<string>();
      let seen = 0;
      for await (const event of log.readAll()) {
        store.decode(event);
        if (event.stream.startsWith('family-')) families.add(event.stream.slice('family-'.length));
        seen += 1;
        if (seen % 500 === 0) onProgress('events', seen, treeSize);
      }
      onProgress('events', seen, treeSize);
      if (seen !== treeSize)
        throw damaged('log.sqlite', `it holds ${seen} events, the manifest says ${treeSize}`);
      if (manifest.custody !== null) {
        const facts = readCustodyFacts(join(fresh, 'custody'));
        const foreign = facts.families.filter((family) => !families.has(family));
        if (
          facts.storeId !== manifest.custody.storeId ||
          (foreign.length > 0 && foreign.length === facts.families.length)
        ) {
          throw damaged(
            'custody/custody.sqlite',
            `it is the store of another Keyturn: ${foreign.length} of its ${facts.families.length} families are not in log ${logId}`,
          );
        }
      }
      await new HoldRestored(store).execute(
        {
          found: 'restore',
          reason: `restored from the backup of ${manifest.takenAt}; what was done after it is not on this record`,
          backup: { treeSize, newestRecordedAt, manifest: sha256 },
        },
        'cli',
      );
    } finally {
      await log.close();
    }
  } catch (error) {
    if (error instanceof kit.UnknownEventError || error instanceof LogTooNewError) {
      throw tooNew(`${error.message} (this is ${version})`, manifest.keyturn);
    }
    if (error instanceof LogCorruptError) throw damaged('log.sqlite', error.message);
    if (error instanceof BackendError) throw damaged('custody/custody.sqlite', error.message);
    throw error;
  }
}

function putInPlace(fresh: string, target: string): void {
  try {
    // Over an empty folder, too.
    renameSync(fresh, target);
  } catch (error) {
    throw new RefusedError(
      'data-dir.not-replaceable',
      `${target} cannot be put in place (${codeOf(error) ?? 'unknown'}): name a folder inside it, or one that does not exist yet. Nothing was changed`,
    );
  }
  syncPath(dirname(target));
}
