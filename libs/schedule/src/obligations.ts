import { formatInstant, parseInstant, type Provenance } from '#eventlog';
import {
  boundAt,
  departedTerms,
  departureText,
  milliseconds,
  registrationMissing,
  selectPolicy,
  type FamilyState,
  type PolicyState,
  type RotationState,
} from '#rotation';
import type { ObligationKind } from './obligation.events.js';
import { DAY_MS, LONGEST_NOTICE_MS, wholeDays } from './due.js';

export interface ObligationRow {
  readonly kind: ObligationKind;
  /** What tells it from every other of its kind, for good: whose it is, and which of theirs. */
  readonly key: string;
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
  return [
    ...ofEmergencies(input),
    ...ofPolicies(input),
    ...ofRunbooks(input),
    ...ofDepartures(input),
    ...ofRotations(input),
    ...ofDeviations(input),
    ...ofRegistrations(input),
  ].sort((left, right) => (left.due < right.due ? -1 : left.due > right.due ? 1 : 0));
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
      key: rotation.rotationId,
      rotation: rotation.rotationId,
      policy: null,
      what,
      basis: 'the emergency that was declared',
      provenance: 'performed',
      ...judged(dueAt, now),
    });
    return [
      ...(rotation.approvals.length > 0 || rotation.refused !== undefined || rotation.phase === 'rejected'
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
        key: `${policy.policyId} ${details.basis.nextReview}`,
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
    if (nextReview === undefined || dueAt === undefined || family.details === undefined || family.retired)
      return [];
    return [
      {
        ...aboutFamily(family),
        kind: 'runbook-review',
        key: `${family.familyId} ${nextReview}`,
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

/** Keyturn's own number, where no policy says within what time: no framework names one. */
const DEPARTURE_WITHIN = 'P30D';
/** What was attested is compared with the back end within this, once it is over. */
const RECONCILED_WITHIN_MS = DAY_MS;

/** Somebody who knew the secret left, and no rotation was begun since and completed. */
function ofDepartures({ families, policies, now }: ObligationInput): readonly ObligationRow[] {
  const bound = policies.flatMap((policy) => boundAt(policy, now) ?? []);
  return families.flatMap((family): readonly ObligationRow[] => {
    const { details, custodians, retired } = family;
    if (details === undefined || retired) return [];
    const policy = selectPolicy(bound, details);
    const within =
      policy === undefined ? undefined : departedTerms(policy.terms, family.deviations, now).departureWithin;
    return custodians.flatMap(({ subject, departed }): readonly ObligationRow[] => {
      if (departed === undefined || departed.settledBy !== undefined) return [];
      return [
        {
          ...aboutFamily(family),
          kind: 'departure',
          key: `${family.familyId} ${subject} ${formatInstant(departed.leftAt)}`,
          rotation: null,
          policy: policy === undefined ? null : { id: policy.policyId, name: policy.name },
          what: 'rotation: somebody who knew this secret left',
          basis:
            within === undefined
              ? `left ${formatInstant(departed.leftAt)}; no policy says within what time, so ${DEPARTURE_WITHIN} of Keyturn’s own`
              : `left ${formatInstant(departed.leftAt)}; the policy ${policy?.name ?? ''} says within ${within}`,
          provenance: 'attested',
          ...judged(departed.leftAt + milliseconds(within ?? DEPARTURE_WITHIN), now),
        },
      ];
    });
  });
}

/** A family that departed from its policy: past the end the policy binds again, and somebody closes what ended. */
function ofDeviations({ families, now }: ObligationInput): readonly ObligationRow[] {
  return families.flatMap((family): readonly ObligationRow[] =>
    (family.deviations ?? [])
      .filter(
        ({ approvedAt, closedAt }) => approvedAt !== undefined && closedAt === undefined && !family.retired,
      )
      .map((deviation) => ({
        ...aboutFamily(family),
        kind: 'deviation-end' as const,
        key: deviation.deviation,
        rotation: null,
        policy: null,
        what:
          now < deviation.until
            ? `a deviation from the policy ends: ${departureText(deviation)}`
            : `a deviation from the policy ended, the policy binds again: ${departureText(deviation)}`,
        basis: `approved until then: ${deviation.reason}`.slice(0, 300),
        provenance: 'attested' as const,
        ...judged(deviation.until, now),
      })),
  );
}

/** A family an emergency registered in haste, until what nobody knew then is filled in. */
function ofRegistrations({ families, now }: ObligationInput): readonly ObligationRow[] {
  return families.flatMap((family): readonly ObligationRow[] => {
    const { registration, familyId } = family;
    const missing = registrationMissing(family);
    if (registration === undefined || missing.length === 0) return [];
    return [
      {
        ...aboutFamily(family),
        kind: 'registration',
        key: familyId,
        rotation: null,
        policy: null,
        what: `registration in haste, to be completed: ${missing.join(', ')}`,
        basis: 'registered by an emergency, with what was known then',
        provenance: 'performed',
        ...judged(registration.due, now),
      },
    ];
  });
}

/** A deviation that runs out while its rotation still uses it, and steps that were attested and never compared. */
function ofRotations({ families, rotations, now }: ObligationInput): readonly ObligationRow[] {
  const known = new Map(families.map((family) => [family.familyId, family]));
  return rotations.flatMap((rotation): readonly ObligationRow[] => {
    const family = known.get(rotation.familyId);
    if (family === undefined || rotation.imported) return [];
    const owed = (kind: ObligationKind, what: string, basis: string, dueAt: number): ObligationRow => ({
      ...aboutFamily(family),
      kind,
      key: rotation.rotationId,
      rotation: rotation.rotationId,
      policy: null,
      what,
      basis,
      provenance: 'attested',
      ...judged(dueAt, now),
    });
    const until = parseInstant(rotation.request?.deviation?.until ?? '');
    const running = rotation.ended === undefined;
    const attestedAt = rotation.unreconciledSince ?? now;
    return [
      ...(until !== undefined && running
        ? [owed('deviation-end', 'a deviation ends', 'the deviation this rotation was asked for with', until)]
        : []),
      ...(rotation.unreconciled.length > 0
        ? [
            owed(
              'reconciliation',
              `${rotation.unreconciled.join(', ')}: attested, not yet compared with the back end`,
              'what people attested is compared once the back end can be seen',
              attestedAt + RECONCILED_WITHIN_MS,
            ),
          ]
        : []),
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
