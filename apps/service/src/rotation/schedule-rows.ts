import { UNLIMITED, type Scope } from '#access';
import { DomainError } from '#eventlog';
import type { FamilyState } from '#rotation';
import { overdueRows, scheduleRows, type ScheduleInput, type ScheduleRow } from '#schedule';
import type { Directory } from './directory.js';

export type ScheduleItem = ScheduleRow;

function inputOf(directory: Directory, scope: Scope, now: number): ScheduleInput {
  return {
    families: directory.allFamilies(scope),
    rotations: directory.allRotations('all', scope).map(({ state }) => state),
    policies: directory.policyStates(),
    now,
  };
}

export function scheduleItems(directory: Directory, scope: Scope, now: number): readonly ScheduleItem[] {
  return scheduleRows(inputOf(directory, scope, now));
}

export function overdueItems(directory: Directory, scope: Scope, now: number): readonly ScheduleItem[] {
  return overdueRows(inputOf(directory, scope, now));
}

/** One family's own line. */
export function rowOf(directory: Directory, family: FamilyState, now: number): ScheduleItem {
  const rows = scheduleRows({ ...inputOf(directory, UNLIMITED, now), families: [family] });
  const row = rows.find((each) => each.kind === 'rotation' && each.family.id === family.familyId);
  if (row === undefined) throw new DomainError('family.not-found', 'there is no such secret family');
  return row;
}
