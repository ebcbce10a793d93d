import { randomUUID } from 'node:crypto';
import { jest } from '@jest/globals';
import { haveRealPart } from '#platform/testing';
import { keyBackendContract } from '../testing/key-backend.contract.js';
import { KvOperator } from '../testing/kv-operator.js';
import { OpenBao } from '../testing/openbao.js';
import { VaultHarness } from '../testing/vault-harness.js';
import { KvPathsEngine } from './kv-paths-engine.js';

jest.setTimeout(120_000);

const CASES = 40;
const real = haveRealPart('openbao', CASES);

(real ? describe : describe.skip)('two paths on a real server', () => {
  let bao: OpenBao;
  let mount: string;
  let operator: KvOperator;
  const open = () =>
    new VaultHarness({
      bao,
      algorithm: 'HS256',
      documents: mount,
      engine: (client) => new KvPathsEngine(client),
      object: () => `${mount}/data/app/${randomUUID()}`,
      values: (object) => operator.values(`${object}/blue`, `${object}/green`),
    });
  beforeAll(async () => {
    bao = await OpenBao.start();
    operator = new KvOperator(bao);
    mount = await bao.mount('kv', { options: { version: '2' } });
  });
  afterAll(() => bao.stop());

  keyBackendContract('KV v2, two paths, OpenBao', async () => open());
});
