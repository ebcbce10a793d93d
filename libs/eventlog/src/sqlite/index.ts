export {
  openDatabase,
  type OpenOptions,
  type SqlDatabase,
  type SqlRow,
  type SqlStatement,
  type SqlValue,
} from './driver.js';
