import { z } from 'zod';
import { instantSchema, type EventDefinitions, type NewEventOf, type RecordedEventOf } from '#eventlog';
import { blackoutSchema, calendarRuleSchema, changeWindowSchema } from './calendar.js';
import { durationSchema } from './duration.js';
import { widened } from './upcasts.js';
import { cohortSchema, policyTermsSchema } from './policy.events.js';
import {
  algorithmSchema,
  backEndRefSchema,
  environmentSchema,
  familyKindSchema,
  lineSchema,
  nameSchema,
  protectionSchema,
  REHEARSED,
  STRATEGIES,
  textSchema,
  triggerSchema,
  USAGES,
  uuidSchema,
  versionIdSchema,
  versionSnapshotSchema,
} from './vocabulary.js';

/**
 * extra: a version nobody recorded · missing: one that is gone · destroyed, accepted, not-accepted, emission: so in the back end, and not
 * in the record · told: what the back end itself finds wrong with the object.
 */
export const DRIFT_KINDS = [
  'extra',
  'missing',
  'destroyed',
  'accepted',
  'not-accepted',
  'emission',
  'told',
] as const;
export const driftDifferenceSchema = z.object({
  kind: z.enum(DRIFT_KINDS),
  versionId: versionIdSchema.optional(),
  detail: lineSchema.optional(),
});
export type DriftDifference = z.output<typeof driftDifferenceSchema>;

/** An owner is a role with a deputy and an escalation, never only a name. */
export const ownerSchema = z.object({
  role: lineSchema,
  deputy: lineSchema.optional(),
  escalation: lineSchema.optional(),
});

export const authoritySchema = z.object({
  kind: z.enum(['keyturn', 'back-end', 'pipeline', 'nobody']),
  name: lineSchema.optional(),
});

export const familyDetailsSchema = z.object({
  name: nameSchema,
  environment: environmentSchema,
  description: textSchema.optional(),
  kind: familyKindSchema,
  algorithm: algorithmSchema.optional(),
  strengthBits: z.int().positive().max(16_384).optional(),
  protects: protectionSchema,
  usage: z.enum(USAGES),
  overlap: z.enum(['dual', 'none']),
  mode: z.enum(['tracked', 'attested', 'driven']),
  authority: authoritySchema,
  owner: ownerSchema,
  team: nameSchema,
  backEnd: backEndRefSchema.optional(),
  /** Longest life of what is emitted: token TTL, signed URL, pooled connection, retry and dead-letter horizon. */
  artefactLife: durationSchema.optional(),
  frameworks: z.array(lineSchema).max(20).optional(),
  /** Made for a demonstration: every page made from it says EXAMPLE DATA. */
  illustrative: z.boolean(),
});
export type FamilyDetails = z.output<typeof familyDetailsSchema>;

/**
 * What only an imported fact needs: who did it (the actor is who imported it), and the span in which it happened where
 * no instant was recorded (contracts, The envelope).
 */
export const importedFactFields = {
  by: lineSchema.optional(),
  occurredWithin: z.object({ from: instantSchema, to: instantSchema }).optional(),
};

/** Places a family's rotations inside its policy's periods; never lengthens them. */
export const scheduleSchema = z.object({
  calendar: calendarRuleSchema.optional(),
  /** Emit and revoke begin only inside one of these; in the place of the policy's. */
  changeWindows: z.array(changeWindowSchema).max(20).optional(),
  /** Beside the policy's. */
  blackouts: z.array(blackoutSchema).max(100).optional(),
});
export type FamilySchedule = z.output<typeof scheduleSchema>;

/** What of its policy's terms a family departs from; the rest binds. */
export const departureSchema = policyTermsSchema
  .partial()
  .refine((departs) => Object.values(departs).some((value) => value !== undefined), {
    message: 'must name at least one of the policy’s terms, such as stopEmitting',
  });
export type FamilyDeparture = z.output<typeof departureSchema>;

/** What a family is, as policies are selected by it: who registered it in haste could not know. */
export const classificationSchema = familyDetailsSchema
  .pick({ kind: true, protects: true, usage: true, team: true })
  .extend({ description: textSchema.optional() });
export type FamilyClassification = z.output<typeof classificationSchema>;

export const coverageSchema = z.object({ from: instantSchema, basis: textSchema });

export const CONSUMER_ROLES = ['emitter', 'verifier'] as const;

export const consumerDetailsSchema = z.object({
  name: nameSchema,
  roles: z.array(z.enum(CONSUMER_ROLES)).min(1).max(2),
  /** How long it keeps keys it fetched. */
  cacheTtl: durationSchema.optional(),
  /** How long after a cache ran out a refresh may still take. */
  refreshDelay: durationSchema.optional(),
  /** How long a change takes to reach all of its instances. */
  deployPropagation: durationSchema.optional(),
  /** Keys are baked in: there is no finite accept window, a person decides. */
  neverRefreshes: z.boolean(),
  thirdParty: z.boolean(),
  /** n of "k of n": how many instances confirm. */
  instances: z.int().min(1).max(10_000),
});
export type ConsumerDetails = z.output<typeof consumerDetailsSchema>;

export const runbookSchema = z.object({
  scope: textSchema.optional(),
  storage: textSchema.optional(),
  blastRadius: textSchema.optional(),
  rolloutOrder: textSchema.optional(),
  verification: textSchema.optional(),
  rollbackPlan: textSchema.optional(),
  cadence: textSchema.optional(),
  nextReview: z.iso.date().optional(),
});

export const emergencyRequestSchema = z.object({
  compromisedVersions: z.array(versionIdSchema).min(1).max(100),
  /** T+ counts from it. */
  discoveredAt: instantSchema,
  exposedFrom: instantSchema.optional(),
  incident: lineSchema.optional(),
  /** Deny the compromised versions before anything else is done. */
  contain: z.boolean(),
});

/** A standing approval that was in force when a rotation was asked for: a typed approver. */
export const standingApprovalSchema = z.object({
  policy: uuidSchema,
  approval: uuidSchema,
  grantedBy: z.string(),
  until: instantSchema,
});

/** What somebody asked for; carried by `RotationOpened`, so that the sweep can complete what a crash left. */
export const rotationRequestSchema = z.object({
  strategy: z.enum(STRATEGIES),
  trigger: triggerSchema,
  reason: textSchema,
  requestedBy: z.string(),
  /** Windows other than the computed ones. Shorter ones stand on the deviation. */
  windows: z.object({ accept: durationSchema.optional(), drain: durationSchema.optional() }).optional(),
  deviation: z.object({ reason: textSchema, until: instantSchema }).optional(),
  emergency: emergencyRequestSchema.optional(),
  /** What a rehearsal rehearses. */
  rehearses: z.enum(REHEARSED).optional(),
  /** The cohorts of a rolling rotation, other than the usual ones. */
  cohorts: z.array(cohortSchema).min(1).max(20).optional(),
  standing: standingApprovalSchema.optional(),
  /** The policy that bound the family when this was asked; absent: none did. Later amendments bind new rotations only. */
  policy: z
    .object({ id: uuidSchema, revision: z.int().min(0), name: nameSchema, terms: policyTermsSchema })
    .optional(),
});
export type RotationRequest = z.output<typeof rotationRequestSchema>;

export const ROTATION_OUTCOMES = ['completed', 'rolled-back', 'abandoned', 'rejected', 'superseded'] as const;

/** What takes the family's slot beside a rotation (contracts, Processes beside a rotation). */
export const SLOT_PROCESSES = ['lift', 'destroy'] as const;
export type SlotProcess = (typeof SLOT_PROCESSES)[number];

export const familyEvents = {
  FamilyRegistered: {
    version: 2,
    upcast: { 1: widened },
    about: 'A secret family is watched from now on.',
    schema: familyDetailsSchema.extend({
      /** Declared by an import: watched since then, on this basis. Attested, never observed by us. */
      coverage: coverageSchema.optional(),
    }),
  },
  RunbookRevised: {
    version: 1,
    about: 'The runbook page of a family was written or changed.',
    schema: runbookSchema,
  },
  ScheduleSet: {
    version: 1,
    about: 'When rotations of this family are started and changed; inside the policy’s periods.',
    schema: scheduleSchema,
  },
  FamilyDeviationRequested: {
    version: 1,
    about: 'Somebody wants this family to depart from its policy for a while.',
    schema: z.object({
      deviation: uuidSchema,
      departs: departureSchema,
      reason: textSchema,
      until: instantSchema,
    }),
  },
  FamilyDeviationApproved: {
    version: 1,
    about: 'Somebody else approved the departure: it binds in the place of the policy until it ends.',
    schema: z.object({ deviation: uuidSchema, note: textSchema.optional() }),
  },
  FamilyDeviationClosed: {
    version: 1,
    about: 'A departure was withdrawn, refused, ended before its time, or looked at after its end.',
    schema: z.object({ deviation: uuidSchema, reason: textSchema }),
  },
  RegistrationOwed: {
    version: 1,
    about: 'It was registered in haste, by an emergency: what nobody knew then is to be filled in by a date.',
    schema: z.object({ due: instantSchema }),
  },
  FamilyClassified: {
    version: 1,
    about: 'Somebody said what a family registered in haste is: kind, what it protects, usage, team.',
    schema: classificationSchema,
  },
  OwnerAssigned: { version: 1, about: 'A family has a new owner.', schema: ownerSchema },
  ConsumerRegistered: {
    version: 1,
    about: 'A consumer emits with or verifies by this family.',
    schema: consumerDetailsSchema.extend({ consumerId: uuidSchema }),
  },
  ConsumerRevised: {
    version: 1,
    about: 'What is known of a consumer changed.',
    schema: consumerDetailsSchema.extend({ consumerId: uuidSchema }),
  },
  ConsumerRemoved: {
    version: 1,
    about: 'A consumer no longer uses this family.',
    schema: z.object({ consumerId: uuidSchema, reason: textSchema }),
  },
  VersionObserved: {
    version: 1,
    about: 'A version of the family was seen: in the back end, or in a history that was imported.',
    schema: versionSnapshotSchema.extend({ source: lineSchema.optional() }),
  },
  DriftObserved: {
    version: 1,
    about:
      'The back end shows the family’s object otherwise than the record has it, though nobody recorded why. Replaces what was observed before.',
    schema: z.object({
      backEnd: backEndRefSchema,
      differences: z.array(driftDifferenceSchema).min(1).max(50),
      /** How many more differ. */
      more: z.int().positive().optional(),
    }),
  },
  DriftSettled: {
    version: 1,
    about: 'The back end is again as the record has it, or a person says that what differs is known.',
    schema: z.object({
      by: z.enum(['back-end', 'person']),
      reason: textSchema.optional(),
      /** What a person accepted: from now on the record has it so. */
      accepted: z.array(driftDifferenceSchema).max(50).optional(),
    }),
  },
  CompromiseSuspected: {
    version: 1,
    about: 'Versions may be in the wrong hands; they may be contained while that is looked into.',
    schema: z.object({
      versions: z.array(versionIdSchema).max(100),
      reason: textSchema,
      incident: lineSchema.optional(),
      /** The containment this suspicion asked for. */
      containment: uuidSchema.optional(),
    }),
  },
  CompromiseConfirmed: {
    version: 1,
    about: 'Versions are compromised. Final: they are never emitted or accepted again.',
    schema: z.object({
      versions: z.array(versionIdSchema).max(100),
      reason: textSchema,
      discoveredAt: instantSchema.optional(),
      exposedFrom: instantSchema.optional(),
      incident: lineSchema.optional(),
      rotation: uuidSchema.optional(),
      ...importedFactFields,
    }),
  },
  CompromiseCleared: {
    version: 1,
    about: 'A suspicion came to nothing. Answers suspicions only: a confirmed compromise is final.',
    schema: z.object({ versions: z.array(versionIdSchema).min(1).max(100), reason: textSchema }),
  },
  ExposureScoped: {
    version: 1,
    about: 'How far an exposure reached, as far as it was found out.',
    schema: z.object({
      versions: z.array(versionIdSchema).min(1).max(100),
      scope: textSchema,
      exposedFrom: instantSchema.optional(),
      exposedUntil: instantSchema.optional(),
      incident: lineSchema.optional(),
    }),
  },
  CustodianAssigned: {
    version: 1,
    about: 'A person is entrusted with this secret, or knows it.',
    schema: z.object({ subject: uuidSchema, knows: lineSchema }),
  },
  CustodianAcknowledged: {
    version: 1,
    about: 'The custodian acknowledged the duties that come with it; nobody can for somebody else.',
    schema: z.object({ subject: uuidSchema, statement: textSchema }),
  },
  CustodianDeparted: {
    version: 1,
    about: 'Somebody who knew this secret left: it is to be rotated.',
    schema: z.object({ subject: uuidSchema, leftAt: instantSchema }),
  },
  RotationAuthoritySet: {
    version: 1,
    about: 'Who makes new versions of this secret from now on.',
    schema: authoritySchema.extend({ reason: textSchema }),
  },
  ReviewCompleted: {
    version: 1,
    about: 'Somebody went through the runbook of this family.',
    schema: z.object({ of: z.enum(['runbook']), summary: textSchema, nextReview: z.iso.date() }),
  },
  FamilyRetired: {
    version: 1,
    about: 'The family is no longer used: nothing of it is due any more. Its record stays.',
    schema: z.object({ reason: textSchema }),
  },
  FactCorrected: {
    version: 1,
    about:
      'A fact of this stream was recorded wrongly. Both stay visible; nothing that was done is undone by it.',
    schema: z.object({
      /** The id of the event it corrects. */
      of: uuidSchema,
      /** What type that event has, so that a reader need not look it up. */
      type: z.string().max(60),
      reason: textSchema,
      correction: textSchema,
    }),
  },
  SlotTaken: {
    version: 1,
    about: 'The slot of the family is taken by a process of its own: lifting a containment, destroying.',
    schema: z.object({ process: z.enum(SLOT_PROCESSES), id: uuidSchema }),
  },
  SlotFreed: {
    version: 1,
    about: 'The slot is free again; what the process left stands here.',
    schema: z.object({
      process: z.enum(SLOT_PROCESSES),
      id: uuidSchema,
      /** Versions whose key material is gone for good. */
      destroyed: z.array(versionIdSchema).max(100).optional(),
    }),
  },
  RotationOpened: {
    version: 2,
    upcast: { 1: widened },
    about: 'The slot of the family is taken: one rotation a family.',
    schema: z.object({
      rotation: uuidSchema,
      request: rotationRequestSchema,
      /** An emergency closes the slot of the rotation it supersedes. */
      supersedes: uuidSchema.optional(),
    }),
  },
  RotationClosed: {
    version: 1,
    about: 'The slot is free again; what the rotation left stands here.',
    schema: z.object({
      rotation: uuidSchema,
      outcome: z.enum(ROTATION_OUTCOMES),
      versions: z.array(versionSnapshotSchema).max(100),
      /** The max-age the document was served with: verifiers may hold it that long. */
      servedMaxAgeSeconds: z.int().min(0).max(300).optional(),
    }),
  },
} as const satisfies EventDefinitions;

export type NewFamilyEvent = NewEventOf<typeof familyEvents>;
export type FamilyEvent = RecordedEventOf<typeof familyEvents>;

/** Corrected in a rotation's stream too. */
export type CorrectionEvents = Pick<typeof familyEvents, 'FactCorrected'>;
