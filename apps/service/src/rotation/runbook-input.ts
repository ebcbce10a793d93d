import { DomainError } from '#eventlog';
import type { RunbookInput } from '#evidence';
import {
  boundAt,
  departedTerms,
  departuresText,
  selectPolicy,
  type FamilyView,
  type RotationPlan,
} from '#rotation';
import type { Keyturn } from '../composition.js';
import type { Directory } from './directory.js';
import type { Timetable } from './schedule-rows.js';

/** Everything a runbook page and an emergency card are made of, as of now. */
export async function runbookInput(
  keyturn: Keyturn,
  { directory, timetable }: { readonly directory: Directory; readonly timetable: Timetable },
  family: FamilyView,
  windows: () => Promise<RotationPlan['windows']>,
): Promise<RunbookInput> {
  const asOf = keyturn.clock.now();
  const { state } = directory.family(family.id);
  const { status, due, overdueDays } = timetable.rowOf(state, asOf);
  const bound = directory.policyStates().flatMap((policy) => boundAt(policy, asOf) ?? []);
  const policy = state.details === undefined ? undefined : selectPolicy(bound, state.details);
  const terms = policy === undefined ? undefined : departedTerms(policy.terms, state.deviations, asOf);
  // While one runs, its own plan is what holds.
  const running =
    family.runningRotation === null ? undefined : directory.rotation(family.runningRotation).state.plan;
  const kind =
    family.backEnd === null ? undefined : keyturn.backEnds.find(family.backEnd.instance)?.declaration.kind;
  return {
    logId: keyturn.store.logId,
    treeSize: directory.treeSize(),
    asOf,
    family,
    windows: await windowsShown(running, windows),
    due: { status, due, overdueDays },
    ...(policy === undefined || terms === undefined
      ? {}
      : {
          policy: {
            name: policy.name,
            revision: policy.revision,
            stopEmitting: terms.stopEmitting,
            stopAccepting: terms.stopAccepting,
            departures: departuresText(state.deviations, asOf),
          },
        }),
    ...(kind === undefined ? {} : { backEndKind: kind }),
  };
}

/** An emergency cuts its own to nothing: what the page is for is what a planned rotation has. */
async function windowsShown(
  running: RotationPlan | undefined,
  windows: () => Promise<RotationPlan['windows']>,
): Promise<RunbookInput['windows']> {
  if (running?.windows !== undefined && running.strategy !== 'emergency') return running.windows;
  return orReason(windows);
}

/** A rule that refuses a rotation now is what the page says in place of its windows. */
async function orReason(windows: () => Promise<RotationPlan['windows']>): Promise<RunbookInput['windows']> {
  try {
    // A cutover has none: never to be shown as an overlap of zero.
    return (
      (await windows()) ?? { none: 'versions of this family do not overlap; a cutover has an outage instead' }
    );
  } catch (error) {
    if (error instanceof DomainError) return { none: error.message };
    throw error;
  }
}
