export {
  openDatabase,
  type OpenOptions,
  type SqlDatabase,
  type SqlRow,
  type SqlStatement,
  type SqlValue,
} from './driver.js';
export { sqlFailure, type SqlFailure } from './failure.js';
