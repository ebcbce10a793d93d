export { claimEvents, type ClaimEvent, type NewClaimEvent } from './domain/claim.events.js';
export {
  containmentEvents,
  type ContainmentEvent,
  type NewContainmentEvent,
} from './domain/containment.events.js';
export {
  destructionEvents,
  type DestructionEvent,
  type NewDestructionEvent,
} from './domain/destruction.events.js';
export type { CalendarRule } from './domain/calendar.js';
export { calendarText, lastOccurrence, nextOccurrence } from './domain/calendar-rule.js';
export { durationSchema, formatDuration, milliseconds, parseDuration } from './domain/duration.js';
export { departedTerms, departuresText, departureText, type FamilyDeviation } from './domain/deviations.js';
export { familyEvents, type FamilyEvent, type NewFamilyEvent } from './domain/family.events.js';
export { importEvents, type ImportEvent, type NewImportEvent } from './domain/import.events.js';
export { personEvents, type NewPersonEvent, type PersonEvent } from './domain/person.events.js';
export { policyEvents, type NewPolicyEvent, type PolicyEvent } from './domain/policy.events.js';
export {
  rotationEvents,
  type NewRotationEvent,
  type PlannedConsumer,
  type PlannedWindow,
  type RotationEvent,
  type RotationPlan,
} from './domain/rotation.events.js';
export { attestationSchema, OVERRIDABLE } from './domain/rotation.events.js';
export { stepEvents, STEPS, type StepEvent, type StepName } from './domain/step.events.js';
export {
  asOf,
  confirmationsOf,
  countedInstant,
  emergencyTargets,
  entryOf,
  isTried,
  planOf,
  spanText,
  timelineOf,
  windowsOf,
  type ConfirmationCount,
  type TargetResult,
  type TimelineEntry,
  type TimelineEvent,
  type TimelineInput,
  type TimelineKind,
  type WindowRun,
} from './domain/timeline.js';
export { familyFactsOf } from './domain/family-timeline.js';
export { changeText, type FieldChange } from './application/apply/differences.js';
export {
  planApply,
  type ApplyChain,
  type ApplyObject,
  type ApplyPlan,
  type ApplyRequest,
} from './application/apply/plan-apply.js';
export {
  DECLARATION_FORMATS,
  formatOf,
  readDeclarations,
  type DeclarationFormat,
  type DeclarationReading,
  type DeclarationSource,
} from './application/apply/read-declarations.js';
export { BackEnds, readsValuesText } from './application/back-ends.js';
export type { FileError } from './application/files/file-problems.js';
export {
  HISTORY_FORMAT,
  MAX_HISTORY_BYTES,
  readImportFile,
  type ImportFile,
  type ImportReading,
} from './application/import-file.js';
export {
  CLOCK_CHECK_MS,
  ClockWatch,
  holdClockAtStart,
  LONGEST_QUIET_MS,
  type ClockWatchOptions,
} from './application/clock-watch.js';
export { causeOf, Ledger, type CommandContext, type Loaded } from './application/ledger.js';
export type { RotationPreview, RotationWish } from './application/request-rotation.js';
export type { Placed } from './application/placed.js';
export { CustodianDirectory } from './application/custodian-directory.js';
export { PolicyDirectory } from './application/policy-directory.js';
export type { Wake } from './application/process-runner.js';
export { InventoryReconciler } from './application/reconcile-inventory.js';
export { InventoryWatch, type InventoryDirectory } from './application/inventory-watch.js';
export { RotationRunner, type RunnerOptions } from './application/rotation-runner.js';
export { holdIntegrity, type IntegrityFinding } from './application/hold-integrity.js';
export { CLAIM_GRACE_MS, sweepClaims, sweepDepartures } from './application/sweep.js';
export {
  claimStream,
  containmentStream,
  destructionStream,
  emergencyContainmentId,
  familyStream,
  HOLDS_STREAM,
  idOf,
  incomingVersionId,
  policyStream,
  rotationStream,
  inventoryStream,
  telemetryStream,
} from './application/streams.js';
export { Waker, type WakerOptions } from './application/waker.js';
export type { ContainmentState } from './domain/containment.state.js';
export type { DestructionState } from './domain/destruction.state.js';
export { familyDecider, type FamilyConsumer, type FamilyState } from './domain/family.decider.js';
export {
  consumerDetailsSchema,
  classificationSchema,
  departureSchema,
  emergencyRequestSchema,
  familyDetailsSchema,
  authoritySchema,
  ownerSchema,
  runbookSchema,
  scheduleSchema,
  type ConsumerDetails,
  type FamilyDetails,
  type RotationRequest,
} from './domain/family.events.js';
export { ATTESTED_INSTANCE, TERMS_WITHOUT_POLICY } from './domain/plan.js';
export { holdEvents, type HoldEvent, type NewHoldEvent } from './domain/holds.events.js';
export { CONFIRMABLE_HOLDS, type ConfirmableHold } from './domain/holds.decider.js';
export { freezeScopeSchema, type FreezeScope } from './domain/holds.events.js';
export { freezesOn, inForce, type Freeze, type HoldsState } from './domain/holds.state.js';
export { inventoryEvents, type Inventory, type InventoryEvent } from './domain/inventory.events.js';
export { telemetryEvents, type NewTelemetryEvent, type TelemetryEvent } from './domain/telemetry.events.js';
export {
  boundAt,
  policyDecider,
  selectPolicy,
  type BoundPolicy,
  type PolicyState,
} from './domain/policy.decider.js';
export {
  PLANNED_STRATEGIES,
  policyDetailsSchema,
  type PolicyDetails,
  type PolicyTerms,
} from './domain/policy.events.js';
export {
  drainStart,
  ENDED,
  evolveRotation,
  initialRotation,
  missingConfirmations,
  versionsAfter,
  type RotationPhase,
  type RotationState,
} from './domain/rotation.state.js';
export { RUNBOOK_WORDS, runbookCompleteness, type RunbookCompleteness } from './domain/runbook.js';
export { registrationMissing } from './domain/registration.js';
export { rotationDecider, type RotationCommand } from './domain/rotation.decider.js';
export { SEAMS, STEP_BOUNDARIES, stepTable, type Seam, type StepBoundary } from './domain/step-table.js';
export { emittingVersion, mergeVersions } from './domain/versions.js';
export {
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
  TRIGGERS,
  uuidSchema,
  versionIdSchema,
  type VersionSnapshot,
} from './domain/vocabulary.js';
export { acceptWindow, drainWindow, trustTerm } from './domain/windows.js';
export {
  containmentsProjection,
  destructionsProjection,
  familiesProjection,
  policiesProjection,
  rotationsProjection,
} from './infrastructure/aggregates.projection.js';
export { claimsProjection } from './infrastructure/claims.projection.js';
export { FAMILIES_OF_CUSTODIAN, peopleProjection } from './infrastructure/people.projection.js';
export { wakeupsProjection } from './infrastructure/wakeups.projection.js';
export {
  containmentView,
  destructionView,
  familyView,
  policyView,
  rotationView,
  type ConsumerView,
  type ContainmentView,
  type DestructionView,
  type FamilyMoment,
  type FamilyView,
  type PolicyView,
  type RotationSurroundings,
  type RotationViewJson,
} from './application/views.js';
export { nameForUnregistered } from './application/register-unregistered.js';
export { shellWord } from './application/shell-word.js';
