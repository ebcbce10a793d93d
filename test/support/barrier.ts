import { z } from 'zod';
import type { Attempt, KeyBackend } from '#custody';
import type { RecordedEvent } from '#eventlog';
import type { EventStore } from '#eventlog/kit';
import { openAttestedKeyBackend } from '#custody/attested';
import { ATTESTED_INSTANCE, BackEnds, Ledger, RotationRunner, STEPS, type StepName } from '#rotation';
import type { World } from './world.js';

/** Where a worker stands still: with its intent on disk, at the back end's door, or with the effect done and not recorded. */
export const PLACES = ['after-intent', 'before-effect', 'after-effect'] as const;
/**
 * `observed`: as soon as it has looked, or is about to prove something; where a second worker is met in the middle. `at-the-door`: with
 * a request of the effect on its way to a server ({@link Door}).
 */
export type Place = (typeof PLACES)[number] | 'observed' | 'at-the-door';

/** Told when the caught attempt begins its effect: holds a request of it back. Gives back what to do once the effect has answered. */
export type Door = (standStill: () => Promise<void>) => () => void;

const EFFECTS: readonly string[] = [
  'generate',
  'publish',
  'switchEmission',
  'withdraw',
  'reAccept',
  'cutOver',
  'contain',
  'lift',
  'destroy',
  'probe',
];

function isAttempt(value: unknown): value is Attempt {
  return typeof value === 'object' && value !== null && 'attemptId' in value;
}

function isKeyed(options: unknown): boolean {
  return typeof options === 'object' && options !== null && 'key' in options;
}

/** Longer than any test: a worker that stands still does not notice that its time is over. */
const NEVER_MS = 3_600_000;

/** An intent this worker wrote. */
export interface Intent {
  readonly id: string;
  readonly stream: string;
  readonly step: StepName;
  readonly share?: number | undefined;
  readonly startedAt: number;
  readonly leaseUntil: number;
}

const startedSchema = z.object({
  step: z.enum(STEPS),
  share: z.number().optional(),
  leaseUntil: z.string(),
});

/**
 * Stands inside one worker, between it and both the log and the back end, and freezes it at one place of one of its
 * attempts. What was frozen goes on exactly where it was, however late.
 */
export class Barrier {
  readonly frozen: Promise<void>;
  /** In the order in which they were written. */
  readonly intents: Intent[] = [];
  #tellFrozen: () => void = () => undefined;
  #thaw: () => void = () => undefined;
  readonly #thawed: Promise<void>;
  #caught: Intent | undefined;
  #met = false;

  constructor(
    readonly place: Place,
    readonly catches: (intent: Intent, number: number) => boolean,
    /** Broken on purpose: what the frozen attempt is sent as. */
    readonly sends: (attempt: Attempt) => Attempt | Promise<Attempt> = (attempt) => attempt,
    readonly door?: Door,
  ) {
    this.frozen = new Promise((resolve) => {
      this.#tellFrozen = resolve;
    });
    this.#thawed = new Promise((resolve) => {
      this.#thaw = resolve;
    });
  }

  /** It stood still, now or earlier. */
  get met(): boolean {
    return this.#met;
  }

  /** The attempt it stands still in, or stood. */
  get caught(): Intent | undefined {
    return this.#caught;
  }

  thaw(): void {
    this.#thaw();
  }

  store(real: EventStore): EventStore {
    return {
      log: real.log,
      logId: real.logId,
      clock: real.clock,
      ids: real.ids,
      decode: (logged) => real.decode(logged),
      newestRecordedAt: () => real.newestRecordedAt(),
      treeSizeOf: (stream, revision) => real.treeSizeOf(stream, revision),
      read: async (stream, since) => {
        if (this.place === 'after-intent') await this.#standStill();
        return real.read(stream, since);
      },
      append: async (at, events, cause, options) => {
        const appended = await real.append(at, events, cause, options);
        for (const event of appended.events) {
          if (event.type === 'StepStarted') this.#intended(event);
        }
        return appended;
      },
    };
  }

  #intended(event: RecordedEvent): void {
    const { step, share, leaseUntil } = startedSchema.parse(event.data);
    const intent: Intent = {
      id: event.id,
      stream: event.stream,
      step,
      share,
      startedAt: event.recordedAt,
      leaseUntil: Date.parse(leaseUntil),
    };
    this.intents.push(intent);
    if (this.#caught === undefined && this.catches(intent, this.intents.length)) this.#caught = intent;
  }

  backEnd(real: KeyBackend): KeyBackend {
    const declaration: KeyBackend['declaration'] = {
      ...real.declaration,
      effects: Object.fromEntries(
        Object.entries(real.declaration.effects).map(([effect, declared]) => [
          effect,
          { ...declared, longestRequestMs: NEVER_MS },
        ]),
      ) as KeyBackend['declaration']['effects'],
    };
    return new Proxy(real, {
      get: (target, property) => {
        if (property === 'declaration') return declaration;
        const value: unknown = Reflect.get(target, property, target);
        if (typeof value !== 'function') return value;
        const name = String(property);
        // Asked and answered from memory, at once.
        if (['unavailable', 'leaveOut', 'claims'].includes(name)) return value.bind(target);
        return async (first: unknown, ...rest: readonly unknown[]): Promise<unknown> => {
          const acts = EFFECTS.includes(name);
          if (acts && this.place === 'before-effect') await this.#standStill();
          if (name === 'probe' && this.place === 'observed') await this.#standStill();
          const given =
            isAttempt(first) && first.attemptId === this.#caught?.id ? await this.sends(first) : first;
          const leave = acts ? this.#arrive(first) : undefined;
          const calling: Promise<unknown> = value.call(target, given, ...rest);
          const answer: unknown = await calling.finally(() => leave?.());
          if (acts && this.place === 'after-effect') await this.#standStill();
          // Only the observation of an attempt; the one before a decision comes without a key.
          if (name === 'observe' && this.place === 'observed' && isKeyed(rest[0])) await this.#standStill();
          return answer;
        };
      },
    });
  }

  #arrive(attempt: unknown): ReturnType<Door> | undefined {
    if (this.place !== 'at-the-door' || this.#met) return undefined;
    if (!isAttempt(attempt) || attempt.attemptId !== this.#caught?.id) return undefined;
    return this.door?.(() => this.#standStill());
  }

  async #standStill(): Promise<void> {
    if (this.#caught === undefined || this.#met) return;
    this.#met = true;
    this.#tellFrozen();
    await this.#thawed;
  }
}

/** One more worker on a world's log and back end, with a barrier inside it where one is given. */
export function workerOf(
  { store, backEnd: local }: World,
  worker: string,
  barrier?: Barrier,
  othersAreDead = false,
  backEnd: KeyBackend = local,
): RotationRunner {
  return new RotationRunner({
    ledger: new Ledger(barrier?.store(store) ?? store),
    backEnds: new BackEnds([barrier?.backEnd(backEnd) ?? backEnd, openAttestedKeyBackend(ATTESTED_INSTANCE)]),
    worker,
    othersAreDead: () => othersAreDead,
  });
}
