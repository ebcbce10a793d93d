import { describe, expect, it } from '@jest/globals';
import { byDepth, inSlice, sliceText } from '#platform/testing';
import {
  accepting,
  brokenAtTheEnd,
  DAY,
  emitting,
  FATES,
  help,
  HOUR,
  IN_FLIGHT,
  inFlight,
  MINUTE,
  phases,
  SECOND,
  SimulatedWorld,
  until,
  watchLaws,
} from '../testing/index.js';
import { ENDED, versionsAfter } from './rotation.state.js';

/** An emergency over a planned rotation in every phase, whatever leaked and whatever comes after. */

const starts = [
  ...Object.entries(phases).map(([name, { setup, phase }]) => ({ name, setup, phase })),
  ...IN_FLIGHT.flatMap((step) =>
    FATES.map((fate) => ({
      name: `${step} in flight, ${fate}`,
      setup: inFlight(step, fate),
      phase: undefined,
    })),
  ),
];

const LEAKS = ['old', 'new', 'both', 'unknown'] as const;
type Leak = (typeof LEAKS)[number];

function leaked(world: SimulatedWorld, id: string, leak: Leak): readonly string[] {
  const incoming = world.incomingOf(id);
  switch (leak) {
    case 'old':
      return ['old'];
    case 'new':
      return [incoming];
    case 'both':
      return ['old', incoming];
    case 'unknown':
      return versionsAfter(world.rotation(id), world.family.state.compromised)
        .filter((version) => version.accepted)
        .map((version) => version.versionId);
  }
}

const CONTAINS = [true, false] as const;

const AFTERWARDS = [
  'nothing',
  'rollback',
  'resume',
  'retry',
  'another emergency',
  'next graceful rotation',
] as const;
type Afterwards = (typeof AFTERWARDS)[number];

function afterwards(world: SimulatedWorld, id: string, emergency: string, what: Afterwards): void {
  const both = [id, emergency];
  switch (what) {
    case 'nothing':
      break;
    case 'rollback':
      expect(both.map((each) => world.rollBack(each))).toEqual([
        world.rotation(id).rollback === undefined ? 'rotation.ended' : undefined,
        ENDED.includes(world.rotation(emergency).phase)
          ? 'rotation.ended'
          : 'rotation.emergency-rolls-forward',
      ]);
      break;
    case 'resume':
      for (const each of both) world.ask(each, { type: 'ResumeRotation' });
      break;
    case 'retry':
      for (const each of both) world.ask(each, { type: 'RetryRotation' });
      break;
    case 'another emergency':
      expect(world.emergency([...world.backEnd.accepted(), 'old']).refused).toBeUndefined();
      break;
    case 'next graceful rotation':
      if (!ENDED.includes(world.rotation(emergency).phase)) {
        expect(world.request().refused).toBe('rotation.already-running');
      }
      break;
  }
}

describe('an emergency over a planned rotation', () => {
  /** The check takes one in three of what comes afterwards, each with other starts and leaks. */
  const ONE_OF = byDepth({ check: 3, slice: 1, full: 1 });
  let number = 0;
  let taken = 0;
  let proved = 0;
  const rows = starts.length * LEAKS.length * CONTAINS.length * AFTERWARDS.length;

  const expectAllIsWell = (world: SimulatedWorld): void => {
    expect(brokenAtTheEnd(world)).toEqual([]);
    const { compromised } = world.family.state;
    expect(compromised.filter((version) => world.backEnd.accepted().includes(version))).toEqual([]);
    expect(compromised.filter((version) => world.backEnd.emitting().includes(version))).toEqual([]);
    expect(world.backEnd.emitting()).toHaveLength(1);
  };

  const prove = (start: (typeof starts)[number], leak: Leak, contain: boolean, after: Afterwards): void => {
    const world = new SimulatedWorld({
      othersAreDead: false,
      outlivesProcess: true,
      parses: after === 'nothing',
    });
    watchLaws(world);
    const { id } = world.request();
    start.setup(world, id);
    if (start.phase !== undefined) expect(world.rotation(id).phase).toBe(start.phase);

    // What emits, and is clean and accepted, when an emergency makes its plan from what it observes.
    const cleanAtPlan = new Map<string, boolean>();
    world.observers.push({
      onRotationEvent: (_world, event) => {
        if (event.type !== 'RotationPlanned') return;
        const emits = world.backEnd.versions.find((version) => version.emittingShare > 0);
        const clean = emits?.accepted === true && !world.family.state.compromised.includes(emits.versionId);
        cleanAtPlan.set(event.stream.slice('rotation-'.length), clean);
      },
    });

    const versions = leaked(world, id, leak);
    const emergency = world.emergency(versions, { contain });
    expect(emergency.refused).toBeUndefined();
    world.run();
    // Contained at once: no slot, no open step, no person is waited for.
    if (contain) expect(versions.filter((version) => !world.backEnd.denied.includes(version))).toEqual([]);
    if (start.name === 'requested') expect(world.rotation(id).phase).toBe('superseded');

    until(world, () => world.rotation(id).phase === 'superseded', 'the end of what was superseded');
    expect(world.rotation(id).steps.open).toBeUndefined();
    const over = ENDED.includes(world.rotation(emergency.id).phase);
    afterwards(world, id, emergency.id, after);

    // Time alone: nobody confirms, approves or retries.
    world.elapse(3 * HOUR);
    const last = [...world.rotations.keys()].at(-1) ?? '';
    expect(world.rotation(emergency.id).phase).toBe(
      over || last === emergency.id ? 'completed' : 'superseded',
    );
    expect(world.rotation(last).phase).toBe('completed');
    for (const [made, clean] of cleanAtPlan) {
      expect([made, world.rotation(made).generated === undefined]).toEqual([made, clean]);
    }
    expectAllIsWell(world);

    if (after === 'next graceful rotation') {
      const next = world.request();
      expect(next.refused).toBeUndefined();
      for (let day = 0; day < 3; day += 1) {
        help(world, next.id);
        world.elapse(DAY);
      }
      expect(world.rotation(next.id).phase).toBe('completed');
      expect(world.backEnd.accepted()).toEqual([world.incomingOf(next.id)]);
      expectAllIsWell(world);
    }
    proved += 1;
  };

  describe.each(starts)('$name', (start) => {
    it.each(LEAKS)('%s leaked', (leak) => {
      for (const contain of CONTAINS) {
        for (const after of AFTERWARDS) {
          number += 1;
          if (!inSlice(number + Math.floor(number / AFTERWARDS.length), ONE_OF)) continue;
          taken += 1;
          prove(start, leak, contain, after);
        }
      }
    });
  });

  it('every row of the table was proved', () => {
    expect(rows).toBe((12 + 7 * 3) * 4 * 2 * 6);
    expect([number, proved]).toEqual([rows, taken]);
    expect(taken).toBeGreaterThanOrEqual(Math.floor(rows / ONE_OF));
    console.info(
      `emergency × phase × leak × containment × afterwards: ${proved} of ${taken}${sliceText(`one in ${ONE_OF} of ${rows}`)}`,
    );
  });

  it('where the process dies before the emergency’s own stream begins, the sweep goes on with it', () => {
    const world = new SimulatedWorld();
    watchLaws(world);
    const { id } = world.request();
    accepting(world, id);
    world.emergency(['old'], { crash: true });
    world.elapse(HOUR);
    expect([...world.rotations.values()].map(({ state }) => state.phase)).toEqual([
      'superseded',
      'completed',
    ]);
    expectAllIsWell(world);
  });

  it('over a rotation whose own stream a crash left unbegun: there is nothing to settle, it goes on', () => {
    const world = new SimulatedWorld();
    watchLaws(world);
    world.request({}, true);
    const { id } = world.emergency(['old']);
    world.elapse(HOUR);
    expect(world.rotation(id).phase).toBe('completed');
    expect([...world.rotations.keys()]).toEqual([id]);
    expectAllIsWell(world);
  });

  it('while the back end is away it waits and tries again at least every 15 s, never for a person', () => {
    const world = new SimulatedWorld();
    watchLaws(world);
    const { id } = world.request();
    emitting(world, id);
    world.awayUntil = world.now + 40 * MINUTE;
    const emergency = world.emergency([world.incomingOf(id)]);
    world.elapse(40 * MINUTE);
    expect(world.rotation(emergency.id).suspended).toBeUndefined();
    world.elapse(15 * SECOND);
    expect(world.backEnd.accepted()).not.toContain(world.incomingOf(id));
    world.elapse(HOUR);
    expect(world.rotation(emergency.id).phase).toBe('completed');
    expectAllIsWell(world);
  });
});
