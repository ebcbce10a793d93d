import { mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { fetchOpenBao } from '../../tools/fetch-openbao.js';
import { NOTES } from './summary-reporter.js';

/** Once before a run: the notes of the last one are gone, the real parts are here as far as they can be had. */
export default function setUp() {
  mkdirSync(dirname(NOTES), { recursive: true });
  rmSync(NOTES, { force: true });
  const reason = fetchOpenBao();
  if (reason !== undefined) process.stderr.write(`OpenBao could not be fetched: ${reason}\n`);
}
