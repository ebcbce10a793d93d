import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { SecretValue } from '#platform';
import { freePort } from '../free-port.js';
import { asOperator, type Operated } from '../openbao.js';
import { HAND_ON, Node, type Heard, type Said } from './node.js';
import { Storage } from './storage.js';
import { issue } from './tokens.js';

/** As the real servers of the tests are set up. */
const LONGEST_REQUEST_MS = 5_000;
/** A standby is so far behind: measured, median. */
const LAG_MS = 75;
const VERSION = '2.7.2+stand-in';

/** Of a request as it came, what is handed on to another node. */
interface Asked {
  readonly method: string;
  /** From the first slash on. */
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
}

interface NodeOf {
  readonly port: number;
  readonly cluster: string;
  readonly storage: Storage;
  readonly rootToken: SecretValue;
  readonly key: string;
  /** Of a standby: whom it hands writes on to. */
  readonly leader?: URL;
}

/**
 * A server of our own that answers as OpenBao was measured to (docs/adr/0037), where no OpenBao can be had. What it wrote down outlives
 * {@link kill}, what it only had in memory does not. It is no proof about the real one: `stand-in.long.spec.ts` holds both to the same lines.
 */
export class StandIn implements Operated {
  readonly address: URL;
  readonly #of: NodeOf;
  #server: Server | undefined;
  #node: Node | undefined;

  private constructor(of: NodeOf) {
    this.#of = of;
    this.address = new URL(`http://127.0.0.1:${of.port}`);
  }

  static async start(): Promise<StandIn> {
    const storage = new Storage();
    const work = storage.begin();
    const root = issue(work, { policies: ['root'], ttl: 0, renewable: false });
    work.commit();
    return StandIn.#up({
      port: await freePort(),
      cluster: randomUUID(),
      storage,
      rootToken: new SecretValue(root.id),
      key: randomBytes(32).toString('hex'),
    });
  }

  /** Reads out of a storage of its own that comes after the leader's, and hands every write on. */
  static async standbyOf(leader: StandIn): Promise<StandIn> {
    const of = leader.#of;
    const storage = of.storage.copy();
    of.storage.follow((changes, index) => {
      setTimeout(() => storage.write(changes, index), LAG_MS).unref();
    });
    return StandIn.#up({ ...of, port: await freePort(), storage, leader: leader.address });
  }

  static async #up(of: NodeOf): Promise<StandIn> {
    const server = new StandIn(of);
    await server.#listen();
    await server.unseal();
    return server;
  }

  get rootToken(): SecretValue {
    return this.#of.rootToken;
  }

  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- see asOperator
  async api<T>(method: string, path: string, body?: unknown): Promise<T> {
    return asOperator<T>(this, method, path, body);
  }

  async mount(type: string, options: object = {}): Promise<string> {
    const path = `${type}-${randomUUID().slice(0, 8)}`;
    await this.api('POST', `sys/mounts/${path}`, { type, ...options });
    return path;
  }

  async seal(): Promise<void> {
    await this.api('PUT', 'sys/seal');
  }

  async unseal(): Promise<void> {
    await this.api('PUT', 'sys/unseal', { key: this.#of.key });
  }

  async kill(): Promise<void> {
    this.#forget();
    const server = this.#server;
    this.#server = undefined;
    server?.closeAllConnections();
    if (server === undefined) return;
    await new Promise((done) => server.close(done));
    // Whoever held a connection has seen its end, as with a process of its own.
    await new Promise((done) => setTimeout(done, 20));
  }

  async restart(): Promise<void> {
    if (this.#server !== undefined) return;
    await this.#listen();
    await this.unseal();
  }

  async crash(): Promise<void> {
    await this.kill();
    await this.restart();
  }

  async active(): Promise<void> {
    if (this.#node === undefined) throw new Error('the stand-in is sealed or killed');
  }

  async stop(): Promise<void> {
    await this.kill();
  }

  /** Memory, and what was on its way. */
  #forget(): void {
    if (this.#of.leader === undefined) this.#of.storage.interrupt();
    this.#node?.stop();
    this.#node = undefined;
  }

  async #listen(): Promise<void> {
    const server = createServer((request, response) => {
      this.#serve(request, response).catch(() => {
        response.destroy();
      });
    });
    server.on('clientError', (error, socket) => {
      this.#list(error, socket).catch(() => socket.destroy());
    });
    server.listen(this.#of.port, '127.0.0.1');
    await once(server, 'listening');
    this.#server = server;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(Buffer.from(part));
    const gone = new AbortController();
    const late = setTimeout(() => {
      gone.abort();
    }, LONGEST_REQUEST_MS);
    response.once('close', () => {
      clearTimeout(late);
      gone.abort();
    });
    const { status, headers, body } = await this.#answer(
      { method: request.method ?? 'GET', url: request.url ?? '/', headers: request.headers },
      Buffer.concat(parts).toString('utf8'),
      gone.signal,
    );
    response.writeHead(status, headers);
    response.end(body);
  }

  /** The one method that the HTTP of Node does not know. It has no body. */
  async #list(error: Error, socket: Duplex): Promise<void> {
    const raw =
      'rawPacket' in error && Buffer.isBuffer(error.rawPacket) ? error.rawPacket.toString('utf8') : '';
    const [, url, lines] = /^LIST (\S+) HTTP\/1\.1\r\n([^]*)$/.exec(raw) ?? [];
    if (url === undefined || lines === undefined) throw error;
    const given = lines.split('\r\n').map((line) => /^([^:]+):\s*(.*)$/.exec(line));
    const headers = Object.fromEntries(
      given.map((found) => [found?.[1]?.toLowerCase() ?? '', found?.[2] ?? '']),
    );
    const said = await this.#answer({ method: 'LIST', url, headers }, '', new AbortController().signal);
    const all = {
      ...said.headers,
      'Content-Length': String(Buffer.byteLength(said.body)),
      Connection: 'close',
    };
    const shown = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.end(`HTTP/1.1 ${said.status} OK\r\n${shown.join('')}\r\n${said.body}`);
  }

  async #answer(asked: Asked, text: string, signal: AbortSignal) {
    const url = new URL(asked.url, this.address);
    const heard: Heard = {
      method: asked.method,
      path: decodeURIComponent(url.pathname.replace(/^\/v1\//, '')),
      query: url.searchParams,
      header: (name) => String(asked.headers[name] ?? ''),
      text,
      signal,
    };
    const { status, headers, body } = this.#ofItself(heard) ?? (await this.#answered(heard, asked));
    const said = body === undefined ? '' : JSON.stringify(body);
    return { status, headers: { 'Content-Type': 'application/json', ...headers }, body: said };
  }

  /** What a server answers sealed or not, and to anybody. */
  #ofItself({ method, path, query, text }: Heard): Said | undefined {
    const sealed = this.#node === undefined;
    const standby = this.#of.leader !== undefined;
    const said = (status: number, body: Said['body']): Said => ({ status, headers: {}, body });
    const state = { initialized: true, sealed, version: VERSION, cluster_id: this.#of.cluster };
    if (path === 'sys/health') {
      const server_time_utc = Math.floor(Date.now() / 1_000);
      const asked = query.get(sealed ? 'sealedcode' : 'standbycode');
      const otherwise = sealed ? 503 : standby && query.get('standbyok') !== 'true' ? 429 : 200;
      return said(Number(asked ?? otherwise), { ...state, standby: standby || sealed, server_time_utc });
    }
    if (path === 'sys/seal-status') return said(200, state);
    if (path === 'sys/unseal' && method !== 'GET') {
      const { key }: { key?: string } = JSON.parse(text);
      if (key !== this.#of.key) return said(400, { errors: ['unable to retrieve unseal keys'] });
      if (sealed) this.#node = this.#opened();
      return said(200, { ...state, sealed: false });
    }
    if (sealed) return said(503, { errors: ['Vault is sealed'] });
    if (path === 'sys/leader') {
      const leader = this.#of.leader ?? this.address;
      return said(200, { ha_enabled: true, is_self: !standby, leader_address: leader.origin });
    }
    return undefined;
  }

  #opened(): Node {
    const { storage, cluster, leader } = this.#of;
    return new Node({
      storage,
      cluster,
      leads: leader === undefined,
      seal: () => {
        this.#forget();
      },
    });
  }

  async #answered(heard: Heard, asked: Asked): Promise<Said> {
    const said = await this.#node?.answer(heard);
    if (said === undefined) return { status: 503, headers: {}, body: { errors: ['Vault is sealed'] } };
    return said === HAND_ON ? this.#handOn(heard, asked) : said;
  }

  /** To the leader, as it came; where that one is down, whoever asks is sent there nevertheless. */
  async #handOn(heard: Heard, { url, headers }: Asked): Promise<Said> {
    const { leader = this.address } = this.#of;
    const kept = Object.entries(headers).filter(([name]) => !HOP_BY_HOP.has(name));
    try {
      const answer = await fetch(new URL(url, leader), {
        method: heard.method,
        headers: Object.fromEntries(kept.map(([name, value]) => [name, String(value)])),
        ...(heard.text === '' ? {} : { body: heard.text }),
        signal: heard.signal,
      });
      const text = await answer.text();
      const index = answer.headers.get('x-vault-index');
      return {
        status: answer.status,
        headers: index === null ? {} : { 'X-Vault-Index': index },
        body: text === '' ? undefined : JSON.parse(text),
      };
    } catch {
      return { status: 307, headers: { Location: new URL(url, leader).href }, body: undefined };
    }
  }
}

/** Of the connection, not of the request. */
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'content-length', 'host']);
