import { formatInstant } from '#eventlog';
import { milliseconds } from '../duration.js';
import type { RotationPlan } from '../rotation.events.js';
import { initialRotation } from '../rotation.state.js';
import type { StepName } from '../step.events.js';
import { HELD, holdsOf } from './holds.js';
import type { RotationView } from './view.js';

/** What a plan's steps would be held by, and when each could happen at the earliest: a freeze moves a date, or leaves none. */

export interface PlanHold {
  /** Such as "the freeze year-end". */
  readonly what: string;
  readonly reason: string | null;
  /** `null`: nobody knows when it ends. */
  readonly until: string | null;
  /** Those that begin no earlier for it. */
  readonly steps: readonly StepName[];
}

export interface PlanDates {
  readonly acceptEndsAt: string | null;
  readonly earliestEmit: string | null;
  readonly earliestRevoke: string | null;
  /** `null`, as each of these: held by something whose end nobody knows. */
  readonly earliestCompleted: string | null;
  readonly steps: readonly { readonly step: StepName; readonly earliest: string | null }[];
}

type HoldsView = Parameters<typeof holdsOf>[0] & Pick<RotationView, 'holds'>;

/** More holds than this one after the other are no plan any more. */
const MOST_HOLDS = 1_000;

/** If everybody approved and confirmed at once, and no hold ended before its time. */
export function planDates(
  plan: RotationPlan,
  view: Omit<HoldsView, 'rotation'>,
  now: number,
): { readonly dates: PlanDates; readonly holds: readonly PlanHold[] } {
  const planned = { ...view, rotation: { ...initialRotation, plan } };
  const holds = new Map<string, { until: number | undefined; steps: StepName[] }>();
  const accept = milliseconds(plan.windows?.accept.required);
  const drain = milliseconds(plan.windows?.drain.required);
  const shared = (plan.cohorts ?? []).slice(0, -1).reduce((sum, { hold }) => sum + milliseconds(hold), 0);
  const before: Partial<Record<StepName, number>> = {
    emit: accept,
    revoke: (plan.steps.includes('emit') ? shared : 0) + drain,
  };
  let at = now;
  let known = true;
  // What holds the switch makes no window longer.
  let acceptEndsAt: string | null = null;
  const steps = plan.steps.map((step) => {
    at += before[step] ?? 0;
    if (step === 'emit' && known) acceptEndsAt = formatInstant(at);
    // An emergency passes every hold (contracts, Holds).
    for (let turn = 0; plan.strategy !== 'emergency' && turn < MOST_HOLDS; turn += 1) {
      const found = holdsOf(planned, at, step).flatMap((each) => (each.kind === 'wait' ? [each] : []));
      for (const { waitsFor, until } of found) {
        const entry = holds.get(waitsFor) ?? { until, steps: [] };
        if (!entry.steps.includes(step)) entry.steps.push(step);
        holds.set(waitsFor, entry);
      }
      const ends = found.map(({ until }) => until ?? Infinity);
      if (ends.includes(Infinity)) known = false;
      if (ends.length === 0 || ends.includes(Infinity)) break;
      at = Math.max(at, ...ends);
    }
    return { step, earliest: known ? formatInstant(at) : null };
  });
  const watched =
    plan.strategy === 'emergency' ? milliseconds(plan.trustTerm) : milliseconds(plan.terms.watch);
  const earliest = (name: StepName): string | null =>
    steps.find(({ step }) => step === name)?.earliest ?? null;
  return {
    holds: [...holds].map(([text, { until, steps: held }]) => ({
      ...named(text),
      until: until === undefined ? null : formatInstant(until),
      steps: held,
    })),
    dates: {
      acceptEndsAt,
      earliestEmit: earliest('emit'),
      earliestRevoke: earliest('revoke'),
      earliestCompleted: known ? formatInstant(at + watched) : null,
      steps,
    },
  };
}

/** As a rotation says what it waits for: what it is, and behind the colon why. */
function named(waitsFor: string): Pick<PlanHold, 'what' | 'reason'> {
  const text = waitsFor.startsWith(HELD) ? waitsFor.slice(HELD.length) : waitsFor;
  const colon = text.indexOf(': ');
  return colon < 0
    ? { what: text, reason: null }
    : { what: text.slice(0, colon), reason: text.slice(colon + 2) };
}
