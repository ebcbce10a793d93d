import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { frozenFold, recorded } from '#eventlog/testing';
import { differencesOf, differenceText, driftText, MOST_DIFFERENCES, type Shown } from './drift.js';
import { familyDecider, type FamilyState } from './family.decider.js';
import type { DriftDifference, NewFamilyEvent } from './family.events.js';
import { someDetails, someVersion } from '../testing/fixtures.js';
import type { VersionSnapshot } from './vocabulary.js';

const AT = Date.parse('2026-03-02T09:00:00.000Z');
const EXTRA: DriftDifference = { kind: 'extra', versionId: '4' };

function given(events: readonly NewFamilyEvent[]): FamilyState {
  const all: readonly NewFamilyEvent[] = [{ type: 'FamilyRegistered', data: someDetails() }, ...events];
  return frozenFold(
    familyDecider,
    all.map((event, revision) => recorded(event, { revision, recordedAt: AT, actor: 'kit' })),
  );
}

function shown(versions: readonly VersionSnapshot[], told: readonly DriftDifference[] = []): Shown {
  return { versions, told };
}

describe('what differs from the record', () => {
  const old = { ...someVersion('old'), accepted: true, emittingShare: 100, destroyed: false };
  const gone = { ...someVersion('gone'), accepted: false, emittingShare: 0, destroyed: true };

  it.each<readonly [string, Partial<VersionSnapshot>, readonly DriftDifference[]]>([
    ['nothing', {}, []],
    ['it is not accepted', { accepted: false }, [{ kind: 'not-accepted', versionId: 'old' }]],
    ['it is destroyed', { destroyed: true, accepted: false }, [{ kind: 'destroyed', versionId: 'old' }]],
    [
      'another share emits',
      { emittingShare: 0 },
      [{ kind: 'emission', versionId: 'old', detail: '0 % instead of 100 %' }],
    ],
  ])('%s', (_name, change, expected) => {
    expect(differencesOf([old, gone], shown([{ ...old, ...change }, gone]), undefined)).toEqual(expected);
  });

  it('a version that nobody recorded, one that is gone, and what the back end itself finds wrong', () => {
    const told: DriftDifference = { kind: 'told', detail: 'it turns itself' };
    expect(differencesOf([old], shown([someVersion('4')], [told]), undefined)).toEqual([
      EXTRA,
      { kind: 'missing', versionId: 'old' },
      told,
    ]);
  });

  it('is accepted though the record has it revoked', () => {
    const revoked = { ...old, accepted: false, emittingShare: 0 };
    expect(differencesOf([revoked], shown([{ ...revoked, accepted: true }]), undefined)).toEqual([
      { kind: 'accepted', versionId: 'old' },
    ]);
  });

  it('a destroyed version need not be there, and one that nobody knew of and is destroyed is nothing to look at', () => {
    expect(differencesOf([gone], shown([]), undefined)).toEqual([]);
    expect(differencesOf([], shown([gone]), undefined)).toEqual([]);
  });

  it('says nothing of who emits where nobody recorded it', () => {
    const { emittingShare: _share, ...unknown } = old;
    expect(differencesOf([unknown], shown([{ ...old, emittingShare: 0 }]), undefined)).toEqual([]);
  });

  it('while something is under way: only what came or went, and not what that made', () => {
    const moved = { ...old, accepted: false, emittingShare: 0 };
    const underWay = { versions: ['new'] };
    expect(differencesOf([old], shown([moved, someVersion('new')]), underWay)).toEqual([]);
    expect(differencesOf([old], shown([moved, someVersion('4')]), underWay)).toEqual([EXTRA]);
    expect(differencesOf([old], shown([someVersion('new')]), underWay)).toEqual([
      { kind: 'missing', versionId: 'old' },
    ]);
  });
});

describe('drift on a family’s record', () => {
  const openOf = (events: readonly NewFamilyEvent[]): string => given(events).drift?.eventId ?? '';
  const observed = (differences: readonly DriftDifference[], state = given([])): readonly NewFamilyEvent[] =>
    familyDecider.decide({ type: 'RecordDrift', differences }, state);

  it('is recorded once, anew where it changed, and settled when it is gone', () => {
    const [first] = observed([EXTRA]);
    expect(first).toMatchObject({
      type: 'DriftObserved',
      data: { differences: [EXTRA] },
      provenance: 'observed',
    });
    const state = given(observed([EXTRA]));
    expect(state.drift).toMatchObject({ differences: [EXTRA], more: 0 });
    expect(observed([EXTRA], state)).toEqual([]);
    const other: DriftDifference = { kind: 'missing', versionId: 'old' };
    expect(observed([EXTRA, other], state)).toHaveLength(1);
    // In whatever order it was found.
    expect(observed([other, EXTRA], given(observed([EXTRA, other])))).toEqual([]);
    const settled = observed([], state);
    expect(settled).toEqual([{ type: 'DriftSettled', data: { by: 'back-end' }, provenance: 'observed' }]);
    expect(given([...observed([EXTRA]), ...settled]).drift).toBeUndefined();
    expect(observed([])).toEqual([]);
  });

  it('names fifty, counts the others, and is the same when it is found again', () => {
    const many = Array.from({ length: MOST_DIFFERENCES + 7 }, (_, index): DriftDifference => ({
      kind: 'extra',
      versionId: String(index),
    }));
    const state = given(observed(many));
    expect(state.drift?.differences).toHaveLength(MOST_DIFFERENCES);
    expect(state.drift?.more).toBe(7);
    expect(observed(many, state)).toEqual([]);
    expect(observed(many.slice(1), state)).toHaveLength(1);
  });

  it('is accepted by a person with a reason: from then on the record has it so', () => {
    const known = { ...someVersion('old'), accepted: true, emittingShare: 100 };
    const before: readonly NewFamilyEvent[] = [{ type: 'VersionObserved', data: known }];
    const differences: readonly DriftDifference[] = [EXTRA, { kind: 'missing', versionId: 'old' }];
    const drifted = [...before, ...observed(differences, given(before))];
    const accepting = familyDecider.decide(
      { type: 'AcceptDrift', drift: openOf(drifted), reason: 'turned by hand' },
      given(drifted),
    );
    const after = given([...drifted, ...accepting]);
    expect(after.drift).toBeUndefined();
    expect(after.versions).toMatchObject([
      { versionId: 'old', accepted: false, emittingShare: 0, destroyed: true },
      { versionId: '4', accepted: false, emittingShare: 0, destroyed: false },
    ]);
    expect(() =>
      familyDecider.decide({ type: 'AcceptDrift', drift: openOf(drifted), reason: 'again' }, after),
    ).toThrow(expect.objectContaining({ code: 'drift.none' }));
  });

  it('is accepted only as it was looked at', () => {
    const first = observed([EXTRA]);
    const looked = openOf(first);
    const state = given([
      ...first,
      ...observed([EXTRA, { kind: 'missing', versionId: 'old' }], given(first)),
    ]);
    expect(() =>
      familyDecider.decide({ type: 'AcceptDrift', drift: looked, reason: 'known' }, state),
    ).toThrow(
      expect.objectContaining({
        code: 'drift.changed',
        details: { field: 'drift', drift: state.drift?.eventId },
      }),
    );
  });

  it('accepting leaves no drift when the same is seen again, whatever it was', () => {
    const version = fc.record({
      versionId: fc.constantFrom('a', 'b', 'c'),
      accepted: fc.boolean(),
      emittingShare: fc.constantFrom(0, 100),
      compromised: fc.constant(false),
      destroyed: fc.constant(false),
    });
    const set = fc.uniqueArray(version, { selector: ({ versionId }) => versionId });
    fc.assert(
      fc.property(set, set, (recordedNow, seen) => {
        const before = recordedNow.map((data): NewFamilyEvent => ({ type: 'VersionObserved', data }));
        const differences = differencesOf(given(before).versions, shown(seen), undefined).filter(
          // Who emits is for the next rotation to find, and an extra one may be accepted by others.
          ({ kind }) => kind !== 'emission',
        );
        const drifted = [...before, ...observed(differences, given(before))];
        if (differences.length === 0) return;
        const accepting = familyDecider.decide(
          { type: 'AcceptDrift', drift: openOf(drifted), reason: 'known' },
          given(drifted),
        );
        const kinds = differencesOf(given([...drifted, ...accepting]).versions, shown(seen), undefined).map(
          ({ kind }) => kind,
        );
        expect(
          kinds.filter((kind) => kind === 'extra' || kind === 'missing' || kind === 'not-accepted'),
        ).toEqual([]);
      }),
    );
  });

  it('is told in words', () => {
    const differences: readonly DriftDifference[] = [
      EXTRA,
      { kind: 'missing', versionId: 'old' },
      { kind: 'destroyed', versionId: 'a' },
      { kind: 'accepted', versionId: 'b' },
      { kind: 'not-accepted', versionId: 'c' },
      { kind: 'emission', versionId: 'd', detail: '0 % instead of 100 %' },
      { kind: 'told', detail: 'it turns itself' },
    ];
    expect(differences.map(differenceText)).toEqual([
      '4 was made by nobody on record',
      'old is no longer there',
      'a is destroyed',
      'b is accepted',
      'c is not accepted',
      'd emits 0 % instead of 100 %',
      'it turns itself',
    ]);
    expect(driftText({ differences, more: 2 })).toBe(
      '4 was made by nobody on record; old is no longer there; a is destroyed; and 6 more',
    );
  });
});
