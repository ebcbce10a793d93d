import { milliseconds } from '../duration.js';
import { drainStart, type Mark, missingConfirmations, type RotationState } from '../rotation.state.js';
import { names } from './emitter-switch.js';
import { over } from './holds.js';
import { perform, suspendedOr } from './perform.js';
import { type Decision, type RotationView, wait } from './view.js';

/** Abandoned before it emits, or rolled back. */

export function abandoning(view: RotationView, now: number, asked: Mark): Decision {
  const { rotation } = view;
  if (rotation.generated !== undefined && rotation.withdrawn === undefined) {
    return suspendedOr(view, perform(view, now, 'withdraw', asked.eventId));
  }
  return {
    kind: 'record',
    events: [{ type: 'RotationAbandoned', data: {} }],
    dueTo: rotation.withdrawn?.eventId ?? asked.eventId,
  };
}

export function rollingBack(
  view: RotationView,
  now: number,
  asked: NonNullable<RotationState['rollback']>,
): Decision {
  const { rotation } = view;
  const done = (mark: Mark): Decision => ({
    kind: 'record',
    events: [{ type: 'RotationRolledBack', data: {} }],
    dueTo: mark.eventId,
  });
  if (rotation.switched === undefined) {
    // Nothing emitted with the new version: it can go at once.
    if (rotation.withdrawn !== undefined) return done(rotation.withdrawn);
    return rotation.generated === undefined
      ? done(asked)
      : suspendedOr(view, perform(view, now, 'withdraw', asked.eventId));
  }
  if (rotation.plan?.strategy === 'cutover') return cuttingBack(view, now, asked, done);
  const toReaccept =
    rotation.revoked?.versions.includes(rotation.plan?.emittingBefore ?? '') === true &&
    rotation.returned === undefined;
  if (toReaccept) {
    if (rotation.reaccepted === undefined) {
      return suspendedOr(view, perform(view, now, 'reaccept', asked.eventId));
    }
    const window = asked.acceptWindow ?? rotation.plan?.windows?.accept.required;
    const open = over(view, rotation.reaccepted.at, milliseconds(window));
    if (now < open) return wait('the accept window of the old version, which was revoked', open);
  }
  if (rotation.returned === undefined) {
    return suspendedOr(view, perform(view, now, 'return', rotation.reaccepted?.eventId ?? asked.eventId));
  }
  if (rotation.withdrawn !== undefined) return done(rotation.withdrawn);
  const start = drainStart(rotation);
  if (start === undefined) {
    const missing = missingConfirmations(rotation, 'emission-confirmations');
    return wait(`${names(view, missing)} to confirm the old version`);
  }
  const until = over(view, start.at, milliseconds(rotation.plan?.windows?.drain.required));
  if (now < until) return wait('what the new version emitted to run out', until);
  return suspendedOr(view, perform(view, now, 'withdraw', start.eventId));
}

/** Back in one change, then every emitter confirms; the new version is out with it. */
function cuttingBack(view: RotationView, now: number, asked: Mark, done: (mark: Mark) => Decision): Decision {
  const { rotation } = view;
  if (rotation.returned === undefined) {
    return suspendedOr(view, perform(view, now, 'cutback', asked.eventId));
  }
  const start = drainStart(rotation);
  if (start !== undefined)
    return now < start.at ? wait('an overridden emitter to have switched', start.at) : done(start);
  const missing = missingConfirmations(rotation, 'emission-confirmations');
  return wait(`${names(view, missing)} to confirm the old version`);
}
