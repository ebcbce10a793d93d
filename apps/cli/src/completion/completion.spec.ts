import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { haveRealPart } from '#platform/testing';
import { run } from '../testing/run-in.js';

/** Completion, asked of the real shells as a TAB asks it. */

// A path with a space in it, as homes have.
const here = mkdtempSync(join(tmpdir(), 'keyturn completion '));
afterAll(() => {
  rmSync(here, { recursive: true });
});
// What the scripts call for names: one of them with a space in it.
mkdirSync(join(here, 'bin'));
writeFileSync(
  join(here, 'bin', 'keyturn'),
  `#!/bin/sh
[ "$1 $2" = "completion families" ] && printf '%s\\n' production/session-jwt "demo/Demo session MAC"
[ "$1 $2" = "completion rotations" ] && printf '%s\\n' 3f2a91c0-0000-4000-8000-000000000000
exit 0
`,
);
chmodSync(join(here, 'bin', 'keyturn'), 0o755);
mkdirSync(join(here, 'a folder'));
writeFileSync(join(here, 'a file.yaml'), '');

async function scriptOf(shell: string): Promise<string> {
  const { code, out } = await run(['completion', shell]);
  expect(code).toBe(0);
  const path = join(here, `script.${shell}`);
  writeFileSync(path, out);
  return path;
}

const sorted = (text: string): readonly string[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .sort();

/** What stands before the TAB, as words, and what is offered. */
const CASES: readonly (readonly [readonly string[], readonly string[]])[] = [
  [
    ['keyturn', 're'],
    ['rebuild', 'reject', 'replay', 'report', 'restore', 'resume', 'retire', 'retry', 'review', 'reviewed'],
  ],
  [['keyturn', 'token', 'c'], ['create']],
  [
    ['keyturn', 'token', 'create', '--kind', ''],
    ['person', 'workload'],
  ],
  [['keyturn', 'token', 'create', '--role', 'x', '--la'], ['--label']],
  [['keyturn', 'rotate', 'prod'], ['production/session-jwt']],
  [['keyturn', 'rotate', 'production/session-jwt', '--dry'], ['--dry-run']],
  [['keyturn', 'pause', '3f'], ['3f2a91c0-0000-4000-8000-000000000000']],
  [['keyturn', 'completion', 'z'], ['zsh']],
  [['keyturn', 'help', 'rol'], ['rollback']],
  [['keyturn', 'note', 'x', 'y'], []],
];

describe('completion', () => {
  describe('in bash', () => {
    let script: string;
    beforeAll(async () => {
      script = await scriptOf('bash');
    });
    const offered = (words: readonly string[]): readonly string[] => {
      const asked = `
        source "$1"; shift
        COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 ))
        eval "$(complete -p keyturn | sed 's/complete -F \\(.*\\) keyturn/\\1/')"
        printf '%s\\n' "\${COMPREPLY[@]}"`;
      return sorted(
        execFileSync('bash', ['--norc', '-c', asked, 'bash', script, ...words], {
          cwd: here,
          encoding: 'utf8',
          env: { PATH: `${join(here, 'bin')}:/usr/bin:/bin` },
        }),
      );
    };

    it.each(CASES)('%j offers %j', (words, wanted) => {
      expect(offered(words)).toEqual([...wanted].sort());
    });

    it('offers the value of an option written with =', () => {
      expect(offered(['keyturn', 'token', 'create', '--kind', '=', 'w'])).toEqual(['workload']);
    });

    it('quotes names with spaces, and goes on in them', () => {
      expect(offered(['keyturn', 'rotate', 'demo/'])).toEqual([String.raw`demo/Demo\ session\ MAC`]);
      expect(offered(['keyturn', 'rotate', String.raw`demo/Demo\ se`])).toHaveLength(1);
    });

    it('offers files where files are wanted, and folders where folders are', () => {
      expect(offered(['keyturn', 'apply', '-f', 'a'])).toEqual(['a file.yaml', 'a folder']);
      expect(offered(['keyturn', 'restore', 'a'])).toEqual(['a folder']);
    });

    it('offers every command there is', async () => {
      const { out } = await run(['--help']);
      for (const name of offered(['keyturn', ''])) expect(out).toContain(`  ${name} `);
      expect(offered(['keyturn', '']).length).toBeGreaterThan(30);
    });

    it('is not taken for right when it is not', () => {
      expect(offered(['keyturn', 'no-such-command', ''])).toEqual([]);
    });
  });

  (haveRealPart('fish', CASES.length) ? describe : describe.skip)('in fish', () => {
    it.each(CASES)('%j offers %j', async (words, wanted) => {
      const script = await scriptOf('fish');
      const line = words.join(' ');
      const out = execFileSync('fish', ['--no-config', '-c', `source "${script}"; complete -C "${line}"`], {
        cwd: here,
        encoding: 'utf8',
        env: { PATH: `${join(here, 'bin')}:/usr/bin:/bin`, HOME: here },
      });
      const found = sorted(out).map((each) => each.split('\t')[0] ?? '');
      for (const each of wanted) expect(found).toContain(each);
    });
  });

  (haveRealPart('zsh', 1) ? it : it.skip)('is a script zsh reads', async () => {
    execFileSync('zsh', ['-f', '-n', await scriptOf('zsh')]);
  });

  describe('names', () => {
    it('without a service there are none, and a script is not disturbed', async () => {
      const { code, out } = await run(['completion', 'families']);
      expect({ code, out }).toEqual({ code: 3, out: '' });
    });
  });
});
