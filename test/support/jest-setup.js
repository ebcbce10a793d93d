import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fetchOpenBao } from '../../tools/fetch-openbao.js';
import { NOTES } from './summary-reporter.js';

/** Once before a run: the notes of the last one are gone, the real parts are here as far as they can be had. */
export default function setUp() {
  mkdirSync(dirname(NOTES), { recursive: true });
  rmSync(NOTES, { force: true });
  const reason = fetchOpenBao();
  if (reason !== undefined) process.stderr.write(`OpenBao could not be fetched: ${reason}\n`);
  const folder = mkdtempSync(join(tmpdir(), 'keyturn-servers-'));
  // PostgreSQL, which does not run as root, has its data below; what is secret is closed by itself.
  chmodSync(folder, 0o711);
  // What the specs of one worker share lies there (libs/custody/src/testing/servers.ts); jest-teardown.js ends it.
  process.env.KEYTURN_REAL_SERVERS = folder;
}
