import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { restoreBackup, type RestoredBackup } from '../backup/restore-backup.js';
import { commandWith } from '../command-with.js';
import { defineCommand } from '../define-command.js';
import { progressBar } from '../progress-bar.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { packageVersion, type Config } from '#platform';

interface RestoreOptions extends CommonOptions {
  readonly dataDir?: string;
  readonly masterKeyFile?: string;
}

export function registerRestore(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'restore',
    summary: 'Make a data directory of a backup; every rotation of it begins held',
    about:
      'Checks every file and every event first, and makes the directory whole or not at all. Refused: a directory that is not\nempty, a damaged backup, one of a newer Keyturn.\n\nWhat was done after the backup is not on its record. So forward steps of all rotations are held until a person has\nlooked and says "keyturn holds confirm restore"; rollbacks and emergencies are not held. Run one Keyturn only: the one\nthe backup was taken of must never start again.',
    examples: [
      'keyturn restore /backups/keyturn-2026-03-01 --data-dir /var/lib/keyturn --master-key-file /root/master.key',
      'keyturn restore /backups/keyturn-2026-03-01 --data-dir ./restored --json',
    ],
  })
    .argument('<folder>', 'the backup')
    .option('--data-dir <folder>', 'where to, instead of KEYTURN_DATA_DIR; must not exist yet, or be empty')
    .option(
      '--master-key-file <file>',
      'tried on the keys, then copied into the data directory as master.key',
    )
    .action(async (given: string, options: RestoreOptions) => {
      const session = new Session(around, options, false);
      const { config } = session;
      const folder = resolve(given);
      const target = resolve(options.dataDir ?? config.dataDir);
      const { loadMasterKey } = await import('#custody/local');
      const bars = { bytes: progressBar(session, 'bytes'), events: progressBar(session, 'events checked') };
      try {
        const restored = await restoreBackup({
          folder,
          target,
          version: packageVersion(),
          clock: around.clock,
          ids: around.ids,
          ...(options.masterKeyFile === undefined ? {} : { masterKeyFile: resolve(options.masterKeyFile) }),
          configuredKey: () => {
            if (config.masterKey !== undefined) return loadMasterKey({ value: config.masterKey });
            return existsSync(config.masterKeyFile)
              ? loadMasterKey({ file: config.masterKeyFile })
              : undefined;
          },
          onProgress: (what, done, total) => {
            if (what === 'events') bars.bytes.stop();
            bars[what].at(done, total);
          },
        });
        bars.events.stop();
        const { manifest, masterKey } = restored;
        const masterKeyFile = keyFileOf(masterKey, target, config);
        const start = { dataDir: target, masterKeyFile, dropsKey: config.masterKey !== undefined };
        const answer = {
          dataDir: target,
          masterKey,
          masterKeyFile: masterKeyFile ?? null,
          held: true,
          ...manifest,
        };
        session.answer(answer, () => {
          const { log, custody } = manifest;
          session.lines([
            `Restored to ${session.paint(target, 'bold')}: ${log.treeSize} events, the newest of ${log.newestRecordedAt}${
              custody === null ? '' : `, and ${custody.sealedKeys} sealed keys`
            }.`,
            ...keyLines(masterKey, target, config),
            session.paint(
              'Every rotation is held: what was done after the backup is not on this record.',
              'yellow',
            ),
            'Next:',
            `  1. Make sure that the Keyturn it was taken of never starts again.`,
            `  2. ${commandWith(start, 'keyturn serve')}`,
            `  3. ${commandWith(start, 'keyturn doctor')}, and compare the back ends with what is recorded`,
            '  4. keyturn holds confirm restore --reason "…"',
          ]);
        });
      } finally {
        bars.bytes.stop();
        bars.events.stop();
      }
    });
}

/** The file the service is to read the key from; `undefined`: it is in KEYTURN_MASTER_KEY, or there are no keys. */
function keyFileOf(
  masterKey: RestoredBackup['masterKey'],
  target: string,
  config: Config,
): string | undefined {
  if (masterKey === 'no-keys') return undefined;
  if (masterKey !== 'fits') return join(target, 'master.key');
  return config.masterKey === undefined ? config.masterKeyFile : undefined;
}

function keyLines(masterKey: RestoredBackup['masterKey'], target: string, config: Config): readonly string[] {
  switch (masterKey) {
    case 'no-keys':
      return [];
    case 'copied':
      return [`The master key fits, and is in ${join(target, 'master.key')}.`];
    case 'fits':
      return [
        config.masterKey === undefined
          ? `The master key in ${config.masterKeyFile} fits. It was not copied: keep it there, or move it and name its new place.`
          : 'The master key in KEYTURN_MASTER_KEY fits. It was not copied: keep it set.',
      ];
    case 'does-not-fit':
      return [
        'The configured master key does NOT open these keys: the service will not start with it. After a "local rekey" an',
        `older backup needs the key of then (master.key.old-*). Put the right one into ${join(target, 'master.key')}, mode 0600.`,
      ];
    case 'missing':
      return [
        `A backup never holds the master key. Put it into ${join(target, 'master.key')}, mode 0600 (or KEYTURN_MASTER_KEY):`,
        'without it the service does not start.',
      ];
  }
}
