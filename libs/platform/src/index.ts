export { systemClock, type Clock, type Instant } from './clock.js';
export {
  ConfigError,
  DEFAULT_DATA_DIR,
  DEFAULT_HOST,
  DEFAULT_PORT,
  isLoopback,
  loadConfig,
  type Config,
  type ConfigProblem,
  type HookConfig,
} from './config.js';
export { derivedId, systemIds, type Ids } from './ids.js';
export { armFailpoint, failpoint, interceptFailpoint, observeFailpoints } from './failpoint.js';
export { plainIssues, type PlainIssue } from './plain-issues.js';
export { SecretValue } from './secret-value.js';
export { unknownFields, type UnknownField } from './unknown-fields.js';
export { packageVersion } from './version.js';
