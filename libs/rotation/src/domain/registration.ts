import { formatInstant } from '#eventlog';
import type { FamilyState } from './family.decider.js';
import type { NewFamilyEvent } from './family.events.js';
import { runbookCompleteness } from './runbook.js';

/** Keyturn's own number: what an emergency registered in haste is filled in within this. No framework names one. */
const REGISTRATION_WITHIN_MS = 7 * 86_400_000;

export function registrationOwed(now: number): NewFamilyEvent {
  return { type: 'RegistrationOwed', data: { due: formatInstant(now + REGISTRATION_WITHIN_MS) } };
}

/** What a family registered in haste still owes, in words; nothing for one that was registered in full. */
export function registrationMissing(family: FamilyState): readonly string[] {
  const { registration, details, retired } = family;
  if (registration === undefined || details === undefined || retired) return [];
  const { owner } = details;
  return [
    ...(registration.classified ? [] : ['classification']),
    ...(registration.ownerAssigned ? [] : ['owner']),
    ...(owner.deputy === undefined ? ['deputy'] : []),
    ...(owner.escalation === undefined ? ['escalation'] : []),
    // People keep it, in whatever format it has.
    ...runbookCompleteness(family).missing.filter((words) => words !== 'format and identification'),
  ];
}
