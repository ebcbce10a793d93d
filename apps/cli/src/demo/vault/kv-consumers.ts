import { createHmac, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { SecretValue } from '#platform';
import type { BaoServer } from './bao-server.js';
import { Beat, NONE, type Consumers, type Negative, type Shown } from './consumers.js';

const BEAT_MS = 100;

const documentSchema = z.object({
  keys: z.record(z.string(), z.string()),
  accept: z.array(z.string()),
  emit: z.string().optional(),
});

interface Held {
  readonly keys: ReadonlyMap<string, SecretValue>;
  readonly accept: readonly string[];
  readonly emit: string | undefined;
}

interface Signed {
  readonly version: string;
  readonly text: string;
  readonly mac: Buffer;
  readonly expiresAt: number;
}

export interface KvConsumersOptions {
  readonly bao: BaoServer;
  /** May read the document and nothing else. */
  readonly readerToken: SecretValue;
  readonly object: string;
  readonly lifeMs: number;
  /** The first of them makes, all of them check. */
  readonly applications: readonly { readonly name: string; readonly cacheMs: number }[];
}

/** Applications that hold the keyed document for exactly their cache: one makes MACs with `emit`, all accept what `accept` names. */
export class KvConsumers implements Consumers {
  readonly #options: KvConsumersOptions;
  readonly #held = new Map<string, Held>();
  readonly #beats: Beat[];
  #made: Signed[] = [];
  readonly #first = new Map<string, Signed>();
  #shown: Shown[] = [];
  #count = 0;

  constructor(options: KvConsumersOptions) {
    this.#options = options;
    const failed = (): void => {
      this.#shown.push({ version: NONE, accepted: false });
    };
    this.#beats = [
      ...options.applications.map(({ name, cacheMs }) => new Beat(cacheMs, () => this.#read(name), failed)),
      new Beat(BEAT_MS, () => this.#tick(), failed),
    ];
  }

  async start(): Promise<void> {
    for (const { name } of this.#options.applications) await this.#read(name);
    for (const beat of this.#beats) beat.start();
  }

  stop(): void {
    for (const beat of this.#beats) beat.stop();
  }

  knows(consumer: string, version: string): boolean {
    return this.#held.get(consumer)?.accept.includes(version) === true;
  }

  taken(): readonly Shown[] {
    const shown = this.#shown;
    this.#shown = [];
    return shown;
  }

  async negative(): Promise<Negative> {
    for (const { name } of this.#options.applications) await this.#read(name);
    const emit = this.#emitter()?.emit;
    const old = [...this.#first.values()].find(({ version }) => version !== emit);
    if (old === undefined) return { refused: false, how: 'nothing was made with an old version' };
    const verdicts = this.#options.applications.map(({ name }) => this.#accepts(name, old));
    const refusing = verdicts.filter((accepted) => !accepted).length;
    return {
      refused: refusing === verdicts.length,
      how: `a MAC of the old version: refused by ${refusing} of ${verdicts.length} applications, by the document they read`,
    };
  }

  async #read(name: string): Promise<void> {
    const { bao, readerToken, object } = this.#options;
    const answer = await bao.askAs<{ data: { data: unknown } }>(readerToken, 'GET', object);
    const { keys, accept, emit } = documentSchema.parse(answer.data.data);
    this.#held.set(name, {
      keys: new Map(Object.entries(keys).map(([version, value]) => [version, new SecretValue(value)])),
      accept,
      emit,
    });
  }

  #emitter(): Held | undefined {
    return this.#held.get(this.#options.applications[0]?.name ?? '');
  }

  async #tick(): Promise<void> {
    const now = Date.now();
    const held = this.#emitter();
    const version = held?.emit;
    const key = version === undefined ? undefined : held?.keys.get(version);
    if (version === undefined || key === undefined) throw new Error('there is nothing to make a MAC with');
    this.#count += 1;
    const text = `payment ${this.#count}`;
    const made = { version, text, mac: macOf(key, text), expiresAt: now + this.#options.lifeMs };
    this.#made = [...this.#made.filter(({ expiresAt }) => expiresAt > now), made];
    if (!this.#first.has(version)) this.#first.set(version, made);
    // The newest and the oldest that is still good, so that what was made before a switch is seen to the end of its life.
    const [oldest] = this.#made;
    const newest = this.#made.at(-1);
    for (const signed of new Set([oldest, newest])) {
      if (signed === undefined) continue;
      for (const { name } of this.#options.applications)
        this.#shown.push({ version: signed.version, accepted: this.#accepts(name, signed) });
    }
  }

  #accepts(name: string, { text, mac }: Signed): boolean {
    const held = this.#held.get(name);
    return (held?.accept ?? []).some((version) => {
      const key = held?.keys.get(version);
      return key !== undefined && timingSafeEqual(macOf(key, text), mac);
    });
  }
}

function macOf(key: SecretValue, text: string): Buffer {
  return createHmac('sha256', key.reveal()).update(text).digest();
}
