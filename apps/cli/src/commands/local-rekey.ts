import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import type { SecretValue } from '#platform';
import type { createMasterKeyFile, loadMasterKey } from '#custody/local';
import { LogLockedError } from '#eventlog';
import { shellWord } from '#rotation';
import { commandWith } from '../command-with.js';
import { defineCommand } from '../define-command.js';
import { RefusedError, UsageError } from '../failures.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

interface RekeyOptions extends CommonOptions {
  readonly newKeyFile?: string;
}

export function registerLocalRekey(local: Command, around: Surroundings): void {
  defineCommand(local, {
    usage: 'rekey',
    summary: 'Seal every key of the local back end under a new master key',
    about:
      'Stop the service first: it runs on the files, under the lock. The new key is on disk before anything is sealed with\nit; killed at any moment, the next start or another run goes on. The old key is kept beside the new one, since older\nbackups open with it alone.\n\nWhere the master key is not kept in a file Keyturn may write beside (KEYTURN_MASTER_KEY, a mounted secret), give the new\none in KEYTURN_NEW_MASTER_KEY or --new-key-file, and change the setting before the next start. A key is never an argument.\n\nA new master key does not un-see what was copied: where the old one and a copy of the data were seen, rotate the keys too.',
    examples: ['keyturn local rekey', 'keyturn local rekey --new-key-file /run/keys/keyturn-2027.key'],
  })
    .option('--new-key-file <file>', 'the new key: a file (0600) that holds one, or that is made with one')
    .action(async (options: RekeyOptions) => {
      const session = new Session(around, options, false);
      const { config } = session;
      const newKeyFile = options.newKeyFile === undefined ? undefined : resolve(options.newKeyFile);
      const startWith = (masterKeyFile: string): string =>
        commandWith(
          { dataDir: config.dataDir, masterKeyFile, dropsKey: config.masterKey !== undefined },
          'keyturn serve',
        );
      if (newKeyFile !== undefined && config.newMasterKey !== undefined) {
        throw new UsageError(
          '--new-key-file and KEYTURN_NEW_MASTER_KEY are both given: which one holds the key?',
        );
      }
      // Loaded only here: the service brings all of Nest along.
      const [{ placesOf }, custody, { LOCK_FILE, takeLock }] = await Promise.all([
        import('#service/places'),
        import('#custody/local'),
        import('#eventlog/sqlite'),
      ]);
      const places = placesOf(config);
      if (!existsSync(places.custody)) {
        throw new RefusedError(
          'custody.not-found',
          `there is no local back end in ${config.dataDir}, so there is nothing to seal anew: is KEYTURN_DATA_DIR right?`,
        );
      }
      const fromOutside = newKeyFile !== undefined || config.newMasterKey !== undefined;
      if (config.masterKey !== undefined && !fromOutside) {
        throw new UsageError(
          'The master key comes from KEYTURN_MASTER_KEY, so Keyturn cannot put a new one in its place: give the new one in KEYTURN_NEW_MASTER_KEY or --new-key-file',
        );
      }
      const lock = lockOf(() => takeLock(join(places.log, LOCK_FILE)), config.dataDir);
      try {
        const directory = places.custody;
        if (!fromOutside) {
          const { oldKeyFile, ...done } = custody.rekeyMasterKeyFile({ directory, file: places.masterKey });
          session.answer({ ...done, newKeyFile: places.masterKey, oldKeyFile }, () => {
            said(session, done);
            session.lines([
              `The new master key is in ${places.masterKey}; start the service with it as before:`,
              `  ${startWith(places.masterKey)}`,
              `The old one is in ${oldKeyFile ?? ''}. Backups taken until now open with it alone: keep it apart from`,
              'them for as long as you keep them, then destroy it (shred -u). Take a new backup now.',
            ]);
          });
          return;
        }
        custody.settleMasterKeyFile({ directory, file: places.masterKey });
        const oldKey =
          config.masterKey === undefined
            ? custody.loadMasterKey({ file: places.masterKey, opens: directory })
            : custody.loadMasterKey({ value: config.masterKey, name: 'KEYTURN_MASTER_KEY' });
        const newKey = newKeyFrom(newKeyFile, config.newMasterKey, custody);
        const done = custody.rekeyStore({ directory, oldKey, newKey });
        session.answer({ ...done, ...(newKeyFile === undefined ? {} : { newKeyFile }) }, () => {
          said(session, done);
          session.lines([
            newKeyFile === undefined
              ? `Before the next start, put the new key into KEYTURN_MASTER_KEY and unset KEYTURN_NEW_MASTER_KEY${config.masterKey === undefined ? ' and KEYTURN_MASTER_KEY_FILE' : ''}.`
              : `Before the next start, set KEYTURN_MASTER_KEY_FILE=${shellWord(newKeyFile)}${config.masterKey === undefined ? '' : ' and unset KEYTURN_MASTER_KEY'}:`,
            ...(newKeyFile === undefined ? [] : [`  ${startWith(newKeyFile)}`]),
            'Backups taken until now open with the old key alone: keep it apart from them for as long as you keep them, then',
            'destroy it. Take a new backup now.',
          ]);
        });
      } finally {
        lock.release();
      }
    });
}

function lockOf<Lock>(take: () => Lock, dataDir: string): Lock {
  try {
    return take();
  } catch (error) {
    if (!(error instanceof LogLockedError)) throw error;
    throw new RefusedError(
      error.code,
      `a running service has ${dataDir} open: stop the service first, then run keyturn local rekey again`,
    );
  }
}

interface Custody {
  readonly createMasterKeyFile: typeof createMasterKeyFile;
  readonly loadMasterKey: typeof loadMasterKey;
}

function newKeyFrom(
  file: string | undefined,
  value: SecretValue | undefined,
  custody: Pick<Custody, 'createMasterKeyFile' | 'loadMasterKey'>,
): SecretValue {
  if (file === undefined) return custody.loadMasterKey({ value, name: 'KEYTURN_NEW_MASTER_KEY' });
  if (!existsSync(file)) custody.createMasterKeyFile(file);
  return custody.loadMasterKey({ file });
}

function said(
  session: Session,
  {
    resealed,
    outcome,
    scrubbed,
  }: { readonly resealed: number; readonly outcome: string; readonly scrubbed: boolean },
): void {
  session.line(
    outcome === 'finished'
      ? 'An earlier run had sealed every key under the new master key; this one has finished it.'
      : `${resealed} ${resealed === 1 ? 'key is' : 'keys are'} sealed under the new master key.`,
  );
  if (!scrubbed) {
    session.aside(
      'Somebody reads the store now: pages sealed under the old key are cleared at the next start.',
    );
  }
}
