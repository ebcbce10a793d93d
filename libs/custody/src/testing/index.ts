export { Attempts, keyBackendContract, type KeyBackendHarness } from './key-backend.contract.js';
