import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import {
  DAY,
  HOUR,
  MINUTE,
  SECOND,
  someConsumer,
  someDetails,
  someRunbook,
  someRequest,
  someTerms,
  someUuid,
  someVersion,
  windowsByDesign,
} from '../testing/index.js';
import { formatDuration, milliseconds } from './duration.js';
import { initialFamily, type FamilyConsumer, type FamilyState } from './family.decider.js';
import type { FamilyDetails, RotationRequest } from './family.events.js';
import { planEmergency as emergencyPlan, planRotation as rotationPlan, slowestTrustTerm } from './plan.js';
import type { RotationPlan } from './rotation.events.js';
import { acceptWindow, drainWindow, predictedOutage, type WindowInput } from './windows.js';

const deviation = { reason: 'the audit is tomorrow', until: '2026-12-31T00:00:00.000Z' };

function family(consumers: readonly FamilyConsumer[], details: Partial<FamilyDetails> = {}): FamilyState {
  const runbook = someRunbook();
  return { ...initialFamily, exists: true, familyId: 'f', details: someDetails(details), consumers, runbook };
}

type Windowed = RotationPlan & { readonly windows: NonNullable<RotationPlan['windows']> };

function windowed(made: RotationPlan): Windowed {
  const { windows } = made;
  if (windows === undefined) throw new Error('this plan has no windows');
  return { ...made, windows };
}

const planRotation = (...input: Parameters<typeof rotationPlan>): Windowed =>
  windowed(rotationPlan(...input));
const planEmergency = (...input: Parameters<typeof emergencyPlan>): Windowed =>
  windowed(emergencyPlan(...input));

function plan(
  consumers: readonly FamilyConsumer[],
  request: Partial<RotationRequest> = {},
  details: Partial<FamilyDetails> = {},
): Windowed {
  return planRotation({
    family: family(consumers, details),
    request: someRequest(request),
    incomingVersionId: 'new',
    versions: [someVersion('old')],
  });
}

/** StockEase's auth service: 10 min, 1 h, and a mobile app that refreshes on launch, 24 h. */
const emitter = someConsumer(9, { name: 'auth-service', roles: ['emitter'] });
const stockEase: readonly FamilyConsumer[] = [
  emitter,
  someConsumer(1, { name: 'api-server', roles: ['verifier'], cacheTtl: 'PT10M' }),
  someConsumer(2, { name: 'reporting', roles: ['verifier'], cacheTtl: 'PT1H' }),
  someConsumer(3, { name: 'mobile-app', roles: ['verifier'], cacheTtl: 'P1D' }),
];

describe('windows by hand', () => {
  it('StockEase’s auth service: the mobile app’s 24 h bind the accept window, twice them the drain', () => {
    const { windows, maxAgeSeconds } = plan(stockEase, {}, { artefactLife: 'PT1H' });
    // 24 h + 30 s skew + 5 min safety
    expect(windows.accept.computed).toBe('P1DT5M30S');
    expect(windows.accept.binding).toBe('mobile-app caches its keys for P1D');
    // 1 h + 24 h + 5 min 30 s is less than the house rule 2 × 24 h
    expect(windows.drain.computed).toBe('P2D');
    expect(windows.drain.binding).toContain('twice the longest cache');
    expect(maxAgeSeconds).toBe(300);
  });

  it('StockEase’s auth service with tokens of 24 h: 24 h + 24 h + skew + safety is more than twice the cache', () => {
    const { windows } = plan(stockEase, {}, { artefactLife: 'P1D' });
    expect(windows.drain.computed).toBe('P2DT5M30S');
    expect(windows.drain.binding).toContain('lives for P1D');
  });

  it('a verifier’s term is cache + refresh + deploy, and the slowest is named', () => {
    const { accept, drain } = plan([
      emitter,
      someConsumer(1, { name: 'quick', roles: ['verifier'], cacheTtl: 'PT20M' }),
      someConsumer(2, {
        name: 'slow',
        roles: ['verifier'],
        cacheTtl: 'PT10M',
        refreshDelay: 'PT8M',
        deployPropagation: 'PT7M',
      }),
    ]).windows;
    expect(accept.computed).toBe(formatDuration(25 * MINUTE + 5 * MINUTE + 30 * SECOND));
    expect(accept.binding).toBe('slow caches its keys for PT10M and may be PT15M late');
    expect(accept.terms).toEqual([
      { name: 'cache', consumer: 'slow', duration: 'PT10M' },
      { name: 'refresh', consumer: 'slow', duration: 'PT8M' },
      { name: 'deploy', consumer: 'slow', duration: 'PT7M' },
      { name: 'clock-skew', duration: 'PT30S' },
      { name: 'safety', duration: 'PT5M' },
    ]);
    // 1 h of artefacts + 25 min + margins
    expect(drain.computed).toBe(formatDuration(HOUR + 25 * MINUTE + 5 * MINUTE + 30 * SECOND));
  });

  it('the largest max-age ever served counts as every verifier’s cache', () => {
    const quick = [emitter, someConsumer(1, { name: 'quick', roles: ['verifier'], cacheTtl: 'PT1M' })];
    const { windows } = planRotation({
      family: { ...family(quick), largestMaxAge: 300 },
      request: someRequest(),
      incomingVersionId: 'new',
      versions: [someVersion('old')],
    });
    expect(windows.accept.computed).toBe('PT10M30S');
    expect(windows.accept.binding).toBe('quick may cache what we serve for PT5M');
  });

  it('says of what was not recorded that it is taken as 0, and states it as no fact', () => {
    const { cacheTtl: _, ...orders } = someConsumer(1, { name: 'orders', roles: ['verifier'] });
    const input = {
      consumers: [orders],
      artefactLife: undefined,
      maxAgeSeconds: 0,
      margins: someTerms().margins,
    };
    const unknown = 'orders: how long it caches is not recorded, taken as 0';
    expect(predictedOutage(input)).toEqual({ predicted: 'PT30S', binding: unknown });
    expect(acceptWindow(input).binding).toBe(unknown);
    expect(acceptWindow({ ...input, maxAgeSeconds: 300 }).binding).toBe(
      'orders: how long it caches is not recorded, taken as PT5M, what we serve',
    );
    expect(drainWindow({ ...input, consumers: [] }).binding).toBe(
      'how long what was emitted before the switch lives is not recorded, taken as 0',
    );
    // A recorded zero is a fact.
    const none = [{ ...orders, cacheTtl: 'PT0S' }];
    expect(predictedOutage({ ...input, consumers: none }).binding).toBe('orders caches its keys for PT0S');
  });

  it('better-auth #6147: what is shown is what is waited for, term by term', () => {
    const { accept } = plan(stockEase).windows;
    const sum = accept.terms.reduce((total, term) => total + milliseconds(term.duration), 0);
    expect(sum).toBe(milliseconds(accept.required));
  });

  it('ay-framework #407: the retry horizon is part of the artefact’s life, and the drain covers it', () => {
    const week = plan(stockEase, {}, { artefactLife: 'P7D' }).windows.drain;
    expect(milliseconds(week.computed)).toBeGreaterThan(7 * DAY);
  });
});

describe('what a planned rotation is refused for', () => {
  const refused = (run: () => unknown): unknown => {
    try {
      return run();
    } catch (error) {
      return error;
    }
  };

  it.each(['accept', 'drain'] as const)(
    'an %s window below the computed one without a deviation, naming what binds',
    (which) => {
      expect(refused(() => plan(stockEase, { windows: { [which]: 'PT1H' } }))).toMatchObject({
        code: 'window.below-computed',
        details: { field: `windows.${which}`, computed: which === 'accept' ? 'P1DT5M30S' : 'P2D' },
      });
    },
  );

  it('a deviation lets it pass, is shown, and needs at least one approval whatever the policy says', () => {
    const policy = { id: someUuid(9), revision: 3, name: 'Quick', terms: someTerms({ approvals: 0 }) };
    const without = plan(stockEase, { policy });
    expect(without.approvals).toBe(0);
    const made = plan(stockEase, { policy, windows: { accept: 'PT1H', drain: 'PT2H' }, deviation });
    expect(made.windows.accept).toMatchObject({ computed: 'P1DT5M30S', required: 'PT1H' });
    expect(made.windows.drain).toMatchObject({ computed: 'P2D', required: 'PT2H' });
    expect(made.approvals).toBe(1);
    expect(made.exceptions).toEqual([
      'Accept window PT1H instead of P1DT5M30S, by deviation.',
      'Drain window PT2H instead of P2D, by deviation.',
    ]);
    const strict = { ...policy, terms: someTerms({ approvals: 2 }) };
    expect(plan(stockEase, { policy: strict, windows: { accept: 'PT1H' }, deviation }).approvals).toBe(2);
  });

  it('a longer window needs no deviation', () => {
    expect(plan(stockEase, { windows: { accept: 'P3D' } }).windows.accept.required).toBe('P3D');
  });

  it('a verifier that never refreshes: no finite window covers it, a person decides', () => {
    const baked = [
      ...stockEase,
      someConsumer(4, { name: 'kiosk', roles: ['verifier'], neverRefreshes: true, cacheTtl: 'PT1M' }),
    ];
    expect(refused(() => plan(baked))).toMatchObject({
      code: 'consumer.never-refreshes',
      details: { consumer: 'kiosk' },
    });
    const decided = plan(baked, { deviation });
    expect(decided.exceptions.join()).toContain('kiosk never refreshes');
    expect(decided.approvals).toBeGreaterThanOrEqual(1);
    // Its cache bounds nothing.
    expect(decided.windows.accept.computed).toBe('P1DT5M30S');
  });

  it.each([
    ['no consumer', [], 'family.no-verifier'],
    ['no verifier', [emitter], 'family.no-verifier'],
    ['no emitter', [someConsumer(1, { roles: ['verifier'] })], 'family.no-emitter'],
  ])('%s: it blocks, it never passes', (_name, consumers, code) => {
    expect(refused(() => plan(consumers))).toMatchObject({ code });
    expect(refused(() => plan(consumers, { deviation }))).toMatchObject({ code });
  });

  it('an artefact life nobody recorded: no drain window can be computed', () => {
    const { artefactLife: _life, ...details } = someDetails();
    const state = { ...family(stockEase), details };
    expect(
      refused(() =>
        planRotation({ family: state, request: someRequest(), incomingVersionId: 'new', versions: [] }),
      ),
    ).toMatchObject({ code: 'family.artefact-life-unknown' });
  });

  it('an emergency is refused for none of these', () => {
    const emergency = {
      strategy: 'emergency' as const,
      emergency: { compromisedVersions: ['old'], discoveredAt: '2026-03-02T09:00:00.000Z', contain: true },
    };
    const made = planEmergency({
      family: family([]),
      request: someRequest(emergency),
      incomingVersionId: 'new',
      versions: [someVersion('old')],
      compromised: ['old'],
    });
    expect(made).toMatchObject({ approvals: 0, incoming: 'new', outgoing: ['old'] });
    expect(made.windows.accept.required).toBe('PT0S');
    expect(made.exceptions.join()).toContain('No consumer is known');
  });
});

describe('laws of windows', () => {
  const duration = fc.integer({ min: 0, max: 3 * DAY }).map(formatDuration);
  const consumer = fc
    .record({
      id: fc.nat(1_000),
      roles: fc.constantFrom<FamilyConsumer['roles']>(['verifier'], ['emitter'], ['emitter', 'verifier']),
      cacheTtl: duration,
      refreshDelay: duration,
      deployPropagation: duration,
    })
    .map(({ id, ...rest }) => someConsumer(id, rest));
  const verifier = consumer.map((each): FamilyConsumer => ({ ...each, roles: ['verifier'] }));
  const consumers = fc.array(consumer, { maxLength: 6 });

  it('both windows are the design’s formula, for any consumers', () => {
    fc.assert(
      fc.property(consumers, verifier, duration, (some, one, artefactLife) => {
        const all = [...some, one, emitter];
        const expected = windowsByDesign(all, artefactLife);
        const { accept, drain } = plan(all, {}, { artefactLife }).windows;
        expect(milliseconds(accept.computed)).toBe(expected.accept);
        expect(milliseconds(drain.computed)).toBe(expected.drain);
      }),
      { seed: 3, numRuns: 1_000 },
    );
  });

  it('one more verifier never shortens a window, and the drain is never less than twice the longest cache', () => {
    fc.assert(
      fc.property(consumers, verifier, verifier, duration, (some, one, more, artefactLife) => {
        const before = plan([...some, one, emitter], {}, { artefactLife }).windows;
        const after = plan([...some, one, emitter, more], {}, { artefactLife }).windows;
        expect(milliseconds(after.accept.computed)).toBeGreaterThanOrEqual(
          milliseconds(before.accept.computed),
        );
        expect(milliseconds(after.drain.computed)).toBeGreaterThanOrEqual(
          milliseconds(before.drain.computed),
        );
        expect(milliseconds(after.drain.computed)).toBeGreaterThanOrEqual(2 * milliseconds(more.cacheTtl));
      }),
      { seed: 4, numRuns: 1_000 },
    );
  });

  it('a longer cache, refresh, deploy, life, skew or safety never shortens a window', () => {
    const grown = fc.constantFrom('cacheTtl' as const, 'refreshDelay' as const, 'deployPropagation' as const);
    fc.assert(
      fc.property(consumers, verifier, grown, duration, duration, (some, one, field, by, artefactLife) => {
        const input: WindowInput = {
          consumers: [...some, one],
          artefactLife,
          margins: { clockSkew: 'PT30S', safety: 'PT5M' },
          maxAgeSeconds: 0,
        };
        const longer = { ...one, [field]: formatDuration(milliseconds(one[field]) + milliseconds(by)) };
        const variants: readonly WindowInput[] = [
          { ...input, consumers: [...some, longer] },
          { ...input, artefactLife: formatDuration(milliseconds(artefactLife) + milliseconds(by)) },
          { ...input, margins: { ...input.margins, safety: formatDuration(5 * MINUTE + milliseconds(by)) } },
          { ...input, maxAgeSeconds: 300 },
        ];
        for (const variant of variants) {
          for (const window of [acceptWindow, drainWindow]) {
            expect(milliseconds(window(variant).computed)).toBeGreaterThanOrEqual(
              milliseconds(window(input).computed),
            );
          }
        }
      }),
      { seed: 5, numRuns: 500 },
    );
  });

  it('svelte-langgraph #284: after a withdrawal trust ends with the slowest cache, not with the revocation', () => {
    expect(slowestTrustTerm(family(stockEase))).toBe('P1DT30S');
  });
});
