import { changeTime } from '../change-windows.js';
import { containedVersions } from '../containment.state.js';
import { driftText } from '../drift.js';
import { formatDuration } from '../duration.js';
import { aheadSince, CLOCK_TOLERANCE_MS, freezesOn } from '../holds.state.js';
import type { RotationState } from '../rotation.state.js';
import { stepTable } from '../step-table.js';
import type { StepName } from '../step.events.js';
import { type Decision, type RotationView, wait } from './view.js';

/** What holds a step though nothing failed: freezes, clocks, windows, containments. */

/** Never held: a way back to the old version. Its own withdrawal keeps the clock rules (contracts, Clocks). */
export function freeOfHolds(step: StepName): boolean {
  return stepTable[step].direction !== 'forward' && !stepTable[step].clockBound;
}

/** What is left once this step is done: it emits then, or is all that is accepted. `undefined`: nobody depends on the step. */
export function leftBy({ plan }: RotationState, step: StepName): string | undefined {
  switch (step) {
    case 'emit':
    case 'cutover':
    case 'revoke':
      return plan?.incoming;
    case 'reaccept':
    case 'return':
    case 'cutback':
      return plan?.emittingBefore;
    case 'generate':
    case 'accept':
    case 'verify':
    case 'withdraw':
    case 'contain':
    case 'lift':
    case 'destroy':
      return undefined;
  }
}

/**
 * Nothing moves to, or leaves nothing but, a version that is denied on suspicion: afterwards nothing would be accepted. Lifting
 * takes the family's slot, which this rotation has; so what helps is a way out of the rotation.
 */
export function containedHold(
  view: Pick<RotationView, 'rotation' | 'family' | 'contained'>,
  step: StepName,
): Decision | undefined {
  const { rotation, family, contained } = view;
  const left = leftBy(rotation, step);
  if (left === undefined || !containedVersions(family, contained).includes(left)) return undefined;
  const out =
    rotation.rollback !== undefined
      ? 'an emergency replaces it'
      : emitted(rotation)
        ? 'roll this rotation back, or declare an emergency'
        : 'abandon this rotation, or declare an emergency';
  return wait(
    `${HELD}${left} is contained on suspicion, and after ${step} nothing else would be in use: ${out}; once the rotation is over, a cleared containment can be lifted`,
  );
}

export function emitted(rotation: RotationState): boolean {
  return rotation.switched !== undefined && rotation.returned === undefined;
}

/** What the back end denies by a containment in force, whatever else is accepted. */
export function deniedVersions({
  containment,
  contained,
}: Pick<RotationView, 'containment' | 'contained'>): readonly string[] {
  const all = containment === undefined ? contained : [containment, ...contained];
  return all.flatMap((each) => (each.applied === undefined || each.status === 'lifted' ? [] : each.versions));
}

/** Everything that holds a planned step now, as what it waits for. An emergency names what of it it passed. */
export function holdsOf(
  view: Pick<RotationView, 'holds' | 'family' | 'clocks'> & {
    readonly backEnd: Pick<RotationView['backEnd'], 'observed'>;
  } & Partial<Pick<RotationView, 'rotation'>>,
  now: number,
  step: StepName,
): readonly Decision[] {
  const { holds, family, rotation } = view;
  const row = stepTable[step];
  const found: Decision[] = [];
  if (row.direction === 'forward') {
    if (holds.restore !== undefined) {
      found.push(wait(`${HELD}the log was restored: ${holds.restore.reason}`));
    }
    const { details } = family;
    const [freeze] = details === undefined ? [] : freezesOn(holds, family.familyId, details, now);
    if (freeze !== undefined)
      found.push(wait(`${HELD}the freeze ${freeze.name}: ${freeze.reason}`, freeze.until));
    if (row.clockBound && holds.integrity !== undefined) {
      found.push(wait(`${HELD}the log does not verify: ${holds.integrity.reason}`));
    }
  }
  // What cannot be taken back, or leaves nothing else in use, waits until somebody knows what the back end holds.
  const { drift } = family;
  if (drift !== undefined && (step === 'revoke' || step === 'cutover' || step === 'destroy')) {
    found.push(wait(`${HELD}drift: ${driftText(drift)}`));
  }
  if (row.clockBound) {
    if (holds.clock !== undefined) found.push(wait(`${HELD}the clock: ${holds.clock.reason}`));
    const clock = clockHold(view, now);
    if (clock !== undefined) found.push(clock);
  }
  if (row.inChangeWindow) {
    const { changeWindows = [], blackouts = [], terms } = rotation?.plan ?? {};
    const time = changeTime(changeWindows, blackouts, now, terms?.changeWindows);
    if (!time.open) found.push(wait(time.why, time.opensAt));
  }
  return found;
}

/**
 * When a span that began at `from` is over, as the clock reads now: no timer fires early because a clock was wrong. While a
 * leap forward is held, what may have begun before it is over by as much later; what may have begun while the clock was behind
 * counts from the clock's confirmation.
 */
export function over({ holds }: Pick<RotationView, 'holds'>, from: number, span: number): number {
  const begun = (holds.behind ?? []).reduce(
    (at, wrong) => (at >= wrong.from && at < wrong.until ? wrong.until : at),
    from,
  );
  return begun + span + (holds.clock === undefined ? 0 : aheadSince(holds.clock, begun));
}

/** What waits for a hold begins with this: a hold that ends wakes whoever says so. */
export const HELD = 'held: ';

/** Emit and revoke wait until the clocks agree (contracts, Clocks). */
function clockHold(
  view: Pick<RotationView, 'clocks' | 'holds'> & {
    readonly backEnd: Pick<RotationView['backEnd'], 'observed'>;
  },
  now: number,
): Decision | undefined {
  const { newestRecordedAt } = view.clocks;
  const behind = newestRecordedAt - now;
  // What a clock wrote while it was ahead holds nothing once that clock was confirmed.
  const known = newestRecordedAt <= (view.holds.recordsAheadUntil ?? -Infinity);
  if (behind > CLOCK_TOLERANCE_MS && !known) {
    return wait(
      `the clock: it is ${formatDuration(Math.floor(behind / 1_000) * 1_000)} behind the newest record`,
      now + behind - CLOCK_TOLERANCE_MS,
    );
  }
  const { observed } = view.backEnd;
  if (
    'clock' in observed &&
    observed.clock !== undefined &&
    Math.abs(observed.clock - now) > CLOCK_TOLERANCE_MS
  ) {
    return wait('the clock: it and the back end’s differ by more than 30 s', now + CLOCK_TOLERANCE_MS);
  }
  return undefined;
}
