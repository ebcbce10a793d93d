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
import { KvDocumentEngine } from './kv-document-engine.js';

jest.setTimeout(120_000);

const footing = footingOn('openbao');

describe(`the keyed document on ${footing.name}`, () => {
  let bao: Shared<Served>;
  let mount: string;
  let operator: KvOperator;
  const open = (opening: KvOpening = {}) =>
    new VaultHarness({
      bao,
      algorithm: 'HS256',
      documents: mount,
      engine: (client) => new KvDocumentEngine(client),
      object: () => `${mount}/data/app/${randomUUID()}`,
      values: (object) => operator.values(object),
      ...opening,
    });
  beforeAll(async () => {
    bao = await sharedServer(footing);
    operator = new KvOperator(bao);
    mount = await bao.mount('kv', { options: { version: '2' } });
  });
  afterAll(() => bao.leave());

  keyBackendContract('KV v2, keyed document', async () => open());
  kvLayoutContract('keyed document', {
    policy: 'kv-driver',
    server: () => ({ bao, operator, mount }),
    open,
    secrets: (object) => [object],
    told: async (object) => documentOf((await operator.read(object))?.data).accept.length,
  });

  describe('as applications read it', () => {
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
    const emitting = async (): Promise<string> => {
      const version = await generate();
      await publish(version);
      await switchTo(version);
      return version;
    };
    const shown = async () => documentOf((await operator.read(object))?.data);

    it('turns {keys, accept, emit}, and the way back needs no older KV version', async () => {
      const old = await emitting();
      const { keys } = await shown();
      expect(keys[old]).toMatch(/^[\w-]{43}$/);
      await operator.set(object, { max_versions: 1 });
      const next = await generate();
      expect(await shown()).toMatchObject({ accept: [old], emit: old });
      await publish(next);
      expect(await shown()).toMatchObject({ accept: [old, next], emit: old });
      await switchTo(next);
      expect(await shown()).toMatchObject({ accept: [old, next], emit: next });
      await withdraw(old);
      expect(await shown()).toMatchObject({ accept: [next], emit: next });
      expect(await operator.versions(object)).toHaveLength(1);
      await backend.reAccept(attempts.next(), { versions: [old] });
      await switchTo(old);
      expect(await shown()).toMatchObject({ accept: [old, next], emit: old, keys });
      expect(backend.declaration.capabilities).toMatchObject({ overlap: true, readsValues: false });
    });

    it('destroys a value in every KV version, and leaves the others where they are', async () => {
      const old = await emitting();
      const next = await emitting();
      const other = await generate();
      await withdraw(old);
      const { keys } = await shown();
      await backend.destroy(attempts.next(), { versions: [old] });
      const after = await shown();
      expect(after.keys).toEqual({ [next]: keys[next], [other]: keys[other] });
      const versions = await operator.versions(object);
      expect(versions.filter(([, destroyed]) => !destroyed)).toHaveLength(1);
      expect(versions.length).toBeGreaterThan(5);
    });

    it('takes in the one key that was in use, and refuses to guess which of two emits', async () => {
      await operator.write(object, { keys: { first: 'in-use' }, accept: ['first'], emit: 'first' });
      const next = await generate();
      await publish(next);
      await switchTo(next);
      expect(await shown()).toEqual({
        keys: { first: 'in-use', [next]: expect.any(String) },
        accept: ['first', next],
        emit: next,
      });
      const other = new Attempts(harness.fresh());
      await operator.write(other.object, { keys: { a: 'x', b: 'y' }, accept: ['a', 'b'], emit: 'b' });
      const error = await refusal(
        backend.generate(other.next(), { versionId: randomUUID(), algorithm: 'HS256' }),
      );
      expect([error.errorClass, error.message]).toEqual([
        'config',
        expect.stringContaining('which of them emits is a value, which is not read here'),
      ]);
    });

    it('sees a key that somebody took out, and accepts it nowhere', async () => {
      const old = await emitting();
      const next = await generate();
      const { data } = (await operator.read(object)) ?? {};
      const { [next]: _gone, ...keys } = documentOf(data).keys;
      await operator.write(object, { ...data, keys });
      await operator.set(object, {
        custom_metadata: { 'keyturn-confirmed': String((await operator.versions(object)).length) },
      });
      const error = await refusal(publish(next));
      expect(error.message).toContain(`the key of version ${next} is not there any more`);
      const probed = await backend.probe(object, { refused: [next], accepted: [old] });
      expect(probed).toMatchObject({ refused: [{ refused: true }], accepted: [{ accepted: true }] });
    });
  });
});

interface Keyed {
  readonly keys: Readonly<Record<string, string>>;
  readonly accept: readonly string[];
  readonly emit?: string;
}

/** Without the note, which applications ignore. */
function documentOf(data: Readonly<Record<string, unknown>> = {}): Keyed {
  const { keyturn: _note, ...document } = data;
  return { keys: {}, accept: [], ...document };
}
