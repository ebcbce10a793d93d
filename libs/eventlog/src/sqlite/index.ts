export {
  openDatabase,
  type OpenOptions,
  type SqlDatabase,
  type SqlRow,
  type SqlStatement,
  type SqlValue,
} from './driver.js';
export { SCHEMA_VERSION as LOG_SCHEMA_VERSION } from './log-file.js';
export { openLogSnapshot, openSnapshot, type LogSnapshot, type Snapshot } from './snapshot.js';
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
