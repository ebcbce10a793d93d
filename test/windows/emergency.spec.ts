import { byDepth } from '#platform/testing';
import { milliseconds } from '#rotation';
import { notValid, refreshedAt, refused } from './figures.js';
import { simulate, TTL_MS, type Presentation, type Run } from './simulation.js';

/**
 * Revoked is not contained: after an emergency every verifier refuses the compromised version's tokens at the latest at
 * the bound on record, and knows the new version at the latest one refresh term after it was published.
 */

const LONG = 180_000;
const VERIFIERS = 8;
const figures: string[] = [];

afterAll(() => {
  console.log(figures.join('\n'));
});

function declaredAt(run: Run): number {
  return run.state.emergency?.discoveredAt ?? Number.NaN;
}

function tPlus(run: Run, at: number | undefined): string {
  if (at === undefined) return 'never';
  const seconds = (at - declaredAt(run)) / 1_000;
  return `T${seconds < 0 ? '−' : '+'}${Math.abs(seconds)} s`;
}

function bound(run: Run): number {
  return run.state.revoked?.trustEndsAt ?? Number.NaN;
}

/** What was shown of the compromised version. */
function old(run: Run): readonly Presentation[] {
  return run.presentations.filter((shown) => shown.token.version === run.before);
}

function last(instants: readonly number[]): number | undefined {
  return instants.length === 0 ? undefined : Math.max(...instants);
}

function lastAccepted(run: Run): number | undefined {
  return last(
    old(run)
      .filter((shown) => shown.refusal === undefined)
      .map((shown) => shown.at),
  );
}

/** From the bound on every verifier was shown an unexpired old token, in that very millisecond too, and refused it. */
function expectRefusedFromBound(run: Run): void {
  expect(notValid(run)).toEqual([]);
  const after = old(run).filter((shown) => shown.at >= bound(run));
  expect(after.filter((shown) => shown.refusal === undefined)).toEqual([]);
  const inThatMillisecond = after.filter((shown) => shown.at === bound(run)).map((shown) => shown.verifier);
  expect(new Set(inThatMillisecond).size).toBe(VERIFIERS);
}

describe('after an emergency an old token is refused at the latest at the recorded bound', () => {
  const ways = [
    { how: 'contained', contain: true, algorithm: 'ES256' },
    { how: 'not contained', contain: false, algorithm: 'ES256' },
    { how: 'contained', contain: true, algorithm: 'EdDSA' },
  ] as const;
  it.each(byDepth({ check: ways.slice(0, 2), slice: [...ways], full: [...ways] }))(
    '$how, $algorithm; the new key comes 7 s late',
    async ({ how, contain, algorithm }) => {
      const run = await simulate({
        algorithm,
        tokens: 600,
        emergency: { contain },
        // 1 + 2 + 4 s of back-off: containing must not wait for them.
        faults: { generate: ['refused', 'refused', 'refused'] },
      });
      const { accepted, revoked, plan } = run.state;
      const fresh = run.presentations.filter((shown) => shown.token.version === run.incoming);
      const knownBy = (accepted?.at ?? Number.NaN) + milliseconds(plan?.trustTerm);
      const refusedFresh = fresh.filter((shown) => shown.refusal !== undefined).map((shown) => shown.at);
      figures.push(
        `windows: emergency ${algorithm}, ${how}: revoked ${tPlus(run, revoked?.at)}, ` +
          `bound ${tPlus(run, bound(run))}, last old token accepted ${tPlus(run, lastAccepted(run))}; ` +
          `new version published ${tPlus(run, accepted?.at)}, bound ${tPlus(run, knownBy)}, ` +
          `last refused ${tPlus(run, last(refusedFresh))}; nothing could be signed ${
            run.unsigned.length === 0
              ? 'never'
              : `${tPlus(run, run.unsigned[0])} to ${tPlus(run, run.unsigned.at(-1))}`
          }`,
      );

      expect(run.state.phase).toBe('completed');
      expect(revoked?.at).toBe(declaredAt(run) + 7_000);
      expect(bound(run)).toBe(declaredAt(run) + TTL_MS + (contain ? 0 : 7_000));
      expect(refreshedAt(run, contain ? 'ContainmentApplied' : 'OldKeyRevoked', -1)).toBe(true);
      expectRefusedFromBound(run);
      // The bound is tight: a verifier that had just refreshed trusted nearly until then.
      expect(lastAccepted(run)).toBeGreaterThanOrEqual(bound(run) - 500);
      // Contained, nothing more is signed with it; not contained, it goes on until the new one is there.
      const emittedOn = run.tokens.some(
        (token) => token.version === run.before && token.signedAt > declaredAt(run),
      );
      expect(emittedOn).toBe(!contain);

      expect(fresh.filter((shown) => shown.at >= knownBy && shown.refusal !== undefined)).toEqual([]);
      expect(new Set(fresh.filter((shown) => shown.at >= knownBy).map((shown) => shown.verifier)).size).toBe(
        VERIFIERS,
      );
      // The price of no accept window, said before it acts (`whoBreaks`).
      expect(refusedFresh.length).toBeGreaterThan(0);
    },
    LONG,
  );

  it(
    'HS256, contained: where the back end verifies, at once',
    async () => {
      const run = await simulate({ algorithm: 'HS256', tokens: 400, emergency: { contain: true } });
      figures.push(
        `windows: emergency HS256, contained: bound ${tPlus(run, bound(run))}, ` +
          `last old token accepted ${tPlus(run, lastAccepted(run))}`,
      );
      expect(run.state.phase).toBe('completed');
      expectRefusedFromBound(run);
      expect(lastAccepted(run)).toBeLessThanOrEqual(declaredAt(run));
    },
    LONG,
  );

  it.each([true, false])(
    'over a running rotation in its drain (contained: %s): no token of the clean version is refused',
    async (contain) => {
      const run = await simulate({
        algorithm: 'ES256',
        tokens: 600,
        emergency: { contain, over: { in: 'draining', afterMs: 5_000 } },
      });
      const clean = run.presentations.filter((shown) => shown.token.version !== run.before);
      figures.push(
        `windows: emergency ES256 over a drain, ${contain ? 'contained' : 'not contained'}: ` +
          `bound ${tPlus(run, bound(run))}, last old token accepted ${tPlus(run, lastAccepted(run))}; ` +
          `${clean.filter((shown) => shown.refusal !== undefined).length} of ${clean.length} presentations of the clean version refused`,
      );
      expect(run.state.phase).toBe('completed');
      expect(run.incoming).toBeUndefined();
      expect(clean.length).toBeGreaterThan(1_000);
      expect(clean.filter((shown) => shown.refusal !== undefined)).toEqual([]);
      expectRefusedFromBound(run);
      expect(refused(run).length).toBeGreaterThan(0);
    },
    LONG,
  );
});
