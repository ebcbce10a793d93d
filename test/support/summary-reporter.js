import { existsSync, readFileSync } from 'node:fs';

/**
 * The last lines of a run: what was not proved on the real part, then the counts alone on a line. Specs that need a real
 * part (test/support/real-parts.ts) leave a line in the notes file when it is not to be had.
 */
// The same path as in notes.ts, which specs use.
export const NOTES = 'node_modules/.cache/keyturn-not-proved.txt';

export default class SummaryReporter {
  onRunComplete(_contexts, results) {
    const notes = existsSync(NOTES)
      ? [...new Set(readFileSync(NOTES, 'utf8').split('\n').filter(Boolean))]
      : [];
    const lines =
      notes.length === 0 ? ['Not proved on the real part: nothing; every part was the real one.'] : notes;
    process.stdout.write(`\n${lines.join('\n')}\n`);
    const { numPassedTests, numFailedTests, numPendingTests, numRuntimeErrorTestSuites } = results;
    const failed = numFailedTests + numRuntimeErrorTestSuites;
    process.stdout.write(`${numPassedTests} passed, ${failed} failed, ${numPendingTests} skipped\n`);
  }
}
