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
  obligationRows,
  type ObligationInput,
  type ObligationKind,
  type ObligationRow,
} from './obligations.js';
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
