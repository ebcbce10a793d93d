import { randomUUID } from 'node:crypto';
import { jest } from '@jest/globals';
import { haveRealPart } from '#platform/testing';
import { ChaosProxy, type OwnAnswer } from '../testing/chaos-proxy.js';
import { KvOperator, refusal } from '../testing/kv-operator.js';
import { OpenBao } from '../testing/openbao.js';
import { KvObject, notePatch } from './kv-object.js';
import { CasMismatchError } from './vault-answer.js';
import { VaultClient } from './vault-client.js';

jest.setTimeout(60_000);

const CASES = 3;
const real = haveRealPart('openbao', CASES);

const MISMATCH: OwnAnswer = {
  status: 400,
  body: JSON.stringify({ errors: ['check-and-set parameter did not match the current version'] }),
};

(real ? describe : describe.skip)('a compare-and-set of a secret that is refused', () => {
  let bao: OpenBao;
  let operator: KvOperator;
  let mount: string;
  let proxy: ChaosProxy;
  let client: VaultClient;
  let object: string;
  let secret: KvObject;
  beforeAll(async () => {
    bao = await OpenBao.start();
    operator = new KvOperator(bao);
    mount = await bao.mount('kv', { options: { version: '2' } });
    proxy = await ChaosProxy.start(bao.address);
    client = new VaultClient({ instance: 'vault.test', address: proxy.address });
  });
  beforeEach(async () => {
    object = `${mount}/data/app/${randomUUID()}`;
    secret = new KvObject(client, object, { index: undefined });
    await operator.write(object, { a: 'x' });
    proxy.forget();
  });
  afterAll(async () => {
    await client.close();
    await proxy.close();
    await bao.stop();
  });
  const made = { versionId: 'one', fingerprint: 'f' };
  const patch = () =>
    secret.patch(
      { b: 'y', ...notePatch({ written: 2, made }) },
      { cas: 1, token: bao.rootToken, rotation: 'r/step' },
    );

  it('is not known to have done nothing where its own first try won: somebody between sent it twice', async () => {
    proxy.plan({ answer: MISMATCH });
    expect((await refusal(patch())).errorClass).toBe('unknown');
    expect((await operator.read(object))?.metadata.version).toBe(2);
  });

  it('did nothing where somebody else wrote', async () => {
    await operator.write(object, { a: 'z' });
    expect(await refusal(patch())).toBeInstanceOf(CasMismatchError);
    expect((await operator.read(object))?.data).toEqual({ a: 'z' });
  });

  it('is unknown where nobody can look', async () => {
    proxy.plan({ answer: MISMATCH });
    proxy.plan({ instead: 'cut' }, ({ method }) => method === 'GET');
    expect((await refusal(patch())).errorClass).toBe('unknown');
  });
});
