import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { byDepth, inSlice, SEED, sliceText } from '#platform/testing';
import {
  BETWEEN,
  BUSY,
  INJECTIONS,
  interfere,
  REQUEST_KINDS,
  WAYS,
  type RequestKind,
  type Way,
} from '../testing/index.js';
import { nextStep } from './rotation.saga.js';
import { stepTable } from './step-table.js';

/**
 * Somebody asks for something between an intent and its outcome: every request, at every such moment of every way a rotation
 * can go; then by two, and by workers that die as well, drawn at random. What is asked is always recordable, or refused by a
 * rule; the fold is total, and in the end the log believes what the back end shows.
 */

const TIME = 30 * 60_000;
/** A proof that shrinks fails: raise it when ways, steps or requests are added. */
const COMMITTED_CASES = byDepth({ check: 510, slice: 1_022, full: 3_066 });
/** How often each request must have been taken at least: one that is always refused proves nothing. */
const LEAST = byDepth({ check: 8, slice: 20, full: 40 });
/** Of so many moments of an attempt a run takes one, another for each request. */
const ONE_OF = byDepth({ check: 6, slice: 3, full: 1 });
const taken = (moment: number, request: number): boolean => inSlice(moment + request, ONE_OF);

/** Steps of processes beside a rotation. */
const OTHER_PROCESSES: readonly string[] = ['lift', 'destroy'];

let proved = 0;
let all = 0;
const asked = new Map<RequestKind, number>();
const met = new Set<string>();

describe('interference', () => {
  it.each(WAYS.map((way) => [way.name, way] as const))(
    '%s: any request at any moment between an intent and its outcome',
    (_name, way) => {
      const undisturbed = interfere(way, []);
      expect(undisturbed.broken).toEqual([]);
      const wrong: string[] = [];
      for (const [at, moment] of undisturbed.moments.entries()) {
        met.add(`${moment.step} ${moment.place}`);
        for (const [index, request] of REQUEST_KINDS.entries()) {
          if (!taken(at, index)) continue;
          all += 1;
          const end = interfere(way, [{ at, request }]);
          for (const kind of end.taken) asked.set(kind, (asked.get(kind) ?? 0) + 1);
          // With a back end that answers nobody has to be asked.
          const broken = [...end.broken, ...end.suspensions.map((code) => `suspended: ${code}`)];
          if (broken.length === 0) proved += 1;
          else wrong.push(`${request}, ${moment.step} ${moment.place}: ${broken.join('; ')}`);
        }
      }
      expect(wrong).toEqual([]);
    },
    TIME,
  );

  it('takes every request, and every place of every step', () => {
    const slice = sliceText(`one moment of ${ONE_OF}`);
    console.info(`interference: ${proved} of ${all}${slice}`);
    expect(REQUEST_KINDS.filter((kind) => (asked.get(kind) ?? 0) < LEAST)).toEqual([]);
    const steps = Object.keys(stepTable).filter((step) => !OTHER_PROCESSES.includes(step));
    const wanted = steps.flatMap((step) => BETWEEN.map((place) => `${step} ${place}`));
    expect(wanted.filter((each) => !met.has(each))).toEqual([]);
    expect(proved).toBe(all);
    expect(all).toBeGreaterThanOrEqual(COMMITTED_CASES);
  });

  // Found by the whole product: what was tried before a consumer's cache grew was repeated inside the longer window.
  it('a step that is tried once more keeps the windows as they are by now', () => {
    const [graceful] = WAYS;
    if (graceful === undefined) throw new Error('there is no way');
    const asked = [
      { at: 8, request: 'a cache grows' },
      { at: 0, request: 'the schedule changes' },
      { at: 7, request: 'abandon' },
    ] as const;
    expect(interfere(graceful, asked, ['ok', 'ok', 'ok', 'unknown-not-done']).broken).toEqual([]);
  });

  it(
    'two requests, and workers and back ends that fail meanwhile',
    () => {
      const runs = byDepth({ check: 60, slice: 600, full: 6_000 });
      let count = 0;
      fc.assert(
        fc.property(someInterference, ({ way, interferences, injections }) => {
          expect(interfere(way, interferences, injections).broken).toEqual([]);
          count += 1;
        }),
        { seed: SEED, numRuns: runs },
      );
      console.info(`interference by two, with faults: ${count} of ${runs} (seed ${SEED})`);
      expect(count).toBe(runs);
    },
    TIME,
  );
});

const moment = fc.nat({ max: 35 });
const someInterference = fc.record({
  way: fc.constantFrom<Way>(...WAYS),
  interferences: fc.array(fc.record({ at: moment, request: fc.constantFrom(...REQUEST_KINDS) }), {
    minLength: 2,
    maxLength: 3,
  }),
  injections: fc.array(
    fc.oneof(
      { weight: 3, arbitrary: fc.constant('ok' as const) },
      { weight: 2, arbitrary: fc.constantFrom(...INJECTIONS) },
    ),
    { maxLength: 16 },
  ),
});

/** The proof can fail: the same over a saga that breaks one rule. */
describe('sabotage: interference goes red', () => {
  type Saga = typeof nextStep;
  const saboteurs: readonly (readonly [string, RegExp, Saga])[] = [
    [
      'the open step is forgotten when somebody asks',
      /not on record|in the back end/,
      (view, now) => {
        const { open: _open, failure: _failure, ...steps } = view.rotation.steps;
        const request = view.rotation.rollback ?? view.rotation.abandon ?? view.rotation.pause;
        return nextStep(
          request === undefined ? view : { ...view, rotation: { ...view.rotation, steps } },
          now,
        );
      },
    ],
    [
      'who joins is not waited for',
      /withdrawn inside the drain window|emitted inside the accept window|confirmed/,
      (view, now) => nextStep({ ...view, family: { ...view.family, consumers: [...plannedFor(view)] } }, now),
    ],
    [
      'a superseded rotation goes on',
      /an effect without the slot/,
      (view, now) => {
        const { slot } = view.family;
        const { rotationId } = view.rotation;
        return slot === undefined
          ? nextStep(view, now)
          : nextStep({ ...view, family: { ...view.family, slot: { ...slot, rotation: rotationId } } }, now);
      },
    ],
  ];

  it.each(saboteurs)(
    '%s',
    (_name, law, saga) => {
      const broken: string[] = [];
      for (const { way, interferences, injections } of fc.sample(someInterference, {
        seed: SEED,
        numRuns: 400,
      })) {
        try {
          broken.push(...interfere(way, interferences, injections, saga).broken);
        } catch (error) {
          // A broken saga may also never come to rest.
          if (!(error instanceof Error && error.message === BUSY)) throw error;
        }
        if (broken.some((line) => law.test(line))) return;
      }
      expect(broken).toContainEqual(expect.stringMatching(law));
    },
    TIME,
  );
});

/** The family's consumers as they were when the plan was made. */
function plannedFor(
  view: Parameters<typeof nextStep>[0],
): Parameters<typeof nextStep>[0]['family']['consumers'] {
  const planned = view.rotation.plan?.consumers.map((consumer) => consumer.consumerId) ?? [];
  return view.family.consumers.filter((consumer) => planned.includes(consumer.consumerId));
}
