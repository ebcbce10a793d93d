import { readFileSync } from 'node:fs';
import { openEventStore } from '#eventlog/kit';
import { openSqliteEventLog } from '#eventlog/sqlite';
import { systemIds } from '#platform';
import { ImportHistory, ImportHistoryHandler } from '#rotation/application';
import {
  claimEvents,
  familyDecider,
  familyEvents,
  idOf,
  importEvents,
  initialRotation,
  Ledger,
  policyDecider,
  rotationEvents,
  TERMS_WITHOUT_POLICY,
  type FamilyDetails,
  type FamilyState,
  type PolicyState,
  type PolicyTerms,
  type RotationPlan,
  type RotationState,
  type VersionSnapshot,
  BackEnds,
} from '#rotation';
import { DAY_MS, dueOf } from './due.js';
import { obligationRows } from './obligations.js';
import { overdueRows, scheduleRows } from './schedule-rows.js';

const at = (text: string): number => Date.parse(text);
const FAMILY = '4f0c1b1e-0000-4000-8000-000000000001';
const ROTATION = '4f0c1b1e-0000-4000-8000-000000000002';
const POLICY = '4f0c1b1e-0000-4000-8000-000000000003';
const API = '4f0c1b1e-0000-4000-8000-000000000004';

const terms: PolicyTerms = { ...TERMS_WITHOUT_POLICY, stopEmitting: 'P90D', stopAccepting: 'P120D' };

const current: VersionSnapshot = {
  versionId: 'key of 2025-11-13',
  createdAt: '2025-11-13T09:00:00.000Z',
  accepted: true,
  compromised: false,
  destroyed: false,
};
const incoming: VersionSnapshot = {
  ...current,
  versionId: 'next',
  createdAt: '2026-02-01T09:00:00.000Z',
  accepted: false,
  emittingShare: 0,
};
/** As an import leaves it. */
const imported: RotationState = {
  ...initialRotation,
  exists: true,
  imported: true,
  rotationId: 'an imported one',
  familyId: FAMILY,
  phase: 'completed',
  generated: { ...current, accepted: false, emittingShare: 0 },
};
const mark = (
  when: string,
): { readonly at: number; readonly eventId: string; readonly revision: number } => ({
  at: at(when),
  eventId: ROTATION,
  revision: 1,
});

const window = { computed: 'PT1H', required: 'PT1H', terms: [], binding: 'a cache' };
const plan: RotationPlan = {
  sagaVersion: 1,
  strategy: 'graceful',
  backEnd: { instance: 'local', object: 'keys/a' },
  algorithm: 'HS256',
  incoming: 'next',
  outgoing: [current.versionId],
  emittingBefore: current.versionId,
  leftAccepted: [],
  consumers: [
    {
      consumerId: API,
      name: 'api-server',
      roles: ['emitter'],
      instances: 1,
      refreshTerm: 'PT1H',
      emitterPropagation: 'PT0S',
      thirdParty: false,
      neverRefreshes: false,
    },
  ],
  maxAgeSeconds: 300,
  terms,
  windows: { accept: window, drain: window },
  trustTerm: 'PT1H',
  approvals: 1,
  steps: ['generate', 'accept', 'emit', 'revoke', 'verify'],
  versionsBefore: [current],
  exceptions: [],
};
const running: RotationState = {
  ...initialRotation,
  exists: true,
  rotationId: ROTATION,
  familyId: FAMILY,
  phase: 'accepting',
  plan,
  generated: incoming,
  accepted: mark('2026-02-01T10:00:00Z'),
};
const switched: RotationState = {
  ...running,
  phase: 'emitting',
  switched: { ...mark('2026-02-02T10:00:00Z'), to: 'next', share: 100 },
};
const confirmed: RotationState = {
  ...switched,
  phase: 'draining',
  emission: [
    { consumerId: API, instances: ['one'], completeAt: at('2026-02-02T11:00:00Z'), completeBy: ROTATION },
  ],
};

const stockEase = { versions: [current], past: [imported], policyTerms: terms };

describe('dueOf, with the figures of StockEase', () => {
  const due = at('2026-02-11T09:00:00Z');

  it('90 days after 2025-11-13 is 2026-02-11, from an imported fact and labelled so', () => {
    const result = dueOf({
      ...stockEase,
      now: at('2025-12-01T00:00:00Z'),
      coverageStart: at('2025-12-01T00:00:00Z'),
    });
    expect(result).toMatchObject({
      status: 'ok',
      exceptions: [],
      nextDue: due,
      nextDueIs: 'stop-emitting',
      stopAcceptingDue: at('2026-03-13T09:00:00Z'),
      ageDays: 17,
      basis: { versionId: current.versionId, fact: 'KeyGenerated', provenance: 'imported' },
    });
  });

  it.each([
    ['2026-01-28T08:59:59.999Z', 'ok'],
    ['2026-01-28T09:00:00Z', 'due-soon'],
    ['2026-02-11T08:59:59.999Z', 'due-soon'],
    ['2026-02-11T09:00:00Z', 'overdue'],
  ])('at %s it is %s', (now, status) => {
    expect(dueOf({ ...stockEase, now: at(now) }).status).toBe(status);
  });

  it('is overdue by 283 days on 2026-11-21', () => {
    expect(dueOf({ ...stockEase, now: at('2026-11-21T09:00:00Z') })).toMatchObject({
      status: 'overdue',
      overdueDays: 283,
      ageDays: 373,
      since: due,
    });
  });

  it.each([
    ['a request', { ...initialRotation, exists: true, familyId: FAMILY, plan }],
    ['a generated key', running],
    ['a switch nobody confirmed', switched],
    ['a confirmation of emitters that nobody knows', { ...switched, plan: { ...plan, consumers: [] } }],
    [
      'a rollback',
      {
        ...confirmed,
        phase: 'rolling-back',
        returned: { ...mark('2026-02-03T10:00:00Z'), to: current.versionId },
      },
    ],
    ['an imported rotation', { ...imported, ...confirmed, imported: true }],
  ] satisfies readonly (readonly [string, RotationState])[])('%s settles nothing', (_what, rotation) => {
    expect(dueOf({ ...stockEase, running: rotation, now: at('2026-02-12T09:00:00Z') })).toMatchObject({
      status: 'overdue',
      nextDue: due,
      basis: { versionId: current.versionId },
    });
  });

  it('the last emitter confirmed off it settles stop-emitting; stop-accepting goes on', () => {
    expect(dueOf({ ...stockEase, running: confirmed, now: at('2026-02-12T09:00:00Z') })).toMatchObject({
      nextDue: at('2026-03-13T09:00:00Z'),
      nextDueIs: 'stop-accepting',
      stopEmittingDue: at('2026-05-02T09:00:00Z'),
    });
  });

  it('OldKeyRevoked settles both: the new version is the clock, as performed', () => {
    const revoked: RotationState = {
      ...confirmed,
      phase: 'revoked',
      revoked: { ...mark('2026-02-04T10:00:00Z'), versions: [current.versionId] },
    };
    expect(dueOf({ ...stockEase, running: revoked, now: at('2026-02-12T09:00:00Z') })).toMatchObject({
      status: 'ok',
      nextDue: at('2026-05-02T09:00:00Z'),
      ageDays: 11,
      basis: { versionId: 'next', provenance: 'performed' },
    });
  });

  it('what a closed rotation left is read from the versions', () => {
    const versions: VersionSnapshot[] = [
      { ...current, accepted: false, emittingShare: 0 },
      { ...incoming, accepted: true, emittingShare: 100 },
    ];
    expect(dueOf({ versions, policyTerms: terms, now: at('2026-02-12T09:00:00Z') })).toMatchObject({
      status: 'ok',
      exceptions: [],
      basis: { versionId: 'next', fact: 'VersionObserved', provenance: 'observed' },
    });
  });
});

describe('what has no green mark', () => {
  const now = at('2025-12-01T00:00:00Z');

  it('never observed: no version, or none with a beginning', () => {
    expect(dueOf({ versions: [], policyTerms: terms, now })).toEqual({
      status: 'not-observed',
      exceptions: ['not-observed'],
    });
    const { createdAt: _createdAt, ...undated } = current;
    expect(dueOf({ versions: [undated], policyTerms: terms, now })).toMatchObject({
      status: 'not-observed',
      exceptions: ['not-observed'],
    });
    // Beside a dated one it stays an exception: its age is not known.
    expect(
      dueOf({ versions: [{ ...undated, versionId: 'older' }, current], policyTerms: terms, now }).status,
    ).toBe('not-observed');
  });

  it('never rotated: one generation, however young; overdue is said first', () => {
    const never = { versions: [current], policyTerms: terms };
    expect(dueOf({ ...never, now, coverageStart: 5 })).toMatchObject({ status: 'never-rotated', since: 5 });
    expect(dueOf({ ...never, now: at('2026-11-21T09:00:00Z') })).toMatchObject({
      status: 'overdue',
      exceptions: ['never-rotated'],
      overdueDays: 283,
    });
  });

  it('a new version that a rollback withdrew is no rotation', () => {
    const versions: VersionSnapshot[] = [
      { ...current, emittingShare: 100 },
      { ...incoming, accepted: false },
    ];
    expect(dueOf({ versions, policyTerms: terms, now: at('2026-02-03T00:00:00Z') })).toMatchObject({
      status: 'due-soon',
      exceptions: ['never-rotated'],
      basis: { versionId: current.versionId },
    });
  });

  it('no policy: an age, and no due date', () => {
    const result = dueOf({ versions: [current], past: [imported], now });
    expect(result).toMatchObject({ status: 'no-policy', ageDays: 17 });
    expect(result.nextDue).toBeUndefined();
  });

  it('a compromised version that is still accepted', () => {
    expect(dueOf({ ...stockEase, versions: [{ ...current, compromised: true }], now })).toMatchObject({
      status: 'overdue',
      exceptions: ['compromised-accepted'],
    });
  });

  it('a compromise makes it due when it was known, not when the policy says', () => {
    const known = now - 3_600_000;
    const made = { ...current, compromised: true, createdAt: new Date(now - 7_200_000).toISOString() };
    const due = dueOf({
      ...stockEase,
      versions: [made],
      compromisedAt: { [made.versionId]: known },
      now,
    });
    expect(due).toMatchObject({ status: 'overdue', nextDue: known, since: known, overdueDays: 0 });
    const out = { ...made, accepted: false };
    const settled = dueOf({ ...stockEase, versions: [out], compromisedAt: { [out.versionId]: known }, now });
    expect(settled.nextDue).not.toBe(known);
  });

  it('a history of rotations alone drives the clock', () => {
    expect(dueOf({ versions: [], past: [imported], policyTerms: terms, now })).toMatchObject({
      status: 'ok',
      nextDue: at('2026-02-11T09:00:00Z'),
      basis: { provenance: 'imported' },
    });
  });
});

const details: FamilyDetails = {
  name: 'StockEase session JWT',
  environment: 'production',
  kind: 'shared-secret',
  protects: 'application-account',
  usage: 'mac',
  overlap: 'dual',
  mode: 'tracked',
  authority: { kind: 'nobody' },
  owner: { role: 'not recorded' },
  team: 'StockEase',
  illustrative: false,
};
const family: FamilyState = {
  ...familyDecider.initialState,
  exists: true,
  familyId: FAMILY,
  details,
  registeredAt: at('2026-03-01T00:00:00Z'),
  versions: [current],
};
const policy: PolicyState = {
  ...policyDecider.initialState,
  exists: true,
  policyId: POLICY,
  revision: 0,
  boundSince: at('2026-01-01T00:00:00Z'),
  details: {
    name: '90 days',
    selector: { kind: 'shared-secret', environment: 'production' },
    terms,
    basis: {
      setBy: 'platform',
      riskAnalysis: 'the playbook',
      reviewedOn: '2025-11-21',
      nextReview: '2026-11-21',
    },
    effectiveFrom: '2026-01-01T00:00:00.000Z',
  },
};
const emergency: RotationState = {
  ...initialRotation,
  exists: true,
  rotationId: ROTATION,
  familyId: FAMILY,
  phase: 'completed',
  emergency: {
    compromised: [],
    discoveredAt: at('2026-03-02T00:00:00Z'),
    approvalDueAt: at('2026-03-03T00:00:00Z'),
    reviewDueAt: at('2026-03-04T00:00:00Z'),
  },
};

describe('the schedule', () => {
  const other = (name: string, versions: readonly VersionSnapshot[], kind = details.kind): FamilyState => ({
    ...family,
    familyId: name,
    details: { ...details, name, kind },
    versions,
  });

  it('has every family, the most urgent first, each with what it stands on', () => {
    const rows = scheduleRows({
      families: [
        other('z fresh', [{ ...incoming, accepted: true, createdAt: '2026-11-20T00:00:00.000Z' }]),
        other('unseen', []),
        other('no policy', [current], 'provider-key'),
        family,
        other('older', [{ ...current, createdAt: '2024-11-13T09:00:00.000Z' }]),
        other('compromised', [{ ...current, compromised: true, createdAt: '2026-11-20T00:00:00.000Z' }]),
      ],
      rotations: [imported],
      policies: [policy],
      now: at('2026-11-21T09:00:00Z'),
    });
    expect(rows.map((row) => [row.family?.qualifiedName ?? row.what, row.status])).toEqual([
      ['production/compromised', 'overdue'],
      ['production/older', 'overdue'],
      ['production/StockEase session JWT', 'overdue'],
      ['review of the policy 90 days', 'due-soon'],
      ['production/unseen', 'not-observed'],
      ['production/z fresh', 'never-rotated'],
      ['production/no policy', 'no-policy'],
    ]);
    expect(rows[2]).toMatchObject({
      due: '2026-02-11T09:00:00.000Z',
      overdueDays: 283,
      what: 'rotation: stop emitting',
      basis: 'key of 2025-11-13 generated 2025-11-13T09:00:00.000Z',
      provenance: 'imported',
      policy: { id: POLICY, name: '90 days' },
      runningRotation: null,
    });
  });

  it('reads a running rotation by the slot of its family', () => {
    const slot = {
      rotation: ROTATION,
      request: { strategy: 'graceful', trigger: 'manual', reason: 'now', requestedBy: API },
      openedRevision: 1,
      openedBy: API,
      correlationId: API,
      causationId: API,
      openedEventId: API,
      openedAt: 0,
      origin: { via: 'http' },
      open: true,
    } as const;
    const input = { rotations: [confirmed], policies: [policy], now: at('2026-02-12T09:00:00Z') };
    expect(scheduleRows({ ...input, families: [{ ...family, slot }] })[0]).toMatchObject({
      what: 'rotation: never rotated',
      due: '2026-03-13T09:00:00.000Z',
      runningRotation: ROTATION,
    });
    // The same facts without the slot are past, and settle nothing.
    expect(scheduleRows({ ...input, families: [family] })[0]).toMatchObject({ status: 'overdue' });
  });

  it('lists what is owed, and what of it is overdue', () => {
    const reviewed = { ...family, runbook: { nextReview: '2026-03-01' } };
    const input = { families: [reviewed], rotations: [imported, emergency], policies: [policy] };
    const early = obligationRows({ ...input, now: at('2026-03-01T23:59:59Z') });
    expect(early.map((row) => [row.kind, row.status])).toEqual([
      ['runbook-review', 'due-soon'],
      ['emergency-approval', 'due-soon'],
      ['post-incident-review', 'due-soon'],
      ['policy-review', 'ok'],
    ]);
    const late = overdueRows({ ...input, now: at('2026-11-22T00:00:00Z') });
    expect(late.map((row) => [row.what, row.overdueDays])).toEqual([
      ['rotation: stop emitting', 283],
      ['review of the runbook', 265],
      ['approval of an emergency, in retrospect', 264],
      ['post-incident review', 263],
      ['review of the policy 90 days', 0],
    ]);
  });

  it('nothing is owed for what is settled, imported or retired', () => {
    const now = at('2027-01-01T00:00:00Z');
    const settled: RotationState = {
      ...emergency,
      approvals: [{ subject: API, at: now }],
      reviewedAt: now,
    };
    const rotations = [settled, { ...emergency, imported: true }];
    expect(
      obligationRows({ families: [family], rotations, policies: [{ ...policy, retired: true }], now }),
    ).toEqual([]);
  });

  it('a short period has a short notice', () => {
    const short = { ...terms, stopEmitting: 'P5D', stopAccepting: 'P10D' };
    const created = at('2025-11-13T09:00:00Z');
    expect(dueOf({ ...stockEase, policyTerms: short, now: created + 4 * DAY_MS - 1 }).status).toBe('ok');
    expect(dueOf({ ...stockEase, policyTerms: short, now: created + 4 * DAY_MS }).status).toBe('due-soon');
  });
});

describe('the example history of StockEase, imported', () => {
  it('is overdue by 283 days on 2026-11-21; what nobody observed says so', async () => {
    const now = at('2026-11-21T09:00:00Z');
    const store = await openEventStore({
      log: await openSqliteEventLog({ memory: true }),
      definitions: [claimEvents, familyEvents, importEvents, rotationEvents],
      clock: { now: () => now, monotonic: () => now },
      ids: systemIds,
    });
    const ledger = new Ledger(store);
    const bytes = readFileSync(new URL('../../../examples/stockease.json', import.meta.url));
    const context = { subject: API, commandId: ROTATION, requestHash: '', via: 'cli' } as const;
    await new ImportHistoryHandler(ledger, new BackEnds([])).execute(
      new ImportHistory(context, 'stockease.json', bytes),
    );
    const streams = new Set<string>();
    for await (const { stream } of store.log.readAll()) streams.add(stream);
    const ids = (category: string): readonly string[] =>
      [...streams].filter((stream) => stream.startsWith(`${category}-`)).map(idOf);
    const rows = overdueRows({
      families: await Promise.all(ids('family').map(async (id) => (await ledger.family(id)).state)),
      rotations: await Promise.all(ids('rotation').map(async (id) => (await ledger.rotation(id)).state)),
      policies: [policy],
      now,
    });
    expect(
      rows.map((row) => [row.family?.qualifiedName, row.status, row.overdueDays, row.provenance]),
    ).toEqual([
      ['production/StockEase session JWT', 'overdue', 283, 'imported'],
      ['production/Auth service signing key', 'not-observed', null, null],
      ['production/Orders database password', 'not-observed', null, null],
      ['production/Payments provider API key', 'not-observed', null, null],
      ['production/Webhook signing secret', 'not-observed', null, null],
    ]);
  });
});

describe('a rehearsal', () => {
  const made: VersionSnapshot = {
    ...current,
    versionId: 'rehearsed',
    createdAt: '2026-02-01T09:00:00.000Z',
    emittingShare: 100,
  };
  const rehearsal = (phase: RotationState['phase'], strategy: RotationPlan['strategy']): RotationState => ({
    ...initialRotation,
    exists: true,
    rotationId: ROTATION,
    familyId: FAMILY,
    phase,
    plan: { ...plan, strategy },
    generated: made,
  });
  const due = (strategy: RotationPlan['strategy']) =>
    dueOf({
      versions: [{ ...current, accepted: false, emittingShare: 0 }, made],
      past: [rehearsal('completed', strategy)],
      policyTerms: terms,
      now: at('2026-02-12T09:00:00Z'),
    });

  it('settles nothing: the clock of what it replaced runs on', () => {
    expect(due('rehearsal')).toMatchObject({
      status: 'overdue',
      basis: { versionId: current.versionId },
      exceptions: ['never-rotated'],
    });
    // Control: the same rotation, not rehearsed, settles it.
    expect(due('graceful')).toMatchObject({ status: 'ok', basis: { versionId: 'rehearsed' } });
  });
});

describe('a rolling rotation and a cutover', () => {
  const rolling = (share: number): RotationState => ({
    ...running,
    phase: 'emitting',
    plan: {
      ...plan,
      strategy: 'rolling',
      cohorts: [
        { share: 50, hold: 'P7D' },
        { share: 100, hold: 'PT0S' },
      ],
    },
    switched: { ...mark('2026-02-02T10:00:00Z'), to: 'next', share },
    emission: [
      { consumerId: API, instances: ['1'], completeAt: at('2026-02-02T11:00:00Z'), completeBy: ROTATION },
    ],
  });
  const stopEmitting = (rotation: RotationState) =>
    dueOf({ versions: [current], running: rotation, policyTerms: terms, now: at('2026-02-03T00:00:00Z') })
      .stopEmittingDue;

  it('stop emitting is settled by the last cohort, confirmed', () => {
    const old = at(current.createdAt ?? '') + 90 * DAY_MS;
    expect(stopEmitting(rolling(50))).toBe(old);
    expect(stopEmitting(rolling(100))).not.toBe(old);
  });

  it('a cutover settles both: accepting by the cutover, emitting by its confirmations', () => {
    const { windows: _windows, ...rest } = plan;
    const cut: RotationState = {
      ...running,
      phase: 'watching',
      plan: { ...rest, strategy: 'cutover' },
      switched: { ...mark('2026-02-02T10:00:00Z'), to: 'next', share: 100 },
      revoked: { ...mark('2026-02-02T10:00:00Z'), versions: [current.versionId] },
      emission: [
        { consumerId: API, instances: ['1'], completeAt: at('2026-02-02T11:00:00Z'), completeBy: ROTATION },
      ],
    };
    const both = dueOf({
      versions: [current],
      running: cut,
      policyTerms: terms,
      now: at('2026-02-03T00:00:00Z'),
    });
    expect(both.basis?.versionId).toBe('next');
    expect(both.stopAcceptingDue).toBe(at(incoming.createdAt ?? '') + 120 * DAY_MS);
  });
});

describe('a calendar rule', () => {
  const family: FamilyState = {
    ...familyDecider.initialState,
    exists: true,
    familyId: FAMILY,
    details: {
      name: 'jwt',
      environment: 'production',
      kind: 'shared-secret',
      protects: 'other',
      usage: 'mac',
      overlap: 'dual',
      mode: 'tracked',
      authority: { kind: 'nobody' },
      owner: { role: 'on-call' },
      team: 'platform',
      illustrative: false,
    },
    versions: [{ ...current, emittingShare: 100 }],
    schedule: {
      calendar: { nth: 2, weekday: 'thursday', of: 'month', at: '02:00', timeZone: 'Europe/Vienna' },
    },
  };
  const policies: readonly PolicyState[] = [
    {
      ...policyDecider.initialState,
      exists: true,
      policyId: POLICY,
      revision: 0,
      boundSince: 0,
      details: {
        name: 'p',
        selector: {},
        terms,
        basis: { setBy: 'x', riskAnalysis: 'x', reviewedOn: '2026-01-01', nextReview: '2030-01-01' },
        effectiveFrom: '2025-01-01T00:00:00.000Z',
      },
    },
  ];
  const planned = (now: string): string | null => {
    const rows = scheduleRows({ families: [family], rotations: [], policies, now: at(now) });
    const row = rows.find((each) => each.kind === 'rotation');
    return row?.kind === 'rotation' ? row.plannedFor : null;
  };

  it('places the rotation on its last date before it is due, and never after', () => {
    // Due 2026-02-11 09:00; the second Thursday before it is 2026-01-08, in winter time.
    expect(planned('2025-12-01T00:00:00Z')).toBe('2026-01-08T01:00:00.000Z');
    // That one is past: the next would be the day after it is due, so the due date counts.
    expect(planned('2026-02-01T00:00:00Z')).toBe('2026-02-11T09:00:00.000Z');
  });
});
