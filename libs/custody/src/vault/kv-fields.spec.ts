import { randomUUID } from 'node:crypto';
import { jest } from '@jest/globals';
import { haveRealPart } from '#platform/testing';
import { keyBackendContract } from '../testing/key-backend.contract.js';
import { kvValues } from '../testing/kv-values.js';
import { OpenBao } from '../testing/openbao.js';
import { VaultHarness } from '../testing/vault-harness.js';
import { KvFieldsEngine } from './kv-fields-engine.js';
import { currentAndPrevious, singleValue, type FieldsLayout } from './kv-fields-layout.js';

jest.setTimeout(120_000);

const CASES = 80;
const real = haveRealPart('openbao', CASES);

(real ? describe : describe.skip)('fields of a secret on a real server', () => {
  let bao: OpenBao;
  let mount: string;
  const open = (layout: FieldsLayout) =>
    new VaultHarness({
      bao,
      algorithm: 'HS256',
      documents: mount,
      engine: (client) => new KvFieldsEngine(client, layout),
      object: () => `${mount}/data/app/${randomUUID()}`,
      values: (object) => kvValues(bao, [object]),
    });
  beforeAll(async () => {
    bao = await OpenBao.start();
    mount = await bao.mount('kv', { options: { version: '2' } });
  });
  afterAll(() => bao.stop());

  keyBackendContract('KV v2, current and previous, OpenBao', async () => open(currentAndPrevious()));
  keyBackendContract('KV v2, one value, OpenBao', async () => open(singleValue()));
});
