export { claimEvents, type ClaimEvent, type NewClaimEvent } from './domain/claim.events.js';
export {
  containmentEvents,
  type ContainmentEvent,
  type NewContainmentEvent,
} from './domain/containment.events.js';
export { durationSchema, formatDuration, milliseconds, parseDuration } from './domain/duration.js';
export { familyEvents, type FamilyEvent, type NewFamilyEvent } from './domain/family.events.js';
export { importEvents, type ImportEvent, type NewImportEvent } from './domain/import.events.js';
export { policyEvents, type NewPolicyEvent, type PolicyEvent } from './domain/policy.events.js';
export {
  rotationEvents,
  type NewRotationEvent,
  type PlannedConsumer,
  type PlannedWindow,
  type RotationEvent,
  type RotationPlan,
} from './domain/rotation.events.js';
export { stepEvents, STEPS, type StepEvent, type StepName } from './domain/step.events.js';
export {
  asOf,
  confirmationsOf,
  emergencyTargets,
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
