import { randomUUID } from 'node:crypto';
import { inspect } from 'node:util';
import { jest } from '@jest/globals';
import type { SecretValue } from '#platform';
import { haveRealPart } from '#platform/testing';
import type { KeyBackend } from '../key-backend.js';
import { formsOf } from '../testing/local-harness.js';
import { Attempts, keyBackendContract } from '../testing/key-backend.contract.js';
import { KvOperator, refusal, refusedOfDrivers } from '../testing/kv-operator.js';
import { LossyProxy } from '../testing/lossy-proxy.js';
import { OpenBao } from '../testing/openbao.js';
import { VaultHarness } from '../testing/vault-harness.js';
import { KvFieldsEngine } from './kv-fields-engine.js';
import { currentAndPrevious, singleValue, type FieldsLayout } from './kv-fields-layout.js';

jest.setTimeout(120_000);

const CASES = 93;
const real = haveRealPart('openbao', CASES);

(real ? describe : describe.skip)('fields of a secret on a real server', () => {
  let bao: OpenBao;
  let mount: string;
  let operator: KvOperator;
  interface Opening {
    readonly layout?: FieldsLayout;
    readonly address?: URL;
    readonly token?: SecretValue;
    readonly destroyer?: SecretValue;
  }
  const open = ({ layout = currentAndPrevious(), ...rest }: Opening = {}) =>
    new VaultHarness({
      bao,
      algorithm: 'HS256',
      documents: mount,
      engine: (client) => new KvFieldsEngine(client, layout),
      object: () => `${mount}/data/app/${randomUUID()}`,
      values: (object) => operator.values(object),
      ...rest,
    });
  beforeAll(async () => {
    bao = await OpenBao.start();
    operator = new KvOperator(bao);
    mount = await bao.mount('kv', { options: { version: '2' } });
  });
  afterAll(() => bao.stop());

  keyBackendContract('KV v2, current and previous, OpenBao', async () => open());
  keyBackendContract('KV v2, one value, OpenBao', async () => open({ layout: singleValue() }));

  describe('as applications read them', () => {
    let harness: ReturnType<typeof open>;
    let backend: KeyBackend;
    let attempts: Attempts;
    let object: string;
    const begin = (opening?: Opening): void => {
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

    it('writes nothing over what somebody else wrote, until a person confirms it', async () => {
      begin();
      const old = await emitting();
      const next = await generate();
      await operator.patch(object, { issuer: 'https://example.test' });
      const foreign = await newestOf();
      const error = await refusal(publish(next));
      expect(error.errorClass).toBe('config');
      expect(error.message).toContain(`somebody else wrote its KV version ${foreign}`);
      expect(await newestOf()).toBe(foreign);
      expect((await refusal(generate())).errorClass).toBe('config');
      const seen = await backend.observe(object);
      expect(seen.versions.map(({ versionId }) => versionId)).toContain(`kv-${foreign}`);
      await operator.set(object, { custom_metadata: { 'keyturn-confirmed': String(foreign) } });
      await publish(next);
      expect(await fields()).toMatchObject({ issuer: 'https://example.test' });
      expect(await accepted()).toEqual([old, next]);
    });

    it('loses a race by compare-and-set, and writes nothing', async () => {
      class Raced extends KvFieldsEngine {
        override async hold(...told: Parameters<KvFieldsEngine['hold']>): Promise<void> {
          await operator.patch(told[0].object, { issuer: 'at the same moment' });
          await super.hold(...told);
        }
      }
      begin();
      const old = await emitting();
      const next = await generate();
      const raced = new VaultHarness({
        bao,
        algorithm: 'HS256',
        documents: mount,
        engine: (client) => new Raced(client, currentAndPrevious()),
        object: () => object,
      });
      const error = await refusal(
        raced.backend.publish(attempts.next(), { versions: [next], maxAgeSeconds: 300 }),
      );
      await raced.close();
      expect([error.name, error.errorClass]).toEqual(['CasMismatchError', 'transient']);
      expect(await fields()).toMatchObject({ issuer: 'at the same moment', next: expect.any(String) });
      expect(await fields()).not.toHaveProperty('previous');
      expect(await accepted()).toEqual([old]);
    });

    it('stops at what was deleted, says so, and contains nevertheless', async () => {
      begin();
      const old = await emitting();
      const next = await generate();
      await operator.deleteNewest(object);
      const newest = (await operator.versions(object)).length;
      for (const asked of [() => publish(next), () => generate(), () => destroy(next)]) {
        const error = await refusal(asked());
        expect(error.errorClass).toBe('config');
        expect(error.message).toContain(`its newest KV version ${newest} was deleted by somebody`);
      }
      const probed = await backend.probe(object, { refused: [], accepted: [old] });
      expect(probed.accepted).toMatchObject([{ accepted: false }]);
      await backend.contain(attempts.next(), { versions: [old] });
      await operator.undelete(object, newest);
      await publish(next);
      expect(Object.keys(await fields())).toEqual(['previous']);
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

    it('believes the metadata, and no answer to a destroy', async () => {
      const proxy = await LossyProxy.before(bao.address);
      begin({ address: proxy.address });
      const old = await emitting();
      const next = await generate();
      await publish(next);
      await switchTo(next);
      await withdraw(old);
      proxy.loseNext('claim', (line) => line.includes('/destroy/'));
      const step = attempts.next();
      const error = await refusal(backend.destroy(step, { versions: [old] }));
      expect(proxy.lost).toHaveLength(1);
      expect(error.errorClass).toBe('unknown');
      expect(error.message).toMatch(/its metadata show KV version \d+(, \d+)* as not destroyed/);
      expect((await backend.observe(object, { key: step.key })).entry).toBeUndefined();
      await backend.destroy(attempts.next({ key: step.key }), { versions: [old] });
      expect(await operator.values(object)).toHaveLength(1);
      await proxy.close();
    });

    const lossy = [
      ['takes effect, and its answer is lost', 'after', 0],
      ['never arrives', 'before', 1],
    ] as const;
    it.each(lossy)('looks for its write when it %s', async (_name, loss, writesLeft) => {
      const proxy = await LossyProxy.before(bao.address);
      begin({ address: proxy.address });
      const old = await emitting();
      const isWrite = (line: string): boolean => line.startsWith('PATCH') && line.includes('/data/app/');
      const generating = attempts.next();
      const input = { versionId: randomUUID(), algorithm: 'HS256' } as const;
      proxy.loseNext(loss, isWrite);
      expect((await refusal(backend.generate(generating, input))).errorClass).toBe('unknown');
      let newest = await newestOf();
      const made = await backend.generate(attempts.next({ key: generating.key }), input);
      expect(made.versionId).toBe(input.versionId);
      expect(await newestOf()).toBe(newest + writesLeft);
      expect((await backend.observe(object)).versions).toHaveLength(2);

      const publishing = attempts.next();
      const versions = [made.versionId];
      proxy.loseNext(loss, isWrite);
      expect((await refusal(backend.publish(publishing, { versions, maxAgeSeconds: 300 }))).errorClass).toBe(
        'unknown',
      );
      newest = await newestOf();
      await backend.publish(attempts.next({ key: publishing.key }), { versions, maxAgeSeconds: 300 });
      expect(await newestOf()).toBe(newest + writesLeft);
      expect(await accepted()).toEqual([old, made.versionId]);
      expect(await operator.values(object)).toHaveLength(2);
      expect(proxy.lost).toHaveLength(2);
      await proxy.close();
    });

    it('does all of it with its policies, and is refused everything else', async () => {
      const token = await operator.tokenOf(['kv-fields-driver'], { mount, folder: 'app' });
      const destroyer = await operator.tokenOf(['kv-destroyer'], { mount, folder: 'app' });
      begin({ token, destroyer });
      const old = await emitting();
      const next = await generate();
      await publish(next);
      await switchTo(next);
      await backend.contain(attempts.next(), { versions: [old] });
      await withdraw(old);
      await destroy(old);
      await backend.probe(object, { refused: [old], accepted: [next] });
      expect(await accepted()).toEqual([next]);
      for (const [method, path, body] of refusedOfDrivers(mount, object)) {
        expect([method, path, await operator.statusAs(token, method, path, body)]).toEqual([
          method,
          path,
          403,
        ]);
      }
      expect(await operator.statusAs(destroyer, 'GET', object)).toBe(403);
    });

    it('lets no value out: no error, observation, record, kept file or print of the back end has one', async () => {
      begin();
      const printed: string[] = [];
      const note = async (work: Promise<unknown>): Promise<void> => {
        const outcome = await work.catch((error: unknown) => error);
        printed.push(inspect(outcome, { depth: 9, showHidden: true }), JSON.stringify(outcome) ?? '');
        if (outcome instanceof Error) printed.push(outcome.stack ?? '', String(outcome));
      };
      const old = await emitting();
      const next = await generate();
      const values = await operator.values(object);
      expect(values).toHaveLength(2);
      await note(publish(next));
      await note(switchTo(next));
      await note(publish(old, 'nobody'));
      await note(withdraw(old));
      await operator.patch(object, { more: 'x' });
      await note(reAccept(old));
      await operator.deleteNewest(object);
      await note(reAccept(old));
      await note(generate());
      await note(backend.observe(object));
      await note(backend.probe(object, { refused: [old], accepted: [next] }));
      await note(harness.client.read(object.replace('/data/', '/nowhere/'), { token: bao.rootToken }));
      printed.push(inspect(backend, { depth: 12, showHidden: true }), JSON.stringify(backend));
      printed.push(JSON.stringify(await operator.read(`${mount}/data/keyturn/${object}`)));
      expect(printed.some((text) => text.includes(next))).toBe(true);
      for (const value of values) {
        const text = value.reveal();
        const forms = [...formsOf(text), ...formsOf(Buffer.from(text.toString('utf8'), 'base64url'))];
        for (const form of forms) expect(printed.some((each) => each.includes(form))).toBe(false);
      }
    });
  });
});
