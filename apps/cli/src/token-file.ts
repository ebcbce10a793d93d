import { readFileSync, renameSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isLoopback, SecretValue, type Config } from '#platform';
import { codeOf } from './error-code.js';
import { UsageError } from './failures.js';

/** Beside the data it opens, readable by its owner only. First line the token, second the service it is for. */
export function tokenFileOf({ dataDir }: Pick<Config, 'dataDir'>): string {
  return join(dataDir, 'cli-token');
}

export function saveToken(config: Pick<Config, 'dataDir' | 'url'>, token: string): string {
  const path = tokenFileOf(config);
  mkdirSync(config.dataDir, { recursive: true, mode: 0o700 });
  // A new file, moved into place: one that was there with wider rights would keep them.
  const fresh = `${path}.${process.pid}`;
  writeFileSync(fresh, `${token}\n${new URL(config.url).origin}\n`, { mode: 0o600, flag: 'wx' });
  renameSync(fresh, path);
  return path;
}

/** What to sign in with: KEYTURN_TOKEN, else the saved token, and that one only where it belongs. */
export function tokenFor(config: Config): SecretValue | undefined {
  if (config.token !== undefined) return config.token;
  const path = tokenFileOf(config);
  let text: string;
  try {
    if ((statSync(path).mode & 0o077) !== 0) {
      throw new UsageError(
        `${path} can be read by others than its owner: chmod 600 it, then revoke the token`,
      );
    }
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  const [token = '', origin = ''] = text.split('\n').map((line) => line.trim());
  if (token === '') return undefined;
  const { origin: asked, hostname } = new URL(config.url);
  const belongs = origin === '' ? isLoopback(hostname.replaceAll(/[[\]]/g, '')) : origin === asked;
  return belongs ? new SecretValue(token) : undefined;
}
