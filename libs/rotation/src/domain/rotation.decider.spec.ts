import { describe, expect, it } from '@jest/globals';
import { DomainError, formatInstant } from '#eventlog';
import { deciderSpec, deepFreeze, frozenFold, recorded } from '#eventlog/testing';
import {
  APPROVER,
  DAY,
  draining,
  emitting,
  FAMILY_ID,
  HOUR,
  phases,
  REQUESTER,
  SimulatedWorld,
  someConsumer,
  someConsumers,
  someRequest,
  someTerms,
  someUuid,
  until,
  START,
} from '../testing/index.js';
import { milliseconds } from './duration.js';
import { rotationDecider, type RotationCommand } from './rotation.decider.js';
import type { RotationEvent } from './rotation.events.js';

const { given } = deciderSpec(rotationDecider);
const [api, gateway, worker] = someConsumers().map((consumer) => consumer.consumerId);
if (api === undefined || gateway === undefined || worker === undefined) throw new Error('no consumers');

interface Reached {
  readonly events: readonly RotationEvent[];
  readonly incoming: string;
}

/** The history of a rotation that came into a phase by the saga's own hand. */
function reached(name: string): Reached {
  const world = new SimulatedWorld();
  const { id } = world.request();
  const end = (): void => {
    for (let hour = 0; hour < 12; hour += 1) {
      world.confirmAll(id, 'verifier');
      world.confirmAll(id, 'emitter');
      world.elapse(HOUR);
    }
  };
  const known = phases[name];
  if (known !== undefined) known.setup(world, id);
  else if (name === 'none') return { events: [], incoming: world.incomingOf(id) };
  else if (name === 'completed') {
    phases.accepting?.setup(world, id);
    end();
  } else if (name === 'rolled-back') {
    emitting(world, id);
    world.rollBack(id);
    end();
  } else if (name === 'abandoned') {
    world.ask(id, { type: 'AbandonRotation', reason: 'not needed' });
    world.run();
  } else if (name === 'rejected') {
    world.ask(id, { type: 'RejectRotation', subject: APPROVER, reason: 'not now' });
  } else if (name === 'superseded') {
    world.emergency(['old']);
    world.run();
  } else if (name === 'imported') {
    const [requested, ...rest] = world.rotationEvents(id);
    if (requested === undefined) throw new Error('no request');
    return { events: [{ ...requested, provenance: 'imported' }, ...rest], incoming: world.incomingOf(id) };
  } else {
    const emergency = world.emergency(['old']).id;
    world.run();
    if (name === 'emergency, over') world.elapse(DAY);
    if (name === 'emergency, approved') world.ask(emergency, commands.approve());
    if (name === 'emergency, refused') world.ask(emergency, commands.reject(), APPROVER);
    return { events: world.rotationEvents(emergency), incoming: world.incomingOf(emergency) };
  }
  return { events: world.rotationEvents(id), incoming: world.incomingOf(id) };
}

const histories = new Map<string, Reached>();
function historyOf(name: string): Reached {
  const made = histories.get(name) ?? reached(name);
  histories.set(name, made);
  return made;
}

const commands = {
  approve: () => ({ type: 'ApproveRotation', subject: 'subject-second', now: START }),
  'approve own': () => ({ type: 'ApproveRotation', subject: REQUESTER, now: START }),
  reject: () => ({ type: 'RejectRotation', subject: APPROVER, reason: 'not now' }),
  'confirm acceptance': ({ incoming }) => ({
    type: 'ConfirmAcceptance',
    consumerId: gateway,
    versionId: incoming,
    instances: ['pod-0'],
  }),
  'confirm emission': ({ events, incoming }) => {
    const { returned, switched } = frozenFold(rotationDecider, events);
    return {
      type: 'ConfirmEmission',
      consumerId: api,
      versionId: returned?.to ?? switched?.to ?? incoming,
      instances: ['pod-0', 'pod-1'],
    };
  },
  override: () => ({
    type: 'OverrideConfirmation',
    gate: 'acceptance-confirmations',
    consumerId: gateway,
    reason: 'it is retired',
  }),
  'roll back': () => ({ type: 'RollBackRotation', reason: 'errors', compromised: [], reversible: true }),
  pause: () => ({ type: 'PauseRotation', reason: 'a release' }),
  resume: () => ({ type: 'ResumeRotation' }),
  abandon: () => ({ type: 'AbandonRotation', reason: 'not needed' }),
  retry: () => ({ type: 'RetryRotation' }),
  note: () => ({ type: 'AddNote', note: 'seen' }),
  review: () => ({ type: 'RecordReview', summary: 'what happened' }),
} as const satisfies Readonly<Record<string, (at: Reached) => RotationCommand>>;
type CommandName = keyof typeof commands;

/** What each command does: the event it decides, nothing, or the code of its refusal. */
type Row = Readonly<Record<CommandName, string>>;

const planned: Row = {
  approve: 'rotation.already-approved',
  'approve own': 'rotation.own-approval',
  reject: 'rotation.not-waiting',
  'confirm acceptance': 'confirmation.too-early',
  'confirm emission': 'confirmation.too-early',
  override: 'GateOverridden',
  'roll back': 'RollbackRequested',
  pause: 'PauseRequested',
  resume: 'nothing',
  abandon: 'AbandonRequested',
  retry: 'rotation.not-suspended',
  note: 'NoteAdded',
  review: 'rotation.not-an-emergency',
};
const every = (code: string): Row => ({
  approve: code,
  'approve own': code,
  reject: code,
  'confirm acceptance': code,
  'confirm emission': code,
  override: code,
  'roll back': code,
  pause: code,
  resume: code,
  abandon: code,
  retry: code,
  note: code,
  review: code,
});
const over: Row = {
  ...every('rotation.ended'),
  'approve own': 'rotation.own-approval',
  note: 'NoteAdded',
  review: 'rotation.not-an-emergency',
};
const emergency: Row = {
  ...planned,
  approve: 'RotationApproved',
  reject: 'RotationRejected',
  'confirm acceptance': 'AcceptanceConfirmed',
  'confirm emission': 'EmissionConfirmed',
  'roll back': 'rotation.emergency-rolls-forward',
  pause: 'rotation.emergency-not-paused',
  abandon: 'rotation.emergency-not-abandoned',
  review: 'PostIncidentReviewed',
};
const whileEmitting: Row = {
  ...planned,
  'confirm acceptance': 'nothing',
  'confirm emission': 'EmissionConfirmed',
  abandon: 'rotation.emission-started',
};
const revoked: Row = { ...whileEmitting, 'confirm emission': 'nothing' };

const table: Readonly<Record<string, Row>> = {
  none: every('rotation.not-found'),
  imported: { ...every('rotation.imported'), note: 'NoteAdded' },
  requested: { ...planned, approve: 'RotationApproved', reject: 'RotationRejected' },
  approved: planned,
  generated: planned,
  accepting: { ...planned, 'confirm acceptance': 'AcceptanceConfirmed' },
  paused: {
    ...planned,
    'confirm acceptance': 'AcceptanceConfirmed',
    pause: 'nothing',
    resume: 'RotationResumed',
  },
  suspended: { ...planned, retry: 'RetryRequested' },
  emitting: whileEmitting,
  draining: { ...whileEmitting, 'confirm emission': 'nothing' },
  revoked,
  watching: revoked,
  'rolling back, before the return': { ...whileEmitting, 'roll back': 'nothing' },
  'rolling back, after the return': { ...whileEmitting, 'roll back': 'nothing' },
  completed: over,
  'rolled-back': { ...over, 'roll back': 'nothing' },
  abandoned: { ...over, abandon: 'nothing' },
  rejected: { ...over, reject: 'rotation.already-rejected' },
  superseded: over,
  'emergency, running': emergency,
  'emergency, approved': { ...emergency, reject: 'rotation.already-approved' },
  'emergency, refused': {
    ...emergency,
    approve: 'rotation.approval-refused',
    reject: 'rotation.approval-refused',
  },
  'emergency, over': {
    ...over,
    approve: 'RotationApproved',
    reject: 'RotationRejected',
    review: 'PostIncidentReviewed',
  },
};

/** A decision of a person is one person's and has words of its own: a second one is refused, not acknowledged and dropped. */
const AGAIN: Readonly<Record<string, string>> = {
  RotationApproved: 'rotation.already-approved',
  RotationRejected: 'rotation.already-rejected',
  PostIncidentReviewed: 'rotation.already-reviewed',
};

function again(phase: string, decision: string): string {
  if (decision === 'RotationRejected' && phase.startsWith('emergency')) return 'rotation.approval-refused';
  return AGAIN[decision] ?? 'nothing';
}

function decided(command: RotationCommand, events: readonly RotationEvent[]): string {
  const state = frozenFold(rotationDecider, events);
  try {
    return (
      rotationDecider
        .decide(deepFreeze(command), state)
        .map((event) => event.type)
        .join() || 'nothing'
    );
  } catch (error) {
    if (error instanceof DomainError) return error.code;
    throw error;
  }
}

describe('every command in every phase', () => {
  let proved = 0;
  const names = Object.keys(commands) as readonly CommandName[];

  describe.each(Object.entries(table))('%s', (phase, row) => {
    it.each(names)('%s', (name) => {
      const at = historyOf(phase);
      const command = commands[name](at);
      expect(decided(command, at.events)).toBe(row[name]);
      // Decided again after its own events, it decides nothing, or says whose decision stands; a note may be written twice.
      if (/^[A-Z]/.test(row[name]) && name !== 'note') {
        const state = frozenFold(rotationDecider, at.events);
        const own = rotationDecider.decide(command, state).map((event, index) =>
          recorded(event, {
            stream: at.events[0]?.stream ?? '',
            revision: at.events.length + index,
            recordedAt: at.events.at(-1)?.recordedAt ?? 0,
            actor: 'subject' in command ? command.subject : REQUESTER,
          }),
        );
        expect(decided(command, [...at.events, ...own])).toBe(again(phase, row[name]));
      }
      proved += 1;
    });
  });

  it('the whole table was proved', () => {
    expect(proved).toBe(23 * 13);
  });

  it('the request of a rotation that exists decides nothing', () => {
    expect(
      decided(
        { type: 'RequestRotation', family: FAMILY_ID, request: someRequest() },
        historyOf('requested').events,
      ),
    ).toBe('nothing');
  });
});

describe('approvals', () => {
  const policy = (approvals: number) => ({
    id: someUuid(7),
    revision: 0,
    name: 'Two pairs of eyes',
    terms: someTerms({ approvals }),
  });

  it('the requester’s own is refused, by any token of theirs: the subject is compared', () => {
    const world = new SimulatedWorld();
    const { id } = world.request({ requestedBy: 'subject-ada' });
    // Another actor on the request's behalf changes nothing: who approves is what counts.
    expect(
      world.ask(id, { type: 'ApproveRotation', subject: 'subject-ada', now: world.now }, 'token-of-ada'),
    ).toBe('rotation.own-approval');
  });

  it('the same subject twice counts once, two different ones count twice', () => {
    const world = new SimulatedWorld();
    const { id } = world.request({ policy: policy(2) });
    const approve = (subject: string, refused?: string): void => {
      expect(world.ask(id, { type: 'ApproveRotation', subject, now: world.now }, subject)).toBe(refused);
      world.run();
    };
    approve('subject-ben');
    approve('subject-ben', 'rotation.already-approved');
    expect(world.rotation(id).phase).toBe('requested');
    expect(world.waits.get(id)).toBe('approval: 1 of 2');
    approve('subject-eve');
    expect(world.rotation(id).phase).toBe('accepting');
  });

  it('a second decision names whose stands, and since when', () => {
    const world = new SimulatedWorld();
    const { id } = world.request();
    world.ask(id, { type: 'RejectRotation', subject: 'subject-ben', reason: 'not now' }, 'subject-ben');
    const state = world.rotation(id);
    expect(() =>
      rotationDecider.decide({ type: 'RejectRotation', subject: 'subject-eve', reason: 'never' }, state),
    ).toThrow(`already rejected by subject-ben at ${formatInstant(state.ended?.at ?? 0)}`);
  });

  it('a forged approval of the requester in the log does not start it', () => {
    const world = new SimulatedWorld();
    const { id } = world.request();
    world.ask(id, { type: 'ApproveRotation', subject: 'subject-ben', now: world.now }, REQUESTER);
    world.run();
    expect(world.rotation(id).generated).toBeUndefined();
  });

  it('none needed: it starts at once; rejected: it ends and frees the slot', () => {
    const world = new SimulatedWorld();
    const { id } = world.request({ policy: policy(0) });
    world.run();
    expect(world.rotation(id).phase).toBe('accepting');
    const other = new SimulatedWorld();
    const rejected = other.request();
    other.ask(rejected.id, { type: 'RejectRotation', subject: APPROVER, reason: 'not now' });
    other.run();
    expect(other.family.state.slot?.open).toBe(false);
    expect(other.family.state.closed).toEqual([{ rotation: rejected.id, outcome: 'rejected' }]);
  });
});

describe('confirmations', () => {
  const at = (phase: string): Reached => historyOf(phase);
  const confirm = (
    changes: Partial<RotationCommand & { readonly type: 'ConfirmEmission' }> = {},
  ): RotationCommand => ({
    type: 'ConfirmEmission',
    consumerId: api,
    versionId: at('emitting').incoming,
    instances: ['pod-0'],
    ...changes,
  });

  it('k of n: a consumer is confirmed when as many instances as it has confirmed', () => {
    const world = new SimulatedWorld();
    const { id } = world.request();
    emitting(world, id);
    world.confirm(id, worker, 'emitter', 1);
    world.confirm(id, api, 'emitter', 1);
    expect(world.rotation(id).phase).toBe('emitting');
    world.elapse(DAY);
    expect(world.rotation(id).revoked).toBeUndefined();
    world.confirm(id, api, 'emitter', 2);
    expect(world.rotation(id).phase).toBe('draining');
  });

  it('only what is new is recorded, and an instance named twice counts once', () => {
    const { events, incoming } = at('emitting');
    const one = (instances: readonly string[], recordedInstances: string[]): void => {
      given(...events)
        .when(confirm({ instances }))
        .then({
          type: 'EmissionConfirmed',
          data: { consumerId: api, versionId: incoming, instances: recordedInstances },
          provenance: 'confirmed',
        });
    };
    one(['pod-0'], ['pod-0']);
    one(['pod-0', 'pod-0', 'pod-1', 'pod-0'], ['pod-0', 'pod-1']);
  });

  it.each<[string, Partial<RotationCommand & { readonly type: 'ConfirmEmission' }>, string]>([
    ['an unknown consumer', { consumerId: someUuid(9) }, 'confirmation.unknown-consumer'],
    ['one that only verifies', { consumerId: gateway }, 'confirmation.wrong-role'],
    ['another rotation’s version', { versionId: 'version-of-another' }, 'confirmation.other-version'],
    ['the old version', { versionId: 'old' }, 'confirmation.other-version'],
    ['more instances than there are', { instances: ['a', 'b', 'c'] }, 'confirmation.too-many-instances'],
  ])('%s is refused', (_what, changes, code) => {
    given(...at('emitting').events)
      .when(confirm(changes))
      .thenRejected(code);
  });

  it('a refusal names the consumer that was sent, those there are, and the role in English', () => {
    const world = new SimulatedWorld();
    const { id } = world.request();
    emitting(world, id);
    const says = (changes: Parameters<typeof confirm>[0]) => (): unknown =>
      rotationDecider.decide(confirm(changes), world.rotation(id));
    const names = world.plan(id).consumers.map(({ name }) => name);
    expect(says({ consumerId: someUuid(9) })).toThrow(
      `no consumer ${someUuid(9)}; it has: ${names.join(', ')}`,
    );
    expect(says({ consumerId: gateway })).toThrow(/is not an emitter of this family/);
  });

  it('an emitter does not confirm acceptance', () => {
    const { events, incoming } = at('accepting');
    given(...events)
      .when({ type: 'ConfirmAcceptance', consumerId: api, versionId: incoming, instances: ['pod-0'] })
      .thenRejected('confirmation.wrong-role');
  });

  it('an override is for a consumer of this plan', () => {
    given(...at('emitting').events)
      .when({
        type: 'OverrideConfirmation',
        gate: 'emission-confirmations',
        consumerId: someUuid(9),
        reason: 'who?',
      })
      .thenRejected('override.unknown-consumer');
  });

  it('and its refusal names the consumers there are', () => {
    const state = frozenFold(rotationDecider, at('emitting').events);
    const override = (consumerId?: string) => (): unknown =>
      rotationDecider.decide(
        {
          type: 'OverrideConfirmation',
          gate: 'emission-confirmations',
          reason: 'x',
          ...(consumerId === undefined ? {} : { consumerId }),
        },
        state,
      );
    expect(override(someUuid(9))).toThrow(`no consumer ${someUuid(9)}; it has: `);
    expect(override()).toThrow(/name the consumer .* it has: /);
  });

  it('Teleport #1945: a confirmed acceptance is no confirmed emission, nor the reverse', () => {
    const world = new SimulatedWorld();
    const { id } = world.request();
    emitting(world, id);
    expect(world.rotation(id).emission).toEqual([]);
    expect(world.rotation(id).acceptance.length).toBe(2);
  });

  it('a confirmation of the new version says nothing about the way back', () => {
    const world = new SimulatedWorld();
    const { id } = world.request();
    emitting(world, id);
    world.confirmAll(id, 'emitter');
    world.rollBack(id);
    world.run();
    expect(world.rotation(id).emission).toEqual([]);
    const old = { type: 'ConfirmEmission', consumerId: api, instances: ['pod-0'] } as const;
    expect(world.ask(id, { ...old, versionId: world.incomingOf(id) })).toBe('confirmation.other-version');
    expect(world.ask(id, { ...old, versionId: 'old' })).toBeUndefined();
  });
});

describe('rolling back', () => {
  it('is refused where the old version is compromised, or nothing emitted before', () => {
    given(...historyOf('emitting').events)
      .when({ type: 'RollBackRotation', reason: 'errors', compromised: ['old'] })
      .thenRejected('rotation.old-compromised');
    const world = new SimulatedWorld({ versions: [] });
    const { id } = world.request();
    emitting(world, id);
    expect(world.rollBack(id)).toBe('rotation.nothing-before');
  });

  it('past the point of no return it is refused as long as the revocation may have happened: open, unknown, or half observed', () => {
    const world = new SimulatedWorld({ consumers: [someConsumer(1)] });
    const { id } = world.request();
    emitting(world, id);
    world.confirmAll(id, 'emitter');
    world.injectAt.set('revoke', ['unknown-done', 'unobservable', 'view-moved', 'observing-refused']);
    const rollBack = (): string | undefined =>
      world.ask(id, { type: 'RollBackRotation', reason: 'errors', compromised: [], reversible: false });
    for (let turn = 0; world.rotation(id).suspended === undefined && turn < 500; turn += 1) {
      world.wakeNext(world.now + HOUR);
      if (world.backEnd.accepted().length === 1) expect(rollBack()).toBe('rotation.point-of-no-return');
    }
    expect(world.rotation(id).suspended?.code).toBe('step.revoke.auth');
    expect(rollBack()).toBe('rotation.point-of-no-return');
    world.ask(id, { type: 'RetryRotation' });
    world.elapse(3 * HOUR);
    expect(world.rotation(id).phase).toBe('completed');
    expect(world.backEnd.repeats).toEqual([]);
  });

  it('after the revocation the old version is accepted again, its accept window passes anew, and only then emission returns', () => {
    const world = new SimulatedWorld();
    const { id } = world.request();
    draining(world, id);
    until(world, () => world.rotation(id).verified !== undefined, 'the verification');
    expect(world.backEnd.accepted()).toEqual([world.incomingOf(id)]);
    expect(world.rollBack(id)).toBeUndefined();
    world.run();
    expect(world.backEnd.accepted()).toContain('old');
    expect(world.backEnd.emitting()).toEqual([world.incomingOf(id)]);
    const { reaccepted } = world.rotation(id);
    const window = milliseconds(world.plan(id).windows?.accept.required);
    until(world, () => world.rotation(id).returned !== undefined, 'the return');
    expect(world.rotation(id).returned?.at).toBe((reaccepted?.at ?? 0) + window);
    expect(world.backEnd.emitting()).toEqual(['old']);
    expect(world.backEnd.accepted()).toContain(world.incomingOf(id));
    world.confirmAll(id, 'emitter');
    world.elapse(DAY);
    expect(world.rotation(id).phase).toBe('rolled-back');
    expect(world.backEnd.accepted()).toEqual(['old']);
  });

  it('that accept window can be cut, as a recorded decision; before the revocation there is none to cut', () => {
    const world = new SimulatedWorld();
    const { id } = world.request();
    draining(world, id);
    const cut = { type: 'RollBackRotation', reason: 'an outage', compromised: [], reversible: true } as const;
    expect(world.ask(id, { ...cut, acceptWindow: 'PT0S' })).toBe('rollback.no-accept-window');
    until(world, () => world.rotation(id).revoked !== undefined, 'the revocation');
    expect(world.ask(id, { ...cut, acceptWindow: 'PT0S' })).toBeUndefined();
    const asked = world.now;
    world.run();
    expect(world.rotation(id).returned?.at).toBe(asked);
    const requests = world.rotationEvents(id).filter((event) => event.type === 'RollbackRequested');
    expect(requests).toMatchObject([{ data: { acceptWindow: 'PT0S' } }]);
  });

  it('a destroyed version is never rolled back to', () => {
    const world = new SimulatedWorld();
    const { id } = world.request();
    draining(world, id);
    until(world, () => world.rotation(id).revoked !== undefined, 'the revocation');
    const command = {
      type: 'RollBackRotation',
      reason: 'errors',
      compromised: [],
      destroyed: ['old'],
      reversible: true,
    } as const;
    expect(world.ask(id, command)).toBe('rotation.old-destroyed');
  });
});

describe('an emergency refused in retrospect', () => {
  const types = (world: SimulatedWorld, id: string): readonly string[] =>
    world
      .rotationEvents(id)
      .map(({ type }) => type)
      .filter((type) => type !== 'RotationRejected');

  const declared = (): { readonly world: SimulatedWorld; readonly id: string } => {
    const world = new SimulatedWorld();
    return { world, id: world.emergency(['old']).id };
  };

  it('undoes and ends nothing, whenever it is refused', () => {
    const approved = declared();
    approved.world.elapse(2 * DAY);
    const undisturbed = types(approved.world, approved.id);
    expect(approved.world.rotation(approved.id).phase).toBe('completed');
    for (const after of [0, 1_000, 60_000, HOUR, DAY, 2 * DAY]) {
      const { world, id } = declared();
      world.elapse(after);
      expect(world.ask(id, commands.reject(), APPROVER)).toBeUndefined();
      world.elapse(2 * DAY - after);
      expect(types(world, id)).toEqual(undisturbed);
      expect(world.rotation(id)).toMatchObject({
        phase: 'completed',
        approvals: [],
        refused: { subject: APPROVER, reason: 'not now' },
      });
      expect(world.backEnd.accepted()).toEqual(approved.world.backEnd.accepted());
    }
  });

  it('is refused once, by another than declared it, and never approved after', () => {
    const { world, id } = declared();
    const refuse = (subject: string): string | undefined =>
      world.ask(id, { type: 'RejectRotation', subject, reason: 'a test key' }, subject);
    expect(refuse(REQUESTER)).toBe('rotation.own-approval');
    expect(refuse(APPROVER)).toBeUndefined();
    expect(refuse(APPROVER)).toBe('rotation.approval-refused');
    expect(refuse('subject-second')).toBe('rotation.approval-refused');
    expect(world.rotationEvents(id).filter(({ type }) => type === 'RotationRejected')).toHaveLength(1);
  });
});
