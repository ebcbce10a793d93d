import { randomUUID } from 'node:crypto';

/** The demo speaks to its own service over HTTP as everybody does; it has two people, so that approval is real. */
export class DemoClient {
  constructor(
    private readonly url: string,
    private readonly token: string | undefined,
  ) {}

  async get<T>(path: string): Promise<T> {
    return this.#json<T>(await this.#fetch('GET', path, undefined));
  }

  async post<T>(path: string, body: unknown): Promise<T> {
    return this.#json<T>(await this.#fetch('POST', path, body));
  }

  async send<T>(method: 'POST' | 'PUT', path: string, body: unknown): Promise<T> {
    return this.#json<T>(await this.#fetch(method, path, body));
  }

  async bytes(path: string): Promise<Buffer> {
    const response = await this.#fetch('GET', path, undefined);
    return Buffer.from(await response.arrayBuffer());
  }

  async #fetch(method: string, path: string, body: unknown): Promise<Response> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: {
        ...(this.token === undefined ? {} : { authorization: `Bearer ${this.token}` }),
        ...(method === 'GET' ? {} : { 'idempotency-key': randomUUID(), 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(15_000),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response;
  }

  async #json<T>(response: Response): Promise<T> {
    const value: T = JSON.parse(await response.text());
    return value;
  }
}
