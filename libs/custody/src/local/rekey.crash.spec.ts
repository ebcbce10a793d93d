import { execFile, execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { byDepth, haveRealPart } from '#platform/testing';
import {
  keysUnder,
  rekeyFixture,
  removeFixture,
  startOver,
  type RekeyFixture,
} from '../testing/rekey-fixture.js';
import { rekeyMasterKeyFile } from './index.js';

/**
 * A change of the master key, killed at every failpoint, and before every call that changes a file. What is left must
 * open as a whole with one of the two keys; the next start and another run must both go on from there.
 */

const CHILD = join(process.cwd(), 'dist/libs/custody/src/testing/rekey.child.js');
/** How often each is passed: the fixture has three keys. */
const FAILPOINTS: readonly (readonly [string, number])[] = [
  ['rekey:new-key-stored', 1],
  ['rekey:key-resealed', 1],
  ['rekey:key-resealed', 2],
  ['rekey:key-resealed', 3],
  ['rekey:before-commit', 1],
  ['rekey:committed', 1],
  ['rekey:old-key-kept', 1],
  ['rekey:new-key-in-place', 1],
];
/** What changes a file; `write` is left out, since every process has other uses for it. */
const CALLS = ['pwrite64', 'fsync', 'fdatasync', 'rename', 'unlink', 'ftruncate'];
/** Every so many of them. */
const EVERY = byDepth({ check: 5, slice: 3, full: 1 });
/** Some of the last calls are the process's own end: one of them more or less comes. */
const COMMITTED_CALLS = byDepth({ check: 9, slice: 15, full: 46 });

interface Ended {
  readonly signal: string | null;
  readonly code: number | null;
  readonly stderr: string;
}

describe('a change of the master key that is killed', () => {
  let fixture: RekeyFixture;
  let copies: string;
  beforeAll(async () => {
    fixture = await rekeyFixture();
    copies = mkdtempSync(join(tmpdir(), 'keyturn-rekey-cases-'));
  });
  afterAll(() => {
    removeFixture(fixture);
    rmSync(copies, { recursive: true, force: true });
  });

  function copy(): RekeyFixture {
    const base = mkdtempSync(join(copies, 'case-'));
    cpSync(fixture.base, base, { recursive: true });
    return { ...fixture, base, directory: join(base, 'custody'), file: join(base, 'master.key') };
  }

  const whole = ({ directory, file, keys }: RekeyFixture): boolean =>
    [file, `${file}.new`].some((each) => {
      try {
        return existsSync(each) && keysUnder(directory, each) === keys;
      } catch {
        return false;
      }
    });

  /** Both ways on: the next start, and the same command again. */
  async function goesOn(at: RekeyFixture): Promise<string | undefined> {
    if (!existsSync(at.file)) return 'there is no key file';
    if (!whole(at)) return 'no key opens everything';
    const again = { ...at, base: mkdtempSync(join(copies, 'again-')) };
    cpSync(at.base, again.base, { recursive: true });
    const other = { ...again, directory: join(again.base, 'custody'), file: join(again.base, 'master.key') };
    try {
      await startOver(at);
    } catch (error) {
      return `the next start: ${String(error)}`;
    }
    try {
      rekeyMasterKeyFile(other);
      await startOver(other);
    } catch (error) {
      return `another run: ${String(error)}`;
    }
    return existsSync(`${other.file}.new`) ? 'the new key was left beside its place' : undefined;
  }

  function killed(command: string, args: readonly string[]): Promise<Ended> {
    return new Promise((resolve) => {
      const child = execFile(command, [...args], (_error, _out, stderr) => {
        resolve({ signal: child.signalCode, code: child.exitCode, stderr });
      });
    });
  }

  it('at every failpoint', async () => {
    const wrong: string[] = [];
    for (const [name, hit] of FAILPOINTS) {
      const at = copy();
      const { signal, stderr } = await killed(process.execPath, [
        CHILD,
        at.directory,
        at.file,
        name,
        String(hit),
      ]);
      const problem =
        signal === 'SIGKILL' && stderr.includes(`failpoint reached: ${name}`)
          ? await goesOn(at)
          : `it did not die there: ${stderr.slice(0, 300)}`;
      if (problem !== undefined) wrong.push(`${name} (${hit}): ${problem}`);
    }
    process.stdout.write(`rekey, failpoints: ${FAILPOINTS.length - wrong.length} of ${FAILPOINTS.length}\n`);
    expect(wrong).toEqual([]);
  });

  it('has a case for every failpoint of its sources', () => {
    const names = ['rekey.ts', 'custody-store.ts'].flatMap((source) =>
      [
        ...readFileSync(join('libs/custody/src/local', source), 'utf8').matchAll(
          /failpoint\('(rekey:[^']+)'\)/g,
        ),
      ].map((match) => match[1]),
    );
    expect(new Set(FAILPOINTS.map(([name]) => name))).toEqual(new Set(names));
  });

  const traced = haveRealPart('strace', COMMITTED_CALLS);
  (traced ? it : it.skip)(
    'before every call that changes a file',
    async () => {
      const wrong: string[] = [];
      let cases = 0;
      let nthOfAll = 0;
      for (const call of CALLS) {
        const log = join(copies, `${call}.trace`);
        const dry = copy();
        execFileSync('strace', [
          '-f',
          '-qq',
          '-o',
          log,
          '-e',
          `trace=${call}`,
          process.execPath,
          CHILD,
          dry.directory,
          dry.file,
        ]);
        const count = readFileSync(log, 'utf8')
          .split('\n')
          .filter((line) => line.includes(`${call}(`)).length;
        for (let nth = 1; nth <= count; nth += 1) {
          nthOfAll += 1;
          if (nthOfAll % EVERY !== 0) continue;
          const at = copy();
          const inject = ['-e', `trace=${call}`, '-e', `inject=${call}:signal=SIGKILL:when=${nth}`];
          const run = [process.execPath, CHILD, at.directory, at.file];
          const { signal, code } = await killed('strace', [
            '-f',
            '-qq',
            '-o',
            '/dev/null',
            ...inject,
            ...run,
          ]);
          // The last ones are the process's own end, which may come to them or not.
          if (signal === null && code === 0) continue;
          cases += 1;
          const problem = signal === 'SIGKILL' ? await goesOn(at) : 'it was not killed';
          if (problem !== undefined) wrong.push(`${call} ${nth} of ${count}: ${problem}`);
        }
      }
      process.stdout.write(`rekey, calls that change a file: ${cases - wrong.length} of ${cases}\n`);
      expect(wrong).toEqual([]);
      expect(cases).toBeGreaterThanOrEqual(COMMITTED_CALLS);
    },
    180_000,
  );

  it('goes red where the new key was not kept, and where a key does not open', async () => {
    const lost = copy();
    await killed(process.execPath, [CHILD, lost.directory, lost.file, 'rekey:committed', '1']);
    rmSync(`${lost.file}.new`);
    expect(await goesOn(lost)).toBe('no key opens everything');
    const unequal = copy();
    expect(await goesOn({ ...unequal, keys: `${unequal.keys}x` })).toBe('no key opens everything');
  });
});
