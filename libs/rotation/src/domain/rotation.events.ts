import { z } from 'zod';
import { instantSchema, type EventDefinitions, type NewEventOf, type RecordedEventOf } from '#eventlog';
import { blackoutSchema, changeWindowSchema } from './calendar.js';
import { durationSchema } from './duration.js';
import {
  CONSUMER_ROLES,
  emergencyRequestSchema,
  importedFactFields,
  rotationRequestSchema,
  standingApprovalSchema,
  type CorrectionEvents,
} from './family.events.js';
import { cohortSchema, policyTermsSchema, targetSchema } from './policy.events.js';
import { widened } from './upcasts.js';
import { STEPS, stepReferenceSchema, stepSchema, type NewStepEvent, type StepEvent } from './step.events.js';
import {
  algorithmSchema,
  backEndRefSchema,
  lineSchema,
  nameSchema,
  REHEARSED,
  STRATEGIES,
  textSchema,
  uuidSchema,
  versionIdSchema,
  versionSnapshotSchema,
} from './vocabulary.js';

export const windowTermSchema = z.object({
  /** What this part is: `cache`, `refresh`, `deploy`, `artefact-life`, `clock-skew`, `safety`, … */
  name: lineSchema,
  /** Whose it is, where it is a consumer's. */
  consumer: nameSchema.optional(),
  duration: durationSchema,
});

/** A window with its arithmetic shown, so that a reader can check it by hand. */
export const windowSchema = z.object({
  computed: durationSchema,
  /** What the rotation waits: `computed`, or what a deviation or an emergency's decision put in its place. */
  required: durationSchema,
  terms: z.array(windowTermSchema).max(20),
  /** The constraint that binds, in one sentence. */
  binding: lineSchema,
});
export type PlannedWindow = z.output<typeof windowSchema>;

export const plannedConsumerSchema = z.object({
  consumerId: uuidSchema,
  name: nameSchema,
  roles: z.array(z.enum(CONSUMER_ROLES)),
  instances: z.int().min(1),
  /** Cache + refresh + deploy: after this long without exception it knows a change. */
  refreshTerm: durationSchema,
  /** How long after a switch an emitter may still emit with what it had before. */
  emitterPropagation: durationSchema,
  thirdParty: z.boolean(),
  neverRefreshes: z.boolean(),
});
export type PlannedConsumer = z.output<typeof plannedConsumerSchema>;

/** What a rotation will do, frozen at its start. */
export const planSchema = z.object({
  /** Which saga wrote it: a later saga finishes it by these rules. */
  sagaVersion: z.literal(1),
  strategy: z.enum(STRATEGIES),
  /** What a rehearsal rehearses. */
  rehearses: z.enum(REHEARSED).optional(),
  /** Absent where people do every step and named none. */
  backEnd: backEndRefSchema,
  /** Absent where people do every step and did not say. */
  algorithm: algorithmSchema.optional(),
  /** People do every step; Keyturn holds them to it. */
  attested: z.boolean().optional(),
  /** A rolling rotation's parts, in order; the last brings emission to 100 %. */
  cohorts: z.array(cohortSchema).max(20).optional(),
  /** The version to be made; absent where an emergency found a clean one emitting. */
  incoming: versionIdSchema.optional(),
  /** The versions to be revoked. */
  outgoing: z.array(versionIdSchema).max(100),
  /** What emits when the rotation starts; where a rollback returns to. */
  emittingBefore: versionIdSchema.optional(),
  /** Accepted, clean, and neither incoming nor outgoing: they stay accepted until the next planned rotation. */
  leftAccepted: z.array(versionIdSchema).max(100),
  consumers: z.array(plannedConsumerSchema).max(1_000),
  /** Served with the document from now on; at most 300 s (contracts, The JWKS document). */
  maxAgeSeconds: z.int().min(0).max(300),
  policy: z.object({ id: uuidSchema, revision: z.int().min(0), name: nameSchema }).optional(),
  terms: policyTermsSchema,
  /** Absent in a cutover, which has none: never to be shown as an overlap of zero that was passed. */
  windows: z.object({ accept: windowSchema, drain: windowSchema }).optional(),
  /** A cutover's: from the old version refused until the slowest consumer has the new one. */
  outage: z.object({ predicted: durationSchema, binding: lineSchema }).optional(),
  /** When forward steps that change what is accepted or emitted may begin; absent: any time. */
  changeWindows: z.array(changeWindowSchema).max(20).optional(),
  blackouts: z.array(blackoutSchema).max(100).optional(),
  /** After withdrawal or containment: the longest a verifier may go on trusting what it holds; absent where no bound is known. */
  trustTerm: durationSchema.optional(),
  approvals: z.int().min(0),
  steps: z.array(stepSchema),
  /** Every version of the family as it was when the plan was made: what the rotation's own facts change. */
  versionsBefore: z.array(versionSnapshotSchema).max(100),
  /** What a reader must know before approving: no policy, a shortened window, … */
  exceptions: z.array(lineSchema).max(50),
});
export type RotationPlan = z.output<typeof planSchema>;

const confirmation = z.object({
  consumerId: uuidSchema,
  versionId: versionIdSchema,
  instances: z.array(lineSchema).min(1).max(10_000),
  ...importedFactFields,
});

/** What stands behind an attestation: never a secret value. */
export const attestationFields = {
  evidence: z.object({
    /** Where it can be looked at: a change ticket, a pipeline run. */
    link: z
      .url({ protocol: /^https?$/ })
      .max(500)
      .optional(),
    /** SHA-256 (hex) of the evidence itself. */
    sha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/, { message: 'must be a SHA-256 in 64 lower-case hex digits' })
      .optional(),
    note: textSchema.optional(),
  }),
  /** Who did it, where that is not who attests. */
  by: lineSchema.optional(),
};

export const attestationSchema = z.object(attestationFields);
export type Attestation = z.output<typeof attestationSchema>;

/** Gates a person may let a rotation pass. */
export const OVERRIDABLE = [
  'acceptance-confirmations',
  'emission-confirmations',
  'emitter-switch',
  'telemetry',
] as const;

export const GATES = [
  'accept-window',
  'acceptance-confirmations',
  'drain-window',
  'emission-confirmations',
  'telemetry',
  'cohort',
  'change-window',
] as const;

export const rotationEvents = {
  RotationRequested: {
    version: 2,
    upcast: { 1: widened },
    about: 'Somebody asked for a rotation.',
    schema: rotationRequestSchema.extend({
      family: uuidSchema,
      supersedes: uuidSchema.optional(),
      /** What an imported history calls it. */
      label: lineSchema.optional(),
      ...importedFactFields,
    }),
  },
  RotationPlanned: {
    version: 3,
    upcast: { 1: widened, 2: widened },
    about: 'The plan, frozen at its start.',
    schema: planSchema,
  },
  PlanAmended: {
    version: 1,
    about: 'A consumer joined, left or grew in mid-rotation; windows only ever grow.',
    schema: z.object({
      /** What changed, in words. */
      because: z.array(lineSchema).min(1).max(50),
      /** Revision of the family it was seen at. */
      familyRevision: z.int().min(0),
      consumers: z.array(plannedConsumerSchema).max(1_000),
      windows: z.object({ accept: windowSchema, drain: windowSchema }).optional(),
      trustTerm: durationSchema.optional(),
      outage: z.object({ predicted: durationSchema, binding: lineSchema }).optional(),
    }),
  },
  RotationApproved: {
    version: 2,
    upcast: { 1: widened },
    about: 'A subject other than the requester approved; after an emergency, in retrospect.',
    schema: z.object({
      note: textSchema.optional(),
      /** Approved in advance: whoever granted the standing approval is the approver. */
      standing: standingApprovalSchema.optional(),
    }),
  },
  RotationRejected: {
    version: 2,
    upcast: { 1: widened },
    about:
      'An approver refused it. A planned rotation ends; of an emergency the approval is refused in retrospect: an exception that undoes and ends nothing.',
    schema: z.object({
      reason: textSchema,
      /** Of an emergency, which ran before anybody was asked. */
      inRetrospect: z.literal(true).optional(),
    }),
  },
  EmergencyDeclared: {
    version: 1,
    about: 'An emergency: these versions are compromised, T+ counts from their discovery.',
    schema: emergencyRequestSchema.extend({
      targets: z.array(targetSchema).max(20),
      approvalDueAt: instantSchema,
      reviewDueAt: instantSchema,
      /** What the rules of a planned rotation would have held, each taken as a recorded decision. */
      decisions: z.array(lineSchema).max(50),
      /** The containment of this emergency, where one was asked for. */
      containment: uuidSchema.optional(),
    }),
  },
  KeyGenerated: {
    version: 1,
    about: 'A new version exists in the back end; nobody accepts or uses it yet.',
    schema: stepReferenceSchema.extend({
      versionId: versionIdSchema,
      algorithm: z.string().max(40),
      strengthBits: z.int().positive().optional(),
      fingerprint: z.string().max(200).optional(),
      ...importedFactFields,
    }),
  },
  DualAcceptDeployed: {
    version: 1,
    about: 'Old and new are accepted side by side; the accept window starts here.',
    schema: stepReferenceSchema.extend({
      versions: z.array(versionIdSchema).max(100),
      ...importedFactFields,
    }),
  },
  AcceptanceConfirmed: {
    version: 1,
    about: 'Instances of a verifier accept the new version.',
    schema: confirmation,
  },
  EmitterSwitched: {
    version: 1,
    about: 'Emission moved to the new version.',
    schema: stepReferenceSchema.extend({
      from: versionIdSchema.optional(),
      to: versionIdSchema,
      share: z.int().min(0).max(100),
      ...importedFactFields,
    }),
  },
  EmissionConfirmed: {
    version: 1,
    about: 'Instances of an emitter use this version; the drain starts at the last of these.',
    schema: confirmation,
  },
  GateEvaluated: {
    version: 2,
    upcast: { 1: widened },
    about: 'A gate was looked at and let the rotation pass, with the values it saw.',
    schema: z.object({
      gate: z.enum(GATES),
      required: lineSchema,
      actual: lineSchema,
      since: instantSchema.optional(),
      binding: lineSchema.optional(),
    }),
  },
  GateOverridden: {
    version: 2,
    upcast: { 1: widened },
    about:
      'A person let the rotation pass a missing confirmation, or telemetry that holds it. Never shortens a window.',
    schema: z.object({
      gate: z.enum(OVERRIDABLE),
      /** Absent where the gate is no one consumer's: telemetry. */
      consumerId: uuidSchema.optional(),
      reason: textSchema,
    }),
  },
  OldKeyRevoked: {
    version: 1,
    about: 'The old versions are no longer accepted where the back end decides; revoked is not contained.',
    schema: stepReferenceSchema.extend({
      versions: z.array(versionIdSchema).max(100),
      /** The computed upper bound: no verifier of the plan trusts them after it. */
      trustEndsAt: instantSchema.optional(),
      ...importedFactFields,
    }),
  },
  OldKeyRejectionVerified: {
    version: 1,
    about: 'The old key is really refused, and the new one accepted, where that was tested.',
    schema: stepReferenceSchema.extend({
      refused: z.array(z.object({ versionId: versionIdSchema, how: lineSchema })).max(100),
      accepted: z.array(z.object({ versionId: versionIdSchema, how: lineSchema })).max(100),
      ...importedFactFields,
    }),
  },
  SessionsInvalidated: {
    version: 1,
    about: 'Sessions were ended.',
    schema: z.object({ note: textSchema.optional(), ...importedFactFields }),
  },
  ReauthenticationVerified: {
    version: 1,
    about: 'People can sign in again, and somebody looked.',
    schema: z.object({ note: textSchema.optional(), ...importedFactFields }),
  },
  RollbackRequested: {
    version: 2,
    upcast: { 1: widened },
    about: 'Somebody wants the old version back.',
    schema: z.object({
      reason: textSchema,
      /** After the revocation: the accept window of the re-accepted version, where somebody decided to cut it. */
      acceptWindow: durationSchema.optional(),
    }),
  },
  KeyReaccepted: {
    version: 1,
    about: 'A revoked version is accepted again, on the way back; its accept window starts here.',
    schema: stepReferenceSchema.extend({ versions: z.array(versionIdSchema).max(100) }),
  },
  CutOver: {
    version: 1,
    about:
      'In one change the new version is accepted and emits, and the old ones are out: no overlap was passed.',
    schema: stepReferenceSchema.extend({
      from: versionIdSchema.optional(),
      to: versionIdSchema,
      /** What is no longer accepted. */
      versions: z.array(versionIdSchema).max(100),
      /** The computed upper bound; absent where none is known. */
      trustEndsAt: instantSchema.optional(),
    }),
  },
  CutBack: {
    version: 1,
    about: 'In one change the old version is accepted and emits again, and the new one is out.',
    schema: stepReferenceSchema.extend({
      from: versionIdSchema.optional(),
      to: versionIdSchema,
      versions: z.array(versionIdSchema).max(100),
    }),
  },
  StepSwitchedToAttested: {
    version: 1,
    about: 'A person takes a step out of the back end’s hands: people perform it, and attest that they did.',
    schema: z.object({ step: stepSchema, reason: textSchema }),
  },
  Attested: {
    version: 1,
    about: 'Somebody says, with evidence, that a step was performed.',
    schema: z.object({ step: stepSchema, ...attestationFields }),
  },
  AttestationReconciled: {
    version: 2,
    upcast: { 1: widened },
    about:
      'What was attested was compared with what the back end shows. In a rotation under way, what it contradicts is performed after all; after the end it stays on record, and the versions of the family are put right by what was seen.',
    schema: z.object({
      /** The back end shows what was attested of these; where it does not agree, it contradicts these. */
      steps: z.array(stepSchema).max(STEPS.length),
      agrees: z.boolean(),
      differences: z.array(lineSchema).max(100),
      /** Attested too: nothing shows them, or what came later undid them. */
      notCompared: z.array(stepSchema).min(1).max(STEPS.length).optional(),
    }),
  },
  ConfirmationWithdrawn: {
    version: 1,
    about: 'A confirmation was wrong: these instances do not use the version after all.',
    schema: confirmation.omit({ occurredWithin: true, by: true }).extend({
      kind: z.enum(['acceptance', 'emission']),
      reason: textSchema,
    }),
  },
  EmissionReturned: {
    version: 1,
    about: 'Emission is back at the old version; the new one stays trusted while it drains.',
    schema: stepReferenceSchema.extend({ from: versionIdSchema.optional(), to: versionIdSchema }),
  },
  NewKeyWithdrawn: {
    version: 1,
    about: 'The new version is no longer accepted.',
    schema: stepReferenceSchema.extend({ versions: z.array(versionIdSchema).max(100) }),
  },
  RotationRolledBack: {
    version: 1,
    about: 'Back where it began. Never shown as completed.',
    schema: z.object({ ...importedFactFields }),
  },
  PauseRequested: {
    version: 1,
    about: 'Somebody wants it to stand still.',
    schema: z.object({ reason: textSchema }),
  },
  RotationPaused: { version: 1, about: 'It stands still; windows keep running.', schema: z.object({}) },
  RotationResumed: { version: 1, about: 'It goes on.', schema: z.object({ reason: textSchema.optional() }) },
  AbandonRequested: {
    version: 1,
    about: 'Somebody gives it up before anything emitted with the new version.',
    schema: z.object({ reason: textSchema }),
  },
  RotationAbandoned: {
    version: 1,
    about: 'Given up; nothing of it is accepted.',
    schema: z.object({ ...importedFactFields }),
  },
  RotationSuspended: {
    version: 2,
    upcast: { 1: widened },
    about: 'It needs a person; never skipped, never in the way of others.',
    schema: z.object({
      code: z.string().max(80),
      reason: lineSchema,
      step: stepSchema.optional(),
      /** The role that is asked. */
      person: lineSchema,
    }),
  },
  RetryRequested: {
    version: 1,
    about: 'A person looked and wants the suspended step tried again.',
    schema: z.object({ reason: textSchema.optional() }),
  },
  RotationSuperseded: {
    version: 1,
    about: 'An emergency took over; its open step was settled first.',
    schema: z.object({ by: uuidSchema }),
  },
  RotationCompleted: {
    version: 1,
    about: 'Accepted, emitted, revoked and watched.',
    schema: z.object({ leftAccepted: z.array(versionIdSchema).max(100), ...importedFactFields }),
  },
  DeviationRecorded: {
    version: 2,
    upcast: { 1: widened },
    about:
      'A written departure: reason, and until when. Who approved the rotation approved it, unless it is its family’s.',
    schema: z.object({
      what: lineSchema,
      reason: textSchema,
      until: instantSchema,
      /** Its family's, approved on its own: it stood when the rotation was asked for. */
      family: z.object({ deviation: uuidSchema, approvedBy: z.string() }).optional(),
    }),
  },
  NoteAdded: {
    version: 1,
    about: 'Something worth keeping beside the facts.',
    schema: z.object({ note: textSchema, ...importedFactFields }),
  },
  TelemetryRecorded: {
    version: 1,
    about: 'Counted uses of the versions in a span, as somebody reported them.',
    schema: z.object({
      from: instantSchema.optional(),
      to: instantSchema.optional(),
      current: z.int().min(0),
      previous: z.int().min(0),
      invalid: z.int().min(0),
      note: textSchema.optional(),
      ...importedFactFields,
    }),
  },
  PostIncidentReviewed: {
    version: 1,
    about: 'The review after an emergency was held.',
    schema: z.object({ summary: textSchema, ...importedFactFields }),
  },
} as const satisfies EventDefinitions;

export type NewRotationEvent =
  NewEventOf<typeof rotationEvents> | NewEventOf<CorrectionEvents> | NewStepEvent;
export type RotationEvent =
  RecordedEventOf<typeof rotationEvents> | RecordedEventOf<CorrectionEvents> | StepEvent;
