import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify, type JSONWebKeySet } from 'jose';
import { z } from 'zod';
import { BackendError, type Algorithm } from '#custody';
import type { RecordedEvent } from '#eventlog';
import { ManualClock } from '#platform/testing';
import { containmentStream, ENDED, type RotationState } from '#rotation';
import type { RotationWish } from '#rotation/application';
import { FaultyBackEnd, type Fault, type FaultyCall } from '../support/faulty-back-end.js';
import { World } from '../support/world.js';

/**
 * One rotation on virtual time, with the verifiers and the emitter around it. Everything of Keyturn is real (log, saga,
 * runner, local back end, the document's bytes); only the clock is moved by hand, from one thing that happens to the next.
 */

/** All eight verifiers keep what they fetched exactly so long. */
export const TTL_MS = 10_000;
/** Four times the TTL, so that half of it is still twice the TTL (the floor of a drain). */
export const LIFE_SECONDS = 40;
const VERIFIERS = 8;

/** Longer than a token lives: whatever was signed before the revocation runs out under watch. */
const WATCH_MS = 45_000;
/** Signing goes on for more than a TTL after the rotation's end. */
const AFTERMATH_MS = 15_000;
/** When the approval (or the declaration) comes: every verifier has fetched by then, and tokens are in circulation. */
const BEGIN_MS = 12_000;
/** The saga is also asked when nothing is due: an early look must never shorten a window. */
const POKE_MS = 4_700;
const LONGEST_RUN_MS = 600_000;
/** In an emergency the newest token of each version is shown to all so often. */
const WATCHFUL_MS = 100;
/** Past the last bound of any scenario. */
const WATCHED_MS = 4 * TTL_MS;

export interface Scenario {
  readonly algorithm: Algorithm;
  /** Shorter than computed ones stand on a deviation. */
  readonly windows?: { readonly accept?: string; readonly drain?: string };
  /** In place of a graceful one: emission split by these shares, or everything changed at once. */
  readonly strategy?: 'rolling' | 'cutover';
  readonly cohorts?: readonly Cohort[];
  /** Rolled back this long after the phase was entered; at 0 before anybody confirmed anything in it. */
  readonly rollback?: {
    readonly in: string;
    readonly afterMs: number;
    /** After the revocation: cuts the window of what is accepted again, by a recorded decision. */
    readonly acceptWindow?: string;
  };
  readonly emergency?: {
    readonly contain: boolean;
    /** Over a running rotation, in this phase of it: the version that emitted before it is compromised. */
    readonly over?: { readonly in: string; readonly afterMs: number };
  };
  /** First calls that fail: they make phases last that would be over in no time, and show that repeats are safe. */
  readonly faults?: Readonly<Partial<Record<FaultyCall, readonly Fault[]>>>;
  /** The emitter's first confirmation comes so late; at once unless told. */
  readonly emitterConfirmsAfterMs?: number;
  /** At least so many tokens are signed. */
  readonly tokens: number;
  /** Every token is shown at once, half way and in its last millisecond; otherwise most at one of these. */
  readonly everyAge?: boolean;
}

export interface Token {
  readonly jwt: string;
  readonly version: string;
  readonly signedAt: number;
  readonly expiresAt: number;
}

/** One token shown to one verifier, unexpired. */
export interface Presentation {
  readonly token: Token;
  readonly verifier: number;
  readonly at: number;
  readonly stage: string;
  /** Why it was refused; absent: accepted. */
  readonly refusal?: string;
}

export interface Run {
  readonly familyId: string;
  readonly rotationId: string;
  readonly start: number;
  /** The version that emitted before, and the one made (absent: none was). */
  readonly before: string;
  readonly incoming: string | undefined;
  readonly state: RotationState;
  readonly facts: readonly RecordedEvent[];
  readonly containmentFacts: readonly RecordedEvent[];
  readonly tokens: readonly Token[];
  readonly presentations: readonly Presentation[];
  /** Phases in the order they were entered. */
  readonly stages: readonly string[];
  /** Instants at which each verifier refreshed. */
  readonly refreshes: readonly (readonly number[])[];
  /** Instants at which nothing could be signed. */
  readonly unsigned: readonly number[];
  /** Instants at which emission moved, by the back end's own clock. */
  readonly emissions: readonly Emission[];
}

/** From this instant on any of these versions signs. */
export interface Emission {
  readonly at: number;
  readonly by: readonly string[];
}

/** A part of a rolling rotation. */
interface Cohort {
  readonly share: number;
  readonly hold: string;
}

/** When, after the start, the document gained the new version and lost one; from the rehearsal. */
interface Timetable {
  readonly published: number | undefined;
  readonly gone: number | undefined;
  readonly ended: number;
}

/** A phase, with cohorts and a rollback's own parts told apart. */
export function stageOf(state: RotationState): string {
  const { phase, switched, plan } = state;
  if (phase === 'emitting' && plan?.cohorts !== undefined) return `emitting ${switched?.share ?? 0} %`;
  if (phase !== 'rolling-back') return phase;
  if (state.withdrawn !== undefined) return 'rolling-back:withdrawn';
  if (state.returned !== undefined) return 'rolling-back:returned';
  return state.reaccepted === undefined ? 'rolling-back' : 'rolling-back:reaccepted';
}

/**
 * Runs a scenario twice. A rehearsal without verifiers and tokens tells when the document will change: virtual time is
 * exact, so the second run changes it at the same instants (the spec asserts it). That is how two verifiers that refresh
 * exactly every TTL from the start on can have their phases where it hurts most.
 */
export async function simulate(scenario: Scenario): Promise<Run> {
  // Neither the algorithm nor the number of tokens moves an instant.
  const rehearsed: Scenario = { ...scenario, algorithm: 'ES256', tokens: 0, everyAge: false };
  const key = JSON.stringify(rehearsed);
  const times = rehearsals.get(key) ?? timetable(await new Simulation(rehearsed).run());
  rehearsals.set(key, times);
  return new Simulation(scenario, times).run();
}

const rehearsals = new Map<string, Timetable>();

function timetable(run: Run): Timetable {
  const at = (types: readonly string[], facts = run.facts): number | undefined => {
    const fact = facts.find((event) => types.includes(event.type));
    return fact === undefined ? undefined : effectiveAt(fact) - run.start;
  };
  return {
    published: at(['DualAcceptDeployed', 'CutOver']),
    gone:
      at(['ContainmentApplied'], run.containmentFacts) ??
      (at(['DualAcceptDeployed']) === undefined && run.state.emergency === undefined
        ? undefined
        : at(['OldKeyRevoked', 'NewKeyWithdrawn'])),
    ended: (run.state.ended?.at ?? run.start) - run.start,
  };
}

/**
 * Eight phases spread evenly over the TTL, the first of them just before publishing. The one nearest to it is moved to
 * where a removal shows at once (just after revoking); in an emergency, where it shows last (just before).
 */
function phases(times: Timetable, emergency: boolean): readonly number[] {
  const within = (ms: number): number => ((ms % TTL_MS) + TTL_MS) % TTL_MS;
  const first = within((times.published ?? times.gone ?? 0) - 1);
  const even = Array.from({ length: VERIFIERS }, (_, index) => within(first + (index * TTL_MS) / VERIFIERS));
  if (times.gone === undefined) return even;
  const wanted = within(times.gone + (emergency ? -1 : 1));
  const distance = (phase: number): number => Math.min(within(phase - wanted), within(wanted - phase));
  const [nearest] = even.slice(1).sort((left, right) => distance(left) - distance(right));
  return even.map((phase, index) => (index > 0 && phase === nearest ? wanted : phase));
}

interface Verifier {
  readonly refreshes: number[];
  refresh(): void;
  /** Why it refuses this token now; `undefined`: it accepts. */
  refusal(token: Token, now: number): Promise<string | undefined>;
}

const keySetSchema = z.object({ keys: z.array(z.looseObject({ kty: z.string() })) });

/** `jose` with a snapshot of the served bytes, as a service that polls a JWKS has it. */
function jwksVerifier(world: World, familyId: string, algorithm: Algorithm): Verifier {
  let keys: ReturnType<typeof createLocalJWKSet> | undefined;
  const refreshes: number[] = [];
  return {
    refreshes,
    refresh() {
      const served = world.backEnd.servedDocument(familyId);
      if (served === undefined) throw new Error('no document is served');
      const snapshot: JSONWebKeySet = keySetSchema.parse(JSON.parse(served.body.toString('utf8')));
      keys = createLocalJWKSet(snapshot);
      refreshes.push(world.clock.now());
    },
    async refusal(token, now) {
      if (keys === undefined) return 'it fetched nothing yet';
      try {
        await jwtVerify(token.jwt, keys, { currentDate: new Date(now), algorithms: [algorithm] });
        return undefined;
      } catch (error) {
        return error instanceof Error ? error.name : String(error);
      }
    },
  };
}

/** Of a symmetric family: a snapshot of the accepted ids; the key itself never leaves the back end. */
function macVerifier(world: World, object: string): Verifier {
  let accepted: readonly string[] = [];
  const refreshes: number[] = [];
  return {
    refreshes,
    refresh() {
      accepted = world.backEnd.acceptedKids(object);
      refreshes.push(world.clock.now());
    },
    async refusal(token) {
      const { valid, reason } = await world.backEnd.verify(object, token.jwt, accepted);
      return valid ? undefined : (reason ?? 'refused');
    },
  };
}

interface Item {
  readonly at: number;
  readonly run: () => Promise<void>;
}

const OBJECT = 'keys/session-jwt';

const WHOLE_DAY = {
  weekdays: [...(['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'] as const)],
  from: '00:00',
  to: '23:59',
  timeZone: 'UTC',
};

class Simulation {
  readonly #scenario: Scenario;
  readonly #times: Timetable | undefined;
  readonly #clock = new ManualClock('2026-03-02T08:00:00Z');
  /** Latest first; of two at one instant the one put in first runs first. */
  readonly #agenda: Item[] = [];
  readonly #tokens: Token[] = [];
  readonly #presentations: Presentation[] = [];
  readonly #stages: string[] = [];
  readonly #unsigned: number[] = [];
  #verifiers: readonly Verifier[] = [];
  #faults: FaultyBackEnd | undefined;
  #opened: World | undefined;
  #familyId = '';
  #rotationId: string | undefined;
  #start = 0;
  #before = '';
  #stage = 'before';
  #due: number | undefined;
  #emitterMayConfirmAt = 0;
  #pressed = false;
  #endsAt = Infinity;

  /** Without a timetable it is a rehearsal: nobody signs and nobody verifies. */
  constructor(scenario: Scenario, times?: Timetable) {
    this.#scenario = scenario;
    this.#times = times;
  }

  get #world(): World {
    if (this.#opened === undefined) throw new Error('the world is not open');
    return this.#opened;
  }

  async run(): Promise<Run> {
    this.#opened = await World.open({
      clock: this.#clock,
      before: (real) => {
        this.#faults = new FaultyBackEnd(real);
        return this.#faults;
      },
    });
    try {
      await this.#prepare();
      await this.#play();
      return await this.#result();
    } finally {
      await this.#world.close();
    }
  }

  /** A family with one version in use, its consumers, and the rotation requested. */
  async #prepare(): Promise<void> {
    const world = this.#world;
    const { algorithm, strategy } = this.#scenario;
    const cutsOver = strategy === 'cutover';
    await world.policy({
      margins: { clockSkew: 'PT0S', safety: 'PT0S' },
      settle: 'PT1S',
      watch: `PT${WATCH_MS / 1_000}S`,
      ...(cutsOver ? { changeWindows: [WHOLE_DAY] } : {}),
    });
    const family = await world.registerFamily({
      name: 'session-jwt',
      algorithm,
      overlap: cutsOver ? 'none' : 'dual',
      artefactLife: `PT${LIFE_SECONDS}S`,
      backEnd: { instance: 'local', object: OBJECT },
    });
    this.#familyId = family.id;
    await world.registerConsumer(family.id, { name: 'issuer', roles: ['emitter'] });
    for (let index = 0; index < VERIFIERS; index += 1) {
      const name = `verifier-${index}`;
      await world.registerConsumer(family.id, {
        name,
        roles: ['verifier'],
        cacheTtl: `PT${TTL_MS / 1_000}S`,
      });
    }
    const first = await world.request(family.id, cutsOver ? { strategy: 'cutover' } : {});
    await world.approve(first.id);
    const { switched } = await world.leapToEnd(first.id);
    if (switched === undefined) throw new Error('the first version never came into use');
    this.#before = switched.to;
    this.#clock.advance(1_000 - (this.#clock.now() % 1_000));
    this.#start = this.#clock.now();
    for (const [call, faults] of Object.entries(this.#scenario.faults ?? {})) {
      for (const fault of faults) this.#faults?.plan(faultyCallSchema.parse(call), fault);
    }
  }

  #at(at: number, run: () => Promise<void>): void {
    let low = 0;
    let high = this.#agenda.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#agenda[middle]?.at ?? 0) > at) low = middle + 1;
      else high = middle;
    }
    this.#agenda.splice(low, 0, { at, run });
  }

  #every(first: number, interval: number, run: () => Promise<void>): void {
    const turn = async (): Promise<void> => {
      await run();
      this.#at(this.#clock.now() + interval, turn);
    };
    this.#at(first, turn);
  }

  async #play(): Promise<void> {
    const { algorithm, emergency } = this.#scenario;
    const world = this.#world;
    const begin = this.#start + BEGIN_MS;
    if (this.#times !== undefined) {
      const made = phases(this.#times, emergency !== undefined).map((phase) => {
        const verifier =
          algorithm === 'HS256' ? macVerifier(world, OBJECT) : jwksVerifier(world, this.#familyId, algorithm);
        this.#every(this.#start + phase, TTL_MS, async () => {
          verifier.refresh();
        });
        return verifier;
      });
      this.#verifiers = made;
      const span = this.#times.ended + AFTERMATH_MS - TTL_MS;
      const interval = Math.floor(span / this.#scenario.tokens);
      this.#every(this.#start + TTL_MS, interval, () => this.#sign());
      // `exp` is in whole seconds: signed on one, a token lives as long as a token can.
      this.#every(this.#start + TTL_MS, 1_000, () => this.#sign('all-ages'));
    }
    if (emergency === undefined || emergency.over !== undefined) {
      this.#at(this.#start, () => this.#request());
      this.#at(begin, async () => {
        if (this.#endsAt !== Infinity) return;
        await world.approve(this.#rotationId ?? '');
        await this.#look();
      });
    } else {
      this.#at(begin, async () => {
        this.#rotationId = (await world.emergency(this.#familyId, { contain: emergency.contain })).id;
        await this.#look();
      });
    }
    if (this.#times !== undefined) this.#every(this.#start + POKE_MS, POKE_MS, () => this.#look());
    if (emergency !== undefined && this.#times !== undefined) {
      this.#every(begin, WATCHFUL_MS, async () => {
        if (this.#clock.now() > begin + WATCHED_MS) return;
        for (const token of this.#circulating('newest')) await this.#present(token);
      });
    }
    for (;;) {
      const next = this.#agenda.pop();
      if (next === undefined || next.at > this.#endsAt) return;
      if (next.at - this.#start > LONGEST_RUN_MS) throw new Error(`still ${this.#stage}: it never ends`);
      this.#clock.advance(next.at - this.#clock.now());
      await next.run();
    }
  }

  async #request(): Promise<void> {
    const { windows, strategy, cohorts } = this.#scenario;
    const wish: Partial<RotationWish> = {
      ...(strategy === undefined ? {} : { strategy }),
      ...(cohorts === undefined ? {} : { cohorts: [...cohorts] }),
      ...(windows === undefined
        ? {}
        : {
            windows,
            deviation: { reason: 'a control run: it must refuse some', until: '2026-03-03T00:00:00Z' },
          }),
    };
    this.#rotationId = (await this.#world.request(this.#familyId, wish)).id;
    await this.#look();
  }

  /** Asks the saga until it waits, and lets whoever is asked confirm at once: only the windows protect. */
  async #look(): Promise<void> {
    const world = this.#world;
    if (this.#rotationId === undefined) return;
    const now = this.#clock.now();
    // The last token of the outgoing version is signed in the very millisecond of the switch, before it.
    if (this.#due !== undefined && this.#due <= now) await this.#sign('all-ages');
    for (;;) {
      const wake = await world.advance(this.#rotationId);
      const state = await world.rotation(this.#rotationId);
      const stage = stageOf(state);
      if (stage !== this.#stage) {
        if (await this.#enter(stage)) continue;
      }
      if (ENDED.includes(state.phase) && this.#endsAt === Infinity) {
        this.#endsAt = now + AFTERMATH_MS + LIFE_SECONDS * 1_000;
      }
      if (stage === 'emitting' && now < this.#emitterMayConfirmAt) return;
      if ((await world.confirmAsked(this.#rotationId)) > 0) continue;
      const until = wake.finished ? undefined : wake.until;
      if (until !== undefined && until > now && until !== this.#due) {
        // In the last millisecond before it is due nothing may happen yet.
        this.#at(until - 1, () => this.#look());
        this.#at(until, () => this.#look());
      }
      this.#due = until;
      return;
    }
  }

  /** A phase begins: what every version left in circulation is shown to all; `true` where something was asked meanwhile. */
  async #enter(stage: string): Promise<boolean> {
    this.#stage = stage;
    this.#stages.push(stage);
    const { rollback, emergency, emitterConfirmsAfterMs = 0 } = this.#scenario;
    await this.#signBoth();
    for (const token of this.#circulating()) await this.#present(token);
    if (stage === 'emitting' && emitterConfirmsAfterMs > 0) {
      this.#emitterMayConfirmAt = this.#clock.now() + emitterConfirmsAfterMs;
      this.#at(this.#emitterMayConfirmAt, () => this.#look());
    }
    const press = rollback ?? emergency?.over;
    if (press === undefined || press.in !== stage || this.#pressed) return false;
    this.#pressed = true;
    const act = async (): Promise<void> => {
      const rotationId = this.#rotationId ?? '';
      if (rollback === undefined) {
        const details = { contain: emergency?.contain === true, compromisedVersions: [this.#before] };
        this.#rotationId = (await this.#world.emergency(this.#familyId, details)).id;
      } else {
        const { acceptWindow } = rollback;
        await this.#world.ask(rotationId, {
          type: 'rollback',
          reason: 'a test',
          ...(acceptWindow === undefined ? {} : { acceptWindow }),
        });
      }
    };
    if (press.afterMs === 0) {
      await act();
      return true;
    }
    this.#at(this.#clock.now() + press.afterMs, async () => {
      await act();
      await this.#look();
    });
    return false;
  }

  /** One token of everything that emits now: while emission is split, of somebody on either side. */
  async #signBoth(): Promise<void> {
    const { switched, returned } = (await this.#state()) ?? {};
    const wanted = returned === undefined && (switched?.share ?? 100) < 100 ? 2 : 1;
    const signed = new Set<string>();
    for (let tries = 0; tries < 100 && signed.size < wanted; tries += 1) {
      const before = this.#tokens.length;
      await this.#sign(tries === 0 ? 'all-ages' : 'one-age');
      const token = this.#tokens[before];
      if (token === undefined) return;
      signed.add(token.version);
      if (tries > 0 && signed.size === wanted) await this.#present(token);
    }
  }

  async #state(): Promise<RotationState | undefined> {
    return this.#rotationId === undefined ? undefined : this.#world.rotation(this.#rotationId);
  }

  /** Of every version the newest token that has not expired, and the oldest. */
  #circulating(which: 'both' | 'newest' = 'both'): readonly Token[] {
    const live = this.#tokens.filter((token) => this.#clock.now() < token.expiresAt);
    const versions = [...new Set(live.map((token) => token.version))];
    return versions.flatMap((version) => {
      const of = live.filter((token) => token.version === version);
      return (which === 'both' ? [of[0], of.at(-1)] : [of.at(-1)]).filter((token) => token !== undefined);
    });
  }

  /** Signs with what emits now; the token is shown to all verifiers at one age, or at several. */
  async #sign(ages: 'one-age' | 'all-ages' = 'one-age'): Promise<void> {
    const now = this.#clock.now();
    const signing = now >= this.#start + TTL_MS && now <= this.#endsAt - LIFE_SECONDS * 1_000;
    if (!signing || this.#verifiers.length === 0) return;
    let jwt: string;
    try {
      // Whose token it is decides, while emission is split, which version signs it.
      const sub = `somebody-${this.#tokens.length}`;
      const options = { lifetimeSeconds: LIFE_SECONDS, cohort: sub };
      jwt = await this.#world.backEnd.sign(OBJECT, { sub }, options);
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      this.#unsigned.push(now);
      return;
    }
    const version = decodeProtectedHeader(jwt).kid ?? '';
    const expiresAt = (decodeJwt(jwt).exp ?? 0) * 1_000;
    const token: Token = { jwt, version, signedAt: now, expiresAt };
    this.#tokens.push(token);
    const turn = this.#tokens.length;
    const every = ages === 'all-ages' || this.#scenario.everyAge === true;
    if (every || turn % 5 < 2) await this.#present(token);
    if (every || turn % 5 === 2) {
      const quarters = 1 + (turn % 3);
      this.#at(now + (quarters * LIFE_SECONDS * 1_000) / 4, () => this.#present(token));
    }
    if (every || turn % 5 > 2) this.#at(expiresAt - 1, () => this.#present(token));
  }

  async #present(token: Token): Promise<void> {
    const at = this.#clock.now();
    if (at >= token.expiresAt) return;
    const refusals = await Promise.all(this.#verifiers.map((verifier) => verifier.refusal(token, at)));
    for (const [verifier, refusal] of refusals.entries()) {
      const shown = { token, verifier, at, stage: this.#stage };
      this.#presentations.push(refusal === undefined ? shown : { ...shown, refusal });
    }
  }

  async #result(): Promise<Run> {
    const world = this.#world;
    const rotationId = this.#rotationId ?? '';
    if (this.#faults?.outstanding !== 0) throw new Error('a planned fault never happened');
    const state = await world.rotation(rotationId);
    const facts = await world.facts(rotationId);
    const containment = state.emergency?.containment;
    const all: RecordedEvent[] = [];
    const { state: family } = await world.ledger.family(this.#familyId);
    for (const { rotation } of family.closed) all.push(...(await world.facts(rotation)));
    if (state.supersedes !== undefined) all.push(...(await world.facts(state.supersedes)));
    if (!family.closed.some((closed) => closed.rotation === rotationId)) all.push(...facts);
    return {
      familyId: this.#familyId,
      rotationId,
      start: this.#start,
      before: this.#before,
      incoming: state.plan?.incoming,
      state,
      facts,
      containmentFacts: containment === undefined ? [] : await world.facts(containmentStream(containment)),
      tokens: this.#tokens,
      presentations: this.#presentations,
      stages: this.#stages,
      refreshes: this.#verifiers.map((verifier) => verifier.refreshes),
      unsigned: this.#unsigned,
      emissions: all
        .flatMap((event) => emissionOf(event, this.#before))
        .sort((left, right) => left.at - right.at),
    };
  }
}

const faultyCallSchema = z.enum([
  'generate',
  'publish',
  'switchEmission',
  'withdraw',
  'reAccept',
  'cutOver',
  'contain',
  'probe',
]);
const movedSchema = z.object({
  to: z.string(),
  share: z.number().default(100),
});
const effectSchema = z.object({ backEndAt: z.string() });

/** When a step's effect took place, by the back end's own clock: its record may come later, where an answer was lost. */
export function effectiveAt(fact: RecordedEvent): number {
  return Date.parse(effectSchema.parse(fact.data).backEndAt);
}

const MOVES_EMISSION = ['EmitterSwitched', 'EmissionReturned', 'CutOver', 'CutBack'];

/** While emission is split, what emitted before the first cohort keeps the rest. */
function emissionOf(event: RecordedEvent, before: string): readonly Emission[] {
  if (!MOVES_EMISSION.includes(event.type)) return [];
  const { to, share } = movedSchema.parse(event.data);
  return [{ at: effectiveAt(event), by: share < 100 ? [to, before] : [to] }];
}
