import { createServer, request, type Server } from 'node:http';

const HEALTH = '/v1/sys/health';

/**
 * Stands before a real server and gives it the time of a test: services whose days pass in seconds are compared with a clock that goes as
 * theirs does. What else it answers goes by untouched.
 */
export class ClockProxy {
  readonly #server: Server;

  private constructor(target: URL, now: () => number) {
    this.#server = createServer((incoming, answer) => {
      const path = incoming.url ?? '/';
      const forwarded = request(
        new URL(path, target),
        { method: incoming.method, headers: incoming.headers },
        (heard) => {
          const status = heard.statusCode ?? 500;
          if (!path.startsWith(HEALTH)) {
            answer.writeHead(status, heard.headers);
            heard.pipe(answer);
            return;
          }
          const parts: Buffer[] = [];
          heard.on('data', (part: Buffer) => parts.push(part));
          heard.on('end', () => {
            const said: object = JSON.parse(Buffer.concat(parts).toString('utf8'));
            const body = JSON.stringify({ ...said, server_time_utc: Math.floor(now() / 1_000) });
            const headers = { ...heard.headers, 'content-length': Buffer.byteLength(body) };
            answer.writeHead(status, headers).end(body);
          });
        },
      );
      forwarded.on('error', () => incoming.socket.destroy());
      incoming.pipe(forwarded);
    });
  }

  static async before(target: URL, now: () => number): Promise<ClockProxy> {
    const proxy = new ClockProxy(target, now);
    await new Promise<void>((done) => {
      proxy.#server.listen(0, '127.0.0.1', done);
    });
    return proxy;
  }

  get address(): URL {
    const address = this.#server.address();
    return new URL(`http://127.0.0.1:${typeof address === 'object' ? (address?.port ?? 0) : 0}`);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }
}
