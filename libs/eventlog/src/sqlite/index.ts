export {
  openDatabase,
  type OpenOptions,
  type SqlDatabase,
  type SqlRow,
  type SqlStatement,
  type SqlValue,
} from './driver.js';
export { takeLock, type LogLock } from './lock.js';
export { messageOf, sqlFailure, type SqlFailure } from './failure.js';
export {
  LOCK_FILE,
  LOG_FILE,
  openSqliteEventLog,
  PAGE_SIZE,
  SqliteEventLog,
  type SqliteLogOptions,
  type SqliteLogPlace,
} from './sqlite-event-log.js';
export { type WriterStatistics } from './writer.js';
