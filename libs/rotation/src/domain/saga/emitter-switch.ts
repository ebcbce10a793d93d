import { milliseconds } from '../duration.js';
import type { RotationPlan } from '../rotation.events.js';
import { drainStart, ENDED } from '../rotation.state.js';
import { over } from './holds.js';
import { type Decision, type RotationView, wait } from './view.js';

/** Who switches a consumer’s emitter: one rotation at a time. */

export function names(view: RotationView, consumers: readonly string[]): string {
  return consumers
    .map((id) => view.rotation.plan?.consumers.find((consumer) => consumer.consumerId === id)?.name ?? id)
    .join(', ');
}

/** Consumers whose emitter switch this rotation still holds, once nothing needs it any more and the settle time is over. */
export function releaseSwitch(view: RotationView, now: number, dueTo: string): Decision | undefined {
  const { rotation } = view;
  const held = view.claims
    .filter((claim) => claim.holder === `rotation-${rotation.rotationId}`)
    .map((claim) => claim.consumerId);
  if (held.length === 0) return undefined;
  const switched = rotation.returned ?? rotation.switched;
  const settle = milliseconds(rotation.plan?.terms.settle);
  const isEnded = ENDED.includes(rotation.phase);
  if (switched === undefined) return isEnded ? { kind: 'release-switch', consumers: held, dueTo } : undefined;
  const since = drainStart(rotation);
  const quiet = since ?? (isEnded ? rotation.ended : undefined);
  if (quiet === undefined) return undefined;
  const until = over(view, quiet.at, settle);
  if (now >= until) return { kind: 'release-switch', consumers: held, dueTo };
  return isEnded ? wait('the settle time of its emitters', until) : undefined;
}

export function emitters(plan: RotationPlan | undefined): readonly string[] {
  return (plan?.consumers ?? [])
    .filter((consumer) => consumer.roles.includes('emitter'))
    .map((consumer) => consumer.consumerId);
}

/** Claims the emitter switch of every emitting consumer, all or none; who waits sees for which rotation. */
export function claimSwitch(
  view: RotationView,
  plan: RotationPlan,
  takeOver: boolean,
  dueTo: string,
  now: number,
): Decision | undefined {
  const us = `rotation-${view.rotation.rotationId}`;
  const unclaimed = emitters(plan).filter(
    (id) => view.claims.find((claim) => claim.consumerId === id)?.holder !== us,
  );
  if (unclaimed.length === 0) return undefined;
  const overridden = (id: string): boolean =>
    view.rotation.overrides.some((entry) => entry.gate === 'emitter-switch' && entry.consumerId === id);
  const taken = takeOver ? unclaimed : unclaimed.filter(overridden);
  const foreign = view.claims.find(
    (claim) =>
      unclaimed.includes(claim.consumerId) &&
      claim.holder !== undefined &&
      claim.holder !== us &&
      !taken.includes(claim.consumerId),
  );
  if (foreign !== undefined) {
    // A release wakes who waits; the time bounds what a lost hint may cost.
    return wait(
      `${names(view, [foreign.consumerId])}, which is switching emitters for ${foreign.holder ?? 'another rotation'}`,
      now + 10_000,
    );
  }
  return {
    kind: 'claim-switch',
    consumers: unclaimed,
    takeOver: taken,
    dueTo,
  };
}

export function heldSwitch(view: RotationView): boolean {
  return view.claims.some((claim) => claim.holder === `rotation-${view.rotation.rotationId}`);
}
