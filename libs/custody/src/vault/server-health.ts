import { z } from 'zod';
import type { Clock, Instant } from '#platform';
import { BackendError } from '../key-backend.js';
import type { VaultClient, Watch } from './vault-client.js';

/** While it answers. */
const LOOKED_EVERY_MS = 10_000;
/** So long an answer of any kind says that it is there. */
const HEARD_LATELY_MS = 15_000;
/** While it does not: as soon as it does, steps go on. */
const LOOKED_AWAY_EVERY_MS = 5_000;
const WITHIN_MS = 5_000;
const ASKED = { withinMs: WITHIN_MS, past: true } as const;
/** Any state is an answer; which one stands in its body. */
const ALL_STATES = 'standbyok=true&perfstandbyok=true&sealedcode=200&uninitcode=200';

const healthSchema = z.looseObject({
  initialized: z.boolean(),
  sealed: z.boolean(),
  server_time_utc: z.number(),
  version: z.string().default('unknown'),
});

export interface ServerHealthOptions {
  readonly client: VaultClient;
  readonly namespace?: string;
  readonly clock: Clock;
  /** After each look that found it well: a login that is refused shows before a step needs it. */
  readonly signIn?: () => Promise<unknown>;
}

/** What is known of a server: nothing of it is secret, and nothing names its address. */
export interface ServerStanding {
  readonly state: 'not-asked' | 'answers' | 'sealed' | 'away';
  /** Why nothing is asked of it, in a few words; absent while it answers. */
  readonly reason?: string;
  /** When it last answered anything. */
  readonly answeredAt?: Instant;
  readonly version?: string;
}

/**
 * Whether a server can be asked at all: looked at in the background, and told by every request that went wrong. While it cannot,
 * requests are refused here, and steps do not begin: a weekend with a sealed server costs no events.
 */
export class ServerHealth implements Watch {
  readonly #options: ServerHealthOptions;
  #shut: { readonly state: 'sealed' | 'away'; readonly reason: string } | undefined;
  #answeredAt: Instant | undefined;
  /** The same by the monotonic clock. */
  #heard = Number.NEGATIVE_INFINITY;
  #version: string | undefined;
  /** The server's clock and our monotonic one at the same moment. */
  #time: { readonly theirs: number; readonly ours: number } | undefined;
  #looking: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: ServerHealthOptions) {
    this.#options = options;
    options.client.watchBy(this);
  }

  start(): void {
    this.#later(0);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#looking;
  }

  shut(): string | undefined {
    return this.#shut?.reason;
  }

  heard(): void {
    this.#answeredAt = this.#options.clock.now();
    this.#heard = this.#options.clock.monotonic();
  }

  failed(reason: string): void {
    if (this.#shut === undefined) this.#later(LOOKED_AWAY_EVERY_MS);
    this.#shut = { state: reason.includes('sealed') ? 'sealed' : 'away', reason };
  }

  standing(): ServerStanding {
    const [shut, at, version] = [this.#shut, this.#answeredAt, this.#version];
    return {
      state: shut?.state ?? (at === undefined ? 'not-asked' : 'answers'),
      ...(shut === undefined ? {} : { reason: shut.reason }),
      ...(at === undefined ? {} : { answeredAt: at }),
      ...(version === undefined ? {} : { version }),
    };
  }

  /**
   * The server's clock, milliseconds, as it was when it was last looked at and moved on by our monotonic one: a leap of our own wall
   * time shows beside it.
   */
  async now(): Promise<number> {
    if (this.#time === undefined) await this.look();
    if (this.#time === undefined)
      throw new BackendError(
        'transient',
        `${this.#options.client.instance}: ${this.#shut?.reason ?? 'its clock is not known'}`,
      );
    return this.#time.theirs + Math.round(this.#options.clock.monotonic() - this.#time.ours);
  }

  /** The same of a server that answered a moment ago: what is about to begin there is worth a record. */
  async answering(): Promise<number> {
    const { clock, client } = this.#options;
    if (clock.monotonic() - this.#heard > HEARD_LATELY_MS) await this.#asked();
    if (this.#shut !== undefined)
      throw new BackendError('transient', `${client.instance}: ${this.#shut.reason}`);
    return this.now();
  }

  /** Asks it now. One look at a time; whoever wants another one waits for it. */
  async look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
      this.#later(this.#shut === undefined ? LOOKED_EVERY_MS : LOOKED_AWAY_EVERY_MS);
    });
    return this.#looking;
  }

  async #look(): Promise<void> {
    const { client, namespace, clock, signIn } = this.#options;
    const seconds = await this.#asked();
    if (seconds === undefined) return;
    this.#time = { theirs: seconds * 1_000, ours: clock.monotonic() };
    try {
      // A namespace can be sealed or locked by itself.
      if (namespace !== undefined) await client.read('auth/token/lookup-self', ASKED);
      this.#shut = undefined;
      // What became of it is the login's own to say.
      await signIn?.().catch(() => undefined);
    } catch (error) {
      this.#went(error);
    }
  }

  /** Its time, seconds; `undefined`: nothing can be asked of it, or it says so in another way than by its health. */
  async #asked(): Promise<number | undefined> {
    try {
      const answer = await this.#options.client.read('sys/health', {
        ...ASKED,
        query: ALL_STATES,
        outside: true,
      });
      const { initialized, sealed, server_time_utc: seconds, version } = healthSchema.parse(answer?.body);
      this.heard();
      this.#version = version;
      if (initialized && !sealed) return seconds;
      this.failed(initialized ? 'it is sealed' : 'it is not initialised');
    } catch (error) {
      this.#went(error);
    }
    return undefined;
  }

  #went(error: unknown): void {
    if (error instanceof BackendError && error.errorClass !== 'transient') this.#shut = undefined;
    else this.failed(reasonOf(error, this.#options.client.instance));
  }

  #later(delay: number): void {
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      void this.look();
    }, delay);
    this.#timer.unref();
  }
}

/** The path it was asked by says nothing to whoever reads that it is away. */
function reasonOf(error: unknown, instance: string): string {
  if (!(error instanceof BackendError)) return 'what answers there is no Vault or OpenBao';
  return error.message.replace(new RegExp(`^${instance}, [^:]+: `), '');
}
