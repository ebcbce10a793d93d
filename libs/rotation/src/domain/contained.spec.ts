import { describe, expect, it } from '@jest/globals';
import {
  accepting,
  draining,
  emitting,
  HOUR,
  SimulatedWorld,
  someDetails,
  until,
  watchLaws,
  DAY,
  approve,
} from '../testing/index.js';
import { WEEKDAYS } from './calendar.js';

/** A version contained on suspicion while a planned rotation runs: nothing is ever left with nothing that is accepted. */
function watched(): SimulatedWorld {
  const world = new SimulatedWorld();
  watchLaws(world);
  return world;
}

describe('a planned rotation whose versions are contained on suspicion', () => {
  it('does not revoke the old version while the new one is denied; a rollback ends it', () => {
    const world = watched();
    const { id } = world.request();
    draining(world, id);
    const incoming = world.incomingOf(id);
    world.contain([incoming]);
    world.elapse(2 * DAY);
    expect(world.backEnd.accepted()).toEqual(['old']);
    expect(world.rotation(id).revoked).toBeUndefined();
    expect(world.waits.get(id)).toContain(`${incoming} is contained on suspicion`);
    expect(world.waits.get(id)).toContain('roll this rotation back, or declare an emergency');
    expect(world.rollBack(id)).toBeUndefined();
    world.run();
    world.confirmAll(id, 'emitter');
    world.elapse(DAY);
    expect(world.rotation(id).phase).toBe('rolled-back');
    expect(world.backEnd.emitting()).toEqual(['old']);
    expect(world.violations).toEqual([]);
  });

  it('control: without the containment it revokes', () => {
    const world = watched();
    const { id } = world.request();
    draining(world, id);
    world.elapse(2 * DAY);
    expect(world.rotation(id).phase).toBe('completed');
  });

  it('does not move emission to a denied version, and claims no switch for it', () => {
    const world = watched();
    const { id } = world.request();
    accepting(world, id);
    world.contain([world.incomingOf(id)]);
    world.confirmAll(id, 'verifier');
    world.elapse(2 * DAY);
    expect(world.rotation(id).switched).toBeUndefined();
    expect(world.claims.size).toBe(0);
    expect(world.waits.get(id)).toContain('abandon this rotation');
    world.ask(id, { type: 'AbandonRotation', reason: 'it is suspected' });
    world.run();
    expect(world.rotation(id).phase).toBe('abandoned');
  });

  it('a cutover to a denied version waits', () => {
    const world = new SimulatedWorld({
      details: someDetails({ overlap: 'none' }),
      schedule: {
        changeWindows: [{ weekdays: [...WEEKDAYS], from: '00:00', to: '00:00', timeZone: 'UTC' }],
      },
    });
    const { id } = world.request({ strategy: 'cutover' });
    world.contain([world.incomingOf(id)]);
    approve(world, id);
    world.elapse(DAY);
    expect(world.rotation(id).switched).toBeUndefined();
    expect(world.backEnd.accepted()).toEqual(['old']);
  });

  it('goes on where the old one is contained, and is not rolled back to it', () => {
    const world = watched();
    const { id } = world.request();
    emitting(world, id);
    world.contain(['old']);
    expect(world.rollBack(id)).toBe('rotation.old-contained');
    world.run();
    expect(world.rollBack(id)).toBe('rotation.old-contained');
    for (let hours = 0; hours < 12; hours += 1) {
      world.confirmAll(id, 'emitter');
      world.elapse(HOUR);
    }
    expect(world.rotation(id).phase).toBe('completed');
    expect(world.backEnd.accepted()).toEqual([world.incomingOf(id)]);
  });

  it('does not return emission to a version that was contained after the rollback was asked for', () => {
    const world = watched();
    const { id } = world.request();
    emitting(world, id);
    world.rollBack(id);
    world.contain(['old']);
    world.elapse(DAY);
    expect(world.backEnd.emitting()).toEqual([world.incomingOf(id)]);
    expect(world.waits.get(id)).toContain('an emergency replaces it');
    const emergency = world.emergency(['old']);
    world.elapse(2 * DAY);
    expect(world.rotation(emergency.id).phase).toBe('completed');
    expect(world.backEnd.accepted()).toEqual([world.incomingOf(id)]);
  });

  it('an emergency goes, though what it leaves was contained on suspicion', () => {
    const world = watched();
    const { id } = world.request();
    draining(world, id);
    world.contain([world.incomingOf(id)]);
    const emergency = world.emergency([world.incomingOf(id)]);
    world.elapse(2 * DAY);
    expect(world.rotation(emergency.id).phase).toBe('completed');
    expect(world.backEnd.accepted()).toContain(world.incomingOf(emergency.id));
  });

  it('what is denied is not said to be accepted', () => {
    const world = new SimulatedWorld({ versions: ['older', 'old'] });
    world.contain(['older']);
    world.run();
    const { id } = world.request();
    accepting(world, id);
    until(world, () => world.rotation(id).accepted !== undefined, 'the publication');
    const deployed = world.rotationEvents(id).find((event) => event.type === 'DualAcceptDeployed');
    expect(deployed?.data).toMatchObject({ versions: ['old', world.incomingOf(id)] });
  });
});
