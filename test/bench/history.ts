import { openSealed, sealEvent, type EventContent } from '#eventlog/kit';
import type { EventLog, SealedEvent } from '#eventlog';
import { ManualClock } from '#platform/testing';
import { World } from '../support/world.js';

/**
 * Histories of any length, stamped from a short one that the real core made: a family that is registered and rotated
 * twice. Each copy has ids and times of its own; bodies, sizes, orders and streams are those of the real one.
 */

const DAY = 86_400_000;
const START = Date.parse('2016-01-04T09:00:00.000Z');
/** From one rotation of a family to its next. */
export const CADENCE_MS = 60 * DAY;
/** A policy's "stop emitting": younger than this is on time. */
const PERIOD = 'P90D';

/** Rotations a family has lived through in these histories. */
const ROTATIONS = 12;
const LATE = 20;

/** One append of the template. */
interface Part {
  /** Whose it is: of the family once, or of each of its rotations. */
  readonly round: 'family' | 'rotation';
  readonly stream: string;
  readonly events: readonly EventContent[];
}

export interface Template {
  readonly logId: string;
  /** The policy and whatever else there is once. */
  readonly common: readonly Part[];
  readonly parts: readonly Part[];
  /** How many events the registration and each rotation append. */
  readonly familyEvents: number;
  readonly rotationEvents: number;
  /** Ids that stay as they are. */
  readonly kept: ReadonlySet<string>;
  /** Ids that belong to the family, not to one rotation of it. */
  readonly families: ReadonlySet<string>;
  readonly versions: { readonly mine: string; readonly before: string };
  /** When the rotation of the template began. */
  readonly beganAt: number;
  readonly familyId: string;
  readonly rotationId: string;
}

/** Lets the real core register and rotate a family, and notes what it recorded. */
export async function makeTemplate(): Promise<Template> {
  const clock = new ManualClock(START);
  const world = await World.open({ clock });
  try {
    const policy = await world.policy({ stopEmitting: PERIOD, stopAccepting: 'P120D', approvals: 1 });
    const before = await world.store.log.treeSize();
    const family = await world.registerFamily({
      name: 'template',
      algorithm: 'ES256',
      artefactLife: 'PT15M',
    });
    const consumer = { cacheTtl: 'PT5M', refreshDelay: 'PT1M', deployPropagation: 'PT10M' };
    await world.registerConsumer(family.id, {
      name: 'verifier of template',
      roles: ['verifier'],
      ...consumer,
    });
    await world.registerConsumer(family.id, { name: 'emitter of template', roles: ['emitter'], ...consumer });
    const registered = await world.store.log.treeSize();
    const rotate = async (): Promise<string> => {
      const { id } = await world.request(family.id);
      await world.approve(id);
      const state = await world.leapToEnd(id);
      if (state.phase !== 'completed') throw new Error(`the template's rotation ended ${state.phase}`);
      return id;
    };
    // The first makes the first version and replaces nothing; every later one is like the third.
    await rotate();
    clock.advance(CADENCE_MS);
    const earlier = await rotate();
    clock.advance(CADENCE_MS);
    const third = await world.store.log.treeSize();
    const beganAt = clock.now();
    const rotationId = await rotate();
    const versionOf = async (id: string): Promise<string> =>
      (await world.rotation(id)).generated?.versionId ?? '';
    const versions = { mine: await versionOf(rotationId), before: await versionOf(earlier) };

    const common = await partsOf(world.store.log, 1, before, 'family');
    const born = await partsOf(world.store.log, before, registered, 'family');
    const turned = await partsOf(world.store.log, third, Number.POSITIVE_INFINITY, 'rotation');
    const kept = new Set([world.store.logId, world.requester, world.approver, policy.id, ...idsIn(common)]);
    const rotationIds = new Set(turned.flatMap(({ events }) => events.map(({ id }) => id)));
    const families = new Set(
      [...idsIn(born), ...turned.map(({ stream }) => stream.slice(stream.indexOf('-') + 1))].filter(
        (id) => !kept.has(id) && !rotationIds.has(id) && id !== rotationId,
      ),
    );
    const count = (parts: readonly Part[]): number =>
      parts.reduce((sum, part) => sum + part.events.length, 0);
    return {
      logId: world.store.logId,
      common,
      parts: [...born, ...turned],
      familyEvents: count(born),
      rotationEvents: count(turned),
      kept,
      families,
      versions,
      beganAt,
      familyId: family.id,
      rotationId,
    };
  } finally {
    await world.close();
  }
}

async function partsOf(
  log: EventLog,
  after: number,
  to: number,
  round: Part['round'],
): Promise<readonly Part[]> {
  const parts: { round: Part['round']; stream: string; events: EventContent[] }[] = [];
  for await (const logged of log.readAll({ after })) {
    if (logged.treeSize > to) break;
    const content = openSealed(logged);
    const last = parts.at(-1);
    if (last?.stream === content.stream) last.events.push(content);
    else parts.push({ round, stream: content.stream, events: [content] });
  }
  return parts;
}

const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;
const UUID_OR_INSTANT =
  /([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})|(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)/g;

function idsIn(value: unknown): readonly string[] {
  return JSON.stringify(value).match(UUID) ?? [];
}

/** One copy of the template's family: which it is, and which of its rotations. */
export interface Copy {
  readonly family: number;
  readonly rotation: number;
}

/** 32 bits that look like chance and are another for each number: ids must not come in order, as real ones do not. */
function scattered(number: number): string {
  let mixed = Math.imul(number ^ 0x5bd1e995, 0x9e3779b1);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x85ebca6b);
  return ((mixed ^ (mixed >>> 13)) >>> 0).toString(16).padStart(8, '0');
}

export class Stamp {
  readonly #texts: readonly { readonly part: Part; readonly text: string }[];
  readonly #offset: number;

  /** `now`: the instant at which the last rotations are 30 days old. */
  constructor(
    readonly template: Template,
    now = Date.now(),
  ) {
    this.#offset = now - 30 * DAY - (ROTATIONS - 1) * CADENCE_MS - START;
    this.#texts = template.parts.map((part) => ({ part, text: JSON.stringify(part.events) }));
  }

  familyId(family: number): string {
    return this.#id(this.template.familyId, { family, rotation: 0 });
  }

  rotationId(copy: Copy): string {
    return this.#id(this.template.rotationId, copy);
  }

  /** The appends of a family's registration, or of one of its rotations, in order; `next` is asked as each is made. */
  *appends(
    round: Part['round'],
    copy: Copy,
    next: (stream: string) => number,
  ): Generator<{ readonly stream: string; readonly events: readonly SealedEvent[] }> {
    const turned =
      copy.rotation * CADENCE_MS - (this.template.beganAt - START) - (copy.family % 97) * 3_600_000;
    const shift = this.#offset + (round === 'rotation' ? turned : 0);
    for (const { part, text } of this.#texts) {
      if (part.round !== round) continue;
      const contents: EventContent[] = JSON.parse(this.#moved(text, copy, shift));
      const stream = contents[0]?.stream ?? '';
      const first = next(stream);
      const events = contents.map((content, index) =>
        sealEvent({ ...content, revision: first + index, recordedAt: content.recordedAt + shift }),
      );
      yield { stream, events };
    }
  }

  #moved(text: string, copy: Copy, shift: number): string {
    return text
      .replaceAll(UUID_OR_INSTANT, (found, id: string | undefined) =>
        id === undefined ? new Date(Date.parse(found) + shift).toISOString() : this.#id(id, copy),
      )
      .replaceAll('template', `f${copy.family.toString(36).padStart(6, '0')}`);
  }

  #id(id: string, { family, rotation }: Copy): string {
    const { kept, families, versions } = this.template;
    if (kept.has(id)) return id;
    // Ids of one template differ in their ends, which stay.
    if (families.has(id)) return `${scattered(family)}${id.slice(8, 9)}ffff${id.slice(13)}`;
    if (id === versions.before) return this.#id(versions.mine, { family, rotation: rotation - 1 });
    const turn = (rotation & 0x7fff).toString(16).padStart(4, '0');
    return `${scattered(family * 65_599 + rotation + 1)}-${turn}${id.slice(13)}`;
  }
}

export interface Grown {
  readonly treeSize: number;
  readonly families: number;
  readonly rotations: number;
  /** Families whose last two rotations were left out: at the stamp's `now` these are overdue, and no others. */
  readonly late: number;
}

/** Appends copies until the log holds about `events`; `log` is new but for its first event. */
export async function grow(
  log: EventLog,
  stamp: Stamp,
  events: number,
  onProgress: (done: number) => void = () => undefined,
): Promise<Grown> {
  const { template } = stamp;
  const each = template.familyEvents + ROTATIONS * template.rotationEvents;
  const families = Math.max(1, Math.round(events / each));
  const late = Math.min(LATE, families);
  for (const { stream, events: contents } of template.common) {
    await log.append(
      stream,
      (contents[0]?.revision ?? 0) - 1,
      contents.map((content) => sealEvent(content)),
    );
  }
  const revisions = new Map<string, number>();
  const write = async (round: Part['round'], copy: Copy): Promise<void> => {
    const next = (stream: string): number => revisions.get(stream) ?? 0;
    for (const append of stamp.appends(round, copy, next)) {
      const first = next(append.stream);
      revisions.set(append.stream, first + append.events.length);
      await log.append(append.stream, first - 1, append.events);
    }
  };
  const ABREAST = 256;
  for (let from = 0; from < families; from += ABREAST) {
    const chunk = Array.from({ length: Math.min(ABREAST, families - from) }, (_, index) => from + index);
    await Promise.all(chunk.map((family) => write('family', { family, rotation: 0 })));
    for (let rotation = 0; rotation < ROTATIONS; rotation += 1) {
      const turning = chunk.filter((family) => family >= late || rotation < ROTATIONS - 2);
      await Promise.all(turning.map((family) => write('rotation', { family, rotation })));
      for (const stream of revisions.keys()) if (stream.startsWith('rotation-')) revisions.delete(stream);
    }
    revisions.clear();
    onProgress(await log.treeSize());
  }
  return {
    treeSize: await log.treeSize(),
    families,
    rotations: families * ROTATIONS - late * 2,
    late,
  };
}

/** The rotations there are, for who asks for some at random. */
export function someRotations(stamp: Stamp, { families, late }: Grown, count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => {
    const family = late + Math.floor((((index * 7919) % 10_007) / 10_007) * Math.max(1, families - late));
    return stamp.rotationId({ family: Math.min(families - 1, family), rotation: index % (ROTATIONS - 2) });
  });
}
