import { describe, expect, it } from '@jest/globals';
import { DomainError } from '#eventlog';
import { deciderSpec, deepFreeze, frozenFold, history, recorded } from '#eventlog/testing';
import {
  FAMILY_ID,
  someConsumer,
  someDetails,
  someRequest,
  someUuid,
  someVersion,
} from '../testing/index.js';
import { familyDecider, type FamilyCommand } from './family.decider.js';
import type { FamilyDetails, FamilyEvent, NewFamilyEvent } from './family.events.js';

const { given } = deciderSpec(familyDecider);

const registered: NewFamilyEvent = { type: 'FamilyRegistered', data: someDetails() };
const tracked: NewFamilyEvent = { type: 'FamilyRegistered', data: someDetails({ mode: 'tracked' }) };
const consumer = someConsumer(1);
const withConsumer: NewFamilyEvent = { type: 'ConsumerRegistered', data: { ...consumer } };
const opened: NewFamilyEvent = {
  type: 'RotationOpened',
  data: { rotation: someUuid(11), request: someRequest() },
};
const closed: NewFamilyEvent = {
  type: 'RotationClosed',
  data: { rotation: someUuid(11), outcome: 'rolled-back', versions: [someVersion('old')] },
};
const emergencyRequest = someRequest({
  strategy: 'emergency',
  trigger: 'compromise',
  emergency: { compromisedVersions: ['old'], discoveredAt: '2026-03-02T09:00:00.000Z', contain: true },
});

const commands: Readonly<Record<string, FamilyCommand>> = {
  register: { type: 'RegisterFamily', details: someDetails() },
  runbook: { type: 'ReviseRunbook', runbook: { scope: 'sessions' } },
  owner: { type: 'AssignOwner', owner: { role: 'Identity on call' } },
  'register consumer': { type: 'RegisterConsumer', consumer },
  'revise consumer': { type: 'ReviseConsumer', consumer: { ...consumer, cacheTtl: 'PT2H' } },
  'remove consumer': { type: 'RemoveConsumer', consumerId: consumer.consumerId, reason: 'gone' },
  suspect: { type: 'SuspectCompromise', versions: ['old'], reason: 'odd logins' },
  rotate: { type: 'OpenRotation', rotation: someUuid(12), request: someRequest() },
  emergency: { type: 'OpenRotation', rotation: someUuid(13), request: emergencyRequest },
};
const histories: Readonly<Record<string, readonly NewFamilyEvent[]>> = {
  none: [],
  tracked: [tracked],
  driven: [registered],
  'with a consumer': [registered, withConsumer],
  'slot open': [registered, withConsumer, opened],
  'slot closed': [registered, withConsumer, opened, closed],
};
const missing = 'family.not-found';
const both = 'CompromiseConfirmed,RotationOpened';
const table: Readonly<Record<string, readonly string[]>> = {
  none: ['FamilyRegistered', ...Array.from({ length: 8 }, () => missing)],
  tracked: [
    'nothing',
    'RunbookRevised',
    'OwnerAssigned',
    'ConsumerRegistered',
    'consumer.not-found',
    'nothing',
    'CompromiseSuspected',
    'family.not-driven',
    both,
  ],
  driven: [
    'nothing',
    'RunbookRevised',
    'OwnerAssigned',
    'ConsumerRegistered',
    'consumer.not-found',
    'nothing',
    'CompromiseSuspected',
    'RotationOpened',
    both,
  ],
  'with a consumer': [
    'nothing',
    'RunbookRevised',
    'OwnerAssigned',
    'nothing',
    'ConsumerRevised',
    'ConsumerRemoved',
    'CompromiseSuspected',
    'RotationOpened',
    both,
  ],
  'slot open': [
    'nothing',
    'RunbookRevised',
    'OwnerAssigned',
    'nothing',
    'ConsumerRevised',
    'ConsumerRemoved',
    'CompromiseSuspected',
    'rotation.already-running',
    both,
  ],
  'slot closed': [
    'nothing',
    'RunbookRevised',
    'OwnerAssigned',
    'nothing',
    'ConsumerRevised',
    'ConsumerRemoved',
    'CompromiseSuspected',
    'RotationOpened',
    both,
  ],
};

const stream = `family-${FAMILY_ID}`;
const stored = (events: readonly NewFamilyEvent[]): readonly FamilyEvent[] =>
  events.map((event, revision) => recorded(event, { stream, revision }));

function result(command: FamilyCommand, events: readonly NewFamilyEvent[]): string {
  const state = frozenFold(familyDecider, stored(events));
  try {
    return (
      familyDecider
        .decide(deepFreeze(command), state)
        .map((event) => event.type)
        .join() || 'nothing'
    );
  } catch (error) {
    if (error instanceof DomainError) return error.code;
    throw error;
  }
}

describe('every command in every phase of a family', () => {
  const cells = Object.entries(table).flatMap(([phase, row]) =>
    Object.entries(commands).map(([name, command], index) => ({
      phase,
      name,
      command,
      expected: row[index] ?? 'no expectation',
      events: histories[phase] ?? [],
    })),
  );

  it.each(cells)('$phase: $name → $expected', ({ command, events, expected }) => {
    expect(result(command, events)).toBe(expected);
    if (!/^[A-Z]/.test(expected)) return;
    // After its own events it decides nothing.
    const own = familyDecider.decide(command, frozenFold(familyDecider, stored(events)));
    expect(result(command, [...events, ...own])).toBe('nothing');
  });

  it('the whole table was proved', () => {
    expect(cells).toHaveLength(6 * 9);
  });
});

describe('what Keyturn drives', () => {
  it.each<[string, Partial<FamilyDetails>, string]>([
    ['rotated by somebody else', { authority: { kind: 'pipeline' } }, 'family.authority-refused'],
    ['a MAC family with a signing algorithm', { usage: 'mac' }, 'family.usage-mismatch'],
    ['that signs with a password', { algorithm: 'password', usage: 'sign' }, 'family.usage-mismatch'],
    ['that makes MACs with a password', { algorithm: 'password', usage: 'mac' }, 'family.usage-mismatch'],
  ])('a family %s is refused', (_what, changes, code) => {
    given()
      .when({ type: 'RegisterFamily', details: someDetails(changes) })
      .thenRejected(code);
  });

  it.each(['backEnd', 'algorithm'] as const)('one without its %s is refused, naming the field', (field) => {
    const { [field]: _left, ...details } = someDetails();
    given()
      .when({ type: 'RegisterFamily', details })
      .thenRejected(field === 'backEnd' ? 'family.back-end-missing' : 'family.algorithm-missing', { field });
  });

  it('a password is what a login presents', () => {
    const details = someDetails({ algorithm: 'password', usage: 'authenticate' });
    given().when({ type: 'RegisterFamily', details }).then({ type: 'FamilyRegistered', data: details });
    given()
      .when({ type: 'RegisterFamily', details: { ...details, usage: 'sign' } })
      .thenRejected('family.usage-mismatch', { field: 'algorithm' });
  });

  it('an incomplete one is only kept from being driven', () => {
    const details = someDetails({ mode: 'tracked', authority: { kind: 'nobody' }, overlap: 'none' });
    given().when({ type: 'RegisterFamily', details }).then({ type: 'FamilyRegistered', data: details });
  });
});

describe('the slot', () => {
  it('an emergency waits for none: in one append it confirms the compromise and closes what is open', () => {
    given(registered, opened)
      .when({ type: 'OpenRotation', rotation: someUuid(13), request: emergencyRequest })
      .then(
        {
          type: 'CompromiseConfirmed',
          data: {
            versions: ['old'],
            reason: emergencyRequest.reason,
            discoveredAt: '2026-03-02T09:00:00.000Z',
            rotation: someUuid(13),
          },
        },
        {
          type: 'RotationOpened',
          data: { rotation: someUuid(13), request: emergencyRequest, supersedes: someUuid(11) },
        },
      );
  });

  it('a superseded rotation no longer closes the slot of the one that took it over', () => {
    const taken: NewFamilyEvent = {
      type: 'RotationOpened',
      data: { rotation: someUuid(13), request: emergencyRequest, supersedes: someUuid(11) },
    };
    const state = frozenFold(familyDecider, history(registered, opened, taken, closed));
    expect(state.slot).toMatchObject({ rotation: someUuid(13), open: true });
  });

  it('Teleport #35395: a rolled-back rotation is remembered as rolled back, not as rotated', () => {
    const state = frozenFold(familyDecider, history(registered, opened, closed));
    expect(state.closed).toEqual([{ rotation: someUuid(11), outcome: 'rolled-back' }]);
  });
});

describe('compromised is final', () => {
  const confirmed: NewFamilyEvent = {
    type: 'CompromiseConfirmed',
    data: { versions: ['old'], reason: 'public repository' },
  };
  const observed: NewFamilyEvent = { type: 'VersionObserved', data: someVersion('old') };

  it.each([
    ['observed again', observed],
    ['left by a rotation', closed],
  ])('a version %s stays compromised', (_what, later) => {
    const state = frozenFold(familyDecider, history(registered, observed, opened, confirmed, later));
    expect(state.versions).toEqual([someVersion('old', { compromised: true })]);
  });

  it('a suspicion alone compromises nothing', () => {
    const suspected: NewFamilyEvent = {
      type: 'CompromiseSuspected',
      data: { versions: ['old'], reason: 'odd logins' },
    };
    const state = frozenFold(familyDecider, history(registered, observed, suspected));
    expect(state.compromised).toEqual([]);
    expect(state.suspected).toHaveLength(1);
  });
});
