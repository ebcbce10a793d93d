import { existsSync, readdirSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { BackendError } from '#custody';
import { EventLogError, LogLockedError, parseInstant } from '#eventlog';
import type { Config } from '#platform';
import { placesOf, type Places } from '#service/places';
import { LAST_BACKUP } from '../backup/take-backup.js';
import { bytesText } from '../bytes-text.js';
import { tokenFileOf } from '../token-file.js';
import { coarse } from '../words.js';
import { fine, notLookedAt, problem, warning, type Finding } from './finding.js';

const DAY_MS = 86_400_000;
/** Of free space: too little to work with, and soon too little. */
const TOO_LITTLE = 100 * 1024 ** 2;
const LITTLE = 1024 ** 3;
const OLD_BACKUP_MS = 7 * DAY_MS;

/** Modes, keys, locks and space: what lies in the data directory. Changes nothing. */
export async function lookAtFiles(config: Config, now: number): Promise<readonly Finding[]> {
  const places = placesOf(config);
  return [
    ofDirectory(config.dataDir),
    ofSpace(config.dataDir),
    await ofLock(places),
    ...(await ofMasterKey(config, places)),
    await ofDocuments(places),
    ofTokenFile(config),
    ofBackup(places, now),
  ];
}

function modeOf(path: string): number {
  return statSync(path).mode & 0o777;
}

function ofDirectory(dataDir: string): Finding {
  const mode = modeOf(dataDir);
  return (mode & 0o077) === 0
    ? fine('data-dir.mode', `${dataDir} is for its owner only`)
    : problem(
        'data-dir.mode',
        `${dataDir} is open to others (mode ${mode.toString(8)})`,
        `chmod 700 ${dataDir}, and ask who could look into it until now`,
      );
}

function ofSpace(dataDir: string): Finding {
  const { bavail, bsize } = statfsSync(dataDir);
  const free = bavail * bsize;
  const text = `${bytesText(free)} free in ${dataDir}`;
  if (free < TOO_LITTLE)
    return problem(
      'disk.space',
      text,
      'free some: with a full disk nothing can be recorded, so nothing is done',
    );
  return free < LITTLE ? warning('disk.space', text, 'free some soon') : fine('disk.space', text);
}

async function ofLock(places: Places): Promise<Finding> {
  const { LOCK_FILE, takeLock } = await import('#eventlog/sqlite');
  const path = join(places.log, LOCK_FILE);
  if (!existsSync(path)) return fine('lock', 'nobody has the data directory open');
  try {
    takeLock(path).release();
    return fine('lock', 'nobody has the data directory open');
  } catch (error) {
    if (error instanceof LogLockedError) {
      const holder = /process (\d+)/.exec(error.message)?.[1];
      return fine(
        'lock',
        `${holder === undefined ? 'a Keyturn' : `process ${holder}`} has the data directory open`,
      );
    }
    return problem(
      'lock',
      error instanceof Error ? error.message : 'the lock cannot be read',
      'see the text above',
    );
  }
}

async function ofMasterKey(config: Config, places: Places): Promise<readonly Finding[]> {
  const { loadMasterKey, nextOf, opensWith, STORE_FILE } = await import('#custody/local');
  const hasStore = existsSync(join(places.custody, STORE_FILE));
  if (config.masterKey === undefined && !existsSync(places.masterKey)) {
    return [
      hasStore
        ? problem(
            'master-key',
            `there are keys in ${places.custody}, but no master key in ${places.masterKey}`,
            'put it there (mode 0600) from where you keep it apart; a backup never holds it. KEYTURN_MASTER_KEY or KEYTURN_MASTER_KEY_FILE may name another place',
          )
        : notLookedAt('master-key', 'there is no local back end yet; the first start makes its master key'),
    ];
  }
  const found: Finding[] = [];
  try {
    const key =
      config.masterKey === undefined
        ? loadMasterKey({ file: places.masterKey })
        : loadMasterKey({ value: config.masterKey, name: 'KEYTURN_MASTER_KEY' });
    const where = config.masterKey === undefined ? places.masterKey : 'KEYTURN_MASTER_KEY';
    if (!hasStore) found.push(fine('master-key', `the master key is in ${where}`));
    else if (opensWith(places.custody, key))
      found.push(fine('master-key', `the master key in ${where} opens the local back end`));
    else if (config.masterKey === undefined && existsSync(nextOf(places.masterKey))) {
      found.push(
        warning(
          'master-key',
          'a "local rekey" was not finished',
          'the next start finishes it; or run keyturn local rekey again',
        ),
      );
    } else {
      found.push(
        problem(
          'master-key',
          `the master key in ${where} is not the one the local back end is sealed under`,
          `put the right one there. After a rekey an older store needs the key of then: look for ${basename(places.masterKey)}.old-*`,
        ),
      );
    }
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    found.push(problem('master-key', error.message, 'see the text above'));
  }
  if (config.masterKey === undefined && dirname(places.masterKey) === config.dataDir) {
    found.push(
      warning(
        'master-key.place',
        'the master key lies in the data directory: whoever copies one has both',
        'good for trying; else move it to another place and name that in KEYTURN_MASTER_KEY_FILE',
      ),
    );
  }
  const folder = dirname(places.masterKey);
  const old = existsSync(folder)
    ? readdirSync(folder).filter((name) => name.startsWith(`${basename(places.masterKey)}.old-`))
    : [];
  if (old.length > 0) {
    found.push(
      warning(
        'master-key.old',
        `${old.length} old ${old.length === 1 ? 'master key lies' : 'master keys lie'} beside the new one`,
        'keep each apart for as long as you keep backups from its time, then destroy it (shred -u)',
      ),
    );
  }
  return found;
}

async function ofDocuments(places: Places): Promise<Finding> {
  const { documentsThatDiffer, STORE_FILE } = await import('#custody/local');
  if (!existsSync(join(places.custody, STORE_FILE)))
    return notLookedAt('jwks', 'there is no local back end yet, so no JWKS document');
  try {
    const { checked, differing, missing } = documentsThatDiffer(places.custody);
    if (checked === 0) return fine('jwks', 'the local back end has no JWKS document to serve');
    const of = (families: readonly string[]): string =>
      `${families.length === 1 ? 'document' : 'documents'} of ${families.slice(0, 3).join(', ')}${families.length > 3 ? ` and ${families.length - 3} more` : ''} ${families.length === 1 ? 'is' : 'are'}`;
    if (differing.length > 0) {
      return problem(
        'jwks',
        `the JWKS ${of(differing)} not what the store says`,
        'restart the service: a start writes them anew from the store. Ask who changed them',
      );
    }
    // A backup leaves them out, so that none of it is ever served: after a restore this is how it should be.
    return missing.length > 0
      ? warning(
          'jwks',
          `the JWKS ${of(missing)} not there, as after a restore`,
          'start the service: a start writes them anew from the store',
        )
      : fine(
          'jwks',
          `${checked} JWKS ${checked === 1 ? 'document is' : 'documents are'} what the store says`,
        );
  } catch (error) {
    if (error instanceof BackendError) return problem('jwks', error.message, 'see the text above');
    throw error;
  }
}

function ofTokenFile(config: Config): Finding {
  const path = tokenFileOf(config);
  if (!existsSync(path)) {
    return notLookedAt(
      'token-file',
      `no token is saved in ${path}${config.token === undefined ? '' : '; KEYTURN_TOKEN is set'}`,
    );
  }
  const mode = modeOf(path);
  return (mode & 0o077) === 0
    ? fine('token-file', `${path} is for its owner only`)
    : problem(
        'token-file',
        `${path} can be read by others (mode ${mode.toString(8)})`,
        `chmod 600 ${path}, then revoke that token: keyturn token list`,
      );
}

const lastBackup = z.object({ takenAt: z.string(), target: z.string() });

function ofBackup(places: Places, now: number): Finding {
  const mend = 'keyturn backup FOLDER, and keep the master key elsewhere';
  try {
    const { takenAt, target } = lastBackup.parse(
      JSON.parse(readFileSync(join(places.log, LAST_BACKUP), 'utf8')),
    );
    const age = now - (parseInstant(takenAt) ?? 0);
    const text = `the last backup known was taken ${coarse(Math.max(1_000, age))} ago, to ${target}`;
    return age > OLD_BACKUP_MS ? warning('backup', text, mend) : fine('backup', text);
  } catch {
    return warning('backup', 'no backup of this data directory is known', mend);
  }
}

/** What a log that cannot be opened means for whoever runs it. */
export function logProblem(error: unknown): Finding {
  if (!(error instanceof EventLogError)) throw error;
  return problem(
    'log',
    `${error.message} (${error.code})`,
    error.code === 'log.too-new' || error.code === 'event.unknown'
      ? 'run the Keyturn that wrote it, or a newer one'
      : 'stop the service, keep the files as they are, and restore the last backup: keyturn restore',
  );
}
