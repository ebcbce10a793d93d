export { systemClock, type Clock, type Instant } from './clock.js';
export { derivedId, systemIds, type Ids } from './ids.js';
export { armFailpoint, failpoint, interceptFailpoint } from './failpoint.js';
export { SecretValue } from './secret-value.js';
