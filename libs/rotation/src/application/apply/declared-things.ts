import type { z } from 'zod';
import { instantSchema } from '#eventlog';
import {
  runbookSchema,
  scheduleSchema,
  type ConsumerDetails,
  type FamilyDetails,
} from '../../domain/family.events.js';
import { policyDetailsSchema, type PolicyDetails } from '../../domain/policy.events.js';
import {
  declaredConsumerSchema,
  declaredFamilySchema,
  qualifiedNameSchema,
} from '../files/declared-shapes.js';

/** Where something is declared. */
export interface Place {
  readonly file: string;
  /** 1-based. */
  readonly line: number;
}

/**
 * What a family has beside what it is: each is read from the family as it is shown, under the same name, and set by a
 * request of its own. A new one is a line here; file formats, columns, differences and requests follow.
 *
 * `inDetails`: registering the family says it, too. `whole`: a declaration replaces all of it; else what it does not
 * name stays as it is.
 */
export const FAMILY_ASPECTS: readonly FamilyAspect[] = [
  { field: 'runbook', schema: runbookSchema, kind: 'revise-runbook', path: 'runbook' },
  {
    field: 'owner',
    schema: declaredFamilySchema.shape.owner,
    kind: 'assign-owner',
    path: 'owner',
    inDetails: true,
  },
  { field: 'schedule', schema: scheduleSchema, kind: 'set-schedule', path: 'schedule' },
];

/** What somebody may look for here, and why no file declares it. */
export const NOT_DECLARED: Readonly<Record<string, string>> = {
  ...sameFor(
    ['standing', 'standingApproval', 'standingApprovals'],
    'is not declared: a standing approval gives power away, and needs the permission and the name of whoever grants it: keyturn standing grant',
  ),
  ...sameFor(
    ['telemetry', 'samples', 'samplers'],
    'is not declared here: what holds a revocation stands in a policy (terms.telemetry); what was counted is a fact, recorded with keyturn telemetry',
  ),
  ...sameFor(
    ['approved', 'approvals', 'approvedBy'],
    'is not declared: whoever approves says so in their own name: keyturn approve',
  ),
};

function sameFor(names: readonly string[], message: string): Readonly<Record<string, string>> {
  return Object.fromEntries(names.map((name) => [name, message]));
}

export interface FamilyAspect {
  readonly field: string;
  readonly schema: z.ZodType;
  readonly kind: 'revise-runbook' | 'assign-owner' | 'set-schedule';
  /** Below the family: `PUT /families/{family}/{path}`. */
  readonly path: string;
  readonly whole?: true;
  readonly inDetails?: true;
}

const beside = FAMILY_ASPECTS.filter(({ inDetails }) => inDetails !== true);

export const familySchema = declaredFamilySchema.extend(
  Object.fromEntries(beside.map(({ field, schema }) => [field, schema.optional()])),
);
export const consumerSchema = declaredConsumerSchema.extend({ family: qualifiedNameSchema });
export const policySchema = policyDetailsSchema.extend({ effectiveFrom: instantSchema.optional() });

export interface DeclaredFamily {
  readonly place: Place;
  readonly details: FamilyDetails;
  /** By field of `FAMILY_ASPECTS`; those of `details` stand there only. */
  readonly aspects: Readonly<Record<string, unknown>>;
}

export interface DeclaredConsumer {
  readonly place: Place;
  /** `environment/name`. */
  readonly family: string;
  readonly consumer: ConsumerDetails;
}

export interface DeclaredPolicy {
  readonly place: Place;
  readonly details: Omit<PolicyDetails, 'effectiveFrom'> & { readonly effectiveFrom?: string | undefined };
}

export interface Declarations {
  readonly families: readonly DeclaredFamily[];
  readonly consumers: readonly DeclaredConsumer[];
  readonly policies: readonly DeclaredPolicy[];
  /** `environment/name` of every family the files name, also of those that cannot be read. */
  readonly named: ReadonlySet<string>;
}

/** A family as it was read, in its two parts. */
export function partsOf(found: z.output<typeof familySchema>): Omit<DeclaredFamily, 'place'> {
  const all = new Map<string, unknown>(Object.entries(found));
  const aspects = new Map<string, unknown>();
  for (const { field } of beside) {
    if (all.get(field) !== undefined) aspects.set(field, all.get(field));
    all.delete(field);
  }
  return {
    details: declaredFamilySchema.parse(Object.fromEntries(all)),
    aspects: Object.fromEntries(aspects),
  };
}
