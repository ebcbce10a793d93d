import { byDepth, DEPTH, inSlice, SEED, sliceText } from '#platform/testing';
import { stepTable, type StepName } from '#rotation';
import { SCRIPTS } from '../support/scripts.js';
import { PLACES } from '../support/barrier.js';
import { openArena, THAWS, type Case, type Sabotage } from './two-workers.js';

/**
 * Two workers on one log and one back end. The first is frozen in one attempt: with its intent on disk, at the back end's
 * door, or with the effect done. The second one obeys its lease, takes over and goes on; then the first one is thawed.
 * The back end's own ledger must hold every effect once, the history must be the undisturbed one up to attempts, and what
 * the log believes of the versions must be what the back end shows.
 */

const MINUTES = 60_000;
const WAYS = PLACES.flatMap((place) => THAWS.map((thaw) => ({ place, thaw })));
/** A proof that shrinks fails: raise it when scripts or steps are added. */
const COMMITTED_CASES = byDepth({ check: 65, slice: 330, full: 1_008 });

let proved = 0;
let all = 0;
const met = new Set<string>();

/** Of nine ways a step can be met one (of every third step, three, or all), and each place where a step is met for the first time. */
function waysOf(number: number, step: string): typeof WAYS {
  if (DEPTH === 'full') return WAYS;
  const seeded = WAYS.filter((_, index) =>
    DEPTH === 'slice'
      ? inSlice(number + index, 3)
      : inSlice(number, 3) && inSlice(number * 4 + index, WAYS.length),
  );
  const unmet = PLACES.filter(
    (place) => !met.has(`${step} ${place}`) && seeded.every((way) => way.place !== place),
  );
  const thaw = THAWS[(number + SEED) % THAWS.length] ?? 'at-the-end';
  return [...seeded, ...unmet.map((place) => ({ place, thaw }))];
}

describe('two workers on one log', () => {
  it.each(SCRIPTS.map((script, index) => ({ script, index })))(
    '$script.name: every effect once, whoever did it',
    async ({ script, index }) => {
      const arena = await openArena();
      try {
        const wanted = await arena.undisturbed(script);
        const wrong: string[] = [];
        for (const [number, what] of wanted.steps.entries()) {
          const step = what.split(' ')[0] ?? '';
          for (const way of waysOf(index + number, step)) {
            all += 1;
            const one: Case = { script, attempt: number + 1, what, ...way };
            const problem = await arena.prove(one, wanted).catch(String);
            if (problem === undefined) proved += 1;
            else wrong.push(`${what}, ${way.place}, thawed ${way.thaw}: ${problem}`);
            met.add(`${step} ${way.place}`);
          }
        }
        expect(wrong).toEqual([]);
      } finally {
        await arena.close();
      }
    },
    30 * MINUTES,
  );

  it('takes every step of every script, at every place', () => {
    console.log(
      `two workers: ${proved} of ${all}${sliceText(`each place of each step, and ${byDepth({ check: 'one way of nine of every third attempt', slice: 'three ways of nine', full: '' })}`)}`,
    );
    const steps = (Object.keys(stepTable) as StepName[]).filter((step) => !OTHER_PROCESSES.includes(step));
    const wanted = steps.flatMap((step) => PLACES.map((place) => `${step} ${place}`));
    expect(wanted.filter((each) => !met.has(each))).toEqual([]);
    expect(proved).toBe(all);
    expect(all).toBeGreaterThanOrEqual(COMMITTED_CASES);
  });

  it.each<{ sabotage: Sabotage; step: string; thaw: Case['thaw']; law: RegExp }>([
    { sabotage: 'unfenced', step: 'accept', thaw: 'at-the-end', law: /effects/ },
    { sabotage: 'unfenced', step: 'revoke', thaw: 'settled', law: /effects/ },
    { sabotage: 'lease-ignored', step: 'emit', thaw: 'in-the-middle', law: /effects|did not wait/ },
  ])(
    'goes red: $sabotage, $step thawed $thaw',
    async ({ sabotage, step, thaw, law }) => {
      const [script] = SCRIPTS;
      if (script === undefined) throw new Error('there is no script');
      const arena = await openArena();
      try {
        const wanted = await arena.undisturbed(script);
        const attempt = wanted.steps.indexOf(step) + 1;
        const one: Case = { script, attempt, what: step, place: 'before-effect', thaw };
        expect(await arena.prove(one, wanted, sabotage)).toMatch(law);
      } finally {
        await arena.close();
      }
    },
    5 * MINUTES,
  );
});

/** Steps of processes beside a rotation: the crash matrix kills them (test/crash, `lift` and `destruction`). */
const OTHER_PROCESSES: readonly StepName[] = ['lift', 'destroy'];
