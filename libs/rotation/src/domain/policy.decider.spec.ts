import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { formatInstant } from '#eventlog';
import { deciderSpec, frozenFold, recorded } from '#eventlog/testing';
import { DAY, MINUTE, someTerms, START } from '../testing/index.js';
import type { NewPolicyEvent, PolicyDetails, PolicyEvent, PolicySelector } from './policy.events.js';
import {
  boundAt,
  policyDecider,
  selectPolicy,
  type BoundPolicy,
  type PolicyCommand,
} from './policy.decider.js';
import { FAMILY_KINDS, PROTECTIONS } from './vocabulary.js';

const details = (changes: Partial<PolicyDetails> = {}): PolicyDetails => ({
  name: 'Application keys',
  selector: { protection: 'application-account' },
  terms: someTerms(),
  basis: {
    setBy: 'Head of platform',
    riskAnalysis: 'RA-7',
    reviewedOn: '2026-01-15',
    nextReview: '2027-01-15',
  },
  effectiveFrom: formatInstant(START),
  ...changes,
});
const amendment = (changes: Partial<PolicyDetails> = {}): Omit<PolicyDetails, 'selector'> => {
  const { selector: _selector, ...rest } = details(changes);
  return rest;
};

let revision = 0;
const at = (event: NewPolicyEvent, recordedAt: number, actor: string): PolicyEvent =>
  recorded(event, { stream: 'policy-1', revision: revision++, recordedAt, actor });

const defined = at({ type: 'PolicyDefined', data: details() }, START, 'author');
const approved = at({ type: 'PolicyApproved', data: { revision: 0 } }, START + MINUTE, 'approver');
const amended = at(
  { type: 'PolicyAmended', data: amendment({ name: 'Amended' }) },
  START + 2 * MINUTE,
  'amender',
);
const retired = at({ type: 'PolicyRetired', data: { reason: 'merged' } }, START + DAY, 'author');

const { given } = deciderSpec(policyDecider);

const commands: Readonly<Record<string, PolicyCommand>> = {
  define: { type: 'DefinePolicy', details: details(), now: START },
  amend: { type: 'AmendPolicy', details: amendment({ name: 'Other' }), now: START },
  approve: { type: 'ApprovePolicy', subject: 'approver' },
  'approve own': { type: 'ApprovePolicy', subject: 'author' },
  retire: { type: 'RetirePolicy', reason: 'merged' },
};
const histories: Readonly<Record<string, readonly PolicyEvent[]>> = {
  none: [],
  defined: [defined],
  approved: [defined, approved],
  amended: [defined, approved, amended],
  retired: [defined, approved, retired],
};
/** What every command does in every phase: an event, nothing, or the code of its refusal. */
const table: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  none: {
    define: 'PolicyDefined',
    amend: 'policy.not-found',
    approve: 'policy.not-found',
    'approve own': 'policy.not-found',
    retire: 'policy.not-found',
  },
  defined: {
    define: 'nothing',
    amend: 'PolicyAmended',
    approve: 'PolicyApproved',
    'approve own': 'policy.own-approval',
    retire: 'PolicyRetired',
  },
  approved: {
    define: 'nothing',
    amend: 'PolicyAmended',
    approve: 'nothing',
    'approve own': 'nothing',
    retire: 'PolicyRetired',
  },
  amended: {
    define: 'nothing',
    amend: 'PolicyAmended',
    // Whoever approves an amendment names what was read.
    approve: 'policy.revision-missing',
    // The author of the amendment is another: its approval is not their own.
    'approve own': 'policy.revision-missing',
    retire: 'PolicyRetired',
  },
  retired: {
    define: 'nothing',
    amend: 'policy.retired',
    approve: 'policy.retired',
    'approve own': 'policy.retired',
    retire: 'nothing',
  },
};

function result(command: PolicyCommand, events: readonly PolicyEvent[]): string {
  const state = frozenFold(policyDecider, events);
  try {
    const decided = policyDecider.decide(command, state);
    return decided.map((event) => event.type).join(', ') || 'nothing';
  } catch (error) {
    return error !== null && typeof error === 'object' && 'code' in error
      ? String(error.code)
      : String(error);
  }
}

describe('policies', () => {
  const cells = Object.entries(table).flatMap(([phase, row]) =>
    Object.entries(row).map(([command, expected]) => [phase, command, expected] as const),
  );

  it.each(cells)('%s: %s → %s', (phase, command, expected) => {
    const given = commands[command];
    if (given === undefined) throw new Error(`no command ${command}`);
    expect(result(given, histories[phase] ?? [])).toBe(expected);
  });

  it('every command in every phase', () => {
    expect(cells).toHaveLength(Object.keys(commands).length * Object.keys(histories).length);
  });

  it('never effective before it was recorded', () => {
    const early = formatInstant(START - 2 * MINUTE);
    given()
      .when({ type: 'DefinePolicy', details: details({ effectiveFrom: early }), now: START })
      .thenRejected('policy.effective-too-early', { field: 'effectiveFrom' });
    given(defined)
      .when({ type: 'AmendPolicy', details: amendment({ effectiveFrom: early, name: 'x' }), now: START })
      .thenRejected('policy.effective-too-early');
    expect(boundAt(frozenFold(policyDecider, [defined, approved]), START + MINUTE)?.revision).toBe(0);
    expect(boundAt(frozenFold(policyDecider, [defined, approved]), START + MINUTE - 1)).toBeUndefined();
  });

  it('its author does not approve it, nor the author of an amendment the amendment', () => {
    given(defined).when({ type: 'ApprovePolicy', subject: 'author' }).thenRejected('policy.own-approval');
    given(defined, approved, amended)
      .when({ type: 'ApprovePolicy', subject: 'amender' })
      .thenRejected('policy.own-approval');
  });

  it('binds nobody before it is approved, or once it is retired', () => {
    expect(boundAt(frozenFold(policyDecider, [defined]), START + DAY)).toBeUndefined();
    expect(boundAt(frozenFold(policyDecider, [defined, approved, retired]), START + 2 * DAY)).toBeUndefined();
  });

  it('what was in force binds until its amendment does, through any number of waiting amendments', () => {
    const later = at(
      {
        type: 'PolicyAmended',
        data: amendment({ name: 'In ten days', effectiveFrom: formatInstant(START + 10 * DAY) }),
      },
      START + 3 * MINUTE,
      'amender',
    );
    const laterApproved = at(
      { type: 'PolicyApproved', data: { revision: later.revision } },
      START + 4 * MINUTE,
      'approver',
    );
    const waiting = at(
      { type: 'PolicyAmended', data: amendment({ name: 'Not approved yet' }) },
      START + 5 * MINUTE,
      'amender',
    );
    const state = frozenFold(policyDecider, [defined, approved, later, laterApproved, waiting]);
    expect(boundAt(state, START + DAY)?.name).toBe('Application keys');
    expect(boundAt(state, START + 10 * DAY)?.name).toBe('In ten days');
  });

  it('an amendment changes terms, never the selector', () => {
    const state = frozenFold(policyDecider, [defined, approved, amended]);
    expect(state.details?.selector).toEqual({ protection: 'application-account' });
  });

  it('decides nothing after its own events', () => {
    const amend: PolicyCommand = {
      type: 'AmendPolicy',
      details: amendment({ name: 'Amended' }),
      now: START + DAY,
    };
    given(defined, approved, amended).when(amend).thenNothing();
    given(defined, approved).when({ type: 'ApprovePolicy', subject: 'approver' }).thenNothing();
    given(defined, retired).when({ type: 'RetirePolicy', reason: 'merged' }).thenNothing();
  });
});

describe('which policy applies', () => {
  const environments = ['production', 'staging'] as const;
  const selectors: readonly PolicySelector[] = [undefined, ...PROTECTIONS].flatMap((protection) =>
    [undefined, ...FAMILY_KINDS].flatMap((kind) =>
      [undefined, ...environments].map((environment) => ({
        ...(protection === undefined ? {} : { protection }),
        ...(kind === undefined ? {} : { kind }),
        ...(environment === undefined ? {} : { environment }),
      })),
    ),
  );
  const policy = (selector: PolicySelector): BoundPolicy => ({
    policyId: JSON.stringify(selector),
    revision: 0,
    name: 'p',
    selector,
    terms: someTerms(),
  });
  const family = fc.record({
    protects: fc.constantFrom(...PROTECTIONS),
    kind: fc.constantFrom(...FAMILY_KINDS),
    environment: fc.constantFrom(...environments),
  });

  /** By the rule's words: protection first, then kind, then environment; a named value beats an unnamed one. */
  const beats = (left: PolicySelector, right: PolicySelector): boolean => {
    for (const field of ['protection', 'kind', 'environment'] as const) {
      const [one, other] = [left[field] !== undefined, right[field] !== undefined];
      if (one !== other) return one;
    }
    return false;
  };
  const fits = (
    selector: PolicySelector,
    of: { protects: string; kind: string; environment: string },
  ): boolean =>
    [undefined, of.protects].includes(selector.protection) &&
    [undefined, of.kind].includes(selector.kind) &&
    [undefined, of.environment].includes(selector.environment);

  it('fits, and is beaten by none that fits, for any set of policies in any order', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([...selectors]), family, (some, of) => {
        const chosen = selectPolicy(some.map(policy), of);
        const fitting = some.filter((selector) => fits(selector, of));
        if (chosen === undefined) {
          expect(fitting).toEqual([]);
          return;
        }
        expect(fits(chosen.selector, of)).toBe(true);
        expect(fitting.filter((other) => beats(other, chosen.selector))).toEqual([]);
      }),
      { seed: 11, numRuns: 1_000 },
    );
  });

  it('each of the eight shapes beats every lesser one, pair by pair', () => {
    const of = { protects: 'ephi', kind: 'shared-secret', environment: 'production' } as const;
    const fitting = selectors.filter((selector) => fits(selector, of));
    expect(fitting).toHaveLength(8);
    let pairs = 0;
    for (const left of fitting) {
      for (const right of fitting) {
        if (left === right) continue;
        const winner = beats(left, right) ? left : right;
        expect(selectPolicy([policy(left), policy(right)], of)?.selector).toEqual(winner);
        pairs += 1;
      }
    }
    expect(pairs).toBe(56);
  });

  it('protection alone beats kind and environment together', () => {
    const of = { protects: 'ephi', kind: 'shared-secret', environment: 'production' } as const;
    const chosen = selectPolicy(
      [policy({ kind: 'shared-secret', environment: 'production' }), policy({ protection: 'ephi' })],
      of,
    );
    expect(chosen?.selector).toEqual({ protection: 'ephi' });
  });
});
