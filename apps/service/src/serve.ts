import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Config } from '#platform';
import { logBackEnds } from './back-end-log.js';
import { openKeyturn, type Keyturn, type Overrides } from './composition.js';
import { assembleApp } from './create-app.js';
import type { InFlight } from './http/in-flight.js';
import { startWorkers } from './rotation/workers.js';

/** How long requests under way may take once the service was told to stop. */
export const GRACE_MS = 10_000;

export interface Serving {
  readonly keyturn: Keyturn;
  readonly app: NestFastifyApplication;
  /** Where it listens. */
  readonly url: string;
  /** Not ready, no new requests, those under way to their end, then everything closed. Idempotent. */
  stop(graceMs?: number): Promise<void>;
}

export interface ServeOptions extends Overrides {
  /** Called once where nobody has signed in yet, with what to show to whoever starts the service. */
  readonly onOneTimeSignIn?: (code: string, expiresAt: number) => void;
  /** Rotations are driven by this process; `false` for what only looks. */
  readonly workers?: boolean;
}

/** It cannot listen where it is told to; nothing was started. */
export class ListenError extends Error {
  constructor(
    readonly code: 'listen.port-taken' | 'listen.not-allowed' | 'listen.no-such-host',
    message: string,
  ) {
    super(message);
    this.name = 'ListenError';
  }
}

async function listen(app: NestFastifyApplication, { port, host }: Config): Promise<void> {
  try {
    await app.listen(port, host);
  } catch (error) {
    switch (typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined) {
      case 'EADDRINUSE':
        throw new ListenError(
          'listen.port-taken',
          `port ${port} is taken: name another one with --port, or KEYTURN_PORT`,
        );
      case 'EACCES':
        throw new ListenError(
          'listen.not-allowed',
          `port ${port} may not be opened by this user: name one above 1023 with --port, or KEYTURN_PORT`,
        );
      case 'EADDRNOTAVAIL':
      case 'ENOTFOUND':
        throw new ListenError(
          'listen.no-such-host',
          `${host} is no address of this machine: set KEYTURN_HOST`,
        );
      default:
        throw error;
    }
  }
}

/** Opens a Keyturn and serves it. */
export async function serve(config: Config, options: ServeOptions = {}): Promise<Serving> {
  const keyturn = await openKeyturn(config, options);
  try {
    const { app, inFlight } = await assembleApp(keyturn);
    await listen(app, config);
    // Only now: a code that leads to nobody, or to whoever has the port, is not to be read by anybody.
    const signIn = await keyturn.openBootstrap();
    if (signIn !== undefined) {
      options.onOneTimeSignIn?.(signIn.code.reveal().toString('utf8'), signIn.expiresAt);
    }
    keyturn.vault.start();
    logBackEnds(keyturn);
    if (options.workers !== false) startWorkers(keyturn);
    keyturn.startScrub();
    let stopping: Promise<void> | undefined;
    return {
      keyturn,
      app,
      url: urlOf(app, config.host),
      stop: (graceMs = GRACE_MS) => {
        stopping ??= shutDown({ app, keyturn, inFlight, graceMs });
        return stopping;
      },
    };
  } catch (error) {
    await keyturn.close();
    throw error;
  }
}

/** Stops on SIGTERM and SIGINT; a second signal does not wait. Resolves when everything is closed. */
export function stopOnSignal(serving: Serving): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      serving.stop().then(resolve, reject);
    };
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, stop);
  });
}

interface Running {
  readonly app: NestFastifyApplication;
  readonly keyturn: Keyturn;
  readonly inFlight: InFlight;
  readonly graceMs: number;
}

async function shutDown({ app, keyturn, inFlight, graceMs }: Running): Promise<void> {
  keyturn.beginClosing();
  inFlight.beginClosing();
  const server: { closeAllConnections(): void } = app.getHttpServer();
  const giveUp = setTimeout(() => {
    inFlight.refuseAll();
    // One turn, so that what was just answered leaves.
    setImmediate(() => {
      server.closeAllConnections();
    });
  }, graceMs);
  try {
    await app.close();
  } finally {
    clearTimeout(giveUp);
    await keyturn.close();
  }
}

function urlOf(app: NestFastifyApplication, host: string): string {
  const address: unknown = app.getHttpServer().address();
  const port =
    typeof address === 'object' && address !== null && 'port' in address ? String(address.port) : '';
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
