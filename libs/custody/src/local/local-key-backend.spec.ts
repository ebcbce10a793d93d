import { randomBytes, randomUUID } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify, type JSONWebKeySet } from 'jose';
import { openDatabase } from '#eventlog/sqlite';
import { interceptFailpoint, SecretValue } from '#platform';
import { KEY_ALGORITHMS, BackendError, type Algorithm } from '../key-backend.js';
import { Attempts } from '../testing/index.js';
import { formsOf, LocalHarness } from '../testing/local-harness.js';
import { openLocalKeyBackend } from './index.js';

describe('the local back end', () => {
  let harness: LocalHarness;
  let attempts: Attempts;
  beforeEach(() => {
    harness = new LocalHarness();
    attempts = new Attempts(harness.fresh());
  });
  afterEach(async () => {
    await harness.close();
  });

  const generate = async (algorithm: Algorithm = 'ES256', of = attempts): Promise<string> =>
    (await harness.backend.generate(of.next(), { versionId: randomUUID(), algorithm })).versionId;
  const publish = (versions: string[], maxAgeSeconds = 300, of = attempts) =>
    harness.backend.publish(of.next(), { versions, maxAgeSeconds });
  const emitting = async (algorithm: Algorithm = 'ES256', of = attempts): Promise<string> => {
    const version = await generate(algorithm, of);
    await publish([version], 300, of);
    await harness.backend.switchEmission(of.next(), { to: version });
    return version;
  };
  const served = (of = attempts) => harness.backend.servedDocument(of.familyId);
  const document = (of = attempts): JSONWebKeySet => JSON.parse(served(of)?.body.toString('utf8') ?? 'null');
  const documentFile = (of = attempts): string => join(harness.directory, 'jwks', `${of.familyId}.json`);
  const storeFile = (): string => join(harness.directory, 'custody.sqlite');
  const verified = (token: string, of = attempts) =>
    jwtVerify(token, createLocalJWKSet(document(of)), { currentDate: new Date(harness.clock.now()) });

  it('opens a store of schema 1: what was denied stays denied, and its containment can be lifted', async () => {
    const version = await emitting();
    const other = await generate();
    const containing = attempts.next();
    await harness.backend.contain(containing, { versions: [version] });
    harness.backend.close();
    const old = openDatabase(storeFile(), {});
    old.exec(`
      DROP TABLE denied;
      CREATE TABLE denied (
        object TEXT NOT NULL REFERENCES objects (object), version_id TEXT NOT NULL, at TEXT NOT NULL,
        PRIMARY KEY (object, version_id)
      ) STRICT;
      CREATE TRIGGER denied_only_grows BEFORE DELETE ON denied BEGIN SELECT RAISE(ABORT, 'the deny set only grows'); END;
      INSERT INTO denied (object, version_id, at) VALUES
        ('${attempts.object}', '${version}', '2026-01-31T09:00:00.000Z'),
        ('${attempts.object}', '${other}', '2026-01-31T09:00:00.000Z');
      PRAGMA user_version = 1;
    `);
    old.close();
    const backend = harness.open();
    harness.backend = backend;
    const contained = async (): Promise<readonly string[]> =>
      (await backend.observe(attempts.object)).versions
        .filter((each) => each.contained)
        .map((each) => each.versionId)
        .sort();
    expect(await contained()).toEqual([version, other].sort());
    const lifting = { versions: [version, other], containedBy: containing.key };
    await backend.lift(attempts.next(), lifting);
    // Nothing says which containment denied the other: it stays out.
    expect(await contained()).toEqual([other]);
    const again = await harness.reopen();
    const still = (await again.observe(attempts.object)).versions.filter((each) => each.contained);
    expect(still.map((each) => each.versionId)).toEqual([other]);
  });

  describe('real keys', () => {
    it.each([
      ['RS256', 3072, { kty: 'RSA', e: 'AQAB' }],
      ['ES256', 256, { kty: 'EC', crv: 'P-256' }],
      ['EdDSA', 256, { kty: 'OKP', crv: 'Ed25519' }],
    ] as const)('%s: what it signs verifies against the served document', async (algorithm, bits, entry) => {
      const version = await emitting(algorithm);
      expect((await harness.backend.observe(attempts.object)).versions[0]?.strengthBits).toBe(bits);
      expect(document().keys).toEqual([
        expect.objectContaining({ ...entry, kid: version, alg: algorithm, use: 'sig' }),
      ]);
      for (const secret of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k', 'oth']) {
        expect(document().keys[0]).not.toHaveProperty(secret);
      }
      const token = await harness.backend.sign(attempts.object, { sub: 'u1' }, { lifetimeSeconds: 60 });
      expect(decodeProtectedHeader(token)).toEqual({ alg: algorithm, kid: version, typ: 'JWT' });
      const { payload } = await verified(token);
      expect(payload).toMatchObject({ sub: 'u1', exp: (payload.iat ?? 0) + 60 });
      const { refused } = await harness.backend.probe(attempts.object, { refused: [version], accepted: [] });
      expect(refused).toEqual([
        {
          versionId: version,
          refused: false,
          how: 'a canary signed with it verified against the served document',
        },
      ]);
    });

    it('signs with the version that emits, through a whole rotation', async () => {
      const old = await emitting();
      const before = await harness.backend.sign(attempts.object, {});
      harness.clock.advance(1000);
      const next = await generate('EdDSA');
      await publish([next]);
      await verified(before);
      await harness.backend.switchEmission(attempts.next(), { to: next });
      const after = await harness.backend.sign(attempts.object, {});
      expect(decodeProtectedHeader(after).kid).toBe(next);
      await verified(before);
      await verified(after);
      await harness.backend.withdraw(attempts.next(), { versions: [old] });
      await verified(after);
      await expect(verified(before)).rejects.toMatchObject({ code: 'ERR_JWKS_NO_MATCHING_KEY' });
      const probe = await harness.backend.probe(attempts.object, { refused: [old], accepted: [next] });
      expect(probe.refused[0]?.how).toBe(
        'absent from the served document, and a canary signed with it did not verify against it under any key id',
      );
      await harness.backend.destroy(attempts.next(), { versions: [old] });
      const destroyed = await harness.backend.probe(attempts.object, {
        refused: [old, 'never-made'],
        accepted: [],
      });
      expect(destroyed.refused).toEqual([
        {
          versionId: old,
          refused: true,
          how: 'absent from the served document; its private key is destroyed, so no canary was signed',
        },
        { versionId: 'never-made', refused: true, how: 'no such version here' },
      ]);
    });

    it('signs nothing when nothing emits or when what emits is contained', async () => {
      await expect(harness.backend.sign(attempts.object, {})).rejects.toMatchObject({ errorClass: 'config' });
      const version = await emitting();
      await harness.backend.contain(attempts.next(), { versions: [version] });
      const refusal = harness.backend.sign(attempts.object, {});
      await expect(refusal).rejects.toMatchObject({ errorClass: 'config' });
      await expect(refusal).rejects.toThrow(/contained/);
    });

    it('does not hold up the event loop while it makes an RSA key', async () => {
      let turns = 0;
      const timer = setInterval(() => (turns += 1), 5);
      await generate('RS256');
      clearInterval(timer);
      expect(turns).toBeGreaterThan(2);
    });
  });

  describe('symmetric families', () => {
    it('verify by the verifier’s own set of accepted versions; there is no document', async () => {
      const old = await emitting('HS256');
      expect(served()).toBeUndefined();
      expect(readdirSync(join(harness.directory, 'jwks'))).toEqual([]);
      const { backend } = harness;
      const verify = (token: string, kids = backend.acceptedKids(attempts.object)) =>
        backend.verify(attempts.object, token, kids);
      const token = await backend.sign(attempts.object, { sub: 'u1' }, { lifetimeSeconds: 60 });
      expect(await verify(token)).toEqual({ valid: true, kid: old });
      expect(await verify(token, [])).toEqual({ valid: false, kid: old, reason: 'not-accepted' });
      expect(await verify(`${token.slice(0, -4)}AAAA`)).toEqual({
        valid: false,
        kid: old,
        reason: 'signature',
      });
      expect(await verify('nonsense')).toEqual({ valid: false, reason: 'malformed' });
      const stale = backend.acceptedKids(attempts.object);
      const next = await generate('HS256');
      await publish([next]);
      await backend.switchEmission(attempts.next(), { to: next });
      const newer = await backend.sign(attempts.object, {});
      // Why the accept window exists: a verifier with the old set does not know the new key yet.
      expect(await verify(newer, stale)).toEqual({ valid: false, kid: next, reason: 'not-accepted' });
      expect(await verify(newer)).toEqual({ valid: true, kid: next });
      await backend.contain(attempts.next(), { versions: [old] });
      expect(await verify(token, stale)).toEqual({ valid: false, kid: old, reason: 'contained' });
      expect(backend.acceptedKids(attempts.object)).toEqual([next]);
      await backend.withdraw(attempts.next(), { versions: [old] });
      harness.clock.advance(61_000);
      expect(await verify(newer)).toEqual({ valid: true, kid: next });
      const short = await backend.sign(attempts.object, {}, { lifetimeSeconds: 1 });
      harness.clock.advance(5_000);
      expect(await verify(short)).toEqual({ valid: false, kid: next, reason: 'expired' });
    });

    it('refuse tokens of another algorithm, whatever their key id says', async () => {
      const version = await emitting('HS256');
      const none = `${Buffer.from(JSON.stringify({ alg: 'none', kid: version })).toString('base64url')}.e30.`;
      expect(await harness.backend.verify(attempts.object, none, [version])).toMatchObject({
        valid: false,
        reason: 'algorithm',
      });
    });
  });

  describe('the document', () => {
    it('is served with a strong tag and the last max-age, at most 300 s', async () => {
      const version = await generate();
      await publish([version], 86_400);
      expect(served()?.maxAgeSeconds).toBe(300);
      const etag = served()?.etag;
      expect(etag).toMatch(/^"[\w-]{43}"$/);
      await publish([version], 60);
      expect(served()).toMatchObject({ maxAgeSeconds: 60, etag });
      await harness.reopen();
      expect(served()).toMatchObject({ maxAgeSeconds: 60, etag });
    });

    it('is empty on purpose, never by accident', async () => {
      await generate();
      expect(served()).toBeUndefined();
      expect(existsSync(documentFile())).toBe(false);
      const version = await emitting();
      await harness.backend.contain(attempts.next(), { versions: [version] });
      expect(served()?.body.toString()).toBe('{"keys":[]}');
      expect(readFileSync(documentFile(), 'utf8')).toBe('{"keys":[]}');
    });

    it('keeps the order of creation', async () => {
      const first = await generate();
      harness.clock.advance(1);
      const second = await generate();
      await publish([second]);
      await publish([first]);
      expect(document().keys.map(({ kid }) => kid)).toEqual([first, second]);
    });

    it.each([
      ['deleted', (path: string) => rmSync(path)],
      ['garbled', (path: string) => writeFileSync(path, 'garbage')],
      ['emptied', (path: string) => writeFileSync(path, '{"keys":[]}')],
    ])('%s behind our back: said by observing, mended at open', async (_name, damage) => {
      const version = await emitting();
      const whole = readFileSync(documentFile());
      damage(documentFile());
      const seen = await harness.backend.observe(attempts.object);
      expect(seen.served).toEqual({ kids: [version], agrees: false });
      writeFileSync(`${documentFile()}.tmp`, 'left by a crash');
      await harness.reopen();
      expect(readFileSync(documentFile())).toEqual(whole);
      expect((await harness.backend.observe(attempts.object)).served).toEqual({
        kids: [version],
        agrees: true,
      });
      expect(readdirSync(join(harness.directory, 'jwks'))).toEqual([`${attempts.familyId}.json`]);
    });

    it('is made at open where a crash came between commit and rename', async () => {
      const version = await generate();
      const attempt = attempts.next();
      const disarm = interceptFailpoint('local.effect:committed', () => {
        throw new Error('died here');
      });
      const dying = harness.backend.publish(attempt, { versions: [version], maxAgeSeconds: 300 });
      await expect(dying).rejects.toMatchObject({ errorClass: 'unknown' });
      disarm();
      const seen = await harness.backend.observe(attempts.object, { key: attempt.key });
      expect(seen.entry?.attemptId).toBe(attempt.attemptId);
      expect(seen.served).toEqual({ kids: [], agrees: false });
      await harness.reopen();
      expect((await harness.backend.observe(attempts.object)).served).toEqual({
        kids: [version],
        agrees: true,
      });
    });

    it('is made by the repeat where the first time did not get that far', async () => {
      const version = await generate();
      const attempt = attempts.next();
      const disarm = interceptFailpoint('local.effect:committed', () => {
        throw new Error('stopped here');
      });
      const input = { versions: [version], maxAgeSeconds: 300 };
      await expect(harness.backend.publish(attempt, input)).rejects.toBeInstanceOf(BackendError);
      disarm();
      await harness.backend.publish(attempts.next({ key: attempt.key }), input);
      expect((await harness.backend.observe(attempts.object)).served).toEqual({
        kids: [version],
        agrees: true,
      });
    });

    it('and its ledger row come with the accept set, or not at all', async () => {
      const version = await generate();
      const attempt = attempts.next();
      const disarm = interceptFailpoint('local.effect:before-commit', () => {
        throw new Error('died here');
      });
      const dying = harness.backend.publish(attempt, { versions: [version], maxAgeSeconds: 300 });
      await expect(dying).rejects.toBeInstanceOf(BackendError);
      disarm();
      const seen = await harness.backend.observe(attempts.object, { key: attempt.key });
      expect(seen.entry).toBeUndefined();
      expect(seen.versions[0]?.accepted).toBe(false);
      expect(served()).toBeUndefined();
    });

    it('takes a contained version out of what is served even where the disk refuses the file', async () => {
      const version = await emitting();
      rmSync(documentFile());
      // A folder in its place: no rename can succeed, for root neither.
      const blocker = join(documentFile(), 'in-the-way');
      mkdirSync(blocker, { recursive: true });
      const braking = harness.backend.contain(attempts.next(), { versions: [version] });
      await expect(braking).rejects.toMatchObject({ errorClass: 'unknown' });
      expect(served()?.body.toString()).toBe('{"keys":[]}');
      expect((await harness.backend.observe(attempts.object)).served?.agrees).toBe(false);
      await harness.reopen();
      expect(served()?.body.toString()).toBe('{"keys":[]}');
      rmSync(documentFile(), { recursive: true });
    });

    it('equals the store after 200 concurrent effects on five families', async () => {
      const families = Array.from({ length: 5 }, () => new Attempts(harness.fresh()));
      const versions = await Promise.all(
        families.map(async (of) => [await generate('EdDSA', of), await generate('EdDSA', of)] as const),
      );
      const { backend } = harness;
      const outcomes = await Promise.allSettled(
        Array.from({ length: 200 }, (_, index) => {
          const of = families[index % 5] ?? attempts;
          const version = versions[index % 5]?.[index % 2] ?? '';
          const kind = Math.floor(index / 5) % 8;
          // Making a key takes a while: what came later on the object has raised its fence by then.
          if (kind === 7) return generate('EdDSA', of);
          if (kind % 3 === 1) return backend.withdraw(of.next(), { versions: [version] });
          return publish([version], 300, of);
        }),
      );
      const refused = outcomes.filter((outcome) => outcome.status === 'rejected').map(({ reason }) => reason);
      for (const reason of refused) expect(reason).toMatchObject({ errorClass: 'fenced' });
      expect(refused.length).toBeLessThan(30);
      for (const of of families) {
        const seen = await backend.observe(of.object);
        const accepted = seen.versions.filter(({ accepted }) => accepted).map(({ versionId }) => versionId);
        expect(seen.served).toEqual({ kids: accepted, agrees: true });
        expect(JSON.parse(readFileSync(documentFile(of), 'utf8'))).toEqual(document(of));
      }
    });
  });

  describe('laws', () => {
    const step = fc.record({
      effect: fc.constantFrom(
        'generate',
        'publish',
        'switch',
        'withdraw',
        're-accept',
        'contain',
        'destroy',
        'reopen',
      ),
      version: fc.nat(3),
      stale: fc.boolean(),
    });

    it('for any sequence of effects: served = accepted − contained, at most one emits, what is refused changes nothing', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
          const of = new Attempts(harness.fresh());
          const { object } = of;
          const names = [0, 1, 2, 3].map((index) => `${of.familyId}-${index}`);
          for (const { effect, version, stale } of steps) {
            const { backend } = harness;
            const versionId = names[version] ?? '';
            const attempt = of.next(stale ? { fence: { slot: 0, step: 0 } } : {});
            const before = await backend.observe(object);
            const versions = [versionId];
            const calls: Readonly<Record<typeof effect, () => Promise<unknown>>> = {
              generate: () => backend.generate(attempt, { versionId, algorithm: 'EdDSA' }),
              publish: () => backend.publish(attempt, { versions, maxAgeSeconds: 300 }),
              switch: () => backend.switchEmission(attempt, { to: versionId }),
              withdraw: () => backend.withdraw(attempt, { versions }),
              're-accept': () => backend.reAccept(attempt, { versions }),
              contain: () => backend.contain(attempt, { versions }),
              destroy: () => backend.destroy(attempt, { versions }),
              reopen: () => harness.reopen(),
            };
            const error = await calls[effect]().then(
              () => undefined,
              (reason: unknown) => reason,
            );
            const after = await harness.backend.observe(object, { key: attempt.key });
            if (error !== undefined) {
              expect(error).toBeInstanceOf(BackendError);
              expect(after).toEqual(before);
            } else if (effect !== 'reopen') {
              expect(after.entry?.key).toBe(attempt.key);
            }
            const kids = after.versions
              .filter(({ accepted, contained }) => accepted && !contained)
              .map(({ versionId }) => versionId);
            if (after.served !== undefined) expect(after.served).toEqual({ kids, agrees: true });
            expect(harness.backend.acceptedKids(object)).toEqual(kids);
            expect(
              after.versions.filter(({ emittingShare }) => emittingShare > 0).length,
            ).toBeLessThanOrEqual(1);
            for (const version of after.versions) {
              const was = before.versions.find(({ versionId }) => versionId === version.versionId);
              if (was?.contained === true) {
                expect(version.contained).toBe(true);
                expect(!was.accepted && version.accepted).toBe(false);
              }
              if (was?.destroyed === true) expect(version).toEqual({ ...was, contained: version.contained });
            }
          }
        }),
        { numRuns: 40 },
      );
    });
  });

  describe('at rest', () => {
    it('keeps everything private: 0700 and 0600', async () => {
      await emitting();
      expect(statSync(harness.directory).mode & 0o777).toBe(0o700);
      expect(statSync(join(harness.directory, 'jwks')).mode & 0o777).toBe(0o700);
      const files = readdirSync(harness.directory, { recursive: true, withFileTypes: true }).filter((e) =>
        e.isFile(),
      );
      expect(files.map(({ name }) => name)).toContain('custody.sqlite-wal');
      for (const { parentPath, name } of files) {
        expect([name, statSync(join(parentPath, name)).mode & 0o777]).toEqual([name, 0o600]);
      }
    });

    it('refuses a folder others may look into', async () => {
      const folder = mkdtempSync(join(tmpdir(), 'keyturn-custody-'));
      chmodSync(folder, 0o750);
      const { masterKey, clock } = harness;
      expect(() => openLocalKeyBackend({ directory: folder, masterKey, clock })).toThrow(
        /mode 0750\): chmod 700/,
      );
      rmSync(folder, { recursive: true });
    });

    it('keeps no private byte in the clear: neither in the store nor in its log, in any form', async () => {
      const objects: string[] = [];
      for (const algorithm of KEY_ALGORITHMS) {
        const of = new Attempts(harness.fresh());
        await emitting(algorithm, of);
        await harness.backend.sign(of.object, { canary: true });
        objects.push(of.object);
      }
      const forms = objects.flatMap((object) =>
        harness.material(object).flatMap(({ bytes }) => formsOf(bytes)),
      );
      expect(forms).toHaveLength(4 * 7);
      const files = readdirSync(harness.directory, { recursive: true, withFileTypes: true }).filter((e) =>
        e.isFile(),
      );
      const raw = files.map((file) => readFileSync(join(file.parentPath, file.name), 'latin1')).join('\n');
      // The search itself works: what is public is found.
      expect(raw).toContain(objects[0]);
      for (const form of forms) expect(raw.includes(form)).toBe(false);
    });

    it('leaves nothing of a destroyed key in the files, not even sealed', async () => {
      // A long one: the row that takes its place does not happen to cover all of it.
      const old = await emitting('RS256');
      const db = openDatabase(storeFile(), { readOnly: true });
      const sealed = db.prepare('SELECT material FROM versions WHERE version_id = ?').get(old)?.['material'];
      db.close();
      if (!ArrayBuffer.isView(sealed)) throw new Error('nothing was sealed');
      // In pieces: a freed cell is overwritten in part by whatever takes its place.
      const bytes = Buffer.from(sealed);
      const pieces = Array.from({ length: Math.floor(bytes.length / 16) }, (_, index) =>
        bytes.subarray(index * 16, index * 16 + 16).toString('latin1'),
      );
      const raw = (): string =>
        ['', '-wal']
          .map((suffix) => `${storeFile()}${suffix}`)
          .filter((path) => existsSync(path))
          .map((path) => readFileSync(path, 'latin1'))
          .join('');
      expect(pieces.filter((piece) => raw().includes(piece))).toHaveLength(pieces.length);
      const next = await emitting();
      await harness.backend.withdraw(attempts.next(), { versions: [old] });
      await harness.backend.destroy(attempts.next(), { versions: [old] });
      expect(pieces.filter((piece) => raw().includes(piece))).toHaveLength(0);
      expect(
        (await harness.backend.observe(attempts.object)).versions.map((v) => [v.versionId, v.destroyed]),
      ).toEqual(
        expect.arrayContaining([
          [old, true],
          [next, false],
        ]),
      );
    });

    it.each(['in the same process', 'after a restart'])(
      'a destruction is observed as done only when the old pages are cleared, %s',
      async (when) => {
        const old = await emitting('RS256');
        const secret = openDatabase(storeFile(), { readOnly: true });
        const sealed = secret.prepare('SELECT material FROM versions WHERE version_id = ?').get(old)?.[
          'material'
        ];
        secret.close();
        if (!ArrayBuffer.isView(sealed)) throw new Error('nothing was sealed');
        const piece = Buffer.from(sealed).subarray(-16).toString('latin1');
        const raw = (): string =>
          ['', '-wal']
            .map((suffix) => `${storeFile()}${suffix}`)
            .filter((path) => existsSync(path))
            .map((path) => readFileSync(path, 'latin1'))
            .join('');
        await emitting();
        await harness.backend.withdraw(attempts.next(), { versions: [old] });
        // Somebody reads the file as it was, a backup say: its pages cannot be overwritten meanwhile.
        const reader = openDatabase(storeFile(), { readOnly: true });
        reader.exec('BEGIN');
        reader.prepare('SELECT count(*) FROM versions').get();
        const destroying = attempts.next();
        const notYet = { errorClass: 'unknown', message: expect.stringContaining('could not be cleared') };
        await expect(harness.backend.destroy(destroying, { versions: [old] })).rejects.toMatchObject(notYet);
        const observe = () => harness.backend.observe(attempts.object, { key: destroying.key });
        await expect(observe()).rejects.toMatchObject(notYet);
        expect(raw()).toContain(piece);
        if (when === 'after a restart') await harness.reopen();
        // The control: whoever does not ask for this effect is answered.
        expect((await harness.backend.observe(attempts.object)).exists).toBe(true);
        reader.exec('ROLLBACK');
        reader.close();
        expect(raw()).toContain(piece);
        expect((await observe()).entry?.effect).toBe('destroy');
        expect(raw()).not.toContain(piece);
      },
    );

    it('refuses a wrong master key, changes nothing and still opens with the right one', async () => {
      const version = await emitting();
      harness.backend.close();
      const before = readFileSync(storeFile());
      const wrong = new SecretValue(randomBytes(32));
      expect(() => harness.open(wrong)).toThrow(/master key is not the one/);
      expect(readFileSync(storeFile()).equals(before)).toBe(true);
      await harness.reopen();
      expect(harness.backend.acceptedKids(attempts.object)).toEqual([version]);
      await harness.backend.sign(attempts.object, {});
    });

    const turned = (at: number) => (sealed: Buffer) => {
      const copy = Buffer.from(sealed);
      copy[at] = (copy[at] ?? 0) ^ 1;
      return copy;
    };
    it.each([
      ['turned by one bit in its version', turned(0)],
      ['turned by one bit in its nonce', turned(1)],
      ['turned by one bit in its tag', turned(13)],
      ['turned by one bit in its text', turned(40)],
      ['cut short', (sealed: Buffer) => sealed.subarray(0, 60)],
      ['cut to nothing', (sealed: Buffer) => sealed.subarray(0, 20)],
      ['moved from another version', (_sealed: Buffer, other: Buffer) => other],
    ])('refuses sealed material that was %s', async (_name, change) => {
      const emits = await emitting();
      const other = await generate();
      harness.backend.close();
      const db = openDatabase(storeFile());
      const read = (version: string): Buffer => {
        const found = db.prepare('SELECT material FROM versions WHERE version_id = ?').get(version)?.[
          'material'
        ];
        return ArrayBuffer.isView(found) ? Buffer.from(found) : Buffer.alloc(0);
      };
      const changed = change(read(emits), read(other));
      db.prepare('UPDATE versions SET material = ? WHERE version_id = ?').run(changed, emits);
      db.close();
      await harness.reopen();
      const signing = harness.backend.sign(attempts.object, {});
      await expect(signing).rejects.toMatchObject({ errorClass: 'config' });
      await expect(signing).rejects.toThrow(/altered|unknown format/);
    });

    it('is open in one place at a time', async () => {
      expect(() => harness.open()).toThrow(/open already/);
      await harness.reopen();
      expect(harness.backend.declaration.instance).toBe('local');
    });

    it('refuses to start anew beside published documents', async () => {
      await emitting();
      harness.backend.close();
      for (const suffix of ['', '-wal', '-shm']) rmSync(`${storeFile()}${suffix}`, { force: true });
      expect(() => harness.open()).toThrow(/missing but .* holds published documents/);
      expect(existsSync(documentFile())).toBe(true);
    });

    it('refuses a store written by a newer Keyturn', () => {
      harness.backend.close();
      const db = openDatabase(storeFile());
      db.exec('PRAGMA user_version = 99');
      db.close();
      expect(() => harness.open()).toThrow(/newer Keyturn/);
    });

    it('lets others read the store while it is open', async () => {
      const version = await emitting();
      const reader = openDatabase(storeFile(), { readOnly: true });
      expect(reader.prepare('SELECT version_id FROM versions').all()).toHaveLength(1);
      reader.close();
      expect(harness.backend.acceptedKids(attempts.object)).toEqual([version]);
    });
  });

  describe('careful answers', () => {
    it('keeps a generate out that took longer than declared', async () => {
      const making = harness.backend.generate(attempts.next(), {
        versionId: randomUUID(),
        algorithm: 'ES256',
      });
      harness.clock.advance(harness.backend.declaration.effects.generate.longestRequestMs + 1);
      await expect(making).rejects.toMatchObject({ errorClass: 'transient' });
      expect((await harness.backend.observe(attempts.object)).exists).toBe(false);
    });

    it('keeps a generate out that was aborted while its key was made', async () => {
      const abort = new AbortController();
      const attempt = attempts.next({ signal: abort.signal });
      const making = harness.backend.generate(attempt, { versionId: randomUUID(), algorithm: 'ES256' });
      abort.abort();
      await expect(making).rejects.toMatchObject({ errorClass: 'transient' });
      expect((await harness.backend.observe(attempts.object)).exists).toBe(false);
    });

    it('makes one version of two generates with one key at once', async () => {
      const attempt = attempts.next();
      const input = { versionId: randomUUID(), algorithm: 'ES256' } as const;
      const [one, other] = await Promise.all([
        harness.backend.generate(attempt, input),
        harness.backend.generate(attempt, input),
      ]);
      expect(one).toEqual(other);
      expect((await harness.backend.observe(attempts.object)).versions).toHaveLength(1);
    });

    it('denies a version before it is made', async () => {
      await generate();
      const coming = randomUUID();
      await harness.backend.contain(attempts.next(), { versions: [coming] });
      await harness.backend.generate(attempts.next(), { versionId: coming, algorithm: 'ES256' });
      await expect(publish([coming])).rejects.toMatchObject({ errorClass: 'config' });
    });

    it('says not-found of a withdrawal only when it knows none of the versions', async () => {
      const old = await emitting();
      const next = await generate();
      await publish([next]);
      await harness.backend.withdraw(attempts.next(), { versions: [next, 'never-made'] });
      expect(harness.backend.acceptedKids(attempts.object)).toEqual([old]);
      await expect(publish([next, 'never-made'])).rejects.toMatchObject({ errorClass: 'config' });
      expect(harness.backend.acceptedKids(attempts.object)).toEqual([old]);
    });

    it('refuses a key that was used for something else', async () => {
      const version = await generate();
      const attempt = attempts.next();
      await harness.backend.publish(attempt, { versions: [version], maxAgeSeconds: 300 });
      const again = attempts.next({ key: attempt.key });
      const withdrawing = harness.backend.withdraw(again, { versions: [version] });
      await expect(withdrawing).rejects.toMatchObject({ errorClass: 'config' });
      expect(harness.backend.acceptedKids(attempts.object)).toEqual([version]);
    });

    it('finds the same key served under another id', async () => {
      const old = await emitting();
      const next = await generate();
      await publish([next]);
      await harness.backend.switchEmission(attempts.next(), { to: next });
      await harness.backend.withdraw(attempts.next(), { versions: [old] });
      harness.backend.close();
      const db = openDatabase(storeFile());
      db.prepare(
        'UPDATE versions SET public_jwk = (SELECT public_jwk FROM versions WHERE version_id = ?)',
      ).run(old);
      db.close();
      await harness.reopen();
      const { refused, accepted } = await harness.backend.probe(attempts.object, {
        refused: [old],
        accepted: [next],
      });
      expect(refused).toMatchObject([
        { refused: false, how: expect.stringContaining(`verified as ${next}`) },
      ]);
      expect(accepted).toMatchObject([{ accepted: false }]);
    });

    it.each(['../etc', 'a/b', 'A', '', '.'])(
      'refuses the family id %p, which would name a file',
      async (familyId) => {
        const attempt = attempts.next({ familyId });
        const making = harness.backend.generate(attempt, { versionId: randomUUID(), algorithm: 'ES256' });
        await expect(making).rejects.toMatchObject({ errorClass: 'config' });
      },
    );

    it('shows nothing of itself', () => {
      expect(JSON.parse(JSON.stringify(harness.backend))).toEqual({
        declaration: JSON.parse(JSON.stringify(harness.backend.declaration)),
      });
      expect(inspect(harness.backend, { depth: 8, showHidden: true })).not.toContain('material');
    });
  });
});
