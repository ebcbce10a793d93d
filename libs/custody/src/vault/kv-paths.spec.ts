import { randomUUID } from 'node:crypto';
import { jest } from '@jest/globals';
import { footingOn } from '#platform/testing';
import type { KeyBackend } from '../key-backend.js';
import { Attempts, keyBackendContract } from '../testing/key-backend.contract.js';
import { kvLayoutContract, type KvOpening } from '../testing/kv-layout.contract.js';
import { KvOperator, refusal } from '../testing/kv-operator.js';
import type { Served } from '../testing/openbao.js';
import { sharedServer, type Shared } from '../testing/servers.js';
import { VaultHarness } from '../testing/vault-harness.js';
import { KvPathsEngine } from './kv-paths-engine.js';

jest.setTimeout(120_000);

const footing = footingOn('openbao');

describe(`two paths on ${footing.name}`, () => {
  let bao: Shared<Served>;
  let mount: string;
  let operator: KvOperator;
  const secrets = (object: string) => [object, `${object}/blue`, `${object}/green`];
  const open = (opening: KvOpening = {}) =>
    new VaultHarness({
      bao,
      algorithm: 'HS256',
      documents: mount,
      engine: (client) => new KvPathsEngine(client),
      object: () => `${mount}/data/app/${randomUUID()}`,
      values: (object) => operator.values(...secrets(object)),
      ...opening,
    });
  beforeAll(async () => {
    bao = await sharedServer(footing);
    operator = new KvOperator(bao);
    mount = await bao.mount('kv', { options: { version: '2' } });
  });
  afterAll(() => bao.leave());

  keyBackendContract('KV v2, two paths', async () => open());
  const pointerOf = async (object: string) => {
    const { keyturn: _note, ...pointer } = (await operator.read(object))?.data ?? {};
    return pointer;
  };
  kvLayoutContract('two paths', {
    policy: 'kv-driver',
    server: () => ({ bao, operator, mount }),
    open,
    secrets,
    told: async (object) => [(await pointerOf(object))['accept'] ?? []].flat().length,
  });

  describe('as applications read them', () => {
    let harness: ReturnType<typeof open>;
    let backend: KeyBackend;
    let attempts: Attempts;
    let object: string;
    beforeEach(() => {
      harness = open();
      backend = harness.backend;
      attempts = new Attempts(harness.fresh());
      ({ object } = attempts);
    });
    afterEach(() => harness.close());

    const generate = async (): Promise<string> =>
      (await backend.generate(attempts.next(), { versionId: randomUUID(), algorithm: 'HS256' })).versionId;
    const publish = (version: string) =>
      backend.publish(attempts.next(), { versions: [version], maxAgeSeconds: 300 });
    const switchTo = (to: string) => backend.switchEmission(attempts.next(), { to });
    const withdraw = (version: string) => backend.withdraw(attempts.next(), { versions: [version] });
    const reAccept = (version: string) => backend.reAccept(attempts.next(), { versions: [version] });
    const emitting = async (): Promise<string> => {
      const version = await generate();
      await publish(version);
      await switchTo(version);
      return version;
    };
    const at = async (path: 'blue' | 'green') => (await operator.read(`${object}/${path}`))?.data ?? {};

    it('writes the idle path and moves the pointer, with the way back on the other path', async () => {
      const old = await emitting();
      expect(await pointerOf(object)).toEqual({ accept: ['blue'], emit: 'blue' });
      expect(await at('blue')).toMatchObject({ version: old, value: expect.stringMatching(/^[\w-]{43}$/) });
      for (const path of ['', '/blue', '/green']) await operator.set(`${object}${path}`, { max_versions: 1 });
      const next = await generate();
      expect((await at('green'))['version']).toBe(next);
      expect(await pointerOf(object)).toEqual({ accept: ['blue'], emit: 'blue' });
      await publish(next);
      await switchTo(next);
      expect(await pointerOf(object)).toEqual({ accept: ['blue', 'green'], emit: 'green' });
      await withdraw(old);
      expect(await pointerOf(object)).toEqual({ accept: ['green'], emit: 'green' });
      await reAccept(old);
      await switchTo(old);
      await withdraw(next);
      expect(await pointerOf(object)).toEqual({ accept: ['blue'], emit: 'blue' });
      expect(await operator.values(...secrets(object))).toHaveLength(2);
    });

    it('has no third path: refused while both are accepted, and what was written over stays out', async () => {
      const one = await emitting();
      const two = await emitting();
      const error = await refusal(generate());
      expect([error.errorClass, error.message]).toEqual([
        'config',
        expect.stringContaining('blue and green are both accepted'),
      ]);
      await withdraw(one);
      const three = await generate();
      expect((await at('blue'))['version']).toBe(three);
      expect((await refusal(reAccept(one))).message).toContain('was deleted or written over');
      await backend.destroy(attempts.next(), { versions: [one] });
      expect(await operator.versions(`${object}/blue`)).toEqual([
        [1, true],
        [2, false],
      ]);
      expect((await at('blue'))['version']).toBe(three);
      expect((await at('green'))['version']).toBe(two);
    });

    it('destroys the newest KV version of a path and writes there again', async () => {
      const one = await emitting();
      const two = await emitting();
      await withdraw(one);
      await backend.destroy(attempts.next(), { versions: [one] });
      expect(await operator.versions(`${object}/blue`)).toEqual([[1, true]]);
      const three = await emitting();
      expect((await at('blue'))['version']).toBe(three);
      expect((await at('green'))['version']).toBe(two);
    });

    it('takes in the one path that was in use, and refuses to guess which of two emits', async () => {
      await operator.write(`${object}/green`, { value: 'in-use', note: 'kept' });
      const next = await emitting();
      expect((await at('blue'))['version']).toBe(next);
      expect(await pointerOf(object)).toEqual({ accept: ['green', 'blue'], emit: 'blue' });
      const other = new Attempts(harness.fresh());
      for (const path of ['blue', 'green']) await operator.write(`${other.object}/${path}`, { value: path });
      const input = { versionId: randomUUID(), algorithm: 'HS256' } as const;
      const error = await refusal(backend.generate(other.next(), input));
      expect([error.errorClass, error.message]).toEqual([
        'config',
        expect.stringContaining('which of them emits cannot be told'),
      ]);
    });

    it('writes nothing over what somebody put on the idle path', async () => {
      await emitting();
      await operator.write(`${object}/green`, { value: 'by somebody' });
      const error = await refusal(generate());
      expect([error.errorClass, error.message]).toEqual([
        'config',
        expect.stringContaining('somebody else wrote its KV version 1'),
      ]);
      expect(await at('green')).toEqual({ value: 'by somebody' });
      const seen = await backend.observe(object);
      expect(seen.versions.map(({ versionId }) => versionId)).toContain('kv-green.1');
    });
  });
});
