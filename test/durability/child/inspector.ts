import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { EventLogError } from '#eventlog';
import { IntegrityFindings, openSealed, scrubOnce } from '#eventlog/kit';
import { LOG_FILE, messageOf, openDatabase, openSqliteEventLog } from '#eventlog/sqlite';
import { probeEvents, probeStream } from '../../../libs/eventlog/src/testing/probe-events.js';

/** What a log is found to be after whatever was done to its files. */
export interface Inspection {
  /** Its opening, or reading it, was refused with this. */
  readonly refused?: { readonly code: string; readonly message: string };
  /** Places the scrub found. */
  readonly findings: readonly { readonly treeSize: number | undefined; readonly what: string }[];
  /** SQLite's own full check. */
  readonly integrityCheck: string;
  /** What is stored and is what was written, as `treeSize stream revision id leaf`. */
  readonly events: readonly string[];
  /** Whether it can be appended to, and the append be read. */
  readonly goesOn: boolean;
}

/** Opens log after log as a new start would: one line with a folder in, one line with what was found out. */
let count = 0;
for await (const directory of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await inspect(directory))}\n`);
  // The binding lets go of closed files when they are collected, which takes longer than looking at one of these logs.
  if ((count += 1) % 16 === 0) (globalThis as { gc?: () => void }).gc?.();
}

function checkWhole(path: string): string {
  const db = openDatabase(path, { readOnly: true });
  try {
    return String(db.prepare('PRAGMA integrity_check(1)').get()?.['integrity_check']);
  } catch (error) {
    return messageOf(error);
  } finally {
    db.close();
  }
}

async function inspect(directory: string): Promise<Inspection> {
  const findings = new IntegrityFindings();
  const events: string[] = [];
  const found = (): Inspection['findings'] =>
    findings.all().map(({ treeSize, what }) => ({ treeSize, what }));
  let integrityCheck = 'not made';
  try {
    const log = await openSqliteEventLog({ directory }, { inline: true });
    try {
      await scrubOnce({ log, findings, misfiled: (after, limit) => log.misfiled(after, limit) });
      for await (const event of log.readAll()) {
        try {
          openSealed(event);
        } catch {
          continue;
        }
        const { treeSize, stream, revision, id, leaf } = event;
        events.push(`${treeSize} ${stream} ${revision} ${id} ${leaf}`);
      }
      integrityCheck = checkWhole(join(directory, LOG_FILE));
      const stream = probeStream();
      const { treeSize } = await log.append(stream, -1, probeEvents(stream, 0, 'it goes on'));
      const goesOn = treeSize > events.length;
      return { findings: found(), integrityCheck, events, goesOn };
    } finally {
      await log.close();
    }
  } catch (error) {
    if (!(error instanceof EventLogError)) throw error;
    const refused = { code: error.code, message: error.message };
    return { refused, findings: found(), integrityCheck, events, goesOn: false };
  }
}
