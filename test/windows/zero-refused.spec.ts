import { byDepth } from '#platform/testing';
import { expectZeroRefused, figure, notValid, refreshedAt, refused } from './figures.js';
import { simulate, type Scenario } from './simulation.js';

/**
 * The proof that matters, with `jose` as the independent verifier: through a whole rotation no valid token is refused.
 * A token is valid when it has not expired and its version was emitting when it was signed. Verifiers and emitter confirm
 * as soon as they are asked and all margins are zero, so that nothing but the two windows protects.
 */

const LONG = 180_000;
const figures: string[] = [];

afterAll(() => {
  console.log(figures.join('\n'));
});

/** First calls that are refused once: phases last that would be over within one look of the saga. */
const LINGERING: Scenario['faults'] = { generate: ['refused'], publish: ['refused'], probe: ['refused'] };

const WHOLE = [
  'requested',
  'approved',
  'generated',
  'accepting',
  'emitting',
  'draining',
  'revoked',
  'watching',
  'completed',
];

describe('a whole graceful rotation refuses no valid token', () => {
  const all = ['ES256', 'HS256', 'EdDSA', 'RS256'] as const;
  it.each(byDepth({ check: all.slice(0, 1), slice: [...all], full: [...all] }))(
    '%s',
    async (algorithm) => {
      const everyAge = algorithm === 'ES256';
      const run = await simulate({ algorithm, tokens: 1_000, everyAge, faults: LINGERING });
      figures.push(figure(`graceful ${algorithm}`, run));
      expect(run.stages).toEqual(WHOLE);
      expect(refreshedAt(run, 'DualAcceptDeployed', -1)).toBe(true);
      expect(refreshedAt(run, 'OldKeyRevoked', 1)).toBe(true);
      expectZeroRefused(run);
    },
    LONG,
  );

  it(
    'nor where the answer of every effect is lost and found again by observing',
    async () => {
      const run = await simulate({
        algorithm: 'ES256',
        tokens: 1_000,
        faults: {
          generate: ['answer-lost'],
          publish: ['answer-lost'],
          switchEmission: ['answer-lost'],
          withdraw: ['answer-lost'],
          probe: ['refused'],
        },
      });
      figures.push(figure('graceful ES256, every answer lost', run));
      expect(run.stages).toEqual(WHOLE);
      expect(refreshedAt(run, 'DualAcceptDeployed', -1)).toBe(true);
      expect(refreshedAt(run, 'OldKeyRevoked', 1)).toBe(true);
      expectZeroRefused(run);
    },
    LONG,
  );
});

/** Without these the zeros above would prove nothing: the same run, with one window cut, must refuse some. */
describe('a window cut short by deviation refuses valid tokens', () => {
  it.each([
    ['control, accept window at half the TTL', { accept: 'PT5S' }, 'new'],
    ['control, drain window at half the token life', { drain: 'PT20S' }, 'old'],
    ['sabotage, no window at all', { accept: 'PT0S', drain: 'PT0S' }, 'both'],
  ] as const)(
    '%s',
    async (what, windows, whose) => {
      const run = await simulate({ algorithm: 'ES256', tokens: 400, windows, faults: LINGERING });
      figures.push(figure(`${what}, ES256`, run));
      expect(run.state.phase).toBe('completed');
      expect(notValid(run)).toEqual([]);
      const old = refused(run).filter((shown) => shown.token.version === run.before);
      const fresh = refused(run).filter((shown) => shown.token.version === run.incoming);
      expect(fresh.length > 0).toBe(whose !== 'old');
      expect(old.length > 0).toBe(whose !== 'new');
    },
    LONG,
  );
});
