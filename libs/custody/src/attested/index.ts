export { openAttestedKeyBackend } from './attested-key-backend.js';
