import { describe, expect, it } from '@jest/globals';
import { DomainError, MAX_EVENT_BYTES } from '#eventlog';
import {
  APPROVER,
  DAY,
  help,
  HOUR,
  SimulatedWorld,
  someConsumer,
  someRequest,
  someVersion,
  type WorldOptions,
} from '../testing/index.js';
import { familyEvents } from './family.events.js';
import { planEmergency, planRotation } from './plan.js';
import { planSchema } from './rotation.events.js';
import { carried, isSettled, MOST_CARRIED } from './versions.js';

const bytes = (data: unknown): number => Buffer.byteLength(JSON.stringify(data));

function codeOf(make: () => unknown): string {
  try {
    make();
    return 'nothing was refused';
  } catch (error) {
    if (error instanceof DomainError) return error.code;
    throw error;
  }
}

/** A family that was rotated this often before: what is long out, and what emits. */
function rotatedBefore(times: number, options: WorldOptions = {}): SimulatedWorld {
  const world = new SimulatedWorld(options);
  const out = Array.from({ length: times }, (_, number) =>
    someVersion(`past-${number}`, { accepted: false, emittingShare: 0, fingerprint: 'f'.repeat(64) }),
  );
  world.appendFamily(
    out.map((data) => ({ type: 'VersionObserved', data })),
    APPROVER,
  );
  return world;
}

describe('a family that lives long', () => {
  it('still rotates after 250 rotations, and still takes an emergency', () => {
    const world = rotatedBefore(250);
    for (let turn = 0; turn < 3; turn += 1) {
      const { id, refused } = world.request();
      expect(refused).toBeUndefined();
      for (let day = 0; day < 4 && world.rotation(id).phase !== 'completed'; day += 1) {
        help(world, id);
        world.elapse(6 * HOUR);
      }
      expect([turn, world.rotation(id).phase]).toEqual([turn, 'completed']);
      expect([turn, world.family.state.slot?.open]).toEqual([turn, false]);
    }
    // Nothing the family ever had is forgotten.
    expect(world.family.state.versions).toHaveLength(254);
    const [leaked = ''] = world.backEnd.emitting();
    const { id } = world.emergency([leaked]);
    for (let day = 0; day < 3; day += 1) {
      help(world, id);
      world.elapse(DAY);
    }
    expect(world.rotation(id).phase).toBe('completed');
    expect(world.family.state.slot?.open).toBe(false);
    expect(world.backEnd.accepted()).toEqual([world.incomingOf(id)]);
  });

  it('plans and closes with what still matters, and with what the record has wrong', () => {
    const world = rotatedBefore(250);
    const { id } = world.request();
    expect(world.plan(id).versionsBefore.map((version) => version.versionId)).toEqual(['old']);
    // An emergency learns from the back end that what is on record as accepted is out.
    const other = rotatedBefore(250, { versions: ['gone', 'old'] });
    for (const version of other.backEnd.versions) {
      if (version.versionId === 'gone') Object.assign(version, { accepted: false, emittingShare: 0 });
    }
    const emergency = other.emergency(['old'], { contain: false }).id;
    for (let day = 0; day < 3; day += 1) {
      help(other, emergency);
      other.elapse(DAY);
    }
    expect(other.rotation(emergency).phase).toBe('completed');
    expect(other.family.state.versions.find((version) => version.versionId === 'gone')?.accepted).toBe(false);
  });

  it('is settled: neither accepted nor emitting, or destroyed; what emits is never settled', () => {
    const settled = (changes: Parameters<typeof someVersion>[1]): boolean =>
      isSettled(someVersion('v', changes));
    expect(settled({ accepted: false, emittingShare: 0 })).toBe(true);
    expect(settled({ accepted: true, emittingShare: 0 })).toBe(false);
    expect(settled({ accepted: true, emittingShare: 0, destroyed: true })).toBe(true);
    expect(settled({ accepted: false, emittingShare: 25 })).toBe(false);
    const many = Array.from({ length: 300 }, (_, number) =>
      someVersion(`v-${number}`, { accepted: number < 3, emittingShare: 0 }),
    );
    // Unknown to the record: the newest of them are written down as long as there is room.
    const kept = carried(many, []);
    expect(kept).toHaveLength(MOST_CARRIED);
    expect(kept.slice(0, 3).map((version) => version.versionId)).toEqual(['v-0', 'v-1', 'v-2']);
    expect(kept.at(-1)?.versionId).toBe('v-299');
  });

  it('more versions in use than a plan can hold: refused before the slot is taken; an emergency asks a person', () => {
    const names = Array.from({ length: MOST_CARRIED + 1 }, (_, number) => `v-${number}`);
    const world = new SimulatedWorld({ versions: names });
    expect(world.request().refused).toBe('family.too-many-versions');
    expect(world.family.state.slot).toBeUndefined();
    const { id, refused } = world.emergency(['v-99'], { contain: false });
    expect(refused).toBeUndefined();
    world.elapse(HOUR);
    expect(world.rotation(id).suspended?.code).toBe('family.too-many-versions');
    // Exactly as many as fit: it closes with one more.
    const most = new SimulatedWorld({ versions: names.slice(1) });
    const rotation = most.request().id;
    for (let day = 0; day < 4; day += 1) {
      help(most, rotation);
      most.elapse(DAY);
    }
    expect(most.rotation(rotation).phase).toBe('completed');
    expect(most.family.state.slot?.open).toBe(false);
  });
});

describe('a family with many consumers', () => {
  const registered = (of: (number: number) => ReturnType<typeof someConsumer>): SimulatedWorld => {
    const world = new SimulatedWorld({ consumers: [] });
    let refused: string | undefined;
    for (let number = 0; number < 1_000 && refused === undefined; number += 1) {
      refused = world.decideFamily({ type: 'RegisterConsumer', consumer: of(number) });
    }
    expect(refused).toBe('family.too-many-consumers');
    return world;
  };

  it.each([
    ['with short names', (number: number) => someConsumer(number, { name: `c${number}` })],
    [
      'with the longest names there are',
      (number: number) => someConsumer(number, { name: `${'名'.repeat(115)}${number}`, instances: 10_000 }),
    ],
  ])('the one that no plan could hold is refused at registration: %s', (_name, of) => {
    const world = registered(of);
    const family = world.family.state;
    const input = {
      family,
      request: someRequest(),
      incomingVersionId: 'i'.repeat(60),
      versions: family.versions,
    };
    const plans = [planRotation(input), planEmergency({ ...input, compromised: ['old'] })];
    for (const plan of plans) expect(bytes(planSchema.parse(plan))).toBeLessThan(MAX_EVENT_BYTES - 2_048);
    // A back end full of versions nobody has on record takes no room from an emergency.
    const unknown = Array.from({ length: MOST_CARRIED }, (_, number) =>
      someVersion(`seen-${number}`, { accepted: false, emittingShare: 0, fingerprint: 'f'.repeat(200) }),
    );
    const seen = planEmergency({
      ...input,
      versions: [...unknown, ...family.versions],
      compromised: ['old'],
    });
    expect(bytes(planSchema.parse(seen))).toBeLessThan(MAX_EVENT_BYTES - 2_048);
    const { id } = world.emergency(['old']);
    world.elapse(HOUR);
    expect(world.rotation(id).plan).toBeDefined();
    // It may be corrected, and made shorter; what makes it larger is refused like a new one.
    const [first] = family.consumers;
    if (first === undefined) throw new Error('no consumer');
    const revise = (name: string): string | undefined =>
      world.decideFamily({ type: 'ReviseConsumer', consumer: { ...first, name } });
    expect(revise('c')).toBeUndefined();
  });

  it('a plan that fits no event is refused as such, never by the log', () => {
    const world = new SimulatedWorld();
    const family = {
      ...world.family.state,
      consumers: Array.from({ length: 400 }, (_, number) => someConsumer(number)),
    };
    const input = { family, request: someRequest(), incomingVersionId: 'new', versions: family.versions };
    expect(codeOf(() => planRotation(input))).toBe('plan.too-large');
    expect(codeOf(() => planEmergency({ ...input, compromised: ['old'] }))).toBe('plan.too-large');
  });

  it('an event that closes a slot holds as many versions as a rotation carries, and the one it made', () => {
    const versions = Array.from({ length: MOST_CARRIED + 1 }, (_, number) => someVersion(`v-${number}`));
    const { schema } = familyEvents.RotationClosed;
    const rotation = someConsumer(1).consumerId;
    expect(schema.safeParse({ rotation, outcome: 'completed', versions }).success).toBe(true);
    expect(
      schema.safeParse({ rotation, outcome: 'completed', versions: [...versions, someVersion('x')] }).success,
    ).toBe(false);
  });
});
