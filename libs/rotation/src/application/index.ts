export { AskContainment, AskContainmentHandler, type ContainmentAsk } from './ask-containment.js';
export { AskDestruction, AskDestructionHandler, type DestructionAsk } from './ask-destruction.js';
export { AskRotation, AskRotationHandler, type RotationAsk } from './ask-rotation.js';
export { ContainVersions, ContainVersionsHandler } from './contain-versions.js';
export { ChangePolicy, ChangePolicyHandler, DefinePolicy, DefinePolicyHandler } from './define-policy.js';
export { CorrectFact, CorrectFactHandler } from './correct-fact.js';
export { RecordDeparture, RecordDepartureHandler } from './record-departure.js';
export { RequestDestruction, RequestDestructionHandler } from './request-destruction.js';
export { RegisterFamily, RegisterFamilyHandler } from './register-family.js';
export { RegisterUnregistered, RegisterUnregisteredHandler } from './register-unregistered.js';
export {
  PreviewRotation,
  PreviewRotationHandler,
  RequestRotation,
  RequestRotationHandler,
  type RotationPreview,
  type RotationWish,
} from './request-rotation.js';
export {
  consumerIdOf,
  RegisterConsumer,
  RegisterConsumerHandler,
  ReviseFamily,
  ReviseFamilyHandler,
} from './revise-family.js';
export { ImportHistory, ImportHistoryHandler, type ImportResult } from './import-history.js';
export { DeclareFreeze, DeclareFreezeHandler, type FreezeWish } from './declare-freeze.js';
export { LiftFreeze, LiftFreezeHandler } from './lift-freeze.js';
export { ConfirmHold, ConfirmHoldHandler } from './confirm-hold.js';
export { HoldRestored, type RestoreFinding } from './restore-hold.js';
export { AskDeviation, AskDeviationHandler, type DeviationAsk } from './family-deviations.js';
export { SetSchedule, SetScheduleHandler } from './set-schedule.js';
export { SampleTelemetry, SampleTelemetryHandler, type TelemetryCounts } from './sample-telemetry.js';
export { findSecrets, nameShown } from './files/secret-shapes.js';
