import { describe, expect, it } from '@jest/globals';
import { DomainError } from '#eventlog';
import {
  accepting,
  APPROVER,
  approve,
  brokenAtTheEnd,
  DAY,
  draining,
  emitting,
  HOUR,
  MINUTE,
  REQUESTER,
  SimulatedWorld,
  someConsumer,
  someDetails,
  someRequest,
  someTerms,
  someUuid,
  until,
  watchLaws,
  type WorldOptions,
} from '../testing/index.js';
import { WEEKDAYS } from './calendar.js';
import { milliseconds } from './duration.js';
import type { FamilySchedule, RotationRequest } from './family.events.js';
import { planRotation } from './plan.js';
import type { NewRotationEvent, RotationEvent } from './rotation.events.js';

const ANY_TIME: FamilySchedule = {
  changeWindows: [{ weekdays: [...WEEKDAYS], from: '00:00', to: '00:00', timeZone: 'UTC' }],
};
const WITHOUT_OVERLAP: WorldOptions = { details: someDetails({ overlap: 'none' }), schedule: ANY_TIME };
const COHORTS = [
  { share: 25, hold: 'PT2H' },
  { share: 60, hold: 'PT1H' },
  { share: 100, hold: 'PT0S' },
];

type EventOf<Type extends RotationEvent['type']> = Extract<RotationEvent, { readonly type: Type }>;

function factsOf<Type extends RotationEvent['type']>(
  world: SimulatedWorld,
  id: string,
  type: Type,
): readonly EventOf<Type>[] {
  return world.rotationEvents(id).filter((event): event is EventOf<Type> => event.type === type);
}

function watched(options: WorldOptions = {}): SimulatedWorld {
  const world = new SimulatedWorld(options);
  watchLaws(world);
  return world;
}

function confirmEverything(world: SimulatedWorld, id: string, hours: number): void {
  for (let hour = 0; hour < hours; hour += 1) {
    world.confirmAll(id, 'verifier');
    world.confirmAll(id, 'emitter');
    world.elapse(HOUR);
  }
}

function codeOf(make: () => unknown): string {
  try {
    make();
    return 'nothing was refused';
  } catch (error) {
    if (error instanceof DomainError) return error.code;
    throw error;
  }
}

describe('rolling', () => {
  const rolling: Partial<RotationRequest> = { strategy: 'rolling', cohorts: COHORTS };

  it('each cohort is a switch of its own, confirmed and looked at before the next; the drain starts at the last', () => {
    const world = watched();
    const { id } = world.request(rolling);
    emitting(world, id);
    expect([...world.backEnd.emitting()].sort()).toEqual(['old', world.incomingOf(id)]);
    const first = world.now;
    world.elapse(3 * HOUR);
    // Unconfirmed, it stands at 25 % for ever.
    expect(world.rotation(id).switched?.share).toBe(25);
    expect(world.waits.get(id)).toContain('to confirm 25 %');
    confirmEverything(world, id, 12);
    const switches = factsOf(world, id, 'EmitterSwitched');
    expect(switches.map((event) => event.data.share)).toEqual([25, 60, 100]);
    const [, second, third] = switches.map((event) => event.recordedAt);
    expect((second ?? 0) - first).toBeGreaterThanOrEqual(2 * HOUR);
    expect((third ?? 0) - (second ?? 0)).toBeGreaterThanOrEqual(HOUR);
    const revoked = factsOf(world, id, 'OldKeyRevoked')[0]?.recordedAt ?? 0;
    const drain = milliseconds(world.plan(id).windows?.drain.required);
    expect(revoked - (third ?? 0)).toBeGreaterThanOrEqual(drain);
    expect(world.rotation(id).phase).toBe('completed');
    expect([...world.violations, ...brokenAtTheEnd(world)]).toEqual([]);
  });

  it('a rollback between cohorts returns all of emission and keeps trusting the new version while it drains', () => {
    const world = watched();
    const { id } = world.request(rolling);
    emitting(world, id);
    world.confirmAll(id, 'emitter');
    expect(world.rollBack(id)).toBeUndefined();
    world.run();
    expect(world.backEnd.emitting()).toEqual(['old']);
    expect(world.backEnd.accepted()).toContain(world.incomingOf(id));
    confirmEverything(world, id, 8);
    expect(world.rotation(id).phase).toBe('rolled-back');
    expect(world.backEnd.accepted()).toEqual(['old']);
    expect([...world.violations, ...brokenAtTheEnd(world)]).toEqual([]);
  });

  it.each(['unknown-done', 'unknown-not-done', 'crash-after-effect', 'crash-late'] as const)(
    'a second cohort that ends %s is found out about and reaches its share once',
    (fate) => {
      const world = watched();
      const { id } = world.request(rolling);
      emitting(world, id);
      world.injectAt.set('emit', [fate]);
      confirmEverything(world, id, 14);
      expect(factsOf(world, id, 'EmitterSwitched').map((event) => event.data.share)).toEqual([25, 60, 100]);
      const keys = world.backEnd.ledger
        .filter((row) => row.effect === 'switch-emission')
        .map((row) => row.key);
      expect(new Set(keys).size).toBe(keys.length);
      expect(world.rotation(id).phase).toBe('completed');
      expect(world.violations).toEqual([]);
    },
  );

  it('an emergency over a half-way rolling rotation leaves no half of a compromised emission', () => {
    const world = watched();
    const { id } = world.request(rolling);
    emitting(world, id);
    const emergency = world.emergency(['old']).id;
    world.elapse(2 * DAY);
    expect(world.rotation(emergency).phase).toBe('completed');
    expect(world.backEnd.emitting()).toEqual([world.incomingOf(emergency)]);
    expect(world.backEnd.accepted()).not.toContain('old');
    expect(world.violations).toEqual([]);
  });

  it('a verifier that joins between cohorts holds the next one until it knows the new version', () => {
    const world = watched();
    const { id } = world.request(rolling);
    emitting(world, id);
    world.confirmAll(id, 'emitter');
    const late = someConsumer(7, { name: 'late', roles: ['verifier'], cacheTtl: 'PT1H' });
    world.decideFamily({ type: 'RegisterConsumer', consumer: late });
    world.elapse(4 * HOUR);
    expect(world.rotation(id).switched?.share).toBe(25);
    expect(world.waits.get(id)).toContain('late to confirm');
    confirmEverything(world, id, 14);
    expect(world.rotation(id).phase).toBe('completed');
  });

  const planOf = (request: Partial<RotationRequest>): unknown =>
    planRotation({
      family: new SimulatedWorld().family.state,
      request: someRequest({ strategy: 'rolling', ...request }),
      incomingVersionId: 'new',
      versions: new SimulatedWorld().family.state.versions,
    });

  it('25, 50, 75, 100 %, one a week, unless somebody says otherwise', () => {
    expect(planOf({})).toMatchObject({ cohorts: [{ share: 25, hold: 'P7D' }, {}, {}, { share: 100 }] });
    const terms = someTerms({ cohorts: COHORTS });
    const policy = { id: someUuid(77), revision: 0, name: 'rolls quickly', terms };
    expect(planOf({ policy })).toMatchObject({ cohorts: COHORTS });
  });

  describe('against the policy’s cohorts', () => {
    const terms = someTerms({
      cohorts: [
        { share: 25, hold: 'P7D' },
        { share: 50, hold: 'P7D' },
        { share: 100, hold: 'PT0S' },
      ],
    });
    const policy = { id: someUuid(77), revision: 0, name: 'by the week', terms };
    const deviation = { reason: 'the old key expires', until: '2026-06-01T00:00:00.000Z' };
    const faster: readonly [string, NonNullable<RotationRequest['cohorts']>][] = [
      ['all at once', [{ share: 100, hold: 'PT0S' }]],
      [
        'a shorter hold',
        [
          { share: 25, hold: 'P6D' },
          { share: 50, hold: 'P7D' },
          { share: 100, hold: 'PT0S' },
        ],
      ],
      [
        'a larger beginning',
        [
          { share: 30, hold: 'P7D' },
          { share: 50, hold: 'P7D' },
          { share: 100, hold: 'PT0S' },
        ],
      ],
      [
        'fewer looks in the same time',
        [
          { share: 25, hold: 'P14D' },
          { share: 100, hold: 'PT0S' },
        ],
      ],
    ];

    it.each(faster)('%s needs a deviation, and the plan names it', (_what, cohorts) => {
      expect(codeOf(() => planOf({ policy, cohorts }))).toBe('cohorts.faster-than-policy');
      const plan = planOf({ policy, cohorts, deviation });
      expect(plan).toMatchObject({ cohorts, approvals: 1 });
      expect(JSON.stringify(plan)).toMatch(/Cohorts .* instead of 25 % for P7D, .*, by deviation/);
    });

    it('what goes slower is taken as it is', () => {
      const cohorts = [
        { share: 10, hold: 'P7D' },
        { share: 25, hold: 'P7D' },
        { share: 50, hold: 'P8D' },
        { share: 100, hold: 'PT0S' },
      ];
      expect(planOf({ policy, cohorts })).toMatchObject({ cohorts });
    });
  });

  it('cohorts that do not end at 100 %, or do not rise, are refused', () => {
    const hold = 'P1D';
    expect(
      codeOf(() =>
        planOf({
          cohorts: [
            { share: 25, hold },
            { share: 90, hold },
          ],
        }),
      ),
    ).toBe('cohorts.not-whole');
    expect(
      codeOf(() =>
        planOf({
          cohorts: [
            { share: 50, hold },
            { share: 50, hold },
            { share: 100, hold },
          ],
        }),
      ),
    ).toBe('cohorts.not-rising');
  });
});

describe('rehearsal', () => {
  const staging: WorldOptions = { details: someDetails({ environment: 'staging' }) };

  it('runs as what it rehearses, in windows of its own, without approval', () => {
    const world = watched(staging);
    const { id } = world.request({
      strategy: 'rehearsal',
      rehearses: 'rolling',
      cohorts: COHORTS,
      windows: { accept: 'PT1M', drain: 'PT2M' },
    });
    world.run();
    expect(world.plan(id)).toMatchObject({ approvals: 0, strategy: 'rehearsal', rehearses: 'rolling' });
    expect(world.plan(id).exceptions.join(' ')).toContain('for a rehearsal');
    world.violations.length = 0;
    confirmEverything(world, id, 10);
    expect(world.rotation(id).phase).toBe('completed');
    expect(factsOf(world, id, 'EmitterSwitched').map((event) => event.data.share)).toEqual([25, 60, 100]);
  });

  it.each(['staging', 'eu-staging', 'staging-eu', 'qa', 'product-test'])('runs in %s', (environment) => {
    const world = new SimulatedWorld({ details: someDetails({ environment }) });
    expect(world.request({ strategy: 'rehearsal' }).refused).toBeUndefined();
  });

  it.each([
    'production',
    'prod',
    'prod-eu',
    'prd',
    'live',
    'eu-production',
    'europe',
    'prod-test',
    'live-staging',
    'preprod',
    'latest',
  ])('is refused in %s', (environment) => {
    const world = new SimulatedWorld({ details: someDetails({ environment }) });
    expect(world.request({ strategy: 'rehearsal' }).refused).toBe('rehearsal.in-production');
  });
});

describe('cutover', () => {
  it('without overlap: one change, never both and never neither, then every emitter confirms', () => {
    const world = watched(WITHOUT_OVERLAP);
    const { id } = world.request({ strategy: 'cutover' });
    approve(world, id);
    world.run();
    const incoming = world.incomingOf(id);
    expect(world.backEnd.accepted()).toEqual([incoming]);
    expect(world.backEnd.emitting()).toEqual([incoming]);
    expect(world.rotation(id).phase).toBe('emitting');
    confirmEverything(world, id, 4);
    expect(world.rotation(id).phase).toBe('completed');
    // Nothing that was recorded says that an overlap was passed.
    const types = world.rotationEvents(id).map((event) => event.type);
    expect(types).not.toContain('DualAcceptDeployed');
    expect(types).not.toContain('GateEvaluated');
    expect(world.plan(id).windows).toBeUndefined();
    expect(world.plan(id).outage).toMatchObject({ predicted: 'PT30M30S' });
    expect(brokenAtTheEnd(world)).toEqual([]);
  });

  it('goes back in one change', () => {
    const world = watched(WITHOUT_OVERLAP);
    const { id } = world.request({ strategy: 'cutover' });
    approve(world, id);
    world.run();
    expect(world.rollBack(id)).toBeUndefined();
    world.run();
    expect(world.backEnd.accepted()).toEqual(['old']);
    expect(world.backEnd.emitting()).toEqual(['old']);
    confirmEverything(world, id, 2);
    expect(world.rotation(id).phase).toBe('rolled-back');
  });

  it('waits for its change window', () => {
    const nights: FamilySchedule = {
      changeWindows: [{ weekdays: ['tuesday'], from: '22:00', to: '23:00', timeZone: 'UTC' }],
    };
    const world = watched({ ...WITHOUT_OVERLAP, schedule: nights });
    const { id } = world.request({ strategy: 'cutover' });
    approve(world, id);
    world.elapse(2 * DAY);
    const [cut] = factsOf(world, id, 'CutOver');
    // START is Monday 2026-03-02.
    expect(new Date(cut?.recordedAt ?? 0).toISOString()).toBe('2026-03-03T22:00:00.000Z');
  });

  it('an emergency cuts over at once, window or not', () => {
    const never: FamilySchedule = {
      changeWindows: [{ weekdays: ['sunday'], from: '03:00', to: '03:30', timeZone: 'UTC' }],
    };
    const world = watched({ ...WITHOUT_OVERLAP, schedule: never });
    const { id } = world.emergency(['old']);
    world.elapse(DAY);
    expect(world.rotation(id).phase).toBe('completed');
    expect(world.backEnd.accepted()).toEqual([world.incomingOf(id)]);
    const passed = world
      .rotationEvents(id)
      .flatMap((event) =>
        event.type === 'StepStarted' && event.data.step === 'cutover' ? [event.data.passed] : [],
      );
    expect(passed).toEqual([['its change window']]);
  });

  it.each([
    ['a family that can overlap', {}, 'cutover.overlap-possible'],
    ['no change window', { details: someDetails({ overlap: 'none' }) }, 'cutover.no-change-window'],
  ] as const)('%s: refused', (_name, options, code) => {
    expect(new SimulatedWorld(options).request({ strategy: 'cutover' }).refused).toBe(code);
  });

  it('any other strategy is refused without overlap', () => {
    for (const strategy of ['graceful', 'rolling', 'rehearsal'] as const) {
      expect(new SimulatedWorld(WITHOUT_OVERLAP).request({ strategy }).refused).toBe('family.overlap-none');
    }
  });
});

describe('a plan is amended', () => {
  it('a verifier registered in mid-rotation binds at once: the accept window grows, and it confirms', () => {
    const world = watched();
    const { id } = world.request();
    accepting(world, id);
    const before = milliseconds(world.plan(id).windows?.accept.required);
    const mobile = someConsumer(7, { name: 'mobile', roles: ['verifier'], cacheTtl: 'P1D' });
    world.decideFamily({ type: 'RegisterConsumer', consumer: mobile });
    world.run();
    const [amended] = factsOf(world, id, 'PlanAmended');
    expect(amended?.data.because.join(' ')).toContain('mobile joined as verifier.');
    const after = milliseconds(world.plan(id).windows?.accept.required);
    expect(after).toBe(before + DAY - 30 * MINUTE);
    confirmEverything(world, id, 12);
    expect(world.rotation(id).switched).toBeUndefined();
    confirmEverything(world, id, 72);
    expect(world.rotation(id).phase).toBe('completed');
    const accepted = factsOf(world, id, 'DualAcceptDeployed')[0]?.recordedAt ?? 0;
    expect((factsOf(world, id, 'EmitterSwitched')[0]?.recordedAt ?? 0) - accepted).toBeGreaterThanOrEqual(
      after,
    );
    expect([...world.violations, ...brokenAtTheEnd(world)]).toEqual([]);
  });

  it('a TTL that shrank shortens nothing, and says nothing', () => {
    const world = watched();
    const { id } = world.request();
    accepting(world, id);
    const [, , worker] = world.family.state.consumers;
    if (worker === undefined) throw new Error('no worker');
    world.decideFamily({ type: 'ReviseConsumer', consumer: { ...worker, cacheTtl: 'PT1M' } });
    world.run();
    expect(factsOf(world, id, 'PlanAmended')).toEqual([]);
  });

  it('what a deviation shortened grows by as much as what was computed', () => {
    const world = watched();
    const { id } = world.request({
      windows: { accept: 'PT5M' },
      deviation: { reason: 'the audit is tomorrow', until: '2026-12-31T00:00:00.000Z' },
    });
    accepting(world, id);
    const late = someConsumer(7, { name: 'late', roles: ['verifier'], cacheTtl: 'PT40M' });
    world.decideFamily({ type: 'RegisterConsumer', consumer: late });
    world.run();
    expect(world.plan(id).windows?.accept.required).toBe('PT15M');
  });

  it('a consumer that left no longer holds it up', () => {
    const world = watched();
    const { id } = world.request();
    emitting(world, id);
    const [api] = world.family.state.consumers;
    world.decideFamily({ type: 'RemoveConsumer', consumerId: api?.consumerId ?? '', reason: 'retired' });
    for (const consumer of world.family.state.consumers) {
      if (consumer.roles.includes('emitter')) {
        world.confirm(id, consumer.consumerId, 'emitter', consumer.instances);
      }
    }
    world.elapse(6 * HOUR);
    expect(world.rotation(id).phase).toBe('completed');
  });
});

describe('holds', () => {
  const freeze = {
    freeze: someUuid(50),
    name: 'Year end',
    reason: 'the books close',
    from: 0,
    scope: {},
    declaredBy: 'somebody',
  };
  const hold = { at: 0, eventId: someUuid(51) };

  it('a freeze holds every forward step, and who waits sees which', () => {
    const world = watched();
    const { id } = world.request();
    accepting(world, id);
    world.holds = { freezes: [freeze] };
    confirmEverything(world, id, 5);
    expect(world.rotation(id).switched).toBeUndefined();
    expect(world.waits.get(id)).toBe('held: the freeze Year end: the books close');
    world.holds = { freezes: [{ ...freeze, liftedAt: world.now }] };
    confirmEverything(world, id, 8);
    expect(world.rotation(id).phase).toBe('completed');
  });

  it.each([
    [
      'the clock',
      { freezes: [], clock: { ...hold, reason: 'it leapt', leaps: [{ wall: 0, expected: 0 }] as const } },
    ],
    ['the log', { freezes: [], integrity: { ...hold, reason: 'a hash does not match' } }],
    ['a restore', { freezes: [], restore: { ...hold, reason: 'the log is of yesterday' } }],
    ['a freeze', { freezes: [freeze] }],
  ])('%s holds emit and revoke; the way back and an emergency go through and name it', (_what, holds) => {
    for (const phase of [accepting, draining]) {
      const world = watched();
      const { id } = world.request();
      phase(world, id);
      world.holds = holds;
      confirmEverything(world, id, 6);
      const { switched, revoked } = world.rotation(id);
      expect(phase === accepting ? switched : revoked).toBeUndefined();
      expect(world.waits.get(id)).toMatch(/^held: /);
    }
    const back = watched();
    const rolled = back.request().id;
    emitting(back, rolled);
    back.holds = holds;
    back.rollBack(rolled);
    back.run();
    expect(back.backEnd.emitting()).toEqual(['old']);

    const urgent = watched();
    urgent.holds = holds;
    const { id } = urgent.emergency(['old']);
    urgent.elapse(DAY);
    expect(urgent.rotation(id).phase).toBe('completed');
    const passed = urgent
      .rotationEvents(id)
      .flatMap((event) =>
        event.type === 'StepStarted' && event.data.step === 'emit' ? (event.data.passed ?? []) : [],
      );
    expect(passed.join()).toContain('held: ');
  });

  it('a rollback’s own withdrawal keeps the clock rules', () => {
    const world = watched();
    const { id } = world.request();
    emitting(world, id);
    world.holds = {
      freezes: [],
      clock: { ...hold, reason: 'it leapt', leaps: [{ wall: 0, expected: 0 }] as const },
    };
    world.rollBack(id);
    confirmEverything(world, id, 6);
    expect(world.rotation(id).withdrawn).toBeUndefined();
    world.holds = { freezes: [] };
    confirmEverything(world, id, 2);
    expect(world.rotation(id).phase).toBe('rolled-back');
  });

  it('a family’s own windows place emit inside the policy’s, and never beside them', () => {
    const window = (from: string, to: string) => ({
      weekdays: ['wednesday' as const],
      from,
      to,
      timeZone: 'UTC',
    });
    const terms = someTerms({ changeWindows: [window('10:00', '11:00')] });
    const world = watched({ schedule: { changeWindows: [window('08:00', '12:00')] } });
    const { id } = world.request({ policy: { id: someUuid(77), revision: 0, name: 'mornings', terms } });
    accepting(world, id);
    world.confirmAll(id, 'verifier');
    world.elapse(3 * DAY);
    expect(new Date(factsOf(world, id, 'EmitterSwitched')[0]?.recordedAt ?? 0).toISOString()).toBe(
      '2026-03-04T10:00:00.000Z',
    );
  });

  it('emit and revoke each wait for the change window; generating and accepting do not', () => {
    const schedule: FamilySchedule = {
      changeWindows: [{ weekdays: ['wednesday'], from: '10:00', to: '11:00', timeZone: 'UTC' }],
      blackouts: [{ from: '2026-03-04T00:00:00.000Z', to: '2026-03-05T00:00:00.000Z', reason: 'a launch' }],
    };
    const world = watched({ schedule });
    const { id } = world.request();
    accepting(world, id);
    expect(world.rotation(id).accepted).toBeDefined();
    for (let hour = 0; hour < 24 * 17; hour += 1) {
      world.confirmAll(id, 'verifier');
      world.confirmAll(id, 'emitter');
      world.elapse(HOUR);
    }
    const at = (type: 'EmitterSwitched' | 'OldKeyRevoked'): string =>
      new Date(factsOf(world, id, type)[0]?.recordedAt ?? 0).toISOString();
    // Wednesday the 4th is blacked out.
    expect(at('EmitterSwitched')).toBe('2026-03-11T10:00:00.000Z');
    expect(at('OldKeyRevoked')).toBe('2026-03-18T10:00:00.000Z');
  });
});

describe('telemetry', () => {
  const gates = {
    telemetry: { minUses: 100, freshWithin: 'PT1H', previousAtMost: 500, invalidAtMost: 10 },
  };
  const policy = { id: someUuid(77), revision: 0, name: 'counted', terms: someTerms({ gates }) };
  const sampleAt = (now: number, current: number, previous: number, invalid = 0) => ({
    from: now - HOUR,
    to: now,
    current,
    previous,
    invalid,
    recordedAt: now,
    eventId: someUuid(60),
  });

  function drained(): { readonly world: SimulatedWorld; readonly id: string } {
    const world = watched();
    const { id } = world.request({ policy });
    draining(world, id);
    world.elapse(12 * HOUR);
    return { world, id };
  }

  it.each([
    ['nothing was counted', undefined, 'nothing was counted yet'],
    ['zero traffic', [0, 0, 0], '0 uses were counted'],
    ['too little traffic', [99, 0, 0], '99 uses were counted'],
    ['too much of the old version', [900, 100, 0], '100 of 1000 uses are of the old version'],
    ['too many failures', [1_000, 0, 2], '2 of 1002 verifications failed'],
  ] as const)('%s holds the revocation', (_name, counts, saying) => {
    const { world, id } = drained();
    if (counts !== undefined) {
      const [current, previous, invalid] = counts;
      world.telemetry = { newest: sampleAt(world.now, current, previous, invalid) };
    }
    world.run();
    expect(world.rotation(id).revoked).toBeUndefined();
    expect(world.waits.get(id)).toContain(saying);
    expect(
      world.ask(id, { type: 'OverrideConfirmation', gate: 'telemetry', reason: 'counted by hand' }),
    ).toBe(undefined);
    world.run();
    expect(world.rotation(id).revoked).toBeDefined();
  });

  it('a quiet sample lets it pass and stands in the record; an old one does not', () => {
    const { world, id } = drained();
    world.telemetry = { newest: sampleAt(world.now - 2 * HOUR, 10_000, 3) };
    world.run();
    expect(world.waits.get(id)).toContain('too old');
    world.telemetry = { newest: sampleAt(world.now, 10_000, 3) };
    world.run();
    const gate = factsOf(world, id, 'GateEvaluated').find((event) => event.data.gate === 'telemetry');
    expect(gate?.data.actual).toBe('3 of 10003, 0 failed');
  });

  it('StockEase’s 52: the old version seen after all it emitted had run out means an unknown emitter, whatever the threshold', () => {
    const world = watched();
    const { id } = world.request();
    draining(world, id);
    world.telemetry = { newest: sampleAt(world.now, 1_000_000, 1), previousSeenAt: world.now + 2 * HOUR };
    world.elapse(12 * HOUR);
    expect(world.rotation(id).revoked).toBeUndefined();
    expect(world.waits.get(id)).toContain('somebody unknown emits with it');
  });

  it('n of m: a policy may ask for less than every verifier, never for less time', () => {
    const quorum = { ...policy, terms: someTerms({ gates: { acceptanceQuorum: 50 } }) };
    const world = watched();
    const { id } = world.request({ policy: quorum });
    accepting(world, id);
    const [, gateway] = world.family.state.consumers;
    world.confirm(id, gateway?.consumerId ?? '', 'verifier', 1);
    world.elapse(3 * HOUR);
    expect(world.rotation(id).switched).toBeDefined();
    const [first] = factsOf(world, id, 'GateEvaluated');
    expect(first?.data).toMatchObject({ required: '1 of 2 verifiers', actual: '1 of 2 verifiers' });
  });
});

describe('attested steps', () => {
  const evidence = { link: 'https://change.example/CHG-7' };
  const attested: WorldOptions = {
    details: someDetails({ mode: 'attested', authority: { kind: 'nobody' } }),
  };

  function attest(
    world: SimulatedWorld,
    id: string,
    step: Extract<NewRotationEvent, { type: 'Attested' }>['data']['step'],
    more: { readonly versionId?: string } = {},
  ): string | undefined {
    const refused = world.ask(id, {
      type: 'AttestStep',
      step,
      attestation: { evidence, by: 'Platform on call' },
      now: world.now,
      ...(more.versionId === undefined ? {} : { generated: { versionId: more.versionId } }),
    });
    world.run();
    return refused;
  }

  it('a family whose steps are people’s: each step waits for its attestation, and no back end is called', () => {
    const world = watched(attested);
    const { id } = world.request();
    approve(world, id);
    world.run();
    expect(world.waits.get(id)).toBe('an attestation of generate');
    expect(attest(world, id, 'accept')).toBe('step.not-open');
    expect(attest(world, id, 'generate', { versionId: 'v7' })).toBeUndefined();
    expect(world.plan(id).incoming).toBe('v7');
    expect(attest(world, id, 'accept')).toBeUndefined();
    world.confirmAll(id, 'verifier');
    until(world, () => world.waits.get(id) === 'an attestation of emit', 'the switch');
    expect(attest(world, id, 'emit')).toBeUndefined();
    world.confirmAll(id, 'emitter');
    until(world, () => world.waits.get(id) === 'an attestation of revoke', 'the drain');
    expect(attest(world, id, 'revoke')).toBeUndefined();
    expect(attest(world, id, 'verify')).toBeUndefined();
    world.elapse(2 * HOUR);
    expect(world.rotation(id).phase).toBe('completed');
    expect(world.backEnd.changes).toEqual([]);
    const outcomes = world.rotationEvents(id).filter((event) => event.provenance === 'attested');
    expect(outcomes.map((event) => event.type)).toEqual([
      'Attested',
      'KeyGenerated',
      'Attested',
      'DualAcceptDeployed',
      'Attested',
      'EmitterSwitched',
      'Attested',
      'OldKeyRevoked',
      'Attested',
      'OldKeyRejectionVerified',
    ]);
  });

  it('an attestation without evidence is refused and leaves the record as it was; a note is enough in an emergency only', () => {
    const world = watched(attested);
    const { id } = world.request();
    approve(world, id);
    world.run();
    const before = world.rotationEvents(id).length;
    const bare = (step: 'generate', note?: string) =>
      ({
        type: 'AttestStep',
        step,
        attestation: { evidence: note === undefined ? {} : { note } },
        now: world.now,
      }) as const;
    expect(world.ask(id, bare('generate'))).toBe('attestation.no-evidence');
    expect(world.ask(id, bare('generate', 'believe me'))).toBe('attestation.no-evidence');
    expect(world.rotationEvents(id)).toHaveLength(before);
    const emergency = world.emergency(['old'], { contain: false }).id;
    world.run();
    expect(world.ask(emergency, bare('generate'))).toBe('attestation.no-evidence');
    expect(world.ask(emergency, bare('generate', 'made on the console'))).toBeUndefined();
  });

  it('the back end unreachable: an emergency goes from its declaration to its end by people, and is compared afterwards', () => {
    const world = watched();
    world.awayUntil = Infinity;
    const { id } = world.emergency(['old'], { contain: false });
    world.run();
    expect(world.waits.get(id)).toContain('the back end to be observed');
    // Nobody has to ask: after the limit for observing the record has to do.
    world.elapse(3 * MINUTE);
    expect(world.plan(id).exceptions).toContain(
      'Planned from the record: the back end could not be observed.',
    );
    for (const step of ['generate', 'accept', 'emit', 'revoke', 'verify'] as const) {
      until(
        world,
        () =>
          world.ask(id, { type: 'SwitchToAttested', step, reason: 'it is sealed', now: world.now }) ===
          undefined,
        `${step} in people’s hands`,
      );
      world.run();
      expect(world.waits.get(id)).toBe(`an attestation of ${step}`);
      expect(attest(world, id, step)).toBeUndefined();
    }
    world.elapse(DAY);
    expect(world.rotation(id).phase).toBe('completed');
    expect(world.rotation(id).unreconciled).toContain('revoke');
  });

  it('what the back end does not show, once it can be seen, is performed after all; what it shows is said to agree', () => {
    for (const agrees of [true, false]) {
      const world = watched();
      const { id } = world.request();
      draining(world, id);
      until(
        world,
        () =>
          world.rotation(id).steps.failure?.step === 'revoke' ||
          world.rotation(id).revoked !== undefined ||
          (world.awayUntil = Infinity) === Infinity,
        'sealed',
      );
      world.elapse(6 * HOUR);
      until(
        world,
        () =>
          world.ask(id, {
            type: 'SwitchToAttested',
            step: 'revoke',
            reason: 'it is sealed',
            now: world.now,
          }) === undefined,
        'the revocation in people’s hands',
      );
      expect(attest(world, id, 'revoke')).toBeUndefined();
      expect(world.rotation(id).revoked).toBeDefined();
      if (agrees) {
        world.backEnd.versions = world.backEnd.versions.map((version) =>
          version.versionId === 'old' ? { ...version, accepted: false } : version,
        );
      }
      world.awayUntil = 0;
      world.elapse(6 * HOUR);
      expect(factsOf(world, id, 'AttestationReconciled').map((event) => event.data.agrees)).toEqual([agrees]);
      expect(factsOf(world, id, 'OldKeyRevoked')).toHaveLength(agrees ? 1 : 2);
      expect(world.rotation(id).phase).toBe('completed');
      expect(world.backEnd.accepted()).toEqual([world.incomingOf(id)]);
    }
  });

  it('a step that may still take effect is not taken over before it is surely over', () => {
    const world = watched({ othersAreDead: false, outlivesProcess: true });
    const { id } = world.request();
    world.injectAt.set('accept', ['crash-late']);
    world.ask(id, { type: 'ApproveRotation', subject: APPROVER, now: world.now }, APPROVER);
    world.run();
    const take = (): string | undefined =>
      world.ask(id, { type: 'SwitchToAttested', step: 'accept', reason: 'now', now: world.now }, REQUESTER);
    expect(world.rotation(id).steps.open?.step).toBe('accept');
    expect(take()).toBe('step.in-flight');
  });

  it('only what is to be done can be attested, and only where it is people’s', () => {
    const world = watched();
    const { id } = world.request();
    accepting(world, id);
    expect(attest(world, id, 'emit')).toBe('step.not-attested');
    const take = (step: 'return' | 'contain' | 'generate'): string | undefined =>
      world.ask(id, { type: 'SwitchToAttested', step, reason: 'x', now: world.now });
    expect(take('return')).toBe('step.not-open');
    expect(take('contain')).toBe('step.not-open');
    expect(take('generate')).toBe('step.not-open');
  });
});

describe('a deviation that ends in mid-rotation', () => {
  const asked = (until: number) =>
    ({
      windows: { drain: 'PT3H' },
      deviation: { reason: 'the old key expires', until: new Date(until).toISOString() },
    }) as const;
  const tokens: WorldOptions = { details: someDetails({ artefactLife: 'PT6H' }) };
  const revokedAfter = (validFor: number): number => {
    const world = new SimulatedWorld(tokens);
    const { id } = world.request(asked(world.now + validFor));
    draining(world, id);
    const from = world.now;
    world.elapse(DAY);
    return (world.rotation(id).revoked?.at ?? Infinity) - from;
  };

  it('binds the computed window again', () => {
    const world = new SimulatedWorld(tokens);
    const { id } = world.request(asked(world.now + 2 * HOUR));
    draining(world, id);
    const { computed } = world.plan(id).windows?.drain ?? { computed: '' };
    expect(milliseconds(computed)).toBeGreaterThan(6 * HOUR);
    world.elapse(DAY);
    expect(world.plan(id).windows?.drain.required).toBe(computed);
    const amended = factsOf(world, id, 'PlanAmended').at(-1);
    expect(amended?.data.because.join(' ')).toContain('The deviation ended');
    expect(factsOf(world, id, 'PlanAmended')).toHaveLength(1);
    expect(revokedAfter(2 * HOUR)).toBe(milliseconds(computed));
  });

  it('control: while it lasts, the shorter window is enough', () => {
    expect(revokedAfter(DAY)).toBe(3 * HOUR);
  });
});
