import { randomUUID } from 'node:crypto';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { SecretValue } from '#platform';
import type { Attempt, KeyBackend } from '../key-backend.js';
import type { VaultClient } from '../vault/vault-client.js';
import { Attempts, type KeyBackendHarness } from './key-backend.contract.js';
import { refusal, refusedOfDrivers, type KvOperator } from './kv-operator.js';
import { formsOf } from './local-harness.js';
import { LossyProxy } from './lossy-proxy.js';
import type { Served } from './openbao.js';

export interface KvOpening {
  readonly address?: URL;
  readonly token?: SecretValue;
  readonly destroyer?: SecretValue;
}

/** A layout of KV v2 on a server. */
export interface KvLayout {
  /** Of deploy/vault: what its driver may do. */
  readonly policy: string;
  readonly server: () => { readonly bao: Served; readonly operator: KvOperator; readonly mount: string };
  readonly open: (opening?: KvOpening) => KeyBackendHarness & { readonly client: VaultClient };
  /** The secrets of an object; what applications are told to accept stands in the first. */
  readonly secrets: (object: string) => readonly string[];
  /** How many values applications are told to accept, as they read it. */
  readonly told: (object: string) => Promise<number>;
}

/** Of an application's secret, not of Keyturn's own record of it. */
const isWrite = (line: string): boolean => /^(POST|PATCH) \/v1\/[^/]+\/data\/app\//.test(line);

/** What a server, and people beside us, do to every layout. */
export function kvLayoutContract(name: string, layout: KvLayout): void {
  describe(`beside others: ${name}`, () => {
    let harness: ReturnType<KvLayout['open']>;
    let backend: KeyBackend;
    let attempts: Attempts;
    let object: string;
    let proxy: LossyProxy;
    let operator: KvOperator;

    beforeEach(async () => {
      ({ operator } = layout.server());
      proxy = await LossyProxy.before(layout.server().bao.address);
      begin();
    });
    afterEach(async () => {
      await harness.close();
      await proxy.close();
    });
    function begin(opening: KvOpening = {}): void {
      harness = layout.open({ address: proxy.address, ...opening });
      backend = harness.backend;
      attempts = new Attempts(harness.fresh());
      ({ object } = attempts);
    }

    const generate = async (attempt = attempts.next(), versionId: string = randomUUID()): Promise<string> =>
      (await backend.generate(attempt, { versionId, algorithm: 'HS256' })).versionId;
    const overlaps = () => backend.declaration.capabilities.overlap;
    const accept = (to: string, attempt: Attempt = attempts.next()) =>
      overlaps()
        ? backend.publish(attempt, { versions: [to], maxAgeSeconds: 300 })
        : backend.cutOver(attempt, { to, maxAgeSeconds: 300 });
    const bringIn = async (to: string): Promise<void> => {
      await accept(to);
      if (overlaps()) await backend.switchEmission(attempts.next(), { to });
    };
    const emitting = async (): Promise<string> => {
      const version = await generate();
      await bringIn(version);
      return version;
    };
    const withdraw = (...versions: string[]) => backend.withdraw(attempts.next(), { versions });
    const writes = async (): Promise<number> => {
      let count = 0;
      for (const secret of layout.secrets(object))
        count += (await operator.versions(secret).catch(() => [])).length;
      return count;
    };
    const accepted = async () =>
      (await backend.observe(object)).versions.filter((each) => each.accepted).map((each) => each.versionId);
    const newestOf = async () => (await operator.read(object))?.metadata.version ?? 0;

    it('reads values only where it declares it, does all of it by its policy, and is refused everything else', async () => {
      const { mount } = layout.server();
      const token = await operator.tokenOf([layout.policy], { mount, folder: 'app' });
      const destroyer = await operator.tokenOf(['kv-destroyer'], { mount, folder: 'app' });
      await harness.close();
      begin({ token, destroyer });
      const old = await emitting();
      const next = await generate();
      await bringIn(next);
      await backend.contain(attempts.next(), { versions: [old] });
      await withdraw(old);
      await backend.destroy(attempts.next(), { versions: [old] });
      const { refused } = await backend.probe(object, { refused: [old], accepted: [next] });
      expect(refused).toMatchObject([{ refused: true }]);
      expect(await accepted()).toEqual([next]);
      const reads = backend.declaration.capabilities.readsValues ? 200 : 403;
      for (const secret of layout.secrets(object)) {
        if ((await operator.read(secret)) === undefined) continue;
        expect([secret, await operator.statusAs(token, 'GET', secret)]).toEqual([secret, reads]);
        expect(await operator.statusAs(destroyer, 'GET', secret)).toBe(403);
      }
      for (const [method, path, body] of refusedOfDrivers(mount, object))
        expect([method, path, await operator.statusAs(token, method, path, body)]).toEqual([
          method,
          path,
          403,
        ]);
    });

    const lossy = [
      ['takes effect, and its answer is lost', 'after', 0],
      ['never arrives', 'before', 1],
    ] as const;
    it.each(lossy)('looks for its write when it %s', async (_name, loss, writesLeft) => {
      const old = await emitting();
      const versionId = randomUUID();
      const generating = attempts.next();
      proxy.loseNext(loss, isWrite);
      expect((await refusal(generate(generating, versionId))).errorClass).toBe('unknown');
      let before = await writes();
      expect(await generate(attempts.next({ key: generating.key }), versionId)).toBe(versionId);
      expect(await writes()).toBe(before + writesLeft);
      expect((await backend.observe(object)).versions).toHaveLength(2);

      const accepting = attempts.next();
      proxy.loseNext(loss, isWrite);
      expect((await refusal(accept(versionId, accepting))).errorClass).toBe('unknown');
      before = await writes();
      await accept(versionId, attempts.next({ key: accepting.key }));
      expect(await writes()).toBe(before + writesLeft);
      expect(await accepted()).toEqual(overlaps() ? [old, versionId] : [versionId]);
      expect(await operator.values(...layout.secrets(object))).toHaveLength(2);
      expect(proxy.lost).toHaveLength(2);
    });

    it('loses a race by compare-and-set, and writes nothing over the winner', async () => {
      const old = await emitting();
      const next = await generate();
      proxy.actBefore(isWrite, () => operator.patch(object, { issuer: 'at the same moment' }));
      const error = await refusal(accept(next));
      expect([error.name, error.errorClass]).toEqual(['CasMismatchError', 'transient']);
      expect((await operator.read(object))?.data).toMatchObject({ issuer: 'at the same moment' });
      expect(await accepted()).toEqual([old]);
      const again = await refusal(accept(next));
      expect([again.errorClass, again.message]).toEqual([
        'config',
        expect.stringContaining(`somebody else wrote its KV version ${await newestOf()}`),
      ]);
    });

    it('writes nothing over what somebody else wrote, until a person confirms it', async () => {
      await emitting();
      const next = await generate();
      await operator.patch(object, { issuer: 'https://example.test' });
      const foreign = await newestOf();
      for (const asked of [() => accept(next), () => generate()]) {
        const error = await refusal(asked());
        expect(error.errorClass).toBe('config');
        expect(error.message).toContain(`somebody else wrote its KV version ${foreign}`);
      }
      expect(await newestOf()).toBe(foreign);
      await operator.set(object, { custom_metadata: { 'keyturn-confirmed': String(foreign) } });
      await accept(next);
      expect((await operator.read(object))?.data).toMatchObject({ issuer: 'https://example.test' });
      expect(await accepted()).toContain(next);
    });

    it('goes on after a whole overwrite only when what it wrote is back and confirmed', async () => {
      await emitting();
      const next = await generate();
      const ours = (await operator.read(object))?.data ?? {};
      await operator.write(object, { value: 'by somebody' });
      await operator.set(object, { custom_metadata: { 'keyturn-confirmed': String(await newestOf()) } });
      expect((await refusal(accept(next))).message).toContain('write back the KV version that Keyturn wrote');
      await operator.write(object, ours);
      expect((await refusal(accept(next))).errorClass).toBe('config');
      await operator.set(object, { custom_metadata: { 'keyturn-confirmed': String(await newestOf()) } });
      await accept(next);
      expect(await accepted()).toContain(next);
    });

    it('stops at what was deleted, says so, and contains nevertheless', async () => {
      const old = await emitting();
      const next = await generate();
      const newest = await newestOf();
      await operator.deleteNewest(object);
      for (const asked of [() => accept(next), () => generate()]) {
        const error = await refusal(asked());
        expect(error.errorClass).toBe('config');
        expect(error.message).toContain(`its newest KV version ${newest} was deleted by somebody`);
      }
      const probed = await backend.probe(object, { refused: [], accepted: [old] });
      expect(probed.accepted).toMatchObject([{ accepted: false }]);
      await backend.contain(attempts.next(), { versions: [old] });
      await operator.undelete(object, newest);
      expect(await layout.told(object)).toBe(1);
      await accept(next);
      // Without the containment it would be both.
      expect(await layout.told(object)).toBe(1);
      expect(await accepted()).toContain(next);
    });

    it('is refused where the server deletes by itself', async () => {
      await emitting();
      const secret = layout.secrets(object).at(-1) ?? object;
      await operator.set(secret, { delete_version_after: '24h' });
      const error = await refusal(generate());
      expect([error.errorClass, error.message]).toEqual(['config', expect.stringContaining('set it to 0s')]);
    });

    it('believes the metadata, and no answer to a destroy', async () => {
      const old = await emitting();
      const next = await generate();
      await bringIn(next);
      await withdraw(old);
      proxy.loseNext('claim', (line) => line.includes('/destroy/'));
      const step = attempts.next();
      const error = await refusal(backend.destroy(step, { versions: [old] }));
      expect(proxy.lost).toHaveLength(1);
      expect(error.errorClass).toBe('unknown');
      expect(error.message).toMatch(/its metadata show KV version \d+(, \d+)* as not destroyed/);
      expect((await backend.observe(object, { key: step.key })).entry).toBeUndefined();
      expect(await operator.values(...layout.secrets(object))).toHaveLength(2);
      await backend.destroy(attempts.next({ key: step.key }), { versions: [old] });
      expect(await operator.values(...layout.secrets(object))).toHaveLength(1);
      expect(await accepted()).toEqual([next]);
    });

    it('lets no value out: no error, observation, record, kept file or print of the back end has one', async () => {
      const { bao, mount } = layout.server();
      const printed: string[] = [];
      const note = async (work: Promise<unknown>): Promise<void> => {
        const outcome = await work.catch((error: unknown) => error);
        printed.push(inspect(outcome, { depth: 9, showHidden: true }), JSON.stringify(outcome) ?? '');
        if (outcome instanceof Error) printed.push(outcome.stack ?? '', String(outcome));
      };
      const old = await emitting();
      const next = await generate();
      const values = await operator.values(...layout.secrets(object));
      expect(values).toHaveLength(2);
      proxy.loseNext('after', isWrite);
      await note(accept(next));
      await note(bringIn(next));
      await note(accept('nobody'));
      await note(withdraw(old));
      await operator.patch(object, { more: 'x' });
      await note(accept(old));
      await operator.deleteNewest(object);
      await note(accept(old));
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
}
