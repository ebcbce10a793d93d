import { byDepth } from '#platform/testing';
import { milliseconds } from '#rotation';
import { effectiveAt, simulate, type Run } from './simulation.js';
import { expectZeroRefused, figure, notValid, refreshedAt, refused } from './figures.js';

/**
 * The ways that have no full overlap. A rollback after the revocation accepts the old version again and waits until every
 * verifier knows it, so that even then no valid token is refused. A cutover has an outage: it is measured, and never longer than
 * was predicted.
 */

const LONG = 300_000;
const figures: string[] = [];

afterAll(() => {
  console.log(figures.join('\n'));
});

const ALGORITHMS = byDepth({
  check: ['ES256'],
  slice: ['ES256', 'HS256'],
  full: ['ES256', 'HS256'],
} as const);

describe('a rollback after the revocation refuses no valid token', () => {
  it.each(ALGORITHMS)(
    '%s',
    async (algorithm) => {
      const run = await simulate({ algorithm, tokens: 1_000, rollback: { in: 'watching', afterMs: 5_000 } });
      figures.push(figure(`rollback 5 s after the revocation, ${algorithm}`, run));
      expect(run.stages.slice(-4)).toEqual([
        'watching',
        'rolling-back:reaccepted',
        'rolling-back:returned',
        'rolled-back',
      ]);
      const returned = run.emissions.at(-1)?.at ?? Infinity;
      const old = run.presentations.filter(
        ({ token }) => token.version === run.before && token.signedAt >= returned,
      );
      expect(old.length).toBeGreaterThan(1_000);
      expectZeroRefused(run);
    },
    LONG,
  );

  it(
    'but does where the window of what is accepted again is cut (control)',
    async () => {
      const run = await simulate({
        algorithm: 'ES256',
        tokens: 400,
        rollback: { in: 'watching', afterMs: 5_000, acceptWindow: 'PT5S' },
      });
      figures.push(figure('control, rollback after the revocation with half its accept window, ES256', run));
      expect(run.state.phase).toBe('rolled-back');
      expect(notValid(run)).toEqual([]);
      expect(refused(run).some((shown) => shown.token.version === run.before)).toBe(true);
      expect(refused(run).some((shown) => shown.token.version === run.incoming)).toBe(false);
    },
    LONG,
  );
});

describe('a cutover’s outage', () => {
  function cutAt(run: Run): number {
    const fact = run.facts.find((event) => event.type === 'CutOver');
    if (fact === undefined) throw new Error('it was never cut over');
    return effectiveAt(fact);
  }

  it.each(ALGORITHMS)(
    'is never longer than predicted, %s',
    async (algorithm) => {
      const run = await simulate({ algorithm, strategy: 'cutover', tokens: 1_000, everyAge: true });
      const cut = cutAt(run);
      const predicted = milliseconds(run.state.plan?.outage?.predicted);
      const bound = run.state.revoked?.trustEndsAt ?? Number.NaN;
      expect(run.state.phase).toBe('completed');
      expect(notValid(run)).toEqual([]);
      expect(refreshedAt(run, 'CutOver', -1)).toBe(true);
      const fresh = refused(run).filter((shown) => shown.token.version === run.incoming);
      const lasted = Math.max(0, ...fresh.map((shown) => shown.at - cut));
      figures.push(
        `windows: cutover ${algorithm}: new version refused for ${lasted / 1_000} s of ${predicted / 1_000} s predicted ` +
          `(${fresh.length} presentations); old one refused by all from ${(bound - cut) / 1_000} s on`,
      );
      expect(lasted).toBeLessThanOrEqual(predicted);
      // A verifier that had just refreshed went on for nearly all of it: the prediction is no larger than it must be.
      expect(lasted).toBeGreaterThan(predicted / 2);
      // Before the cut nothing is refused, and after the outage nothing of the new version.
      expect(refused(run).filter((shown) => shown.at < cut)).toEqual([]);
      const trusted = run.presentations.filter(
        (shown) => shown.token.version === run.before && shown.at >= bound && shown.refusal === undefined,
      );
      expect(trusted).toEqual([]);
    },
    LONG,
  );
});
