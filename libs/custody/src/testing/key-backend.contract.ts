import { randomUUID } from 'node:crypto';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  BackendError,
  EFFECTS,
  type Algorithm,
  type Attempt,
  type BackendErrorClass,
  type Fence,
  type KeyBackend,
  type Observation,
} from '../key-backend.js';

/** What an adapter's spec hands to the suite: one open back end, and objects in it that nobody has used. */
export interface KeyBackendHarness {
  readonly backend: KeyBackend;
  readonly algorithm: Algorithm;
  /** A new object of a new family, empty. */
  fresh(): { readonly object: string; readonly familyId: string };
  /** Closes and opens again, as a restart does; everything stored is still there. */
  reopen(): Promise<KeyBackend>;
  close(): Promise<void>;
  /** What a verifier is served now, by its own way in; `undefined` where there is no document. */
  servedKids(backend: KeyBackend, familyId: string): Promise<readonly string[] | undefined>;
  /** Forms of key material that MUST NOT be printed anywhere, for the versions of an object. */
  secrets(backend: KeyBackend, object: string): Promise<readonly string[]>;
}

/** Attempts on one object, each newer than the one before unless it says otherwise. */
export class Attempts {
  readonly object: string;
  readonly familyId: string;
  #step = 0;

  constructor(target: { readonly object: string; readonly familyId: string }) {
    this.object = target.object;
    this.familyId = target.familyId;
  }

  next(overrides: Partial<Attempt> = {}): Attempt {
    this.#step += 1;
    return {
      object: this.object,
      familyId: this.familyId,
      key: `${randomUUID()}/step`,
      attemptId: randomUUID(),
      fence: { slot: 1, step: this.#step },
      signal: new AbortController().signal,
      ...overrides,
    };
  }
}

/** The rules of the port, for every adapter in one line. */
export function keyBackendContract(name: string, open: () => Promise<KeyBackendHarness>): void {
  describe(`key back end contract: ${name}`, () => {
    let harness: KeyBackendHarness;
    let backend: KeyBackend;
    let attempts: Attempts;
    let object: string;

    beforeEach(async () => {
      harness = await open();
      backend = harness.backend;
      attempts = new Attempts(harness.fresh());
      object = attempts.object;
    });
    afterEach(() => harness.close());

    const generate = async (attempt = attempts.next()): Promise<string> => {
      const { versionId } = await backend.generate(attempt, {
        versionId: randomUUID(),
        algorithm: harness.algorithm,
      });
      return versionId;
    };
    const publish = (...versions: string[]) =>
      backend.publish(attempts.next(), { versions, maxAgeSeconds: 300 });
    const switchTo = (to: string) => backend.switchEmission(attempts.next(), { to });
    const cutTo = (to: string, attempt = attempts.next()) =>
      backend.cutOver(attempt, { to, maxAgeSeconds: 300 });
    /** Where old and new cannot be accepted at once, versions change by cut-over alone. */
    const overlaps = () => backend.declaration.capabilities.overlap;
    /** Accepted, by the first effect that makes it so; `acceptedAlone` is what it is then. */
    const accept = (version: string, attempt = attempts.next()) =>
      overlaps()
        ? backend.publish(attempt, { versions: [version], maxAgeSeconds: 300 })
        : cutTo(version, attempt);
    const acceptedAlone = () => (overlaps() ? 'accepted' : 'accepted emitting');
    /** Accepted and emitting from now on; without overlap nothing else is accepted then. */
    const bringIn = async (version: string): Promise<void> => {
      await accept(version);
      if (overlaps()) await switchTo(version);
    };
    /** One version accepted and emitting, as most rotations find it. */
    const emitting = async (): Promise<string> => {
      const version = await generate();
      await bringIn(version);
      return version;
    };
    const served = () => harness.servedKids(backend, attempts.familyId);
    /** What is withdrawn can be accepted again; where it is the point of no return, it is gone. */
    const comesBack = () => backend.declaration.pointOfNoReturn !== 'withdraw';
    const withdrawn = () => (comesBack() ? '' : 'destroyed');

    it('declares every effect, with a bounded longest request', () => {
      const { declaration } = backend;
      for (const effect of EFFECTS) {
        const { longestRequestMs } = declaration.effects[effect];
        expect(Number.isSafeInteger(longestRequestMs)).toBe(true);
        expect(longestRequestMs).toBeGreaterThan(0);
        // A Vault works on a request for 90 s, and ours has 15 s to reach it.
        expect(longestRequestMs).toBeLessThanOrEqual(120_000);
      }
      expect(EFFECTS).toContain(declaration.pointOfNoReturn);
      expect(declaration.algorithms).toContain(harness.algorithm);
      expect(declaration.instance).not.toBe('');
    });

    it('finds nothing where nothing was made', async () => {
      const seen = await backend.observe(object, { key: 'nobody/none' });
      expect(seen).toMatchObject({ object, exists: false, versions: [] });
      expect(seen.entry).toBeUndefined();
      expect(await served()).toBeUndefined();
    });

    it('generates a version that is neither accepted nor emitting nor served', async () => {
      const versionId = randomUUID();
      const made = await backend.generate(attempts.next(), { versionId, algorithm: harness.algorithm });
      expect(made).toMatchObject({ versionId, algorithm: harness.algorithm });
      // Nobody picks the length of a password that a server makes; below 112 bits nothing passes for strong.
      expect(made.strengthBits).toBeGreaterThanOrEqual(harness.algorithm === 'password' ? 112 : 128);
      expect(made.fingerprint).toMatch(/^[0-9a-f]{64}$/);
      for (const instant of [made.at, made.createdAt]) {
        expect(instant).toMatch(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/);
      }
      const { at: _at, ...version } = made;
      expect((await backend.observe(object)).versions).toEqual([
        { ...version, accepted: false, emittingShare: 0, contained: false, destroyed: false },
      ]);
      expect(await served()).toBeUndefined();
    });

    it('gives every version a fingerprint of its own', async () => {
      await generate();
      await generate();
      const prints = (await backend.observe(object)).versions.map(({ fingerprint }) => fingerprint);
      expect(new Set(prints).size).toBe(2);
    });

    it('serves what is accepted before publish resolves', async () => {
      const one = await generate();
      const two = await generate();
      await accept(one);
      expect(await state()).toEqual({ [one]: acceptedAlone(), [two]: '' });
      await expectServed([one]);
      if (overlaps()) await switchTo(one);
      await accept(two);
      await expectServed(overlaps() ? [one, two] : [two]);
    });

    it('accepts old and new at once where it declares that it can, and nowhere else', async () => {
      const old = await emitting();
      const next = await generate();
      if (!overlaps()) {
        expect(await refusal(publish(next))).toBe('config');
        expect(await state()).toEqual({ [old]: 'accepted emitting', [next]: '' });
        await expectServed([old]);
        return;
      }
      await publish(next);
      expect(await state()).toEqual({ [old]: 'accepted emitting', [next]: 'accepted' });
      await switchTo(next);
      expect(await state()).toEqual({ [old]: 'accepted', [next]: 'accepted emitting' });
      await expectServed([old, next]);
    });

    it('cuts over: one version in, every other one out, and back', async () => {
      const old = await emitting();
      const next = await generate();
      await cutTo(next);
      expect(await state()).toEqual({ [old]: withdrawn(), [next]: 'accepted emitting' });
      await expectServed([next]);
      if (!comesBack()) {
        expect(await refusal(cutTo(old))).toBe('config');
        expect(await state()).toEqual({ [old]: 'destroyed', [next]: 'accepted emitting' });
        return;
      }
      await cutTo(old);
      expect(await state()).toEqual({ [old]: 'accepted emitting', [next]: '' });
      await expectServed([old]);
    });

    it('withdraws, and accepts a withdrawn version again where that is not the point of no return', async () => {
      const old = await emitting();
      const next = await generate();
      await bringIn(next);
      await backend.withdraw(attempts.next(), { versions: [old] });
      expect(await state()).toEqual({ [old]: withdrawn(), [next]: 'accepted emitting' });
      await expectServed([next]);
      if (!overlaps()) {
        expect(await refusal(backend.reAccept(attempts.next(), { versions: [old] }))).toBe('config');
        expect(await state()).toEqual({ [old]: withdrawn(), [next]: 'accepted emitting' });
        return;
      }
      if (comesBack()) {
        await backend.reAccept(attempts.next(), { versions: [old] });
        expect(await state()).toEqual({ [old]: 'accepted', [next]: 'accepted emitting' });
        await expectServed([old, next]);
        return;
      }
      const error = await refusalError(backend.reAccept(attempts.next(), { versions: [old] }));
      expect(error.errorClass).toBe('config');
      expect(error.message).toContain('point of no return');
      expect(await state()).toEqual({ [old]: 'destroyed', [next]: 'accepted emitting' });
      await expectServed([next]);
    });

    it('leaves a contained version out at once, whatever is asked of it', async () => {
      const old = await emitting();
      await backend.contain(attempts.next(), { versions: [old] });
      expect(await state()).toEqual({ [old]: 'accepted emitting contained' });
      await expectServed([]);
      const next = await generate();
      await bringIn(next);
      await expectServed([next]);
      await backend.withdraw(attempts.next(), { versions: [old] });
      expect(await refusal(backend.publish(attempts.next(), { versions: [old], maxAgeSeconds: 300 }))).toBe(
        'config',
      );
      expect(await refusal(backend.reAccept(attempts.next(), { versions: [old] }))).toBe('config');
      expect(await refusal(switchTo(old))).toBe('config');
      expect(await state()).toEqual({ [old]: words('contained', withdrawn()), [next]: 'accepted emitting' });
      await expectServed([next]);
    });

    it('contains with an attempt of any age, and raises no fence by it', async () => {
      const version = await emitting();
      const stale = attempts.next({ fence: { slot: 0, step: 0 } });
      await backend.contain(stale, { versions: [version] });
      await backend.contain(attempts.next({ fence: { slot: 99, step: 99 } }), { versions: [version] });
      expect(await state()).toEqual({ [version]: 'accepted emitting contained' });
      expect(await generate()).not.toBe(version);
    });

    it('lifts a containment: the version is as it was before it', async () => {
      const version = await emitting();
      const containing = attempts.next();
      await backend.contain(containing, { versions: [version] });
      await expectServed([]);
      await backend.lift(attempts.next(), { versions: [version], containedBy: containing.key });
      expect(await state()).toEqual({ [version]: 'accepted emitting' });
      await expectServed([version]);
      const probe = await backend.probe(object, { refused: [], accepted: [version] });
      expect(probe.accepted).toMatchObject([{ accepted: true }]);
    });

    it('lifts what one containment denied, never what another one did', async () => {
      const version = await emitting();
      const one = attempts.next();
      const other = attempts.next();
      await backend.contain(one, { versions: [version] });
      await backend.contain(other, { versions: [version] });
      await backend.lift(attempts.next(), { versions: [version], containedBy: one.key });
      expect(await state()).toEqual({ [version]: 'accepted emitting contained' });
      await expectServed([]);
      await backend.lift(attempts.next(), { versions: [version], containedBy: other.key });
      expect(await state()).toEqual({ [version]: 'accepted emitting' });
      await expectServed([version]);
    });

    it('does not deny again when a containment that was lifted is repeated', async () => {
      const version = await emitting();
      const containing = attempts.next();
      await backend.contain(containing, { versions: [version] });
      await backend.lift(attempts.next(), { versions: [version], containedBy: containing.key });
      await backend.contain(attempts.next({ key: containing.key }), { versions: [version] });
      expect(await state()).toEqual({ [version]: 'accepted emitting' });
      const again = attempts.next();
      await backend.contain(again, { versions: [version] });
      expect(await state()).toEqual({ [version]: 'accepted emitting contained' });
      backend = await harness.reopen();
      expect(await state()).toEqual({ [version]: 'accepted emitting contained' });
    });

    it('withdraws the emitting version only when it is contained, and then nothing emits', async () => {
      const version = await emitting();
      expect(await refusal(backend.withdraw(attempts.next(), { versions: [version] }))).toBe('config');
      expect(await state()).toEqual({ [version]: 'accepted emitting' });
      await backend.contain(attempts.next(), { versions: [version] });
      await backend.withdraw(attempts.next(), { versions: [version] });
      expect(await state()).toEqual({ [version]: words('contained', withdrawn()) });
    });

    it('destroys only what is neither accepted nor emitting, and never brings it back', async () => {
      const old = await emitting();
      expect(await refusal(backend.destroy(attempts.next(), { versions: [old] }))).toBe('config');
      const next = await generate();
      await bringIn(next);
      if (overlaps())
        expect(await refusal(backend.destroy(attempts.next(), { versions: [old] }))).toBe('config');
      await backend.withdraw(attempts.next(), { versions: [old] });
      await backend.destroy(attempts.next(), { versions: [old] });
      expect(await state()).toEqual({ [old]: 'destroyed', [next]: 'accepted emitting' });
      expect(await refusal(backend.reAccept(attempts.next(), { versions: [old] }))).toBe('config');
      expect(await refusal(backend.publish(attempts.next(), { versions: [old], maxAgeSeconds: 300 }))).toBe(
        'config',
      );
      expect(await state()).toEqual({ [old]: 'destroyed', [next]: 'accepted emitting' });
      const after = await generate();
      expect(await state()).toEqual({ [old]: 'destroyed', [next]: 'accepted emitting', [after]: '' });
    });

    it('refuses to emit with a version that is not accepted', async () => {
      const version = await generate();
      expect(await refusal(switchTo(version))).toBe('config');
      expect(await state()).toEqual({ [version]: '' });
    });

    it('knows no version that was never made', async () => {
      const unknown = randomUUID();
      expect(await refusal(backend.withdraw(attempts.next(), { versions: [unknown] }))).toBe('not-found');
      await generate();
      expect(await refusal(backend.withdraw(attempts.next(), { versions: [unknown] }))).toBe('not-found');
      expect(
        await refusal(backend.publish(attempts.next(), { versions: [unknown], maxAgeSeconds: 300 })),
      ).toBe('not-found');
      expect(await refusal(switchTo(unknown))).toBe('not-found');
      expect(await refusal(backend.destroy(attempts.next(), { versions: [unknown] }))).toBe('not-found');
    });

    it('keeps an object for one family, and names it to another', async () => {
      const version = await generate();
      const stranger = { familyId: harness.fresh().familyId, fence: { slot: 9, step: 9 } };
      const input = { versionId: randomUUID(), algorithm: harness.algorithm };
      for (const call of [
        () => backend.generate(attempts.next(stranger), input),
        () => backend.publish(attempts.next(stranger), { versions: [version], maxAgeSeconds: 300 }),
        () => backend.contain(attempts.next(stranger), { versions: [version] }),
      ]) {
        const error = await refusalError(call());
        expect(error.errorClass).toBe('config');
        expect(error.message).toContain(attempts.familyId);
      }
      expect(await state()).toEqual({ [version]: '' });
      expect(await generate()).not.toBe(version);
    });

    describe('a repeat by its key', () => {
      it('answers a generate with the first version and makes no other', async () => {
        const attempt = attempts.next();
        const input = { versionId: randomUUID(), algorithm: harness.algorithm };
        const first = await backend.generate(attempt, input);
        const again = await backend.generate(attempts.next({ key: attempt.key }), {
          ...input,
          versionId: randomUUID(),
        });
        expect(again).toEqual(first);
        expect((await backend.observe(object)).versions).toHaveLength(1);
      });

      it('answers with the first receipt and does not undo what came after it', async () => {
        const old = await emitting();
        const next = await generate();
        const accepting = attempts.next();
        const first = await accept(next, accepting);
        if (overlaps()) await backend.withdraw(attempts.next(), { versions: [next] });
        else await cutTo(old);
        const late = attempts.next({ key: accepting.key });
        expect(await accept(next, late)).toEqual(first);
        expect(await state()).toEqual({ [old]: 'accepted emitting', [next]: overlaps() ? withdrawn() : '' });
        await expectServed([old]);
      });

      it('answers every effect the same', async () => {
        const old = await emitting();
        const next = await generate();
        const twice = async <T>(call: (attempt: Attempt) => Promise<T>): Promise<void> => {
          const attempt = attempts.next();
          const first = await call(attempt);
          const before = await backend.observe(object, { key: attempt.key });
          expect(await call(attempts.next({ key: attempt.key }))).toEqual(first);
          const after = await backend.observe(object, { key: attempt.key });
          expect(withoutClock(after)).toEqual(withoutClock(before));
          expect(after.entry?.attemptId).toBe(attempt.attemptId);
        };
        if (overlaps()) {
          await twice((attempt) => backend.publish(attempt, { versions: [next], maxAgeSeconds: 300 }));
          await twice((attempt) => backend.switchEmission(attempt, { to: next }));
          await twice((attempt) => backend.withdraw(attempt, { versions: [old] }));
          if (comesBack()) await twice((attempt) => backend.reAccept(attempt, { versions: [old] }));
          else await expectNoReturn(old);
        }
        await twice((attempt) => cutTo(next, attempt));
        const containing = attempts.next();
        await backend.contain(containing, { versions: [old] });
        await twice((attempt) => backend.lift(attempt, { versions: [old], containedBy: containing.key }));
        await twice((attempt) => backend.contain(attempt, { versions: [old] }));
        await twice((attempt) => backend.withdraw(attempt, { versions: [old] }));
        await twice((attempt) => backend.destroy(attempt, { versions: [old] }));
        expect(await state()).toEqual({ [old]: 'contained destroyed', [next]: 'accepted emitting' });
      });

      it('is refused when the attempt is out of date', async () => {
        const attempt = attempts.next();
        await generate(attempt);
        await generate();
        expect(await refusal(generate(attempt))).toBe('fenced');
      });

      it('survives a reopening', async () => {
        const attempt = attempts.next();
        const input = { versionId: randomUUID(), algorithm: harness.algorithm };
        const first = await backend.generate(attempt, input);
        backend = await harness.reopen();
        expect(await backend.generate(attempts.next({ key: attempt.key }), input)).toEqual(first);
      });
    });

    describe('the fence', () => {
      const older: readonly [string, Fence][] = [
        ['an earlier step of the same slot', { slot: 5, step: 4 }],
        ['a later step of an earlier slot', { slot: 4, step: 900 }],
        ['the same place, held by another attempt', { slot: 5, step: 5 }],
      ];
      it.each(older)('refuses %s before it changes anything', async (_name, fence) => {
        const version = await generate();
        await accept(version, attempts.next({ fence: { slot: 5, step: 5 } }));
        expect(await refusal(backend.withdraw(attempts.next({ fence }), { versions: [version] }))).toBe(
          'fenced',
        );
        expect(await refusal(backend.switchEmission(attempts.next({ fence }), { to: version }))).toBe(
          'fenced',
        );
        const late = { versionId: randomUUID(), algorithm: harness.algorithm };
        expect(await refusal(backend.generate(attempts.next({ fence }), late))).toBe('fenced');
        const containing = attempts.next();
        await backend.contain(containing, { versions: [late.versionId] });
        const lifting = { versions: [late.versionId], containedBy: containing.key };
        expect(await refusal(backend.lift(attempts.next({ fence }), lifting))).toBe('fenced');
        expect(await refusal(backend.destroy(attempts.next({ fence }), { versions: [version] }))).toBe(
          'fenced',
        );
        expect(await state()).toEqual({ [version]: acceptedAlone() });
        await expectServed([version]);
      });

      it('is raised by observing: what is observed cannot change behind it', async () => {
        const version = await generate();
        const frozen = attempts.next();
        const takeover = attempts.next();
        const { fence, attemptId } = takeover;
        const seen = await backend.observe(object, { key: frozen.key, raise: { fence, attemptId } });
        expect(seen.entry).toBeUndefined();
        expect(await refusal(backend.publish(frozen, { versions: [version], maxAgeSeconds: 300 }))).toBe(
          'fenced',
        );
        expect((await backend.observe(object, { key: frozen.key })).entry).toBeUndefined();
        await accept(version, { ...takeover, key: frozen.key });
        expect(await state()).toEqual({ [version]: acceptedAlone() });
      });

      it('is raised by observing before anything was made, and stays raised after a reopening', async () => {
        const frozen = attempts.next();
        const { fence, attemptId } = attempts.next();
        await backend.observe(object, { raise: { fence, attemptId } });
        backend = await harness.reopen();
        expect(await refusal(generate(frozen))).toBe('fenced');
        expect((await backend.observe(object)).exists).toBe(false);
        expect(await refusal(backend.observe(object, { raise: { ...frozen } }))).toBe('fenced');
      });

      it('refuses a generate that was overtaken while it made its key', async () => {
        const frozen = attempts.next();
        const { fence, attemptId } = attempts.next();
        const making = generate(frozen);
        await backend.observe(object, { raise: { fence, attemptId } });
        // Of a server that may have made the key by then nobody can say that it did nothing.
        const honest = backend.declaration.requestsOutliveProcess ? ['fenced', 'unknown'] : ['fenced'];
        expect(honest).toContain(await refusal(making));
        expect((await backend.observe(object)).exists).toBe(false);
      });

      it('of one object stops no other', async () => {
        await generate();
        const other = new Attempts(harness.fresh());
        const first = other.next({ fence: { slot: 0, step: 0 } });
        await backend.generate(first, { versionId: randomUUID(), algorithm: harness.algorithm });
        expect((await backend.observe(other.object)).versions).toHaveLength(1);
      });
    });

    it('begins nothing once the attempt is aborted', async () => {
      const version = await generate();
      const signal = AbortSignal.abort();
      const late = { versionId: randomUUID(), algorithm: harness.algorithm };
      const versions = [version];
      expect(await refusal(backend.generate(attempts.next({ signal }), late))).toBe('transient');
      expect(
        await refusal(backend.publish(attempts.next({ signal }), { versions, maxAgeSeconds: 300 })),
      ).toBe('transient');
      expect(await refusal(backend.switchEmission(attempts.next({ signal }), { to: version }))).toBe(
        'transient',
      );
      expect(await refusal(backend.withdraw(attempts.next({ signal }), { versions }))).toBe('transient');
      expect(await refusal(backend.reAccept(attempts.next({ signal }), { versions }))).toBe('transient');
      expect(await refusal(backend.contain(attempts.next({ signal }), { versions }))).toBe('transient');
      expect(await refusal(backend.lift(attempts.next({ signal }), { versions, containedBy: 'x' }))).toBe(
        'transient',
      );
      expect(await refusal(backend.destroy(attempts.next({ signal }), { versions }))).toBe('transient');
      expect(await state()).toEqual({ [version]: '' });
      expect(await served()).toBeUndefined();
    });

    it('tells by the key what was done and by which attempt', async () => {
      const attempt = attempts.next();
      expect((await backend.observe(object, { key: attempt.key })).entry).toBeUndefined();
      const version = await generate(attempt);
      expect((await backend.observe(object, { key: attempt.key })).entry).toMatchObject({
        key: attempt.key,
        attemptId: attempt.attemptId,
        effect: 'generate',
        versions: [version],
      });
      const other = new Attempts(harness.fresh());
      expect((await backend.observe(other.object, { key: attempt.key })).entry).toBeUndefined();
    });

    it('keeps no entry of what it refused', async () => {
      const version = await generate();
      const attempt = attempts.next();
      expect(await refusal(backend.switchEmission(attempt, { to: version }))).toBe('config');
      expect((await backend.observe(object, { key: attempt.key })).entry).toBeUndefined();
      await bringIn(version);
      await backend.switchEmission(attempts.next({ key: attempt.key }), { to: version });
      expect(await state()).toEqual({ [version]: 'accepted emitting' });
    });

    it('is the same after a reopening', async () => {
      const old = await emitting();
      const next = await generate();
      await accept(next);
      await backend.contain(attempts.next(), { versions: [old] });
      const before = await backend.observe(object);
      const servedBefore = await served();
      backend = await harness.reopen();
      expect(withoutClock(await backend.observe(object))).toEqual(withoutClock(before));
      expect(await served()).toEqual(servedBefore);
      await expectServed([next]);
    });

    it('honours the class it declares when one effect is asked for twice under two keys', async () => {
      const version = await emitting();
      const effects = backend.declaration.effects;
      const again = (versionId: string): Promise<unknown> =>
        backend.generate(attempts.next(), { versionId, algorithm: harness.algorithm });
      const next = randomUUID();
      await again(next);
      if (effects.generate.class === 'named-create') expect(await refusal(again(next))).toBe('config');
      expect((await backend.observe(object)).versions).toHaveLength(2);
      // Asked for a second time under another key, both change nothing.
      const repeats = ({ class: which }: { readonly class: string }): boolean =>
        which === 'absolute' || which === 'compare-and-swap';
      const absolute = async (call: () => Promise<unknown>): Promise<void> => {
        await call();
        const before = withoutClock(await backend.observe(object));
        await call();
        expect(withoutClock(await backend.observe(object))).toEqual(before);
      };
      const versions = [version];
      if (!overlaps()) await cutTo(next);
      if (repeats(effects.publish)) {
        await absolute(() => (overlaps() ? publish(version, next) : publish(next)));
      }
      if (repeats(effects['switch-emission'])) await absolute(() => switchTo(next));
      if (repeats(effects['cut-over'])) await absolute(() => cutTo(next));
      if (repeats(effects.withdraw)) {
        await absolute(() => backend.withdraw(attempts.next(), { versions }));
      }
      if (!comesBack()) await expectNoReturn(version);
      else if (repeats(effects['re-accept'])) {
        await absolute(() => backend.reAccept(attempts.next(), { versions: overlaps() ? versions : [next] }));
      }
      if (repeats(effects.contain)) {
        await absolute(() => backend.contain(attempts.next(), { versions }));
      }
      if (repeats(effects.lift)) {
        await absolute(() => backend.lift(attempts.next(), { versions, containedBy: 'nobody/contain' }));
      }
      await backend.withdraw(attempts.next(), { versions });
      if (repeats(effects.destroy)) {
        await absolute(() => backend.destroy(attempts.next(), { versions }));
      }
      expect(await state()).toMatchObject({ [version]: 'contained destroyed', [next]: 'accepted emitting' });
    });

    it('probes that the old is refused and the new accepted', async () => {
      const old = await emitting();
      const next = await generate();
      const before = await backend.probe(object, { refused: [old], accepted: [next] });
      expect(before.refused).toMatchObject([{ versionId: old, refused: false }]);
      expect(before.accepted).toMatchObject([{ versionId: next, accepted: false }]);
      await bringIn(next);
      await backend.withdraw(attempts.next(), { versions: [old] });
      const after = await backend.probe(object, { refused: [old], accepted: [next] });
      expect(after.refused).toMatchObject([{ versionId: old, refused: true }]);
      expect(after.accepted).toMatchObject([{ versionId: next, accepted: true }]);
      for (const { how } of [...after.refused, ...after.accepted]) expect(how).not.toBe('');
      await backend.contain(attempts.next(), { versions: [next] });
      const contained = await backend.probe(object, { refused: [next], accepted: [next] });
      expect(contained.refused).toMatchObject([{ refused: true }]);
      expect(contained.accepted).toMatchObject([{ accepted: false }]);
    });

    it('prints no key material', async () => {
      const version = await emitting();
      const printed = [inspect(backend, { depth: 8, showHidden: true }), JSON.stringify(backend)];
      printed.push(inspect(await backend.observe(object), { depth: 8 }));
      const error = await refusalError(backend.withdraw(attempts.next(), { versions: [version] }));
      printed.push(inspect(error, { depth: 8, showHidden: true }), JSON.stringify(error));
      const secrets = await harness.secrets(backend, object);
      expect(secrets.length).toBeGreaterThan(0);
      for (const secret of secrets) {
        for (const text of printed) expect(text.includes(secret)).toBe(false);
      }
    });

    async function state(): Promise<Readonly<Record<string, string>>> {
      const { versions } = await backend.observe(object);
      const found = versions.map((version) => [
        version.versionId,
        [
          version.accepted ? 'accepted' : '',
          version.emittingShare > 0 ? 'emitting' : '',
          version.contained ? 'contained' : '',
          version.destroyed ? 'destroyed' : '',
        ]
          .filter((word) => word !== '')
          .join(' '),
      ]);
      const shares = versions.map(({ emittingShare }) => emittingShare).filter((share) => share > 0);
      expect(shares).toEqual(shares.length === 0 ? [] : [100]);
      return Object.fromEntries(found);
    }

    /** Refused, also a second time, with nothing changed and no entry of it. */
    async function expectNoReturn(versionId: string): Promise<void> {
      const attempt = attempts.next();
      const before = withoutClock(await backend.observe(object, { key: attempt.key }));
      for (const each of [attempt, attempts.next({ key: attempt.key })])
        expect(await refusal(backend.reAccept(each, { versions: [versionId] }))).toBe('config');
      expect(withoutClock(await backend.observe(object, { key: attempt.key }))).toEqual(before);
    }

    async function expectServed(kids: readonly string[]): Promise<void> {
      const observation = await backend.observe(object);
      const inDocument = backend.declaration.capabilities.publishesJwks && harness.algorithm !== 'HS256';
      if (!inDocument) {
        expect(observation.served).toBeUndefined();
        expect(await served()).toBeUndefined();
        return;
      }
      expect([...((await served()) ?? ['no document'])].sort()).toEqual([...kids].sort());
      expect([...(observation.served?.kids ?? [])].sort()).toEqual([...kids].sort());
      expect(observation.served?.agrees).toBe(true);
    }
  });
}

function words(...each: readonly string[]): string {
  return each.filter((word) => word !== '').join(' ');
}

/** The class of the error a call is refused with. */
async function refusal(call: Promise<unknown>): Promise<BackendErrorClass> {
  return (await refusalError(call)).errorClass;
}

async function refusalError(call: Promise<unknown>): Promise<BackendError> {
  const outcome = await call.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(outcome instanceof BackendError))
    throw new Error('refused with no BackendError, or not refused at all');
  expect(outcome.cause).toBeUndefined();
  return outcome;
}

function withoutClock({ clock: _clock, ...rest }: Observation): Omit<Observation, 'clock'> {
  return rest;
}
