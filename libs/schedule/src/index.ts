export {
  DAY_MS,
  dueOf,
  LONGEST_NOTICE_MS,
  type Due,
  type DueBasis,
  type DueException,
  type DueInput,
  type DueStatus,
} from './due.js';
export {
  obligationRows,
  type ObligationInput,
  type ObligationKind,
  type ObligationRow,
} from './obligations.js';
export {
  overdueRows,
  scheduleRows,
  type RotationRow,
  type ScheduleInput,
  type ScheduleRow,
} from './schedule-rows.js';
