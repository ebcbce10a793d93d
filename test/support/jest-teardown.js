import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const AT_MOST_MS = 10_000;

/** Once after a run: every server that its specs shared is ended by its process id, and what it kept is gone. */
export default async function tearDown() {
  const folder = process.env.KEYTURN_REAL_SERVERS;
  if (folder === undefined) return;
  const left = readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')));
  await Promise.all(left.map(end));
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  delete process.env.KEYTURN_REAL_SERVERS;
}

async function end(server) {
  for (const signal of ['SIGINT', 'SIGKILL']) {
    if (!isOurs(server)) return;
    process.kill(server.pid, signal);
    const until = Date.now() + AT_MOST_MS;
    while (isOurs(server) && Date.now() < until) await new Promise((done) => setTimeout(done, 20));
  }
}

/** The number may be somebody else's by now: a server of ours has its home in its command line. */
function isOurs({ pid, home }) {
  try {
    return execFileSync('ps', ['-o', 'args=', '-p', String(pid)], { encoding: 'utf8' }).includes(home);
  } catch {
    return false;
  }
}
