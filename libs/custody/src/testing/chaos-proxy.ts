import { once } from 'node:events';
import {
  Agent,
  createServer,
  request as ask,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createListener } from 'node:net';

/** One request as the proxy got it, and what became of it. */
export interface Passed {
  readonly method: string;
  /** With its query, from the first slash on. */
  readonly path: string;
  /** Whose it is: a hook may revoke it. */
  readonly token: string | undefined;
  readonly body: string;
  /** It was handed on to the server. */
  forwarded: boolean;
  /** What the server itself answered; absent: nothing, or not asked. */
  status?: number;
  /** And its body. */
  said?: string;
}

/** An answer of the proxy's own, in the server's words. */
export interface OwnAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** So many bytes of JSON that never closes, in the place of a body. */
  readonly bytes?: number;
  /** The body says it is longer, and the connection is cut after it. */
  readonly cut?: true;
}

/** What happens to one request. Whatever is left out goes as it would without a proxy. */
export interface Trouble {
  /** Before it is handed on: seals, kills, revokes, or waits. */
  readonly before?: (request: Passed) => Promise<void>;
  /** The server never sees it: the connection is cut, or the proxy answers. */
  readonly instead?: 'cut' | OwnAnswer;
  /**
   * Cuts the connection (or gives the `answer` there is) and hands it on so many milliseconds later: it takes effect after whoever asked
   * has given up.
   */
  readonly late?: number;
  /** After the server answered. */
  readonly after?: (request: Passed) => Promise<void>;
  /** The server has answered: the connection is cut, or the proxy answers something else. */
  readonly answer?: 'cut' | OwnAnswer;
}

interface Planned {
  readonly matches: (request: Passed) => boolean;
  readonly trouble: Trouble;
  /** Requests that still pass before it. */
  left: number;
}

const CHUNK = 1024 * 1024;

/**
 * Stands on loopback between Keyturn and a server, hands on what it gets, and makes the trouble that is planned. Whoever plans says
 * which request it is, by number among those that match; a plan is good for one request.
 */
export class ChaosProxy {
  readonly #server: Server;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #planned: Planned[] = [];
  readonly #passed: Passed[] = [];
  readonly #busy = new Set<Promise<void>>();
  /** Where requests go now: another node, once a test says so. */
  target: URL;
  /** Headers of requests that are not handed on, in lower case. */
  strips: readonly string[] = [];

  private constructor(target: URL) {
    this.target = target;
    this.#server = createServer((incoming, response) => {
      const work = this.#handle(incoming, response).catch(() => {
        response.destroy();
      });
      this.#busy.add(work);
      void work.finally(() => this.#busy.delete(work));
    });
  }

  static async start(target: URL): Promise<ChaosProxy> {
    const proxy = new ChaosProxy(target);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get address(): URL {
    return new URL(`http://127.0.0.1:${portOf(this.#server.address())}`);
  }

  /** Every request since the last {@link forget}, in the order they came. */
  get passed(): readonly Passed[] {
    return this.#passed;
  }

  /** Plans that met no request: a case that leaves some went somewhere else. */
  get outstanding(): number {
    return this.#planned.length;
  }

  /** The request that comes after `skip` others that match gets this. */
  plan(trouble: Trouble, matches: Planned['matches'] = () => true, skip = 0): void {
    this.#planned.push({ matches, trouble, left: skip });
  }

  /** Neither plans nor what passed so far. */
  forget(): void {
    this.#planned.length = 0;
    this.#passed.length = 0;
  }

  /** Until nothing is on its way any more, whoever gave it up. */
  async settled(): Promise<void> {
    while (this.#busy.size > 0) await Promise.all(this.#busy);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#agent.destroy();
    await new Promise((done) => this.#server.close(done));
  }

  async #handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await wholeOf(incoming);
    const token = incoming.headers['x-vault-token'];
    const passed: Passed = {
      method: incoming.method ?? '',
      path: incoming.url ?? '/',
      token: Array.isArray(token) ? token[0] : token,
      body: body.toString('utf8'),
      forwarded: false,
    };
    this.#passed.push(passed);
    const trouble = this.#troubleOf(passed);
    await trouble.before?.(passed);
    if (trouble.instead !== undefined) {
      await end(response, trouble.instead);
      return;
    }
    if (trouble.late !== undefined) {
      await end(response, trouble.answer ?? 'cut');
      await new Promise((done) => setTimeout(done, trouble.late));
    }
    passed.forwarded = true;
    const answer = await this.#forward(incoming, body).catch(() => undefined);
    if (answer !== undefined) Object.assign(passed, { status: answer.status, said: answer.body });
    await trouble.after?.(passed);
    if (trouble.late === undefined) await end(response, trouble.answer ?? answer ?? 'cut');
  }

  #troubleOf(passed: Passed): Trouble {
    for (const [index, planned] of this.#planned.entries()) {
      if (!planned.matches(passed)) continue;
      if (planned.left > 0) {
        planned.left -= 1;
        continue;
      }
      this.#planned.splice(index, 1);
      return planned.trouble;
    }
    return {};
  }

  async #forward(incoming: IncomingMessage, body: Buffer): Promise<OwnAnswer> {
    const { hostname, port } = this.target;
    const kept = Object.entries(incoming.headers).filter(([name]) => !this.strips.includes(name));
    const outgoing = ask({
      agent: this.#agent,
      hostname,
      port,
      method: incoming.method,
      path: incoming.url,
      headers: { ...Object.fromEntries(kept), host: this.target.host },
    });
    outgoing.end(body);
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what `response` of a client request hands over
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
    const headers = Object.fromEntries(
      Object.entries(answer.headers).flatMap(([name, value]) =>
        value === undefined || HOP_BY_HOP.has(name) ? [] : [[name, String(value)]],
      ),
    );
    const text = await wholeOf(answer);
    return { status: answer.statusCode ?? 0, headers, body: text.toString('utf8') };
  }
}

/** Of the connection, not of the answer. */
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'content-length']);

async function end(response: ServerResponse, answer: 'cut' | OwnAnswer): Promise<void> {
  if (answer === 'cut' || response.destroyed) {
    response.destroy();
    return;
  }
  const { status, headers = {}, body = '', bytes, cut } = answer;
  if (cut === true) {
    response.writeHead(status, { ...headers, 'Content-Length': String(body.length + 1) });
    response.write(body, () => response.destroy());
    return;
  }
  response.writeHead(status, headers);
  if (bytes === undefined) {
    response.end(body);
    return;
  }
  response.write('{"data":"');
  for (let sent = 0; sent < bytes && !response.destroyed; sent += CHUNK) {
    if (!response.write('x'.repeat(CHUNK)))
      await Promise.race([once(response, 'drain'), once(response, 'close')]);
  }
  response.end('"}');
}

async function wholeOf(stream: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}

/** An address nobody listens at: where a 307 to a dead node points. */
export async function deadAddress(): Promise<URL> {
  const listener = createListener();
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const port = portOf(listener.address());
  await new Promise((done) => listener.close(done));
  return new URL(`http://127.0.0.1:${port}`);
}

function portOf(address: ReturnType<Server['address']>): number {
  return typeof address === 'object' && address !== null ? address.port : 0;
}
