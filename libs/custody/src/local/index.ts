export { copyMasterKeyFile, createMasterKeyFile, loadMasterKey, type MasterKeySource } from './master-key.js';
export {
  LocalKeyBackend,
  openLocalKeyBackend,
  type LocalKeyBackendOptions,
  type SignOptions,
  type StoredEffect,
  type Verification,
  type VerificationFailure,
} from './local-key-backend.js';
export {
  nextOf,
  opensWith,
  rekeyMasterKeyFile,
  rekeyStore,
  settleMasterKeyFile,
  type Rekeyed,
} from './rekey.js';
export { SCHEMA_VERSION as CUSTODY_SCHEMA_VERSION, STORE_FILE } from './custody-store.js';
export {
  documentsThatDiffer,
  openCustodySnapshot,
  readCustodyFacts,
  versionsIn,
  type CustodyFacts,
  type CustodySnapshot,
} from './custody-facts.js';
