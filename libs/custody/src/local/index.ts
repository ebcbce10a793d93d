export { createMasterKeyFile, loadMasterKey, type MasterKeySource } from './master-key.js';
export {
  LARGEST_MAX_AGE_SECONDS,
  LocalKeyBackend,
  openLocalKeyBackend,
  type LocalKeyBackendOptions,
  type SignOptions,
  type Verification,
  type VerificationFailure,
} from './local-key-backend.js';
export type { ServedDocument } from './jwks-documents.js';
export {
  nextOf,
  opensWith,
  rekeyMasterKeyFile,
  rekeyStore,
  settleMasterKeyFile,
  type Rekeyed,
} from './rekey.js';
