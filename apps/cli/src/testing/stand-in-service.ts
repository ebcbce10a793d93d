import { createServer, type IncomingHttpHeaders } from 'node:http';
import { text } from 'node:stream/consumers';

interface SeenRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: unknown;
}

export interface StandInAnswer {
  readonly status?: number;
  readonly body?: unknown;
  /** Sent as it is, instead of `body`. */
  readonly raw?: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

/** `GET /rotations/…` → what is answered; a function sees how often it was asked before. */
export type StandInRoute = StandInAnswer | ((times: number) => StandInAnswer);
export type StandInRoutes = Readonly<Record<string, StandInRoute>>;

export interface StandInService {
  readonly url: string;
  readonly seen: readonly SeenRequest[];
  /** Method and path without the query, in order. */
  asked(): readonly string[];
  /** From now on, and counted from now on. */
  answer(route: string, answer: StandInRoute): void;
  close(): Promise<void>;
}

/**
 * Stands in for the service, over real HTTP on a real port: what it answers is written down by the spec, so it proves
 * what the command line does with an answer, never that the service answers so (test/e2e does).
 */
export async function startStandIn(routes: StandInRoutes): Promise<StandInService> {
  const seen: SeenRequest[] = [];
  const times = new Map<string, number>();
  const answers = new Map<string, StandInRoute>(Object.entries(routes));
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      const { method = '', url = '' } = request;
      seen.push({
        method,
        path: url,
        headers: request.headers,
        body: body === '' ? undefined : parsed(body),
      });
      const key = `${method} ${url.replace('/api/v1', '').split('?', 1)[0] ?? ''}`;
      const route = answers.get(key);
      const before = times.get(key) ?? 0;
      times.set(key, before + 1);
      const answer = typeof route === 'function' ? route(before) : route;
      if (answer === undefined) {
        response.writeHead(404, { 'content-type': 'application/problem+json' });
        response.end(JSON.stringify(problem(404, 'stand-in.not-found', `the stand-in knows no ${key}`)));
        return;
      }
      const { status = 200, raw, headers = {} } = answer;
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(raw ?? (answer.body === undefined ? '' : JSON.stringify(answer.body)));
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    seen,
    answer: (route, answer) => {
      answers.set(route, answer);
      times.delete(route);
    },
    asked: () =>
      seen.map(({ method, path }) => `${method} ${path.replace('/api/v1', '').split('?', 1)[0] ?? ''}`),
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => {
          resolve();
        });
      }),
  };
}

export function problem(status: number, code: string, detail: string): Readonly<Record<string, unknown>> {
  return {
    type: `urn:keyturn:problem:${code}`,
    title: status === 404 ? 'Not Found' : status < 500 ? 'Conflict' : 'Service Unavailable',
    status,
    detail,
    code,
    correlationId: '0d6b4c3e-0000-4000-8000-000000000001',
  };
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return body;
  }
}
