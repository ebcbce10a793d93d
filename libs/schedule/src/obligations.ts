import { formatInstant, parseInstant, type Provenance } from '#eventlog';
import type { FamilyState, PolicyState, RotationState } from '#rotation';
import { DAY_MS, LONGEST_NOTICE_MS, wholeDays } from './due.js';

/** Anything owed by a date, other than a rotation itself. Settled ones are not listed. */
export type ObligationKind =
  'emergency-approval' | 'post-incident-review' | 'policy-review' | 'runbook-review';

export interface ObligationRow {
  readonly kind: ObligationKind;
  /** `null`: owed for a policy, which is no one family's. */
  readonly family: { readonly id: string; readonly qualifiedName: string } | null;
  readonly rotation: string | null;
  readonly policy: { readonly id: string; readonly name: string } | null;
  readonly illustrative: boolean;
  readonly what: string;
  readonly status: 'ok' | 'due-soon' | 'overdue';
  readonly due: string;
  readonly overdueDays: number | null;
  readonly since: string | null;
  readonly basis: string;
  readonly provenance: Provenance;
}

export interface ObligationInput {
  readonly families: readonly FamilyState[];
  readonly rotations: readonly RotationState[];
  readonly policies: readonly PolicyState[];
  readonly now: number;
}

/** What is owed and not settled, the earliest first. */
export function obligationRows(input: ObligationInput): readonly ObligationRow[] {
  return [...ofEmergencies(input), ...ofPolicies(input), ...ofRunbooks(input)].sort((left, right) =>
    left.due < right.due ? -1 : left.due > right.due ? 1 : 0,
  );
}

function ofEmergencies({ families, rotations, now }: ObligationInput): readonly ObligationRow[] {
  const known = new Map(families.map((family) => [family.familyId, family]));
  return rotations.flatMap((rotation) => {
    const { emergency } = rotation;
    const family = known.get(rotation.familyId);
    // An import owes nothing: what it tells of is over.
    if (emergency === undefined || rotation.imported || family?.details === undefined) return [];
    const owed = (kind: ObligationKind, what: string, dueAt: number): ObligationRow => ({
      ...aboutFamily(family),
      kind,
      rotation: rotation.rotationId,
      policy: null,
      what,
      basis: 'the emergency that was declared',
      provenance: 'performed',
      ...judged(dueAt, now),
    });
    return [
      ...(rotation.approvals.length > 0 || rotation.phase === 'rejected'
        ? []
        : [owed('emergency-approval', 'approval of an emergency, in retrospect', emergency.approvalDueAt)]),
      ...(rotation.reviewedAt !== undefined
        ? []
        : [owed('post-incident-review', 'post-incident review', emergency.reviewDueAt)]),
    ];
  });
}

function ofPolicies({ policies, now }: ObligationInput): readonly ObligationRow[] {
  return policies.flatMap((policy): readonly ObligationRow[] => {
    const { details } = policy;
    const dueAt = details === undefined ? undefined : endOfDay(details.basis.nextReview);
    if (details === undefined || dueAt === undefined || policy.retired) return [];
    return [
      {
        kind: 'policy-review',
        family: null,
        rotation: null,
        policy: { id: policy.policyId, name: details.name },
        illustrative: false,
        what: `review of the policy ${details.name}`,
        basis: `next review ${details.basis.nextReview}, as the policy says`,
        provenance: 'attested',
        ...judged(dueAt, now),
      },
    ];
  });
}

function ofRunbooks({ families, now }: ObligationInput): readonly ObligationRow[] {
  return families.flatMap((family): readonly ObligationRow[] => {
    const { nextReview } = family.runbook;
    const dueAt = nextReview === undefined ? undefined : endOfDay(nextReview);
    if (nextReview === undefined || dueAt === undefined || family.details === undefined) return [];
    return [
      {
        ...aboutFamily(family),
        kind: 'runbook-review',
        rotation: null,
        policy: null,
        what: 'review of the runbook',
        basis: `next review ${nextReview}, as the runbook says`,
        provenance: 'attested',
        ...judged(dueAt, now),
      },
    ];
  });
}

function aboutFamily({ familyId, details }: FamilyState): Pick<ObligationRow, 'family' | 'illustrative'> {
  return {
    family: { id: familyId, qualifiedName: `${details?.environment ?? ''}/${details?.name ?? ''}` },
    illustrative: details?.illustrative === true,
  };
}

/** A date is kept until its day (UTC) is over. */
function endOfDay(date: string): number | undefined {
  const start = parseInstant(`${date}T00:00:00.000Z`);
  return start === undefined ? undefined : start + DAY_MS;
}

function judged(dueAt: number, now: number): Pick<ObligationRow, 'status' | 'due' | 'overdueDays' | 'since'> {
  const due = formatInstant(dueAt);
  if (now >= dueAt) {
    return { status: 'overdue', due, overdueDays: wholeDays(now - dueAt), since: due };
  }
  const soonAt = dueAt - LONGEST_NOTICE_MS;
  return now >= soonAt
    ? { status: 'due-soon', due, overdueDays: null, since: null }
    : { status: 'ok', due, overdueDays: null, since: null };
}
