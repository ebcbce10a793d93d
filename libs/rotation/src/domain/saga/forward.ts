import { formatInstant } from '#eventlog';
import { formatDuration, milliseconds } from '../duration.js';
import type { GATES, NewRotationEvent, RotationPlan } from '../rotation.events.js';
import { drainStart, type Mark, missingConfirmations, type RotationState } from '../rotation.state.js';
import { claimSwitch, heldSwitch, names, releaseSwitch } from './emitter-switch.js';
import { containedHold, over } from './holds.js';
import { currentCohort, nextCohort, perform } from './perform.js';
import { cause, type Decision, type RotationView, wait } from './view.js';

/** The planned ways: two full windows with emission at once or by cohorts, and the cutover. */

function gate(
  name: (typeof GATES)[number],
  required: string,
  actual: string,
  since?: number,
  binding?: string,
): NewRotationEvent {
  return {
    type: 'GateEvaluated',
    data: {
      gate: name,
      required,
      actual,
      ...(since === undefined ? {} : { since: formatInstant(since) }),
      ...(binding === undefined ? {} : { binding }),
    },
  };
}

function confirmedText(plan: RotationPlan, rotation: RotationState, role: 'verifier' | 'emitter'): string {
  const all = plan.consumers.filter((consumer) => consumer.roles.includes(role));
  const gateName = role === 'verifier' ? 'acceptance-confirmations' : 'emission-confirmations';
  const overridden = all.filter((consumer) =>
    rotation.overrides.some((entry) => entry.gate === gateName && entry.consumerId === consumer.consumerId),
  ).length;
  const missing = missingConfirmations(rotation, gateName).length;
  const confirmed = all.length - overridden - missing;
  return `${confirmed} of ${all.length} ${role}s${overridden > 0 ? `, ${overridden} overridden` : ''}`;
}

function acceptGates(
  view: RotationView,
  plan: RotationPlan,
  accepted: Mark,
  now: number,
): { readonly hold: Decision } | { readonly pass: readonly NewRotationEvent[]; readonly dueTo: string } {
  const { rotation } = view;
  const { windows } = plan;
  if (windows === undefined) return { hold: wait('its windows') };
  const window = windows.accept;
  // What was denied meanwhile no verifier could learn: its window begins where the denial ended.
  const lifted = view.contained.flatMap((each) =>
    each.lifted !== undefined && each.versions.includes(plan.incoming ?? '') ? [each.lifted.at] : [],
  );
  const since = Math.max(accepted.at, ...lifted);
  const until = over(view, since, milliseconds(window.required));
  const verifiers = plan.consumers.filter((consumer) => consumer.roles.includes('verifier')).length;
  const quorum = Math.ceil((verifiers * (plan.terms.gates?.acceptanceQuorum ?? 100)) / 100);
  const missing = missingConfirmations(rotation, 'acceptance-confirmations');
  if (now < until) return { hold: wait(`the accept window: ${window.binding}`, until) };
  if (verifiers - missing.length < quorum) {
    return { hold: wait(`${names(view, missing)} to confirm the new version`) };
  }
  const lastConfirmation = [...rotation.acceptance].sort(
    (left, right) => (right.completeAt ?? 0) - (left.completeAt ?? 0),
  )[0];
  const late = lastConfirmation?.completeAt !== undefined && lastConfirmation.completeAt > until;
  return {
    dueTo: late ? (lastConfirmation.completeBy ?? accepted.eventId) : accepted.eventId,
    pass: [
      gate(
        'acceptance-confirmations',
        `${quorum} of ${verifiers} verifiers`,
        confirmedText(plan, rotation, 'verifier'),
      ),
      gate('accept-window', window.required, formatDuration(now - since), since, window.binding),
    ],
  };
}

/** Approval, and what every planned rotation begins with; `undefined`: it is through. */
function beginning(view: RotationView, now: number, plan: RotationPlan): Decision | undefined {
  const { rotation } = view;
  const approvals = rotation.approvals.filter((approval) => approval.subject !== rotation.requestedBy);
  if (approvals.length < plan.approvals) {
    return wait(`approval: ${approvals.length} of ${plan.approvals}`);
  }
  return rotation.generated === undefined ? perform(view, now, 'generate', cause(rotation)) : undefined;
}

/** Graceful, rolling, and what a rehearsal rehearses: two full windows, emission all at once or cohort by cohort. */
export function planned(view: RotationView, now: number): Decision {
  const { rotation } = view;
  const plan = rotation.plan;
  if (plan === undefined) return wait('its plan');
  const first = beginning(view, now, plan);
  if (first !== undefined) return first;
  if (rotation.accepted === undefined) return perform(view, now, 'accept', cause(rotation));
  const switching = emitting(view, now, plan, rotation.accepted);
  if (switching !== undefined) return switching;
  const start = drainStart(rotation);
  if (start === undefined) {
    const missing = missingConfirmations(rotation, 'emission-confirmations');
    if (missing.length > 0) return wait(`${names(view, missing)} to confirm the switch`);
    return wait('an overridden emitter to have switched');
  }
  const release = releaseSwitch(view, now, start.eventId);
  if (release !== undefined) return release;
  const settleUntil = heldSwitch(view) ? over(view, start.at, milliseconds(plan.terms.settle)) : undefined;
  const sooner = (decision: Decision): Decision =>
    decision.kind === 'wait' && settleUntil !== undefined && settleUntil > now
      ? { ...decision, until: Math.min(decision.until ?? settleUntil, settleUntil) }
      : decision;
  if (plan.outgoing.length > 0) {
    if (rotation.revoked === undefined) {
      const window = plan.windows?.drain;
      if (window === undefined) return wait('its windows');
      const until = over(view, start.at, milliseconds(window.required));
      if (now < until) return sooner(wait(`the drain window: ${window.binding}`, until));
      const telemetry = telemetryGate(view, plan, start, now);
      if ('hold' in telemetry) return sooner(telemetry.hold);
      const emitters = plan.consumers.filter((consumer) => consumer.roles.includes('emitter')).length;
      return sooner(
        perform(view, now, 'revoke', telemetry.dueTo ?? start.eventId, [
          gate(
            'emission-confirmations',
            `${emitters} of ${emitters} emitters`,
            confirmedText(plan, rotation, 'emitter'),
          ),
          gate('drain-window', window.required, formatDuration(now - start.at), start.at, window.binding),
          ...telemetry.pass,
        ]),
      );
    }
    if (rotation.verified === undefined) return perform(view, now, 'verify', rotation.revoked.eventId);
  }
  const watchFrom = rotation.revoked ?? start;
  const watchUntil = over(view, watchFrom.at, milliseconds(plan.terms.watch));
  if (now < watchUntil) return sooner(wait('the watch after the last step', watchUntil));
  return complete(plan, rotation.verified ?? watchFrom);
}

/** Moves emission, or its next cohort; `undefined` once it has all moved. */
function emitting(view: RotationView, now: number, plan: RotationPlan, accepted: Mark): Decision | undefined {
  const { rotation } = view;
  const { switched } = rotation;
  const cohort = nextCohort(rotation);
  if (switched !== undefined && cohort === undefined) return undefined;
  if (switched !== undefined) {
    const missing = missingConfirmations(rotation, 'emission-confirmations');
    if (missing.length > 0) return wait(`${names(view, missing)} to confirm ${switched.share} %`);
    const hold = currentCohort(rotation)?.hold;
    const until = over(view, switched.at, milliseconds(hold));
    if (now < until) return wait(`the cohort of ${switched.share} % to be looked at`, until);
  }
  const gates = acceptGates(view, plan, accepted, now);
  if ('hold' in gates) return gates.hold;
  const dueTo = switched?.eventId ?? gates.dueTo;
  const looked =
    switched === undefined
      ? []
      : [
          gate(
            'cohort',
            currentCohort(rotation)?.hold ?? 'PT0S',
            formatDuration(now - switched.at),
            switched.at,
            `${switched.share} % emitted with the new version before ${cohort?.share ?? 100} %`,
          ),
        ];
  return (
    // Nobody else's switch waits for what cannot be emitted.
    containedHold(view, 'emit') ??
    claimSwitch(view, plan, false, dueTo, now) ??
    perform(view, now, 'emit', dueTo, [...gates.pass, ...looked])
  );
}

/** What was counted decides whether the old version may go; it never makes a window shorter (design, The rotation). */
function telemetryGate(
  view: RotationView,
  plan: RotationPlan,
  start: Mark,
  now: number,
): { readonly hold: Decision } | { readonly pass: readonly NewRotationEvent[]; readonly dueTo?: string } {
  const { telemetry, rotation } = view;
  if (rotation.overrides.some((override) => override.gate === 'telemetry')) return { pass: [] };
  const { newest, previousSeenAt } = telemetry;
  const life = plan.windows?.drain.terms.find((term) => term.name === 'artefact-life')?.duration;
  const last = start.at + milliseconds(life) + milliseconds(plan.terms.margins.clockSkew);
  if (previousSeenAt !== undefined && previousSeenAt > last) {
    return {
      hold: wait(
        `telemetry: the old version was seen at ${formatInstant(previousSeenAt)}, after all it emitted had run out: somebody unknown emits with it`,
      ),
    };
  }
  const rule = plan.terms.gates?.telemetry;
  if (rule === undefined) return { pass: [] };
  if (newest === undefined) return { hold: wait('telemetry: nothing was counted yet') };
  const age = now - newest.to;
  if (age > milliseconds(rule.freshWithin)) {
    return { hold: wait(`telemetry: the newest sample ends ${formatInstant(newest.to)}, which is too old`) };
  }
  const uses = newest.current + newest.previous;
  if (uses < rule.minUses) {
    return { hold: wait(`telemetry: ${uses} uses were counted, at least ${rule.minUses} say something`) };
  }
  const all = uses + newest.invalid;
  const over = (part: number, whole: number, most: number): boolean => part * 10_000 > most * whole;
  if (over(newest.previous, uses, rule.previousAtMost)) {
    return { hold: wait(`telemetry: ${newest.previous} of ${uses} uses are of the old version`) };
  }
  if (rule.invalidAtMost !== undefined && over(newest.invalid, all, rule.invalidAtMost)) {
    return { hold: wait(`telemetry: ${newest.invalid} of ${all} verifications failed`) };
  }
  return {
    dueTo: newest.eventId,
    pass: [
      gate(
        'telemetry',
        `at most ${rule.previousAtMost / 100} % of the old version in at least ${rule.minUses} uses`,
        `${newest.previous} of ${uses}, ${newest.invalid} failed`,
        newest.from,
      ),
    ],
  };
}

/** Without overlap: one change in a change window, then every consumer confirms that it has the new version. */
export function cuttingOver(view: RotationView, now: number): Decision {
  const { rotation } = view;
  const plan = rotation.plan;
  if (plan === undefined) return wait('its plan');
  const first = beginning(view, now, plan);
  if (first !== undefined) return first;
  if (rotation.switched === undefined) {
    return (
      containedHold(view, 'cutover') ??
      claimSwitch(view, plan, false, cause(rotation), now) ??
      perform(view, now, 'cutover', cause(rotation))
    );
  }
  const { switched } = rotation;
  if (plan.outgoing.length > 0 && rotation.verified === undefined) {
    return perform(view, now, 'verify', switched.eventId);
  }
  const start = drainStart(rotation);
  if (start === undefined) {
    return wait(
      `${names(view, missingConfirmations(rotation, 'emission-confirmations'))} to confirm the cutover`,
    );
  }
  const release = releaseSwitch(view, now, start.eventId);
  if (release !== undefined) return release;
  const watchUntil = over(view, start.at, milliseconds(plan.terms.watch));
  const settleUntil = heldSwitch(view) ? over(view, start.at, milliseconds(plan.terms.settle)) : undefined;
  if (now < watchUntil) {
    return wait('the watch after the last step', Math.min(watchUntil, settleUntil ?? watchUntil));
  }
  return complete(plan, start);
}

export function complete(plan: RotationPlan, after: Mark): Decision {
  return {
    kind: 'record',
    events: [{ type: 'RotationCompleted', data: { leftAccepted: plan.leftAccepted } }],
    dueTo: after.eventId,
  };
}
