import { keyBackendContract } from '../testing/index.js';
import { LocalHarness } from '../testing/local-harness.js';

keyBackendContract('local, ES256', async () => new LocalHarness('ES256'));
keyBackendContract('local, EdDSA', async () => new LocalHarness('EdDSA'));
keyBackendContract('local, HS256', async () => new LocalHarness('HS256'));
