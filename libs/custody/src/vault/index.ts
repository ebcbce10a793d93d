export { checkBackEnds, type BackEndFinding } from './check-back-ends.js';
export { VaultBackEnds, type BackEndHealth, type VaultOptions } from './open-vault.js';
export { BackEndsFileError, readBackEnds, type BackEndsSettings } from './vault-config.js';
