import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { drive, request, type Answered, Client } from './load.js';

/** A server in a process of its own. */
export interface Served {
  readonly port: number;
  /** From the start of the process to its first answer that it is ready, milliseconds. */
  readonly startMs: number;
  /** What it printed before it listened. */
  readonly printed: string;
  stop(): Promise<void>;
}

const built = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** A Keyturn over this data directory, as `keyturn serve` runs it; it logs to nowhere. */
export function serveKeyturn(directory: string, args: readonly string[] = []): Promise<Served> {
  return start([...args, built('apps/service/src/main.js')], '/health/ready', {
    KEYTURN_DATA_DIR: directory,
    KEYTURN_PORT: '0',
  });
}

export function serveHello(): Promise<Served> {
  return start([built('test/bench/hello.child.js')], undefined, {});
}

async function start(
  args: readonly string[],
  ready: string | undefined,
  env: Readonly<Record<string, string>>,
): Promise<Served> {
  const began = performance.now();
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...env },
  });
  const { port, printed } = await listening(child);
  if (ready !== undefined) {
    const client = await Client.open(port);
    while ((await client.send(request('GET', ready, {}, ''))).status !== 200) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    client.close();
  }
  const startMs = performance.now() - began;
  return {
    port,
    startMs,
    printed,
    stop: () =>
      new Promise((resolve) => {
        child.once('exit', () => {
          resolve();
        });
        child.kill('SIGTERM');
      }),
  };
}

function listening(child: ChildProcess): Promise<{ readonly port: number; readonly printed: string }> {
  return new Promise((resolve, reject) => {
    let printed = '';
    child.once('exit', (code) => {
      reject(new Error(`the server ended with ${String(code)}: ${printed.slice(-500)}`));
    });
    child.stdout?.on('data', (chunk: Buffer) => {
      // What is printed later is read and thrown away, as a log shipper would take it.
      if (printed.length > 100_000) return;
      printed += chunk.toString();
      const [, port] = /listens on http:\/\/[^:\s]+:(\d+)/.exec(printed) ?? [];
      if (port !== undefined) {
        resolve({ port: Number(port), printed });
        printed = '.'.repeat(100_001);
      }
    });
  });
}

/** A person with every role, signed in with the code a first start prints. */
export async function signIn({ port, printed }: Served): Promise<string> {
  const [code] = /kt1_[\w-]{43}/.exec(printed) ?? [];
  if (code === undefined) throw new Error('the first start printed no one-time code');
  const body = JSON.stringify({ code, name: 'Bench' });
  const answer = await once(port, request('POST', '/api/v1/tokens/bootstrap', {}, body));
  const { token }: { token?: string } = JSON.parse(answer.body.toString());
  if (token === undefined) throw new Error(`no token: ${answer.body.toString()}`);
  return token;
}

export async function once(port: number, bytes: Buffer): Promise<Answered> {
  const client = await Client.open(port);
  try {
    const answer = await client.send(bytes);
    if (answer.status >= 300) throw new Error(`${answer.status}: ${answer.body.toString()}`);
    return answer;
  } finally {
    client.close();
  }
}

/** GETs one after another; the milliseconds of each. */
export async function latenciesOf(
  port: number,
  token: string,
  paths: readonly string[],
): Promise<readonly number[]> {
  const bytes = paths.map((path) => request('GET', path, { authorization: `Bearer ${token}` }, ''));
  const { latencies } = await drive(port, 1, bytes.length, (number) => bytes[number] ?? Buffer.alloc(0));
  return latencies;
}

export const newKey = (): string => randomUUID();
