import { formatInstant } from '#eventlog';
import { someVersion } from '../testing/fixtures.js';
import { answersTo, reached, requireReached, requireUnanswered } from './blast-radius.js';
import type { DeclaredEmergency } from './family.decider.js';

const DECLARED = Date.parse('2026-03-02T09:00:00.000Z');
const MINUTE = 60_000;
const at = formatInstant;

function declared(changes: Partial<DeclaredEmergency> = {}): DeclaredEmergency {
  return { rotation: 'r1', reason: 'laptop stolen', declaredAt: DECLARED, versions: ['k1'], ...changes };
}

describe('which emergencies answer an incident', () => {
  const later = DECLARED + 60 * MINUTE;
  const family = (emergency: DeclaredEmergency, outcome?: string) => ({
    emergencies: [emergency],
    closed: outcome === undefined ? [] : [{ rotation: emergency.rotation, outcome }],
  });

  it.each([
    ['the same reason', {}, { reason: 'laptop stolen' }, 'completed', true],
    [
      'the same incident, in other words',
      { incident: 'I1' },
      { reason: 'x', incident: 'I1' },
      'completed',
      true,
    ],
    [
      'another incident, in the same words',
      { incident: 'I1' },
      { reason: 'laptop stolen', incident: 'I2' },
      'completed',
      false,
    ],
    ['another reason', {}, { reason: 'x' }, 'completed', false],
    ['declared after the discovery', {}, { reason: 'x', discoveredAt: DECLARED - MINUTE }, 'completed', true],
    ['abandoned', {}, { reason: 'laptop stolen' }, 'abandoned', false],
  ])('%s', (_, before, now, outcome, answers) => {
    const found = answersTo(family(declared(before), outcome), { discoveredAt: later, ...now });
    expect(found).toHaveLength(answers ? 1 : 0);
  });
});

describe('what an incident reached', () => {
  const versions = [
    someVersion('k1', { createdAt: at(DECLARED - 60 * MINUTE) }),
    someVersion('k2', { createdAt: at(DECLARED + MINUTE) }),
  ];
  const now = { discoveredAt: DECLARED + 60 * MINUTE };

  it('is what was made before the discovery, and not what an emergency made that answers it', () => {
    expect(reached(versions, [], now)).toEqual(['k1', 'k2']);
    expect(reached(versions, [], { discoveredAt: DECLARED })).toEqual(['k1']);
    expect(reached(versions, [declared()], now)).toEqual(['k1']);
  });

  it('is what an emergency left out, and of which nobody knows when it was made', () => {
    const { createdAt: _, ...undated } = someVersion('k0');
    expect(reached([undated, ...versions], [declared()], now)).toEqual(['k0', 'k1']);
    expect(() => {
      requireUnanswered([declared()], ['k0', 'k1']);
    }).not.toThrow();
    expect(() => {
      requireUnanswered([declared()], ['k1']);
    }).toThrow('is already declared: rotation r1');
  });

  it('is refused where it reached nothing', () => {
    expect(() => {
      requireReached([], { reason: 'x', discoveredAt: DECLARED });
    }).toThrow('none was in reach');
  });
});
