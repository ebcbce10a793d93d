import { randomUUID } from 'node:crypto';
import { jest } from '@jest/globals';
import { footingOn } from '#platform/testing';
import type { KeyBackend } from '../key-backend.js';
import { Attempts, keyBackendContract } from '../testing/key-backend.contract.js';
import { kvLayoutContract, type KvLayout, type KvOpening } from '../testing/kv-layout.contract.js';
import { KvOperator, refusal } from '../testing/kv-operator.js';
import type { Served } from '../testing/openbao.js';
import { sharedServer, type Shared } from '../testing/servers.js';
import { VaultHarness } from '../testing/vault-harness.js';
import { KvFieldsEngine } from './kv-fields-engine.js';
import { currentAndPrevious, singleValue, type FieldsLayout } from './kv-fields-layout.js';

jest.setTimeout(120_000);

const footing = footingOn('openbao');

describe(`fields of a secret on ${footing.name}`, () => {
  let bao: Shared<Served>;
  let mount: string;
  let operator: KvOperator;
  const open = ({ layout = currentAndPrevious(), ...rest }: KvOpening & { layout?: FieldsLayout } = {}) =>
    new VaultHarness({
      bao,
      algorithm: 'HS256',
      documents: mount,
      engine: (client) => new KvFieldsEngine(client, layout),
      object: () => `${mount}/data/app/${randomUUID()}`,
      values: (object) => operator.values(object),
      ...rest,
    });
  const laidOut = (layout: FieldsLayout): KvLayout => ({
    policy: 'kv-fields-driver',
    server: () => ({ bao, operator, mount }),
    open: (opening) => open({ ...opening, layout }),
    secrets: (object) => [object],
    told: async (object) => {
      const data = (await operator.read(object))?.data ?? {};
      return layout.read.filter(({ field }) => Object.hasOwn(data, field)).length;
    },
  });
  beforeAll(async () => {
    bao = await sharedServer(footing);
    operator = new KvOperator(bao);
    mount = await bao.mount('kv', { options: { version: '2' } });
  });
  afterAll(() => bao.leave());

  keyBackendContract('KV v2, current and previous', async () => open());
  keyBackendContract('KV v2, one value', async () => open({ layout: singleValue() }));
  kvLayoutContract('current and previous', laidOut(currentAndPrevious()));
  kvLayoutContract('one value', laidOut(singleValue()));

  describe('as applications read them', () => {
    let harness: ReturnType<typeof open>;
    let backend: KeyBackend;
    let attempts: Attempts;
    let object: string;
    const begin = (opening?: { layout?: FieldsLayout }): void => {
      harness = open(opening);
      backend = harness.backend;
      attempts = new Attempts(harness.fresh());
      ({ object } = attempts);
    };
    afterEach(() => harness.close());

    const generate = async (versionId: string = randomUUID()): Promise<string> => {
      const made = await backend.generate(attempts.next(), { versionId, algorithm: 'HS256' });
      return made.versionId;
    };
    const publish = (...versions: string[]) =>
      backend.publish(attempts.next(), { versions, maxAgeSeconds: 300 });
    const switchTo = (to: string) => backend.switchEmission(attempts.next(), { to });
    const withdraw = (...versions: string[]) => backend.withdraw(attempts.next(), { versions });
    const reAccept = (...versions: string[]) => backend.reAccept(attempts.next(), { versions });
    const destroy = (...versions: string[]) => backend.destroy(attempts.next(), { versions });
    const cutTo = (to: string) => backend.cutOver(attempts.next(), { to, maxAgeSeconds: 300 });
    const emitting = async (): Promise<string> => {
      const version = await generate();
      await publish(version);
      await switchTo(version);
      return version;
    };
    /** The fields that hold a value, without the note. */
    const fields = async (version?: number) => {
      const { keyturn: _note, ...data } = (await operator.read(object, version))?.data ?? {};
      return data;
    };
    const newestOf = async () => (await operator.read(object))?.metadata.version ?? 0;
    const accepted = async () =>
      (await backend.observe(object)).versions.filter((each) => each.accepted).map((each) => each.versionId);

    it('turns StockEase: accept {current: old, previous: new}, emit by swapping, revoke by dropping previous', async () => {
      begin();
      const old = await emitting();
      const { current: oldValue } = await fields();
      expect(oldValue).toMatch(/^[\w-]{43}$/);
      const next = await generate();
      const { next: nextValue, ...before } = await fields();
      expect(before).toEqual({ current: oldValue });
      expect(nextValue).toMatch(/^[\w-]{43}$/);
      await publish(next);
      expect(await fields()).toEqual({ current: oldValue, previous: nextValue });
      await switchTo(next);
      expect(await fields()).toEqual({ current: nextValue, previous: oldValue });
      await withdraw(old);
      expect(await fields()).toEqual({ current: nextValue });
      await reAccept(old);
      expect(await fields()).toEqual({ current: nextValue, previous: oldValue });
      await switchTo(old);
      await withdraw(next);
      expect(await fields()).toEqual({ current: oldValue });
    });

    it('is refused while previous still drains, and nothing is written', async () => {
      begin();
      const old = await emitting();
      const next = await generate();
      await publish(next);
      await switchTo(next);
      const third = await generate();
      const before = await newestOf();
      const error = await refusal(publish(third));
      expect(error.errorClass).toBe('config');
      expect(error.message).toContain(`the field previous has ${old}, which still drains`);
      expect(await newestOf()).toBe(before);
      expect(await accepted()).toEqual([old, next]);
      await withdraw(old);
      await publish(third);
      expect(await accepted()).toEqual([next, third]);
    });

    it('cuts one value over and back, with nothing beside it that applications read', async () => {
      begin({ layout: singleValue({ value: 'JWT_SECRET' }) });
      const old = await generate();
      await cutTo(old);
      const { JWT_SECRET: oldValue } = await fields();
      const next = await generate();
      await cutTo(next);
      const { JWT_SECRET: nextValue } = await fields();
      expect(await fields()).toEqual({ JWT_SECRET: nextValue });
      expect(nextValue).not.toBe(oldValue);
      await cutTo(old);
      expect(await fields()).toEqual({ JWT_SECRET: oldValue });
      expect(backend.declaration.capabilities).toMatchObject({ overlap: false, readsValues: true });
    });

    it('refuses a write that would push out the way back, with the number to set', async () => {
      begin();
      const old = await emitting();
      const { current: oldValue } = await fields();
      const next = await generate();
      await publish(next);
      await switchTo(next);
      await operator.set(object, { max_versions: 1 });
      const before = await newestOf();
      const error = await refusal(withdraw(old));
      expect(error.errorClass).toBe('config');
      expect(error.message).toContain(`the way back to ${old}: set max_versions to 2 or more`);
      expect([await newestOf(), await accepted()]).toEqual([before, [old, next]]);
      await operator.set(object, { max_versions: 2 });
      await withdraw(old);
      expect(await operator.versions(object)).toHaveLength(2);
      await reAccept(old);
      expect(await fields()).toMatchObject({ previous: oldValue });
      const early = await refusal(generate());
      expect(early.message).toContain('set max_versions to 4 or more');
    });

    it('finds out from the server, and not by the number alone, how many versions are kept', async () => {
      const small = await bao.mount('kv', { options: { version: '2' } });
      await bao.api('POST', `${small}/config`, { max_versions: 3 });
      begin();
      const moved = new Attempts({ object: `${small}/data/app/x`, familyId: randomUUID() });
      const input = { versionId: randomUUID(), algorithm: 'HS256' } as const;
      await backend.generate(moved.next(), input);
      const error = await refusal(backend.generate(moved.next(), { ...input, versionId: randomUUID() }));
      expect(error.message).toContain('keeps 3 of its versions');
      // The larger of the two counts.
      await operator.set(moved.object, { max_versions: 5 });
      await backend.generate(moved.next(), { ...input, versionId: randomUUID() });
    });

    it('takes in what was in use before Keyturn came', async () => {
      begin();
      await operator.write(object, { current: 'in-use-one', previous: 'in-use-two', issuer: 'kept' });
      expect(await accepted()).toEqual(['kv-1-current', 'kv-1-previous']);
      await withdraw('kv-1-previous').catch((error: unknown) => {
        // Nothing of it is on record before Keyturn does something there.
        expect(error).toMatchObject({ errorClass: 'not-found' });
      });
      const next = await generate();
      expect(await accepted()).toEqual(['kv-1-current', 'kv-1-previous']);
      await withdraw('kv-1-previous');
      await publish(next);
      await switchTo(next);
      expect(await fields()).toMatchObject({ previous: 'in-use-one', issuer: 'kept' });
      await withdraw('kv-1-current');
      await destroy('kv-1-current', 'kv-1-previous');
      for (const [version] of await operator.versions(object)) {
        expect(Object.values(await fields(version))).not.toContain('in-use-one');
        expect(Object.values(await fields(version))).not.toContain('in-use-two');
      }
      expect(Object.keys(await fields()).sort()).toEqual(['current', 'issuer']);
    });

    it('destroys every KV version that still has the value, and no only copy of another', async () => {
      begin();
      const one = await emitting();
      const { current: oneValue } = await fields();
      const two = await generate();
      await publish(two);
      await switchTo(two);
      await withdraw(one);
      const three = await generate();
      await publish(three);
      await switchTo(three);
      await withdraw(two);
      const only = await refusal(destroy(two));
      expect([only.errorClass, only.message]).toEqual([
        'config',
        expect.stringContaining(`the only copy of ${one}`),
      ]);
      await destroy(one);
      expect((await operator.values(object)).map((value) => value.reveal().toString())).not.toContain(
        oneValue,
      );
      const kept = (await operator.versions(object)).filter(([, destroyed]) => !destroyed);
      expect(kept.length).toBeGreaterThan(0);
      await reAccept(two);
      expect(await accepted()).toEqual([two, three]);
    });
  });
});
