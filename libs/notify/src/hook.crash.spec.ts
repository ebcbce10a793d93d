import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jest } from '@jest/globals';

/**
 * A process killed (SIGKILL) between intent, sending and outcome: the receiver, a real HTTP server, sees the alarm at least
 * once and always under one id, and the log ends with one delivered outcome that says what was not known in between.
 */

jest.setTimeout(60_000);

const CHILD = join(process.cwd(), 'dist/libs/notify/src/testing/hook.child.js');
const SECRET = 'kt-canary-hook-secret-9f31c07e';
const TOKEN = 'kt-canary-in-the-path-5521';

interface Received {
  readonly id: string;
  readonly body: string;
}

let server: Server;
let url: string;
let received: Received[];
let directory: string;

beforeEach(async () => {
  received = [];
  directory = mkdtempSync(join(tmpdir(), 'keyturn-hook-'));
  server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      received.push({
        id: String(request.headers['webhook-id']),
        body: Buffer.concat(parts).toString('utf8'),
      });
      response.writeHead(204).end();
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  url = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}/${TOKEN}`;
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => {
    server.close(resolve);
  });
  rmSync(directory, { recursive: true, force: true });
});

interface Ended {
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(failpoint = ''): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [CHILD, directory, url, SECRET, failpoint],
      { timeout: 30_000 },
      (_error, stdout, stderr) => {
        resolve({ signal: child.signalCode, stdout, stderr });
      },
    );
  });
}

const CASES = [
  ['hook:before-effect', 1, true],
  ['hook:after-effect', 2, true],
  ['hook:after-outcome', 1, false],
] as const;

it('every failpoint of the hook has a case', () => {
  const source = readFileSync('libs/notify/src/application/hook-dispatcher.ts', 'utf8');
  const names = [...source.matchAll(/failpoint\('([^']+)'\)/g)].map(([, name]) => name);
  expect(names).toEqual(CASES.map(([name]) => name));
});

it.each(CASES)('killed at %s', async (failpoint, times, unknown) => {
  const died = await run(failpoint);
  expect(died.signal).toBe('SIGKILL');
  expect(died.stderr).toContain(`failpoint reached: ${failpoint}`);
  const { stdout, stderr } = await run();
  if (stdout === '') throw new Error(stderr);
  const events = JSON.parse(stdout) as { type: string; data: Record<string, unknown> }[];
  expect(received).toHaveLength(times);
  expect(new Set(received.map(({ id }) => id)).size).toBe(1);
  expect(new Set(received.map(({ body }) => body)).size).toBe(1);
  expect(events.filter(({ type }) => type === 'AlarmRaised')).toHaveLength(1);
  expect(events.filter(({ type }) => type === 'Delivered')).toHaveLength(1);
  expect(events.at(-1)?.type).toBe('Delivered');
  const lost = events.filter(({ type, data }) => type === 'DeliveryFailed' && data['outcome'] === 'unknown');
  expect(lost).toHaveLength(unknown ? 1 : 0);

  // A third run, with a read model made anew from the log: a rebuild sends nothing.
  const again = await run();
  expect(JSON.parse(again.stdout)).toEqual(events);
  expect(received).toHaveLength(times);

  // Neither the secret nor the address's path is anywhere in what was left behind.
  for (const name of readdirSync(directory)) {
    const bytes = readFileSync(join(directory, name)).toString('latin1');
    expect(bytes).not.toContain(SECRET);
    expect(bytes).not.toContain(TOKEN);
  }
  for (const text of [died.stderr, stdout, stderr]) {
    expect(text).not.toContain(SECRET);
    expect(text).not.toContain(TOKEN);
  }
});
