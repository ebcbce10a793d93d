import { byDepth, DEPTH, SEED, sliceText } from '#platform/testing';
import { PLACES } from '../support/barrier.js';
import { SCRIPTS } from '../support/scripts.js';
import { openArena, REQUEST_KINDS, type Case } from './interference.js';

/**
 * Somebody asks for something between any intent and its outcome, on the real runner, log and local back end: the fold is
 * total, the rotation comes to its end, and what the log believes is what the back end shows. The thousands of histories of
 * libs/rotation/src/domain/interference.laws.spec.ts, on the real thing.
 */

const MINUTES = 60_000;
/** A proof that shrinks fails: raise it when scripts, steps or requests are added. */
const COMMITTED_CASES = byDepth({ check: 36, slice: 220, full: 2_688 });

let proved = 0;
let all = 0;
let taken = 0;
let number = 0;

/** `test:full` takes every place and request; a slice two of an attempt, the check one of two attempts in three. */
function casesOf(attempt: number): readonly Pick<Case, 'attempt' | 'place' | 'request'>[] {
  const whole = PLACES.flatMap((place) => REQUEST_KINDS.map((request) => ({ attempt, place, request })));
  if (DEPTH === 'full') return whole;
  number += 1;
  const turns = byDepth({
    check: number % 3 === 0 ? [] : [number],
    slice: [2 * number, 2 * number + 1],
    full: [],
  });
  return turns.flatMap((turn) => whole[(turn * 7 + SEED) % whole.length] ?? []);
}

describe('interference on the real back end', () => {
  it.each(SCRIPTS.map((script) => ({ script })))(
    '$script.name: the log believes what the back end shows, whoever came in between',
    async ({ script }) => {
      const arena = await openArena();
      try {
        const attempts = await arena.attempts(script);
        const wrong: string[] = [];
        for (let attempt = 1; attempt <= attempts; attempt += 1) {
          for (const one of casesOf(attempt)) {
            all += 1;
            const end = await arena
              .prove({ script, ...one })
              .catch((error: unknown) => ({ taken: false, problem: String(error) }));
            if (end.taken) taken += 1;
            if (end.problem === undefined) proved += 1;
            else wrong.push(`${one.request}, attempt ${attempt}, ${one.place}: ${end.problem}`);
          }
        }
        expect(wrong).toEqual([]);
      } finally {
        await arena.close();
      }
    },
    60 * MINUTES,
  );

  it('shrinks not', () => {
    const slice = sliceText('one or two of the places and requests of an attempt');
    console.log(
      `interference on the real back end: ${proved} of ${all}${slice}; ${taken} requests taken, the others refused by a rule`,
    );
    expect(proved).toBe(all);
    expect(all).toBeGreaterThanOrEqual(COMMITTED_CASES);
    expect(taken).toBeGreaterThan(all / 2);
  });
});
