import { resolve } from 'node:path';
import type { Command } from 'commander';
import { takeBackup } from '../backup/take-backup.js';
import { bytesText } from '../bytes-text.js';
import { shellWord } from '#rotation';
import { defineCommand } from '../define-command.js';
import { progressBar } from '../progress-bar.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { packageVersion } from '#platform';
import { placesOf } from '#service/places';

export function registerBackup(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'backup',
    summary: 'Copy the log and the local back end to a folder, while Keyturn runs',
    about:
      'Reads the files in KEYTURN_DATA_DIR beside a running service; nothing waits for it. The folder appears whole or not at\nall, with a manifest (sizes, SHA-256, what it holds), and every event of the copy has been read back.\n\nIt holds the keys of the local back end, sealed. It never holds the master key, without which they open nowhere: back\nthat up by itself, somewhere else. Read model and JWKS documents are left out, since both are made anew; tokens of the\ncommand line are left out, too.',
    examples: ['keyturn backup /backups/keyturn-$(date +%F)', 'keyturn backup /mnt/backup/keyturn --json'],
  })
    .argument('<folder>', 'where to; must not exist yet, or be empty')
    .action(async (folder: string, options: CommonOptions) => {
      const session = new Session(around, options, false);
      const target = resolve(folder);
      const bars = { bytes: progressBar(session, 'bytes'), events: progressBar(session, 'events read back') };
      try {
        const { manifest, bytes } = await takeBackup({
          places: placesOf(session.config),
          target,
          version: packageVersion(),
          now: session.now(),
          interrupted: around.interrupted,
          onProgress: (what, done, total) => {
            if (what === 'events') bars.bytes.stop();
            bars[what].at(done, total);
          },
        });
        bars.events.stop();
        session.answer({ folder: target, bytes, ...manifest }, () => {
          const { log, custody } = manifest;
          session.lines([
            `Backed up to ${session.paint(target, 'bold')} (${bytesText(bytes)}), every event read back.`,
            `  Log      ${log.treeSize} events, the newest of ${log.newestRecordedAt}`,
            custody === null
              ? '  Keys     none: there is no local back end here'
              : `  Keys     ${custody.sealedKeys} of the local back end, sealed under the master key`,
            '  Not in   the master key: without it the keys of this backup open nowhere. Keep it elsewhere.',
            '           read model and JWKS documents: both are made anew from what is in',
            `Give it back with: keyturn restore ${shellWord(target)} --data-dir NEW-FOLDER`,
          ]);
          if (!manifest.oneMoment) {
            session.aside(
              'Work went on between the two copies: the keys may be a moment newer than the log, never older.',
            );
          }
        });
      } finally {
        bars.bytes.stop();
        bars.events.stop();
      }
    });
}
