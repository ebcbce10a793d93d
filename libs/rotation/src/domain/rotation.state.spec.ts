import { describe, expect, it } from '@jest/globals';
import { deepFreeze } from '#eventlog/testing';
import { DAY, help, SimulatedWorld } from '../testing/index.js';
import type { RotationEvent } from './rotation.events.js';
import { evolveRotation, initialRotation, type RotationState } from './rotation.state.js';
import { stepOfOutcome } from './steps.state.js';

function fold(events: readonly RotationEvent[]): RotationState {
  return events.reduce((state, event) => deepFreeze(evolveRotation(state, event)), initialRotation);
}

const COHORTS = [25, 50, 75, 100].map((share) => ({ share, hold: share === 100 ? 'PT0S' : 'PT1H' }));

/** What a rotation that came to its end wrote, in order. */
function history(
  request: Parameters<SimulatedWorld['request']>[0],
  turn: (world: SimulatedWorld, id: string) => void = () => undefined,
): readonly RotationEvent[] {
  const world = new SimulatedWorld();
  const { id } = world.request(request);
  for (let day = 0; day < 6; day += 1) {
    help(world, id);
    turn(world, id);
    world.elapse(DAY);
  }
  return world.rotationEvents(id);
}

describe('an outcome told twice', () => {
  it.each([
    ['graceful', history({}), 'completed'],
    ['rolling', history({ strategy: 'rolling', cohorts: COHORTS }), 'completed'],
    [
      'rolled back between cohorts',
      history({ strategy: 'rolling', cohorts: COHORTS }, (world, id) => {
        if (world.rotation(id).switched?.share === 50) world.rollBack(id);
      }),
      'rolled-back',
    ],
  ] as const)('moves nothing, wherever the late one comes: %s', (_name, events, phase) => {
    const wanted = fold(events);
    expect(wanted.phase).toBe(phase);
    let told = 0;
    for (const [index, event] of events.entries()) {
      if (stepOfOutcome(event.type) === undefined) continue;
      for (let later = index + 1; later <= events.length; later += 1) {
        const again = [...events.slice(0, later), event, ...events.slice(later)];
        expect(fold(again)).toEqual(wanted);
        told += 1;
      }
    }
    expect(told).toBeGreaterThan(20);
  });

  it('a failure of an attempt that somebody took over moves no step', () => {
    const events = history({});
    const wanted = fold(events);
    const started = events.filter((event) => event.type === 'StepStarted');
    expect(started.length).toBeGreaterThan(3);
    for (const { data, ...envelope } of started) {
      const { step, attempt } = data;
      const failed: RotationEvent = {
        ...envelope,
        type: 'StepFailed',
        data: {
          step,
          attempt,
          performed: 'unknown',
          errorClass: 'fenced',
          reason: 'a newer attempt was seen',
        },
      };
      expect(fold([...events, failed]).steps).toEqual(wanted.steps);
    }
  });
});
