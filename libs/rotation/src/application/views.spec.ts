import { describe, expect, it } from '@jest/globals';
import type { RotationCommand } from '../domain/rotation.decider.js';
import { accepting, emitting, SimulatedWorld, until } from '../testing/index.js';
import { rotationView } from './views.js';

/** The next command right after somebody asked for something, before the saga has moved. */

const around = { qualifiedName: 'production/session-jwt', illustrative: false, revision: 1 };

function begun(setup: typeof accepting): {
  readonly world: SimulatedWorld;
  readonly id: string;
  readonly next: (waitsFor?: string) => readonly string[];
} {
  const world = new SimulatedWorld();
  const { id } = world.request();
  setup(world, id);
  return { world, id, next: (waitsFor) => rotationView(world.rotation(id), { ...around, waitsFor }).next };
}

describe('the next command', () => {
  it.each<[RotationCommand['type'], RotationCommand, boolean]>([
    ['PauseRotation', { type: 'PauseRotation', reason: 'a deploy' }, true],
    ['AbandonRotation', { type: 'AbandonRotation', reason: 'not today' }, false],
  ])('right after %s asks nobody to confirm the new version', (_type, command, resumes) => {
    const { world, id, next } = begun(accepting);
    expect(next().join()).toContain('keyturn confirm');
    expect(world.ask(id, command)).toBeUndefined();
    expect(next()).toEqual(resumes ? [`keyturn resume ${id}`] : []);
  });

  it('after a rollback is a confirmation of the old version, once emission has returned, and none before', () => {
    const { world, id, next } = begun(emitting);
    expect(next().join()).toContain(world.incomingOf(id));
    expect(world.rollBack(id)).toBeUndefined();
    expect(next()).toEqual([]);
    // What the runner wrote down before it was asked for is not of the way back.
    expect(next('an attestation of revoke')).toEqual([]);
    expect(next('an attestation of return')).toEqual([`keyturn attest ${id} --step return --evidence URL`]);
    world.run();
    until(world, () => world.rotation(id).returned !== undefined, 'the return');
    expect(next().length).toBeGreaterThan(0);
    expect(next().join()).toContain('--kind emission --version old');
    expect(next().join()).not.toContain(world.incomingOf(id));
  });
});
