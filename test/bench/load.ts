import { connect, type Socket } from 'node:net';

/** One HTTP request as bytes. */
export function request(
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: string,
): Buffer {
  const lines = [
    `${method} ${path} HTTP/1.1`,
    'Host: 127.0.0.1',
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ];
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body}`);
}

/**
 * A client that costs little: one connection, one request at a time, the answer's status and length and no more. What
 * it costs is taken from the same two cores the service runs on, on both sides of a comparison.
 */
export class Client {
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #settle: { resolve: (answer: Answered) => void; reject: (error: Error) => void } | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk) => {
      this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
      this.#take();
    });
    socket.on('error', (error) => this.#settle?.reject(error));
    socket.on('close', () => this.#settle?.reject(new Error('the connection was closed')));
  }

  static open(port: number): Promise<Client> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => {
        resolve(new Client(socket));
      });
      socket.once('error', reject);
    });
  }

  send(bytes: Buffer): Promise<Answered> {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      this.#socket.write(bytes);
    });
  }

  close(): void {
    this.#settle = undefined;
    this.#socket.destroy();
  }

  #take(): void {
    const end = this.#received.indexOf('\r\n\r\n');
    if (end < 0) return;
    const head = this.#received.toString('latin1', 0, end);
    const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? Number.NaN);
    if (Number.isNaN(length)) {
      this.#settle?.reject(new Error(`an answer without a length: ${head.slice(0, 80)}`));
      return;
    }
    if (this.#received.length < end + 4 + length) return;
    const body = this.#received.subarray(end + 4, end + 4 + length);
    const answer = { status: Number(head.slice(9, 12)), body };
    this.#received = this.#received.subarray(end + 4 + length);
    this.#settle?.resolve(answer);
  }
}

export interface Answered {
  readonly status: number;
  readonly body: Buffer;
}

export interface Load {
  readonly perSecond: number;
  /** Milliseconds of each request. */
  readonly latencies: readonly number[];
}

/** `count` requests over `clients` connections, each the next one when its last was answered. */
export async function drive(
  port: number,
  clients: number,
  count: number,
  make: (number: number) => Buffer,
): Promise<Load> {
  const connections = await Promise.all(Array.from({ length: clients }, () => Client.open(port)));
  const latencies: number[] = [];
  let next = 0;
  const start = performance.now();
  await Promise.all(
    connections.map(async (client) => {
      while (next < count) {
        const number = next;
        next += 1;
        const bytes = make(number);
        const sent = performance.now();
        const answer = await client.send(bytes);
        latencies.push(performance.now() - sent);
        if (answer.status >= 300) throw new Error(`${answer.status}: ${answer.body.toString()}`);
      }
    }),
  );
  const seconds = (performance.now() - start) / 1_000;
  for (const client of connections) client.close();
  return { perSecond: count / seconds, latencies };
}
