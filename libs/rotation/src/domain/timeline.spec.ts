import * as fc from 'fast-check';
import { formatInstant, parseInstant, type Provenance } from '#eventlog';
import type { ContainmentEvent, NewContainmentEvent } from './containment.events.js';
import type { NewRotationEvent, PlannedConsumer, RotationEvent, RotationPlan } from './rotation.events.js';
import { asOf, confirmationsOf, emergencyTargets, spanText, timelineOf, windowsOf } from './timeline.js';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const START = parseInstant('2026-03-01T10:00:00.000Z') ?? 0;
const at = (minutes: number): string => formatInstant(START + minutes * MINUTE);

interface Envelope {
  readonly occurredAt?: number;
  readonly provenance?: Provenance;
  readonly actor?: string;
  readonly onBehalfOf?: string;
}

/** Fills an envelope: the minute it was recorded is all that most tests care about. */
function envelope(treeSize: number, minutes: number, more: Envelope) {
  return {
    schemaVersion: 1,
    id: `event-${treeSize}`,
    stream: 'rotation-1',
    revision: treeSize,
    treeSize,
    recordedAt: START + minutes * MINUTE,
    actor: 'system',
    correlationId: 'rotation-1',
    causationId: 'cause',
    origin: { via: 'kit' as const },
    provenance: 'performed' as const,
    ...more,
  };
}

const fact = (
  treeSize: number,
  minutes: number,
  event: NewRotationEvent,
  more: Envelope = {},
): RotationEvent => ({
  ...event,
  ...envelope(treeSize, minutes, more),
});

const contained = (treeSize: number, minutes: number, event: NewContainmentEvent): ContainmentEvent => ({
  ...event,
  ...envelope(treeSize, minutes, {}),
});

const EMITTER = 'e0000000-0000-4000-8000-000000000001';
const VERIFIER = 'e0000000-0000-4000-8000-000000000002';
const consumer = (
  consumerId: string,
  name: string,
  roles: PlannedConsumer['roles'],
  instances: number,
): PlannedConsumer => ({
  consumerId,
  name,
  roles,
  instances,
  refreshTerm: 'PT10M',
  emitterPropagation: 'PT5M',
  thirdParty: false,
  neverRefreshes: false,
});

const window = { computed: 'PT1H', required: 'PT1H', terms: [], binding: 'gateway caches for an hour' };
const plan: RotationPlan = {
  sagaVersion: 1,
  strategy: 'graceful',
  backEnd: { instance: 'local', object: 'keys/a' },
  algorithm: 'RS256',
  incoming: 'v2',
  outgoing: ['v1'],
  leftAccepted: [],
  consumers: [consumer(EMITTER, 'api', ['emitter'], 2), consumer(VERIFIER, 'gateway', ['verifier'], 1)],
  maxAgeSeconds: 300,
  terms: {
    stopEmitting: 'P90D',
    stopAccepting: 'P97D',
    margins: { clockSkew: 'PT1M', safety: 'PT1M' },
    approvals: 1,
    settle: 'PT1H',
    watch: 'PT1H',
    emergency: { approvalWithin: 'P1D', reviewWithin: 'P1D', targets: [] },
  },
  windows: { accept: window, drain: window },
  trustTerm: 'PT1H',
  approvals: 1,
  steps: [],
  versionsBefore: [],
  exceptions: [],
};

const planned = fact(2, 0, { type: 'RotationPlanned', data: plan });
const accepted = fact(4, 10, { type: 'DualAcceptDeployed', data: { versions: ['v1', 'v2'] } });
const emit = (treeSize: number, minutes: number, attempt: number): RotationEvent =>
  fact(treeSize, minutes, {
    type: 'StepStarted',
    data: { step: 'emit', attempt, worker: 'w#1', leaseUntil: at(0), view: {}, observesFirst: attempt > 1 },
  });
const switched = fact(8, 72, { type: 'EmitterSwitched', data: { from: 'v1', to: 'v2', share: 100 } });
const emitting = (
  treeSize: number,
  minutes: number,
  versionId: string,
  ...instances: string[]
): RotationEvent =>
  fact(
    treeSize,
    minutes,
    { type: 'EmissionConfirmed', data: { consumerId: EMITTER, versionId, instances } },
    { provenance: 'confirmed' },
  );
const revoked = fact(20, 200, { type: 'OldKeyRevoked', data: { versions: ['v1'] } });

describe('the timeline', () => {
  it('merges a rotation and its containments in the order of the log', () => {
    const entries = timelineOf({
      rotationEvents: [switched, planned],
      containmentEvents: [contained(5, 11, { type: 'ContainmentRetried', data: {} })],
      names: {},
    });
    expect(entries.map(({ treeSize }) => treeSize)).toEqual([2, 5, 8]);
  });

  it.each([
    ['the server refused a canary signed with it as too old', 'Old version tested: refused', 'v1 refused ('],
    [
      'not probed: a value is refused by whoever reads it, not by the server',
      'Old version’s refusal could not be tested',
      'v1 not accepted on record (',
    ],
  ])('claims a test only where there was one: %s', (how, title, detail) => {
    const [entry] = timelineOf({
      rotationEvents: [
        fact(21, 201, {
          type: 'OldKeyRejectionVerified',
          data: { refused: [{ versionId: 'v1', how }], accepted: [] },
        }),
      ],
      containmentEvents: [],
      names: {},
    });
    expect(entry?.title).toBe(title);
    expect(entry?.detail).toContain(detail);
  });

  it('names people and consumers, and Keyturn where the saga did it', () => {
    const entries = timelineOf({
      rotationEvents: [
        planned,
        fact(3, 1, { type: 'RotationApproved', data: {} }, { actor: 'bob', onBehalfOf: 'carol' }),
        emitting(9, 80, 'v2', 'a'),
        emitting(10, 81, 'v2', 'b'),
      ],
      containmentEvents: [],
      names: { bob: 'Bob', carol: 'Carol' },
    });
    expect(entries.map(({ actorName }) => actorName)).toEqual([
      'Keyturn',
      'Bob, on behalf of Carol',
      'Keyturn',
      'Keyturn',
    ]);
    expect(entries[2]?.detail).toBe('api uses v2; 1 of 2 instances');
    expect(entries[3]?.detail).toBe('api uses v2; 2 of 2 instances');
  });

  it('shows an id that has no name as it is', () => {
    const [entry] = timelineOf({
      rotationEvents: [fact(3, 1, { type: 'RotationApproved', data: {} }, { actor: 'dora' })],
      containmentEvents: [],
      names: {},
    });
    expect(entry?.actorName).toBe('dora');
  });

  it('marks intents as minor, failures as failures', () => {
    const failed = fact(7, 71, {
      type: 'StepFailed',
      data: { step: 'emit', attempt: 1, performed: 'unknown', errorClass: 'unknown', reason: 'no answer' },
    });
    const entries = timelineOf({
      rotationEvents: [emit(6, 70, 1), failed],
      containmentEvents: [],
      names: {},
    });
    expect(entries).toMatchObject([
      { kind: 'effect', minor: true, title: 'Step begun: emit' },
      {
        kind: 'failure',
        title: 'Step failed, outcome unknown: emit',
        detail: 'attempt 1, unknown: no answer',
      },
    ]);
  });

  it('invents no instant for an import without one', () => {
    const [with_, without] = timelineOf({
      rotationEvents: [
        fact(
          1,
          500,
          { type: 'NoteAdded', data: { note: 'a', by: 'ops@example.com' } },
          { provenance: 'imported', occurredAt: START },
        ),
        fact(2, 500, { type: 'NoteAdded', data: { note: 'b' } }, { provenance: 'imported' }),
      ],
      containmentEvents: [],
      names: {},
    });
    expect(with_).toMatchObject({ at: START, instantNotRecorded: false, doneBy: 'ops@example.com' });
    expect(without).toMatchObject({ at: START + 500 * MINUTE, instantNotRecorded: true });
    expect(without).not.toHaveProperty('occurredAt');
  });

  it('calls an emergency approved in retrospect, and its refusal no end', () => {
    const request = fact(1, 0, {
      type: 'RotationRequested',
      data: {
        family: EMITTER,
        strategy: 'emergency',
        trigger: 'compromise',
        reason: 'leaked',
        requestedBy: 'bob',
      },
    });
    const entries = timelineOf({
      rotationEvents: [request, fact(2, 1, { type: 'RotationRejected', data: { reason: 'no' } })],
      containmentEvents: [],
      names: {},
    });
    expect(entries[1]).toMatchObject({ kind: 'decision', title: 'Approval refused in retrospect' });
  });
});

describe('as of an instant', () => {
  it('goes by when it was so, else by when it was written', () => {
    const late = fact(
      1,
      90,
      { type: 'NoteAdded', data: { note: 'a' } },
      { provenance: 'attested', occurredAt: START },
    );
    expect(asOf([late, accepted, switched], START + 10 * MINUTE)).toEqual([late, accepted]);
  });

  it('grows with the instant (law)', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(300)), fc.nat(300), fc.nat(300), (minutes, a, b) => {
        const events = minutes.map((minute, index) =>
          fact(index, minute, { type: 'RotationPaused', data: {} }),
        );
        const [early, later] = [Math.min(a, b), Math.max(a, b)].map((m) => asOf(events, START + m * MINUTE));
        expect(later).toEqual(expect.arrayContaining([...(early ?? [])]));
      }),
    );
  });
});

describe('the windows', () => {
  it('accept runs to the emit step, drain from the last emitter confirmed', () => {
    const events = [
      planned,
      accepted,
      emit(7, 71, 1),
      switched,
      emitting(9, 80, 'v2', 'a'),
      emitting(10, 95, 'v2', 'b'),
      revoked,
    ];
    const { accept, drain } = windowsOf(events);
    expect(accept).toMatchObject({ planned: window, startedAt: START + 10 * MINUTE, actualMs: 61 * MINUTE });
    expect(drain).toMatchObject({
      startedAt: START + 95 * MINUTE,
      endedAt: START + 200 * MINUTE,
      actualMs: 105 * MINUTE,
    });
  });

  it('an emit attempt that used nothing ends no window', () => {
    const failed = fact(6, 30, {
      type: 'StepFailed',
      data: { step: 'emit', attempt: 1, performed: 'no', errorClass: 'view-moved', reason: 'moved' },
    });
    expect(windowsOf([planned, accepted, emit(5, 29, 1), failed, emit(7, 71, 2)]).accept.actualMs).toBe(
      61 * MINUTE,
    );
  });

  it('no drain begins while an emitter is owed', () => {
    const { drain } = windowsOf([planned, accepted, switched, emitting(9, 80, 'v2', 'a')]);
    expect(drain).toEqual({ planned: window });
  });

  it('a confirmation of the old version, by a rollback, does not count', () => {
    const { drain } = windowsOf([planned, accepted, switched, emitting(9, 80, 'v1', 'a', 'b')]);
    expect(drain.startedAt).toBeUndefined();
  });

  it('an overridden emitter drains from the switch and its propagation', () => {
    const override = fact(9, 90, {
      type: 'GateOverridden',
      data: { gate: 'emission-confirmations', consumerId: EMITTER, reason: 'gone' },
    });
    expect(windowsOf([planned, accepted, switched, override]).drain.startedAt).toBe(START + 77 * MINUTE);
  });

  it('never run on a supplied time', () => {
    const attested = fact(
      4,
      10,
      { type: 'DualAcceptDeployed', data: { versions: ['v1', 'v2'] } },
      { provenance: 'attested', occurredAt: START - 5 * HOUR },
    );
    expect(windowsOf([planned, attested]).accept.startedAt).toBe(START + 10 * MINUTE);
  });

  it('an imported history has its own times, and gaps where it has none', () => {
    const imported = { provenance: 'imported' as const };
    const { accept, drain } = windowsOf([
      fact(
        1,
        900,
        { type: 'DualAcceptDeployed', data: { versions: ['a', 'b'] } },
        { ...imported, occurredAt: START },
      ),
      fact(
        2,
        900,
        { type: 'OldKeyRevoked', data: { versions: ['a'] } },
        { ...imported, occurredAt: START + HOUR },
      ),
    ]);
    expect(accept).toEqual({ startedAt: START });
    expect(drain).toEqual({ endedAt: START + HOUR });
  });
});

describe('confirmations', () => {
  it('are k of n for each planned consumer and role', () => {
    const events = [
      planned,
      emitting(9, 80, 'v2', 'a'),
      emitting(10, 82, 'v2', 'a'),
      emitting(11, 85, 'v2', 'b'),
    ];
    expect(confirmationsOf(events)).toEqual([
      {
        consumerId: EMITTER,
        name: 'api',
        role: 'emitter',
        confirmed: 2,
        of: 2,
        confirmedAt: START + 85 * MINUTE,
        overridden: false,
      },
      { consumerId: VERIFIER, name: 'gateway', role: 'verifier', confirmed: 0, of: 1, overridden: false },
    ]);
  });

  it('are not known without a plan', () => {
    expect(confirmationsOf([emitting(1, 1, 'v2', 'a')])).toEqual([]);
  });
});

describe('the targets of an emergency', () => {
  const declared = fact(1, 4, {
    type: 'EmergencyDeclared',
    data: {
      compromisedVersions: ['v1', 'v0'],
      discoveredAt: at(0),
      contain: true,
      targets: [
        { name: 'contained', fact: 'ContainmentApplied', within: 'PT20M' },
        { name: 'sessions', fact: 'SessionsInvalidated', within: 'PT30M' },
      ],
      approvalDueAt: at(1000),
      reviewDueAt: at(1000),
      decisions: [],
    },
  });
  const apply = (
    treeSize: number,
    minutes: number,
    versions: string[],
    backEndAt?: string,
  ): ContainmentEvent =>
    contained(treeSize, minutes, {
      type: 'ContainmentApplied',
      data: { versions, trustEndsAt: at(90), ...(backEndAt === undefined ? {} : { backEndAt }) },
    });

  it('count from discovery; what was not recorded is never the target', () => {
    const [containment, sessions] = emergencyTargets([declared], [apply(2, 6, ['v0', 'v1'])]);
    expect(containment).toMatchObject({
      actualAt: START + 6 * MINUTE,
      dueAt: START + 20 * MINUTE,
      verdict: 'met',
    });
    expect(sessions).toEqual({
      name: 'sessions',
      fact: 'SessionsInvalidated',
      within: 30 * MINUTE,
      dueAt: START + 30 * MINUTE,
      verdict: 'not recorded',
    });
  });

  it('are settled by the fact that leaves no compromised version out', () => {
    const partly = [apply(2, 6, ['v1'])];
    expect(emergencyTargets([declared], partly)[0]?.verdict).toBe('not recorded');
    expect(emergencyTargets([declared], [...partly, apply(3, 25, ['v0'])])[0]).toMatchObject({
      actualAt: START + 25 * MINUTE,
      verdict: 'late',
    });
  });

  it('a cutover settles in one act what a switch and a revocation settle', () => {
    const declaration: RotationEvent =
      declared.type === 'EmergencyDeclared'
        ? {
            ...declared,
            data: {
              ...declared.data,
              targets: (['EmitterSwitched', 'OldKeyRevoked', 'DualAcceptDeployed'] as const).map((name) => ({
                name,
                fact: name,
                within: 'PT1H',
              })),
            },
          }
        : declared;
    const cutOver = (versions: string[]): RotationEvent =>
      fact(9, 30, {
        type: 'CutOver',
        data: { settledBy: 'answer', from: 'v1', to: 'v2', versions },
      });
    const met = { actualAt: START + 30 * MINUTE, verdict: 'met' };
    expect(emergencyTargets([declaration, cutOver(['v0', 'v1'])], [])).toMatchObject([met, met, met]);
    // One compromised version is still in: that is no revocation of what was compromised.
    expect(emergencyTargets([declaration, cutOver(['v1'])], [])[1]?.verdict).toBe('not recorded');
  });

  it('a late writing stays late, whatever was stated; the back end’s own clock counts', () => {
    const sessions = fact(
      5,
      36,
      { type: 'SessionsInvalidated', data: {} },
      { provenance: 'attested', occurredAt: START + 20 * MINUTE },
    );
    const [containment, ended] = emergencyTargets([declared, sessions], [apply(2, 40, ['v0', 'v1'], at(15))]);
    expect(ended).toMatchObject({
      actualAt: START + 36 * MINUTE,
      statedAt: START + 20 * MINUTE,
      verdict: 'late',
    });
    expect(containment).toMatchObject({ actualAt: START + 15 * MINUTE, verdict: 'met' });
  });

  it('imports never make a verdict', () => {
    const sessions = fact(
      5,
      900,
      { type: 'SessionsInvalidated', data: {} },
      { provenance: 'imported', occurredAt: START },
    );
    expect(emergencyTargets([declared, sessions], [])[1]).toMatchObject({
      actualAt: START,
      verdict: 'not judged',
    });
  });

  it('are none without a declaration', () => {
    expect(emergencyTargets([planned], [])).toEqual([]);
  });
});

describe('a span in words', () => {
  it.each([
    [0, '0 s'],
    [999, '999 ms'],
    [90_000, '1 min 30 s'],
    [26 * HOUR, '1 d 2 h'],
    [-5 * MINUTE, '−5 min'],
  ])('%d is %s', (milliseconds, words) => expect(spanText(milliseconds)).toBe(words));
});
