import { openSqliteEventLog } from '../sqlite/index.js';
import { probeEvents, probeStream } from './probe-events.js';

/**
 * A process that appends with 16 writers until it is killed, and says each append that was acknowledged as one line
 * `stream revision ids leaves` on stdout. Run with the log's folder, and `inline` to write on its own thread.
 */
const [directory, mode] = process.argv.slice(2);
if (directory === undefined) throw new Error('the folder of the log is missing');
const log = await openSqliteEventLog({ directory }, { inline: mode === 'inline' });

async function write(): Promise<never> {
  const stream = probeStream();
  for (let revision = 0; ; revision += 2) {
    const events = probeEvents(stream, revision, `first ${revision}`, `second ${revision}`);
    await log.append(stream, revision - 1, events);
    await say(events.map((event) => `${stream} ${event.revision} ${event.id} ${event.leaf}\n`).join(''));
  }
}

/** Settles when it was written: a reader that does not keep up holds the writers back. */
function say(lines: string): Promise<void> {
  return new Promise((resolve) => {
    process.stdout.write(lines, () => resolve());
  });
}

await Promise.all(Array.from({ length: 16 }, write));
