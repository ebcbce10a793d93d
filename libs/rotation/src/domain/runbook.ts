import type { z } from 'zod';
import { DomainError } from '#eventlog';
import type { FamilyState } from './family.decider.js';
import type { RotationRequest, runbookSchema } from './family.events.js';

/** The fields of a runbook page that somebody writes, in words; the rest of it is computed from the record. */
export const RUNBOOK_WORDS = {
  scope: 'scope and purpose',
  storage: 'storage and distribution',
  blastRadius: 'blast radius',
  rolloutOrder: 'rollout order',
  verification: 'verification',
  rollbackPlan: 'rollback plan',
  cadence: 'cadence',
  nextReview: 'next review',
} as const satisfies Readonly<Record<keyof z.output<typeof runbookSchema>, string>>;

export interface RunbookCompleteness {
  readonly filled: readonly string[];
  /** In words, as a page names them: a field that is hard to fill is where the risk hides. */
  readonly missing: readonly string[];
}

/** What of a family's runbook page is there, and what is not. Its owner is never missing: it is registered with one. */
export function runbookCompleteness({
  details,
  runbook,
  consumers,
}: Pick<FamilyState, 'details' | 'runbook' | 'consumers'>): RunbookCompleteness {
  const fields: readonly (readonly [string, boolean])[] = [
    ...Object.entries(RUNBOOK_WORDS).map(
      ([field, words]) => [words, (runbook[field] ?? '').trim() !== ''] as const,
    ),
    ['consumers', consumers.length > 0],
    ['format and identification', details?.algorithm !== undefined],
  ];
  return {
    filled: fields.flatMap(([words, there]) => (there ? [words] : [])),
    missing: fields.flatMap(([words, there]) => (there ? [] : [words])),
  };
}

/**
 * Keyturn drives a planned rotation by a complete runbook, or by a deviation that says why not. What people do themselves, an
 * emergency and a rehearsal are never held up by it (design, Words).
 */
export function requireRunbook(family: FamilyState, request: RotationRequest): void {
  if (
    family.details?.mode !== 'driven' ||
    request.emergency !== undefined ||
    request.strategy === 'rehearsal' ||
    request.deviation !== undefined
  ) {
    return;
  }
  const { missing } = runbookCompleteness(family);
  if (missing.length === 0) return;
  throw new DomainError(
    'runbook.incomplete',
    `the runbook of this family says nothing of ${missing.join(', ')}: fill it in, or ask with a deviation {reason, until}`,
    { field: 'runbook', missing },
  );
}
