import { byDepth } from '#platform/testing';
import { expectZeroRefused, figure, notValid, refreshedAt, refused } from './figures.js';
import { simulate, type Scenario } from './simulation.js';

/**
 * The same proof while emission is split: a quarter of all signers uses the new version, then a half, three quarters, all.
 * Whose token falls on which side is the back end's own split; both versions are valid, and none may be refused.
 */

const LONG = 300_000;
const figures: string[] = [];

afterAll(() => {
  console.log(figures.join('\n'));
});

/** Each is looked at for longer than a verifier caches. */
const COHORTS = [25, 50, 75, 100].map((share) => ({ share, hold: share === 100 ? 'PT0S' : 'PT12S' }));
const LINGERING: Scenario['faults'] = { generate: ['refused'], publish: ['refused'], probe: ['refused'] };
const ROLLING = { strategy: 'rolling', cohorts: COHORTS, faults: LINGERING } as const;
const SPLIT = ['emitting 25 %', 'emitting 50 %', 'emitting 75 %'];
const UNTIL_SPLIT = ['requested', 'approved', 'generated', 'accepting'];

describe('a whole rolling rotation refuses no valid token', () => {
  const whole = [
    { algorithm: 'ES256', everyAge: true },
    { algorithm: 'EdDSA', everyAge: false },
    { algorithm: 'HS256', everyAge: false },
  ] as const;
  it.each(byDepth({ check: whole.slice(1, 2), slice: [...whole], full: [...whole] }))(
    '$algorithm',
    async ({ algorithm, everyAge }) => {
      const run = await simulate({ ...ROLLING, algorithm, everyAge, tokens: 1_000 });
      figures.push(figure(`rolling 25/50/75/100 ${algorithm}`, run));
      expect(run.stages).toEqual([
        ...UNTIL_SPLIT,
        ...SPLIT,
        'emitting 100 %',
        'draining',
        'revoked',
        'watching',
        'completed',
      ]);
      expect(refreshedAt(run, 'DualAcceptDeployed', -1)).toBe(true);
      expect(refreshedAt(run, 'OldKeyRevoked', 1)).toBe(true);
      // Every share was a real split.
      for (const stage of SPLIT) {
        const signers = new Set(
          run.presentations.filter((shown) => shown.stage === stage).map((shown) => shown.token.version),
        );
        expect({ stage, signers: signers.size }).toEqual({ stage, signers: 2 });
      }
      expectZeroRefused(run);
    },
    LONG,
  );

  it(
    'nor where the answer of every cohort’s switch is lost',
    async () => {
      const run = await simulate({
        ...ROLLING,
        algorithm: 'ES256',
        tokens: 1_000,
        faults: {
          ...LINGERING,
          switchEmission: ['answer-lost', 'answer-lost', 'answer-lost', 'answer-lost'],
        },
      });
      figures.push(figure('rolling ES256, every switch’s answer lost', run));
      expect(run.state.phase).toBe('completed');
      expectZeroRefused(run);
    },
    LONG,
  );
});

describe('a rollback between cohorts refuses no valid token', () => {
  const pressed = [
    { share: 25, afterMs: 3_000, algorithm: 'ES256' },
    { share: 50, afterMs: 5_000, algorithm: 'EdDSA' },
    { share: 75, afterMs: 11_000, algorithm: 'HS256' },
  ] as const;
  it.each(byDepth({ check: pressed.slice(1, 2), slice: [...pressed], full: [...pressed] }))(
    'at $share % ($algorithm)',
    async ({ share, afterMs, algorithm }) => {
      const pressed = `emitting ${share} %`;
      const run = await simulate({
        ...ROLLING,
        algorithm,
        tokens: 1_000,
        rollback: { in: pressed, afterMs },
        faults: {
          generate: ['refused'],
          publish: ['refused'],
          switchEmission: [
            ...SPLIT.slice(0, SPLIT.indexOf(pressed) + 1).map(() => 'passes' as const),
            'refused',
          ],
        },
      });
      figures.push(figure(`rollback at ${share} %, ${algorithm}`, run));
      const passed = SPLIT.slice(0, SPLIT.indexOf(pressed) + 1);
      expect(run.stages).toEqual([
        ...UNTIL_SPLIT,
        ...passed,
        'rolling-back',
        'rolling-back:returned',
        'rolled-back',
      ]);
      expect(refreshedAt(run, 'NewKeyWithdrawn', 1)).toBe(true);
      expectZeroRefused(run);
    },
    LONG,
  );
});

/** Without these the zeros above would prove nothing. */
describe('a rolling rotation’s windows cut short by deviation refuse valid tokens', () => {
  it.each([
    ['control, accept window at half the TTL', { accept: 'PT5S' }, 'new'],
    ['control, drain window at half the token life', { drain: 'PT20S' }, 'old'],
  ] as const)(
    '%s',
    async (what, windows, whose) => {
      const run = await simulate({ ...ROLLING, algorithm: 'ES256', tokens: 400, windows });
      figures.push(figure(`${what}, rolling ES256`, run));
      expect(run.state.phase).toBe('completed');
      expect(notValid(run)).toEqual([]);
      const old = refused(run).filter((shown) => shown.token.version === run.before);
      const fresh = refused(run).filter((shown) => shown.token.version === run.incoming);
      expect({ old: old.length > 0, fresh: fresh.length > 0 }).toEqual({
        old: whose === 'old',
        fresh: whose === 'new',
      });
    },
    LONG,
  );
});
