export {
  DAY_MS,
  dueOf,
  LONGEST_NOTICE_MS,
  type Due,
  type DueBasis,
  type DueException,
  type DueInput,
  type DueStatus,
  type PastRotation,
} from './due.js';
export {
  OBLIGATION_KINDS,
  obligationEvents,
  type NewObligationEvent,
  type ObligationEvent,
  type ObligationKind,
} from './obligation.events.js';
export { obligationStream, ObligationWatch, type ObligationWatchOptions } from './obligation-watch.js';
export { obligationsProjection } from './obligations.projection.js';
export { obligationRows, type ObligationInput, type ObligationRow } from './obligations.js';
export {
  comparePlaces,
  overdueRows,
  placeOf,
  scheduleRows,
  type RotationRow,
  type ScheduleInput,
  type SchedulePlace,
  type ScheduleRow,
} from './schedule-rows.js';
