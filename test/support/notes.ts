/** Where a run notes what it could not prove on the real part; read by summary-reporter.js. */
export const NOTES = 'node_modules/.cache/keyturn-not-proved.txt';
