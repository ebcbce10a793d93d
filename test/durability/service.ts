import { randomUUID } from 'node:crypto';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { familyBody } from '../e2e/support.js';

const MAIN = join(process.cwd(), 'dist/apps/service/src/main.js');

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

export interface Attempt {
  readonly name: string;
  readonly key: string;
  readonly status: number;
  readonly answer: HttpAnswer;
}

/** The environment of a service on a data directory. */
export function environmentOf(dataDir: string): NodeJS.ProcessEnv {
  return { PATH: '/usr/bin:/bin', KEYTURN_DATA_DIR: dataDir, KEYTURN_PORT: '0', KEYTURN_LOG: 'json' };
}

/** The real service in a process of its own, over HTTP. */
export class ServiceProcess {
  #child: ChildProcess | undefined;
  #url = '';
  #token = '';
  #output = '';

  constructor(readonly dataDir: string) {}

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error('the service is not running');
    return pid;
  }

  /** Everything it has said. */
  get output(): string {
    return this.#output;
  }

  /** Starts it, signs in where nobody has yet, and waits until it is ready, or only until it listens. */
  async start(until: 'ready' | 'listening' = 'ready'): Promise<void> {
    const child = spawn(process.execPath, [MAIN], { env: environmentOf(this.dataDir) });
    this.#child = child;
    let code: string | undefined;
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#output += text;
    });
    const listening = new Promise<void>((resolve, reject) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        this.#output += `${line}\n`;
        if (/^ {2}\S+$/.test(line)) code = line.trim();
        const url = /^Keyturn listens on (\S+)$/.exec(line)?.[1];
        if (url === undefined) return;
        this.#url = url;
        resolve();
      });
      child.once('exit', (status) => {
        reject(new Error(`the service ended with ${status}: ${this.#output}`));
      });
    });
    await listening;
    if (code !== undefined) {
      const { text } = await this.request('POST', '/api/v1/tokens/bootstrap', { code, name: 'Ada' });
      this.#token = /kt_[\w-]{43}/.exec(text)?.[0] ?? '';
    }
    if (until === 'ready') await this.untilReady();
  }

  async request(
    method: string,
    path: string,
    body?: unknown,
    key: string = randomUUID(),
  ): Promise<HttpAnswer> {
    const response = await fetch(`${this.#url}${path}`, {
      method,
      headers: {
        ...(this.#token === '' ? {} : { authorization: `Bearer ${this.#token}` }),
        ...(method === 'POST' ? { 'content-type': 'application/json', 'idempotency-key': key } : {}),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, headers: response.headers, text: await response.text() };
  }

  /** Registers a family; the name and the key let it be repeated. */
  async register(name = `family ${randomUUID()}`, key: string = randomUUID()): Promise<Attempt> {
    const object = `keys/${name.replace(' ', '-')}`;
    const body = familyBody({ name, backEnd: { instance: 'local', object } });
    const answer = await this.request('POST', '/api/v1/families', body, key);
    return { name, key, status: answer.status, answer };
  }

  /** How many families there are of each name, from the API. */
  async families(): Promise<ReadonlyMap<string, number>> {
    const { text } = await this.request('GET', '/api/v1/families');
    const names = [...text.matchAll(/"name":"(family [^"]+)"/g)].map((match) => match[1] ?? '');
    const counts = new Map<string, number>();
    for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
    return counts;
  }

  async ready(): Promise<{ readonly status: number; readonly text: string }> {
    return this.request('GET', '/health/ready');
  }

  /** Readiness is what is declared for this; a service that never becomes ready ends the test by its time limit. */
  async untilReady(): Promise<void> {
    while ((await this.ready()).status !== 200) await delay(50);
  }

  async untilUnready(): Promise<string> {
    for (;;) {
      const { status, text } = await this.ready();
      if (status !== 200) return text;
      await delay(50);
    }
  }

  /** What readiness says of the log; a service that never finds anything ends the test by its time limit. */
  async untilFound(): Promise<string> {
    for (;;) {
      const { status, text } = await this.ready();
      const { integrity = null } = JSON.parse(text) as { readonly integrity?: string | null };
      if (status === 200 && integrity !== null) return integrity;
      await delay(50);
    }
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
  }
}

/** A start that is expected to be refused: how it ended and what it said. */
export async function refusedStart(
  dataDir: string,
  wrap: readonly string[] = [],
): Promise<{ readonly code: number | null; readonly said: string }> {
  const [command, ...args] = [...wrap, process.execPath, MAIN];
  const child = spawn(command, args, { env: environmentOf(dataDir) });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    // It started after all.
    if (text.includes('listens on')) child.kill('SIGTERM');
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  await once(child, 'close');
  return { code: child.exitCode, said };
}

/** Makes calls of a running process fail from now on; returns how to end it. */
export async function afflict(
  pid: number,
  paths: readonly string[],
  calls: string,
  error: string,
): Promise<() => Promise<void>> {
  const strace = spawn('strace', [
    '-f',
    '-p',
    String(pid),
    '-o',
    '/dev/null',
    ...paths.flatMap((path) => ['-P', path]),
    '-e',
    `trace=${calls}`,
    '-e',
    `inject=${calls}:error=${error}`,
  ]);
  const exited = once(strace, 'exit');
  await new Promise<void>((resolve, reject) => {
    let said = '';
    strace.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      if (said.includes('attached')) resolve();
    });
    strace.once('exit', () => {
      reject(new Error(`strace does not trace: ${said}`));
    });
  });
  return async () => {
    strace.kill('SIGINT');
    await exited;
  };
}
