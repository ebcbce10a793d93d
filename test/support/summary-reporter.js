import { existsSync, readFileSync, writeSync } from 'node:fs';

/**
 * The last lines of a run: what was not proved on the real part, then the counts alone on a line. Specs that need a real
 * part (libs/platform/src/testing/real-parts.ts) leave a line in the notes file when it is not to be had.
 */
// The same path as there.
export const NOTES = 'node_modules/.cache/keyturn-not-proved.txt';

export default class SummaryReporter {
  onRunComplete(_contexts, results) {
    const notes = existsSync(NOTES)
      ? [...new Set(readFileSync(NOTES, 'utf8').split('\n').filter(Boolean))]
      : [];
    const said = [...standIns(results), ...notes];
    const lines =
      said.length === 0 ? ['Not proved on the real part: nothing; every part was the real one.'] : said;
    const { numPassedTests, numFailedTests, numPendingTests, numRuntimeErrorTestSuites } = results;
    const failed = numFailedTests + numRuntimeErrorTestSuites;
    const counts = `${numPassedTests} passed, ${failed} failed, ${numPendingTests} skipped`;
    // After jest's own summary: these are the last lines of a run.
    process.once('exit', () => {
      writeSync(1, `\n${lines.join('\n')}\n${counts}\n`);
    });
  }
}

/** Counted by what ran: a suite on a stand-in says so in a title (`footingOn`). */
function standIns({ testResults }) {
  const cases = new Map();
  for (const { ancestorTitles, status } of testResults.flatMap((file) => file.testResults)) {
    const part = /\bon a stand-in for (\w+)/.exec(ancestorTitles.join(' '))?.[1];
    if (part !== undefined && ['passed', 'failed'].includes(status))
      cases.set(part, (cases.get(part) ?? 0) + 1);
  }
  return [...cases].map(
    ([part, count]) => `Not proved on a real server: ${count} cases ran on a stand-in, for want of ${part}.`,
  );
}
