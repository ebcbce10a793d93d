import { milliseconds } from '../domain/duration.js';
import { familyDecider, type FamilyConsumer, type FamilyState } from '../domain/family.decider.js';
import { LARGEST_MAX_AGE_SECONDS } from '../domain/windows.js';
import { ENDED, evolveRotation, initialRotation } from '../domain/rotation.state.js';
import { stepOfOutcome } from '../domain/steps.state.js';
import { deepFreeze } from '#eventlog/testing';
import { MINUTE, SECOND } from './fixtures.js';
import type { BackEndChange } from './simulated-back-end.js';
import { containmentOf, type SimulatedWorld } from './simulation.js';

/**
 * What must hold in every history, looked at from the outside: the back end's own changes against the facts on record,
 * and windows computed here from the design's formula, never by the code under test.
 */

function ms(duration: string | undefined): number {
  return milliseconds(duration);
}

/** The design's two formulas, written down once more. */
export function windowsByDesign(
  consumers: readonly FamilyConsumer[],
  artefactLife: string | undefined,
  margins = { clockSkew: 30 * SECOND, safety: 5 * MINUTE },
): { readonly accept: number; readonly drain: number } {
  const verifiers = consumers.filter((consumer) => consumer.roles.includes('verifier'));
  const refreshing = verifiers.filter((consumer) => !consumer.neverRefreshes);
  const maxAge = Math.min(
    LARGEST_MAX_AGE_SECONDS * SECOND,
    ...refreshing.map((consumer) => Math.floor(ms(consumer.cacheTtl) / SECOND) * SECOND),
  );
  const cache = (consumer: FamilyConsumer): number => Math.max(ms(consumer.cacheTtl), maxAge);
  const slowest = Math.max(
    0,
    ...refreshing.map(
      (consumer) => cache(consumer) + ms(consumer.refreshDelay) + ms(consumer.deployPropagation),
    ),
  );
  const margin = margins.clockSkew + margins.safety;
  return {
    accept: slowest + margin,
    drain: Math.max(ms(artefactLife) + slowest + margin, 2 * Math.max(0, ...verifiers.map(cache))),
  };
}

/** Watches a world; what breaks a law is added to its violations. */
export function watchLaws(world: SimulatedWorld): void {
  world.observers.push({
    onChange: (_world, change) => {
      const broken = brokenBy(world, change);
      world.violations.push(...broken);
    },
    onRotationEvent: (_world, event) => {
      const id = event.stream.slice('rotation-'.length);
      if (SETTLES_FIRST.includes(event.type)) {
        world.violations.push(...unsettled(world, id).map((what) => `${event.type} ${what}`));
      }
      if (event.type === 'RotationRolledBack') world.violations.push(...notBack(world, id));
      if (event.type === 'RotationSuspended' && (event.data.code === '' || event.data.reason === '')) {
        world.violations.push('suspended without a reason');
      }
    },
  });
}

/** What may only be recorded once the open step is settled. */
const SETTLES_FIRST: readonly string[] = [
  'RotationPaused',
  'RotationAbandoned',
  'RotationRolledBack',
  'RotationSuperseded',
  'RotationCompleted',
];

/** An emergency or a confirmed compromise is what excuses a departure from the laws of planned rotations. */
function excused(world: SimulatedWorld): boolean {
  return world.family.state.compromised.length > 0;
}

/** Effects after which a version is accepted, or emits. */
const MAKES_USABLE: readonly string[] = ['publish', 'switch-emission', 're-accept', 'cut-over'];

function brokenBy(world: SimulatedWorld, change: BackEndChange): readonly string[] {
  const { call } = change;
  const broken: string[] = [];
  const [stream = '', step = ''] = call.key.split('/');
  const id = stream.slice('rotation-'.length);
  const rotation = world.rotation(id);
  const emergency = rotation.emergency !== undefined;
  const say = (law: string): void => {
    broken.push(`${law} (${call.effect} of ${call.versions.join(', ')} by ${call.key} at +${change.at})`);
  };

  if (change.acceptedBefore.length > 0 && change.acceptedAfter.length === 0 && !excused(world)) {
    say('zero accepted versions');
  }
  for (const version of change.emitting) {
    if (!change.acceptedAfter.includes(version)) say('emitted, not accepted');
  }
  const family = familyWhenSent(world, call.attemptId);
  if (MAKES_USABLE.includes(call.effect)) {
    for (const version of call.versions) {
      if (family.compromised.includes(version)) say('a compromised version is accepted or emitted anew');
    }
  }
  if (stream.startsWith('rotation-') && family.slot?.rotation !== id) say('an effect without the slot');
  if (!stream.startsWith('rotation-') || emergency || change.late) return broken;

  if (step === 'emit') broken.push(...emittedTooEarly(world, id, change));
  if (step === 'revoke') broken.push(...withdrawnInDrain(world, id, change, 'EmitterSwitched'));
  if (step === 'withdraw' && rotation.switched !== undefined) {
    broken.push(...withdrawnInDrain(world, id, change, 'EmissionReturned'));
  }
  const clocksDisagree = world.behindMs > 30_000 || Math.abs(world.backEndAheadMs) > 30_000;
  if (clocksDisagree && (step === 'emit' || step === 'revoke' || step === 'withdraw')) {
    say('performed while the clocks disagree');
  }
  return broken;
}

/** The family as the attempt last saw it. */
function familyWhenSent(world: SimulatedWorld, attemptId: string): FamilyState {
  const until = world.sent.get(attemptId)?.treeSize ?? Infinity;
  return world.family.events
    .filter((event) => event.treeSize <= until)
    .reduce(familyDecider.evolve, familyDecider.initialState);
}

function required(
  world: SimulatedWorld,
  id: string,
  family: FamilyState,
): { readonly accept: number; readonly drain: number } {
  const { windows: planned, strategy } = world.plan(id);
  const free =
    strategy === 'rehearsal' || world.rotationEvents(id).some((event) => event.type === 'DeviationRecorded');
  return free && planned !== undefined
    ? { accept: ms(planned.accept.required), drain: ms(planned.drain.required) }
    : windowsByDesign(family.consumers, family.details?.artefactLife);
}

function overridden(world: SimulatedWorld, id: string, gate: string, consumerId: string): boolean {
  return world
    .rotationEvents(id)
    .some(
      (event) =>
        event.type === 'GateOverridden' && event.data.gate === gate && event.data.consumerId === consumerId,
    );
}

function emittedTooEarly(
  world: SimulatedWorld,
  id: string,
  { at, call }: Pick<BackEndChange, 'at' | 'call'>,
): readonly string[] {
  const family = familyWhenSent(world, call.attemptId);
  const events = world.rotationEvents(id);
  const accepted = events.find((event) => event.type === 'DualAcceptDeployed');
  if (accepted === undefined) return ['emitted before anything was accepted'];
  const broken: string[] = [];
  if (at < accepted.recordedAt + required(world, id, family).accept) {
    broken.push('emitted inside the accept window');
  }
  for (const consumer of family.consumers) {
    if (consumer.roles.includes('verifier')) {
      const instances = new Set(
        events.flatMap((event) =>
          event.type === 'AcceptanceConfirmed' && event.data.consumerId === consumer.consumerId
            ? event.data.instances
            : [],
        ),
      );
      if (
        instances.size < consumer.instances &&
        !overridden(world, id, 'acceptance-confirmations', consumer.consumerId)
      ) {
        broken.push(`emitted before ${consumer.name} confirmed`);
      }
    }
    const claims = world.sent.get(call.attemptId)?.claims ?? world.claims;
    if (consumer.roles.includes('emitter') && claims.get(consumer.consumerId) !== `rotation-${id}`) {
      broken.push(`emitted without the claim on ${consumer.name}'s switch`);
    }
  }
  return broken;
}

function withdrawnInDrain(
  world: SimulatedWorld,
  id: string,
  { at, call }: Pick<BackEndChange, 'at' | 'call'>,
  moved: 'EmitterSwitched' | 'EmissionReturned',
): readonly string[] {
  const family = familyWhenSent(world, call.attemptId);
  const events = world.rotationEvents(id);
  // The last cohort is the one that drains.
  const index = events.findLastIndex((event) => event.type === moved);
  const move = events[index];
  if (move === undefined) return [`withdrawn before ${moved}`];
  const broken: string[] = [];
  let start = move.recordedAt;
  for (const consumer of family.consumers) {
    if (!consumer.roles.includes('emitter')) continue;
    const instances = new Set<string>();
    let completeAt: number | undefined;
    for (const event of events.slice(index)) {
      if (event.type !== 'EmissionConfirmed' || event.data.consumerId !== consumer.consumerId) continue;
      for (const instance of event.data.instances) instances.add(instance);
      if (instances.size >= consumer.instances) completeAt ??= event.recordedAt;
    }
    if (completeAt === undefined) {
      if (!overridden(world, id, 'emission-confirmations', consumer.consumerId)) {
        broken.push(`withdrawn before ${consumer.name} confirmed the switch`);
      }
      completeAt =
        move.recordedAt + ms(consumer.cacheTtl) + ms(consumer.refreshDelay) + ms(consumer.deployPropagation);
    }
    start = Math.max(start, completeAt);
  }
  if (at < start + required(world, id, family).drain) broken.push('withdrawn inside the drain window');
  return broken;
}

/** What the back end did for this rotation and nobody wrote down, and the reverse. */
function unsettled(world: SimulatedWorld, id: string): readonly string[] {
  const rolls = world.rotation(id).plan?.cohorts !== undefined;
  const recorded = world.rotationEvents(id).flatMap((event) => {
    // A cohort is a step of its own.
    if (event.type === 'EmitterSwitched' && rolls) return [`emit/${event.data.share}`];
    return stepOfOutcome(event.type) ?? [];
  });
  const done = world.backEnd.ledger
    .filter((row) => row.key.startsWith(`rotation-${id}/`))
    .map((row) => row.key.slice(row.key.indexOf('/') + 1));
  return done
    .filter((step) => !recorded.includes(step))
    .map((step) => `while ${step} had happened and was not on record`);
}

function notBack(world: SimulatedWorld, id: string): readonly string[] {
  const { plan } = world.rotation(id);
  const broken: string[] = [];
  const emitting = world.backEnd.emitting();
  if (plan?.emittingBefore !== undefined && !emitting.includes(plan.emittingBefore)) {
    broken.push(`rolled back, but ${emitting.join(', ') || 'nothing'} emits`);
  }
  if (plan?.incoming !== undefined && world.backEnd.accepted().includes(plan.incoming)) {
    broken.push('rolled back, but the new version is still accepted');
  }
  return broken;
}

/** Laws of a history as a whole, after it came to rest. */
export function brokenAtTheEnd(world: SimulatedWorld): readonly string[] {
  const broken: string[] = [...world.violations];
  for (const call of world.backEnd.repeats) broken.push(`${call.key} was sent again though it was durable`);
  const keys = world.backEnd.ledger.map((row) => row.key);
  if (new Set(keys).size !== keys.length) broken.push('one step took effect twice');
  for (const [id, { state, events }] of world.rotations) {
    const replayed = events.reduce((now, event) => deepFreeze(evolveRotation(now, event)), initialRotation);
    if (JSON.stringify(replayed) !== JSON.stringify(state)) broken.push(`${id}: replay is not the state`);
    if (ENDED.includes(state.phase)) {
      broken.push(...unsettled(world, id).map((what) => `${id} came to rest ${what}`));
    } else if (state.suspended === undefined) {
      broken.push(
        `${id} neither ended nor suspended: ${state.phase}, waits for ${world.waits.get(id) ?? ''}`,
      );
    }
    // Each outcome was intended: no effect without a recorded intent.
    const intents = events.flatMap((event) => (event.type === 'StepStarted' ? [event.data.step] : []));
    for (const event of events) {
      const step = stepOfOutcome(event.type);
      if (step !== undefined && !intents.includes(step)) broken.push(`${id}: ${event.type} without intent`);
    }
    // Each departure has its cause on record.
    const revoked = events.find((event) => event.type === 'OldKeyRevoked');
    const drained = events.some(
      (event) => event.type === 'GateEvaluated' && event.data.gate === 'drain-window',
    );
    const declared = events.some((event) => event.type === 'EmergencyDeclared');
    if (revoked !== undefined && !drained && !declared) broken.push(`${id}: revoked with no cause on record`);
    if (state.emergency?.containment !== undefined && !world.containments.has(containmentOf(id))) {
      broken.push(`${id}: its containment was never opened`);
    }
  }
  // While an emergency waits for its person, what it came to replace may still be in use.
  if (![...world.rotations.values()].some(({ state }) => state.suspended !== undefined)) {
    const { compromised } = world.family.state;
    for (const version of world.backEnd.emitting()) {
      if (compromised.includes(version)) broken.push(`compromised ${version} emits at the end`);
    }
    for (const version of world.backEnd.accepted()) {
      if (compromised.includes(version)) broken.push(`compromised ${version} is accepted at the end`);
    }
  }
  return broken;
}
