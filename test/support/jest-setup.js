import { mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { NOTES } from './summary-reporter.js';

/** Once before a run: the notes of the last one are gone. */
export default function setUp() {
  mkdirSync(dirname(NOTES), { recursive: true });
  rmSync(NOTES, { force: true });
}
