import { z } from 'zod';
import { instantSchema, type EventDefinitions, type NewEventOf, type RecordedEventOf } from '#eventlog';
import { blackoutSchema, calendarRuleSchema, changeWindowSchema } from './calendar.js';
import { durationSchema } from './duration.js';
import { widened } from './upcasts.js';
import {
  environmentSchema,
  familyKindSchema,
  lineSchema,
  nameSchema,
  protectionSchema,
  textSchema,
  uuidSchema,
} from './vocabulary.js';

export const selectorSchema = z.object({
  protection: protectionSchema.optional(),
  kind: familyKindSchema.optional(),
  environment: environmentSchema.optional(),
});
export type PolicySelector = z.output<typeof selectorSchema>;

/** The facts a T+ target of an emergency can be mapped to. */
export const TARGET_FACTS = [
  'EmergencyDeclared',
  'ContainmentApplied',
  'DualAcceptDeployed',
  'EmitterSwitched',
  'OldKeyRevoked',
  'OldKeyRejectionVerified',
  'SessionsInvalidated',
  'ReauthenticationVerified',
  'RotationCompleted',
  'PostIncidentReviewed',
] as const;

export const targetSchema = z.object({
  name: lineSchema,
  fact: z.enum(TARGET_FACTS),
  within: durationSchema,
});
export type EmergencyTarget = z.output<typeof targetSchema>;

/** One part of a rolling rotation: the share it brings emission to, and how long it is looked at before the next. */
export const cohortSchema = z.object({ share: z.int().min(1).max(100), hold: durationSchema });
export type Cohort = z.output<typeof cohortSchema>;

/** Shares are basis points: 500 is 5 %. A gate never shortens a window. */
export const gatesSchema = z.object({
  /** n of m: at least this percentage of the verifiers must have confirmed, rounded up. Absent: all. */
  acceptanceQuorum: z.int().min(1).max(100).optional(),
  /** Before revoking: what was counted in the latest span must be this quiet. */
  telemetry: z
    .object({
      /** Uses counted in the sample; fewer hold the gate, as zero does. */
      minUses: z.int().min(1),
      /** A sample older than this says nothing of now. */
      freshWithin: durationSchema,
      previousAtMost: z.int().min(0).max(10_000),
      invalidAtMost: z.int().min(0).max(10_000).optional(),
    })
    .optional(),
});

/** What a policy binds; a plan stores these resolved values at its start. */
export const policyTermsSchema = z.object({
  /** From `KeyGenerated` to the last emitter confirmed off the version. */
  stopEmitting: durationSchema,
  /** From `KeyGenerated` to `OldKeyRevoked`. */
  stopAccepting: durationSchema,
  /** Added to every computed window. */
  margins: z.object({ clockSkew: durationSchema, safety: durationSchema }),
  /** How many subjects other than the requester approve before a planned rotation starts. */
  approvals: z.int().min(0).max(10),
  /** How long a consumer's emitter switch stays its only one after the last `EmissionConfirmed`. */
  settle: durationSchema,
  /** How long a rotation is watched after the old version was revoked. */
  watch: durationSchema,
  /** An emergency's retrospective approval and its post-incident review are owed within these. */
  emergency: z.object({
    approvalWithin: durationSchema,
    reviewWithin: durationSchema,
    targets: z.array(targetSchema).max(20),
  }),
  /** When a planned rotation is to start; places work inside the periods, never lengthens them. */
  calendar: calendarRuleSchema.optional(),
  /** Emit and revoke begin only inside one of these. */
  changeWindows: z.array(changeWindowSchema).max(20).optional(),
  blackouts: z.array(blackoutSchema).max(100).optional(),
  gates: gatesSchema.optional(),
  /** How emission moves in a rolling rotation; the last brings it to 100 %. */
  cohorts: z.array(cohortSchema).min(1).max(20).optional(),
  /** How long after a departure the secrets a person knew are to be rotated. */
  departureWithin: durationSchema.optional(),
});
export type PolicyTerms = z.output<typeof policyTermsSchema>;

export const policyDetailsSchema = z.object({
  name: nameSchema,
  selector: selectorSchema,
  terms: policyTermsSchema,
  /** Who set it, by what risk analysis, reviewed when. */
  basis: z.object({
    setBy: lineSchema,
    riskAnalysis: textSchema,
    reviewedOn: z.iso.date(),
    nextReview: z.iso.date(),
  }),
  /** Never before it was recorded. */
  effectiveFrom: instantSchema,
});
export type PolicyDetails = z.output<typeof policyDetailsSchema>;

/** What can be approved in advance: never an emergency; a rehearsal needs no approval. */
export const PLANNED_STRATEGIES = ['graceful', 'rolling', 'cutover'] as const;
export type PlannedStrategy = (typeof PLANNED_STRATEGIES)[number];

export const policyEvents = {
  PolicyDefined: {
    version: 2,
    upcast: { 1: widened },
    about: 'A policy was written; it binds once somebody other than its author approved it.',
    schema: policyDetailsSchema,
  },
  PolicyAmended: {
    version: 2,
    upcast: { 1: widened },
    about: 'A policy was changed; it binds new rotations once somebody else approved it.',
    schema: policyDetailsSchema.omit({ selector: true }),
  },
  PolicyApproved: {
    version: 1,
    about: 'Somebody other than its author approved a policy.',
    schema: z.object({ revision: z.int().min(0), note: textSchema.optional() }),
  },
  StandingApprovalGranted: {
    version: 1,
    about:
      'Planned rotations this policy binds are approved in advance, until then; only of the revision it names.',
    schema: z.object({
      approval: uuidSchema,
      /** The definition or amendment it was given for: another one needs another approval. */
      revision: z.int().min(0),
      until: instantSchema,
      reason: textSchema,
      strategies: z.array(z.enum(PLANNED_STRATEGIES)).min(1).max(PLANNED_STRATEGIES.length),
    }),
  },
  StandingApprovalRevoked: {
    version: 1,
    about: 'A standing approval ended before its time; what it approved before stays approved.',
    schema: z.object({ approval: uuidSchema, reason: textSchema }),
  },
  PolicyRetired: {
    version: 1,
    about: 'A policy selects nothing any more.',
    schema: z.object({ reason: textSchema }),
  },
} as const satisfies EventDefinitions;

export type NewPolicyEvent = NewEventOf<typeof policyEvents>;
export type PolicyEvent = RecordedEventOf<typeof policyEvents>;
