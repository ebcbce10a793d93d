export type { BackEndFinding } from './back-end-finding.js';
export { checkBackEnds } from './check-back-ends.js';
export { VaultBackEnds, type BackEndHealth, type VaultOptions } from './open-vault.js';
export { BackEndsFileError, readBackEnds, type BackEndsSettings } from './vault-config.js';
