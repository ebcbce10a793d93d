import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import { footingOn } from '#platform/testing';
import { BackendError, type KeyBackend } from '../key-backend.js';
import { Attempts, keyBackendContract } from '../testing/key-backend.contract.js';
import type { Served } from '../testing/openbao.js';
import { ownServer, sharedServer, type Shared } from '../testing/servers.js';
import { VaultHarness } from '../testing/vault-harness.js';
import { TransitEngine } from './transit-engine.js';
import type { Identity } from './vault-engine.js';

jest.setTimeout(120_000);

const footing = footingOn('openbao');

describe(`transit on ${footing.name}`, () => {
  let bao: Shared<Served>;
  let transit: string;
  let documents: string;
  let harness: ReturnType<typeof open>;
  let backend: KeyBackend;
  const open = (as: (root: Identity) => Identity = (root) => root) =>
    new VaultHarness({
      bao,
      identity: (_client, root) => as(root),
      algorithm: 'ES256',
      documents,
      engine: (client) => new TransitEngine(client),
      object: () => `${transit}/keys/${randomUUID()}`,
    });
  beforeAll(async () => {
    bao = await sharedServer(footing);
    transit = await bao.mount('transit');
    documents = await bao.mount('kv', { options: { version: '2' } });
  });
  beforeEach(() => {
    harness = open();
    backend = harness.backend;
  });
  afterEach(() => harness.close());
  afterAll(() => bao.leave());

  const fresh = () => new Attempts(harness.fresh());
  keyBackendContract('transit', async () => open());

  const engineOf = async (object: string) =>
    (
      await bao.api<{
        data: { latest_version: number; min_decryption_version: number; min_encryption_version: number };
      }>('GET', object)
    ).data;
  const states = async (object: string) =>
    Object.fromEntries(
      (await backend.observe(object)).versions.map(({ versionId, accepted, emittingShare, contained }) => [
        versionId,
        [accepted, emittingShare, contained],
      ]),
    );

  async function emitting(attempts: Attempts): Promise<string> {
    const versionId = randomUUID();
    await backend.generate(attempts.next(), { versionId, algorithm: 'ES256' });
    await backend.publish(attempts.next(), { versions: [versionId], maxAgeSeconds: 300 });
    await backend.switchEmission(attempts.next(), { to: versionId });
    return versionId;
  }

  it('turns a key: the engine refuses what was withdrawn, and takes it back', async () => {
    const attempts = fresh();
    const one = await emitting(attempts);
    const { signature } = (
      await bao.api<{ data: { signature: string } }>('POST', attempts.object.replace('/keys/', '/sign/'), {
        input: 'aGk=',
        hash_algorithm: 'sha2-256',
      })
    ).data;
    const verify = () =>
      bao.api<{ data: { valid: boolean } }>('POST', attempts.object.replace('/keys/', '/verify/'), {
        input: 'aGk=',
        hash_algorithm: 'sha2-256',
        signature,
      });
    const two = await emitting(attempts);
    expect(await states(attempts.object)).toEqual({ [one]: [true, 0, false], [two]: [true, 100, false] });
    expect((await verify()).data.valid).toBe(true);
    await backend.withdraw(attempts.next(), { versions: [one] });
    expect(await engineOf(attempts.object)).toMatchObject({
      latest_version: 2,
      min_decryption_version: 2,
      min_encryption_version: 2,
    });
    await expect(verify()).rejects.toThrow('disallowed by policy (too old)');
    await backend.reAccept(attempts.next(), { versions: [one] });
    expect((await verify()).data.valid).toBe(true);
    expect(await states(attempts.object)).toEqual({ [one]: [true, 0, false], [two]: [true, 100, false] });
  });

  it('answers a repeat by its key with the first receipt, and makes no version more', async () => {
    const attempts = fresh();
    const attempt = attempts.next();
    const input = { versionId: randomUUID(), algorithm: 'EdDSA' } as const;
    const first = await backend.generate(attempt, input);
    expect(await backend.generate(attempts.next({ key: attempt.key }), input)).toEqual(first);
    expect((await engineOf(attempts.object)).latest_version).toBe(1);
    const stale = attempts.next({ fence: { slot: 0, step: 0 } });
    const error = await backend.generate(stale, input).catch((thrown: unknown) => thrown);
    expect(error instanceof BackendError && error.errorClass).toBe('fenced');
  });

  it('goes on from no older record than the one it has seen, and says what to do; a containment waits for nothing', async () => {
    const attempts = fresh();
    const one = await emitting(attempts);
    const two = await emitting(attempts);
    await bao.api('DELETE', `${documents}/metadata/keyturn/${attempts.object}`);
    const told = await backend.observe(attempts.object).then(
      () => 'read',
      (error: unknown) => String(error),
    );
    expect(told).toMatch(/its record in the server is gone, and version \d+ of it was read before/);
    await expect(backend.withdraw(attempts.next(), { versions: [one] })).rejects.toThrow('its record in the');
    expect((await engineOf(attempts.object)).min_decryption_version).toBe(1);
    const served = () => harness.servedKids(backend, attempts.familyId);
    expect(await served()).toEqual([one, two]);
    await expect(backend.contain(attempts.next(), { versions: [one] })).rejects.toThrow('leaves');
    expect(await served()).toEqual([two]);
    // As it says.
    const [, file = ''] = /delete back-ends\/(\S+)/.exec(told) ?? [];
    rmSync(join(harness.directory, file));
    backend = await harness.reopen();
    expect(await states(attempts.object)).toEqual({ 1: [true, 0, false], 2: [true, 100, false] });
  });

  describe('a containment waits for nobody, and what is under way beside it opens nothing again', () => {
    let attempts: Attempts;
    let one: string;
    let two: string;
    beforeEach(async () => {
      attempts = fresh();
      one = await emitting(attempts);
      two = await emitting(attempts);
    });

    /** Another process; `contained` is, by this one, once that has its so-manyth token in hand, with what it sends decided. */
    async function beside(
      number: number,
      contained: string,
      act: (other: KeyBackend) => Promise<unknown>,
    ): Promise<unknown> {
      let asked = 0;
      let refused = 0;
      const other = open((root) => ({
        ...root,
        once: async (seconds) => {
          asked += 1;
          if (asked === number) {
            await backend.contain(attempts.next(), { versions: [contained] });
            refused = (await engineOf(attempts.object)).min_decryption_version;
          }
          return root.once(seconds);
        },
      }));
      try {
        return await act(other.backend);
      } finally {
        await other.close();
        expect(asked).toBeGreaterThanOrEqual(number);
        // At once, whatever that one does later.
        expect(refused).toBeGreaterThan(1);
        expect((await backend.observe(attempts.object)).told).toBeUndefined();
      }
    }
    const least = async () => (await engineOf(attempts.object)).min_decryption_version;

    it('a version that is made', async () => {
      const versionId = randomUUID();
      await beside(2, one, (other) => other.generate(attempts.next(), { versionId, algorithm: 'ES256' }));
      expect(await least()).toBe(2);
      expect(await states(attempts.object)).toEqual({
        [one]: [true, 0, true],
        [two]: [true, 100, false],
        [versionId]: [false, 0, false],
      });
    });

    it('its own version, accepted again: refused, and taken back', async () => {
      await backend.withdraw(attempts.next(), { versions: [one] });
      const again = attempts.next();
      const error = await beside(1, one, (other) => other.reAccept(again, { versions: [one] })).catch(
        (thrown: unknown) => thrown,
      );
      expect(error).toMatchObject({ errorClass: 'config', message: expect.stringContaining('contained') });
      expect(await least()).toBe(2);
      expect(await states(attempts.object)).toEqual({ [one]: [false, 0, true], [two]: [true, 100, false] });
      expect((await backend.observe(attempts.object, { key: again.key })).entry).toBeUndefined();
    });

    it('another containment', async () => {
      const three = await emitting(attempts);
      await beside(1, two, (other) => other.contain(attempts.next(), { versions: [one] }));
      expect(await least()).toBe(3);
      expect(await states(attempts.object)).toEqual({
        [one]: [true, 0, true],
        [two]: [true, 0, true],
        [three]: [true, 100, false],
      });
    });

    it('a deletion', async () => {
      await backend.withdraw(attempts.next(), { versions: [one] });
      const three = await emitting(attempts);
      await beside(1, two, (other) => other.destroy(attempts.next(), { versions: [one] }));
      expect(await least()).toBe(3);
      expect(await states(attempts.object)).toMatchObject({
        [two]: [true, 0, true],
        [three]: [true, 100, false],
      });
    });

    it('an effect whose process died with its request sent: whoever goes on holds the engine to it', async () => {
      const killed = attempts.next();
      const versionId = randomUUID();
      const dead = open((root) => ({ ...root, probe: () => Promise.reject(new Error('killed')) }));
      await expect(dead.backend.generate(killed, { versionId, algorithm: 'ES256' })).rejects.toThrow(
        'killed',
      );
      await dead.close();
      await backend.contain(attempts.next(), { versions: [one] });
      // Its request comes after the containment's.
      await bao.api('POST', `${attempts.object}/config`, {
        min_decryption_version: 1,
        min_encryption_version: 1,
      });
      await backend.generate(attempts.next({ key: killed.key }), { versionId, algorithm: 'ES256' });
      expect(await least()).toBe(2);
    });
  });

  it('takes in a key that was in use before Keyturn came', async () => {
    const attempts = fresh();
    await bao.api('POST', attempts.object, { type: 'rsa-2048' });
    await bao.api('POST', `${attempts.object}/rotate`);
    expect(await states(attempts.object)).toEqual({ 1: [true, 0, false], 2: [true, 100, false] });
    const versionId = randomUUID();
    await backend.generate(attempts.next(), { versionId, algorithm: 'RS256' });
    expect(await states(attempts.object)).toEqual({
      1: [true, 0, false],
      2: [true, 100, false],
      [versionId]: [false, 0, false],
    });
  });

  it('deletes what is withdrawn also where making a version took the limit on signing away', async () => {
    const attempts = fresh();
    const one = await emitting(attempts);
    await emitting(attempts);
    await backend.withdraw(attempts.next(), { versions: [one] });
    await backend.generate(attempts.next(), { versionId: randomUUID(), algorithm: 'ES256' });
    expect(await engineOf(attempts.object)).toMatchObject({ min_encryption_version: 0 });
    await backend.destroy(attempts.next(), { versions: [one] });
    expect(await engineOf(attempts.object)).toMatchObject({
      min_available_version: 2,
      min_decryption_version: 2,
      min_encryption_version: 2,
    });
  });

  it('keeps what it made over a SIGKILL of a server', async () => {
    const mortal = await ownServer(footing);
    try {
      const own = new VaultHarness({
        bao: mortal,
        algorithm: 'ES256',
        documents: await mortal.mount('kv', { options: { version: '2' } }),
        engine: (client) => new TransitEngine(client),
        object: () => `transit-mortal/keys/${randomUUID()}`,
      });
      await mortal.api('POST', 'sys/mounts/transit-mortal', { type: 'transit' });
      await harness.close();
      harness = own;
      ({ backend } = own);
      const attempts = fresh();
      const versionId = await emitting(attempts);
      const before = (await backend.observe(attempts.object)).versions;
      await mortal.crash();
      expect((await backend.observe(attempts.object)).versions).toEqual(before);
      expect(before.map((version) => version.versionId)).toEqual([versionId]);
    } finally {
      await mortal.stop();
    }
  });
});
