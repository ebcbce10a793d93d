import { createServer, request, type IncomingMessage, type Server } from 'node:http';

/** `before`: the request never arrives · `after`: it takes effect and its answer is lost · `claim`: it never arrives and is answered 204. */
export type Loss = 'before' | 'after' | 'claim';

/** Stands before a real server and loses what it is told to lose. */
export class LossyProxy {
  readonly #server: Server;
  readonly #target: URL;
  #loses: { readonly loss: Loss; readonly which: (line: string) => boolean } | undefined;
  #meanwhile: { readonly which: (line: string) => boolean; readonly act: () => Promise<void> } | undefined;
  /** Lines such as `POST /v1/kv/data/x` of what was lost. */
  readonly lost: string[] = [];

  private constructor(target: URL) {
    this.#target = target;
    this.#server = createServer((incoming, answer) => {
      const line = `${incoming.method ?? ''} ${incoming.url ?? ''}`;
      const loses = this.#loses?.which(line) === true ? this.#loses.loss : undefined;
      if (loses !== undefined) {
        this.lost.push(line);
        this.#loses = undefined;
      }
      if (loses === 'claim') {
        incoming.resume();
        answer.writeHead(204).end();
        return;
      }
      if (loses === 'before') {
        incoming.socket.destroy();
        return;
      }
      const meanwhile = this.#meanwhile?.which(line) === true ? this.#meanwhile.act : undefined;
      if (meanwhile !== undefined) this.#meanwhile = undefined;
      const forwarded = request(
        new URL(incoming.url ?? '/', this.#target),
        { method: incoming.method, headers: incoming.headers },
        (heard: IncomingMessage) => {
          if (loses === 'after') {
            heard.resume().on('end', () => incoming.socket.destroy());
            return;
          }
          answer.writeHead(heard.statusCode ?? 500, heard.headers);
          heard.pipe(answer);
        },
      );
      // An action that fails shows in what the server says next.
      void (meanwhile?.() ?? Promise.resolve()).finally(() => incoming.pipe(forwarded));
    });
  }

  static async before(target: URL): Promise<LossyProxy> {
    const proxy = new LossyProxy(target);
    await new Promise<void>((done) => {
      proxy.#server.listen(0, '127.0.0.1', done);
    });
    return proxy;
  }

  get address(): URL {
    const address = this.#server.address();
    return new URL(`http://127.0.0.1:${typeof address === 'object' ? (address?.port ?? 0) : 0}`);
  }

  /** The next request whose line fits, and no other one. */
  loseNext(loss: Loss, which: (line: string) => boolean): void {
    this.#loses = { loss, which };
  }

  /** Before the next request whose line fits goes on, this is done behind its back. */
  actBefore(which: (line: string) => boolean, act: () => Promise<void>): void {
    this.#meanwhile = { which, act };
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }
}
