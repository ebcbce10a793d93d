import { randomUUID } from 'node:crypto';
import { jest } from '@jest/globals';
import { footingOn, haveRealPart } from '#platform/testing';
import { BackendError, type Attempt, type BackendErrorClass } from '../key-backend.js';
import { DatabaseBench, type DatabaseHarness } from '../testing/database-bench.js';
import { rolesOf } from '../testing/database-pairs.js';
import { Attempts } from '../testing/key-backend.contract.js';
import type { DatabaseEngineOptions } from './database-engine.js';
import type { Identity } from './vault-engine.js';

jest.setTimeout(180_000);

/** The server tries once again by itself, 10 to 15 s after the database failed it. */
const BACKGROUND_MS = 16_000;

const CASES = 10;
const footing = footingOn('openbao');
const database = haveRealPart('postgres', CASES);

(database ? describe : describe.skip)(`a pair when something breaks, on ${footing.name}`, () => {
  let bench: Awaited<ReturnType<typeof DatabaseBench.start>>;
  let harness: DatabaseHarness;
  let object: string;
  let attempts: Attempts;
  let blue: string;
  let green: string;
  /** Tokens for one request that were asked for: a rotate is never sent without one, so no more than these were. */
  let sent: number;
  beforeAll(async () => {
    bench = await DatabaseBench.start(footing);
  });
  beforeEach(async () => {
    object = await bench.pairs.make();
    attempts = new Attempts({ object, familyId: randomUUID() });
    [blue, green] = rolesOf(object);
    sent = 0;
  });
  afterEach(() => harness.close());
  afterAll(() => bench.stop());

  interface Hooks {
    /** Runs while the token for a rotate is handed out. */
    readonly beforeRotate?: (times: number) => void;
    /** Runs before the probe reads a credential. */
    readonly beforeProbe?: () => Promise<unknown>;
  }
  const open = (options: Partial<DatabaseEngineOptions> = {}, hooks: Hooks = {}): void => {
    harness = bench.open(options, (root: Identity) => ({
      once: async (seconds) => {
        const token = await root.once(seconds);
        sent += 1;
        hooks.beforeRotate?.(sent);
        return token;
      },
      probe: async () => {
        await hooks.beforeProbe?.();
        return root.probe();
      },
    }));
  };
  const generate = (attempt: Attempt = attempts.next()) =>
    harness.backend.generate(attempt, { versionId: randomUUID(), algorithm: 'password' });
  const again = ({ key }: Attempt): Attempt => attempts.next({ key });
  async function refusal(call: Promise<unknown>): Promise<readonly [BackendErrorClass, string]> {
    const error = await call.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    if (!(error instanceof BackendError)) throw new Error('it was not refused as a back end refuses');
    return [error.errorClass, error.message];
  }
  const getsIn = async (role: string): Promise<boolean> => {
    const { username, password } = await bench.pairs.credential(role);
    const session = await bench.postgres.session(username, password).catch(() => undefined);
    await session?.end();
    return session !== undefined;
  };
  const pause = (milliseconds: number) => new Promise((done) => setTimeout(done, milliseconds));
  const until = async (so: () => boolean): Promise<void> => {
    for (let tries = 0; !so(); tries += 1) {
      if (tries === 200) throw new Error('it never came to be');
      await pause(20);
    }
  };
  const observed = async () =>
    (await harness.backend.observe(object)).versions.map(({ versionId, accepted, destroyed }) => ({
      versionId,
      accepted,
      destroyed,
    }));
  /** A version emitting on green; what was there before Keyturn stays accepted on blue. */
  async function turned(): Promise<{ readonly first: string; readonly version: string }> {
    const [first] = (await harness.backend.observe(object)).versions;
    const { versionId } = await generate();
    await harness.backend.publish(attempts.next(), { versions: [versionId], maxAgeSeconds: 300 });
    await harness.backend.switchEmission(attempts.next(), { to: versionId });
    return { first: first?.versionId ?? '', version: versionId };
  }

  describe('rotates that overlap', () => {
    it('in one process do not: what comes beside one that is under way is unknown, and what was begun stays begun', async () => {
      let open = (): void => undefined;
      const gate = new Promise<void>((done) => {
        open = done;
      });
      let asked = 0;
      harness = bench.open({ settlesAfterMs: 1 }, (root) => ({
        once: async (seconds) => {
          asked += 1;
          if (asked === 1) await gate;
          return root.once(seconds);
        },
      }));
      const first = attempts.next();
      const slow = generate(first).catch((thrown: unknown) => thrown);
      await until(() => asked === 1);
      await pause(1_100);
      expect(await refusal(generate(again(first)))).toEqual([
        'unknown',
        expect.stringContaining('is being turned by an earlier request'),
      ]);
      expect(asked).toBe(1);
      expect(await bench.document(object)).toMatchObject({ pending: { effect: 'generate', key: first.key } });
      open();
      await slow;
    });

    it('break a credential with no error: it is found, recorded, and mended by one more alone', async () => {
      let broken = 0;
      for (let tries = 0; tries < 8 && broken < 2; tries += 1) {
        object = await bench.pairs.make();
        attempts = new Attempts({ object, familyId: randomUUID() });
        [blue, green] = rolesOf(object);
        sent = 0;
        let others: Promise<unknown> = Promise.resolve();
        const role = green;
        open(
          {},
          {
            beforeRotate: (times) => {
              if (times === 1)
                others = Promise.allSettled([bench.pairs.rotate(role), bench.pairs.rotate(role)]);
            },
            // Until they were answered, whatever they were answered.
            beforeProbe: () => others,
          },
        );
        // A rotate that lost its race may be answered with an error; the step's next attempt finds what came of it.
        const attempt = attempts.next();
        const made = await generate(attempt).catch(async (error: unknown) => {
          if (!(error instanceof BackendError) || error.errorClass !== 'unknown') throw error;
          return generate(again(attempt));
        });
        expect(await getsIn(green)).toBe(true);
        const all = await observed();
        expect(all.at(-1)).toEqual({ versionId: made.versionId, accepted: false, destroyed: false });
        const found = all.filter(({ versionId }) => versionId.startsWith(`${green}@`));
        expect(sent).toBe(1 + found.length);
        expect(found).toEqual(
          found.map(({ versionId }) => ({ versionId, accepted: false, destroyed: true })),
        );
        broken += found.length;
        await harness.backend.publish(attempts.next(), { versions: [made.versionId], maxAgeSeconds: 300 });
        await harness.close();
      }
      expect(broken).toBeGreaterThanOrEqual(2);
      open();
    });

    it('are never two of this process on one role', async () => {
      open();
      const twin = bench.open({}, (root) => ({
        once: async (seconds) => {
          sent += 1;
          return root.once(seconds);
        },
      }));
      const both = await Promise.allSettled([
        generate(),
        twin.backend.generate(attempts.next({ fence: { slot: 1, step: 1 } }), {
          versionId: randomUUID(),
          algorithm: 'password',
        }),
      ]);
      expect(both.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      const [refused] = both.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []));
      expect(refused).toMatchObject({ errorClass: 'fenced' });
      expect(sent).toBe(1);
      await twin.close();
    });
  });

  it('stops after a second one in a row that is broken, with both on record', async () => {
    open(
      {},
      { beforeProbe: () => bench.postgres.query(`ALTER ROLE "${green}-user" PASSWORD 'somebody else''s'`) },
    );
    const [errorClass, message] = await refusal(generate());
    expect([errorClass, sent]).toEqual(['config', 2]);
    expect(message).toContain('find out who else writes there');
    const found = (await observed()).filter(({ versionId }) => versionId.startsWith(`${green}@`));
    expect(found.map(({ accepted }) => accepted)).toEqual([false, false]);
    // The application's own is as it was.
    expect(await getsIn(blue)).toBe(true);
    await harness.close();
    open();
    const { versionId } = await generate();
    await harness.backend.publish(attempts.next(), { versions: [versionId], maxAgeSeconds: 300 });
    expect(await getsIn(green)).toBe(true);
  });

  it('finds before it is accepted, and before anything is emitted with it, that a version broke since', async () => {
    open();
    const { versionId } = await generate();
    const breaks = () => bench.postgres.query(`ALTER ROLE "${green}-user" PASSWORD 'somebody else''s'`);
    const { password } = await bench.pairs.credential(green);
    await breaks();
    const publish = () =>
      harness.backend.publish(attempts.next(), { versions: [versionId], maxAgeSeconds: 300 });
    expect(await refusal(publish())).toEqual([
      'config',
      expect.stringContaining('the database refuses a login'),
    ]);
    await bench.postgres.query(`ALTER ROLE "${green}-user" PASSWORD '${password}'`);
    await publish();
    await breaks();
    expect(await refusal(harness.backend.switchEmission(attempts.next(), { to: versionId }))).toEqual([
      'config',
      expect.stringContaining('the database refuses a login'),
    ]);
    expect(sent).toBe(1);
  });

  it('waits for a database that is down, and takes what the server made of it later by itself', async () => {
    open({ settlesAfterMs: BACKGROUND_MS });
    await harness.backend.observe(object);
    const attempt = attempts.next();
    const before = await bench.pairs.lastRotation(green);
    await bench.postgres.pause();
    expect((await refusal(generate(attempt)))[0]).toBe('unknown');
    const [waiting, words] = await refusal(generate(again(attempt)));
    await bench.postgres.resume();
    expect(waiting).toBe('transient');
    expect(words).toContain('may still take effect: nothing is sent there before');
    // Whoever else comes, an emergency too, sends nothing beside it.
    expect((await refusal(generate()))[0]).toBe('transient');
    expect(await bench.pairs.lastRotation(green)).toBe(before);
    await pause(BACKGROUND_MS);
    const later = await bench.pairs.lastRotation(green);
    expect(later).not.toBe(before);
    const made = await generate(again(attempt));
    expect(made.createdAt).toBe(new Date(later).toISOString());
    expect([sent, await getsIn(green)]).toEqual([1, true]);
  });

  it('asks once more, and only once, where nothing came of it', async () => {
    const SETTLES_MS = 1_500;
    open({ settlesAfterMs: SETTLES_MS });
    const attempt = attempts.next();
    await bench.postgres.pause();
    expect((await refusal(generate(attempt)))[0]).toBe('unknown');
    await bench.postgres.resume();
    const before = await bench.pairs.lastRotation(green);
    expect((await refusal(generate(again(attempt))))[0]).toBe('transient');
    await pause(SETTLES_MS);
    expect(await bench.pairs.lastRotation(green)).toBe(before);
    const made = await generate(again(attempt));
    expect([sent, await getsIn(green)]).toEqual([2, true]);
    // What the server had kept for later came to nothing by it.
    await pause(BACKGROUND_MS);
    expect(new Date(await bench.pairs.lastRotation(green)).toISOString()).toBe(made.createdAt);
  });

  it('takes what a hung database did after all, and repeats nothing', async () => {
    open({ rotateWithinMs: 500, settlesAfterMs: BACKGROUND_MS });
    await harness.backend.observe(object);
    const attempt = attempts.next();
    bench.postgres.freeze();
    try {
      expect((await refusal(generate(attempt)))[0]).toBe('unknown');
      expect((await refusal(generate(again(attempt))))[0]).toBe('transient');
    } finally {
      bench.postgres.thaw();
    }
    // The request that was given up is cancelled there, too, and tried again by the server itself.
    expect((await refusal(generate(again(attempt))))[0]).toBe('transient');
    await pause(BACKGROUND_MS);
    const made = await generate(again(attempt));
    expect(sent).toBe(1);
    expect(new Date(await bench.pairs.lastRotation(green)).toISOString()).toBe(made.createdAt);
    expect(await getsIn(green)).toBe(true);
  });

  it('revokes once where the database is killed in the middle of it', async () => {
    open({ settlesAfterMs: BACKGROUND_MS });
    const { first, version } = await turned();
    const old = await bench.pairs.credential(blue);
    const began = sent;
    const attempt = attempts.next();
    const withdraw = (by: Attempt) => harness.backend.withdraw(by, { versions: [first] });
    bench.postgres.freeze();
    const killed = refusal(withdraw(attempt));
    await until(() => sent > began);
    await pause(200);
    await bench.postgres.crash();
    expect((await killed)[0]).toBe('unknown');
    await bench.postgres.resume();
    expect((await refusal(withdraw(again(attempt))))[0]).toBe('transient');
    // Nobody calls it revoked before it is.
    expect(await observed()).toContainEqual({ versionId: first, accepted: true, destroyed: false });
    await pause(BACKGROUND_MS);
    await withdraw(again(attempt));
    expect(sent - began).toBe(1);
    expect(await observed()).toContainEqual({ versionId: first, accepted: false, destroyed: true });
    const probed = await harness.backend.probe(object, { refused: [first], accepted: [version] });
    expect(probed.refused).toMatchObject([
      { refused: true, how: expect.stringContaining('refused a login with its password') },
    ]);
    expect(probed.accepted).toMatchObject([{ accepted: true }]);
    expect(await bench.postgres.session(old.username, old.password).catch(() => undefined)).toBeUndefined();
  });

  it('mends what a server that was killed right after the database changed leaves broken', async () => {
    const SETTLES_MS = 1_500;
    let broken = 0;
    for (let tries = 0; tries < 6 && broken === 0; tries += 1) {
      object = await bench.pairs.make();
      attempts = new Attempts({ object, familyId: randomUUID() });
      [blue, green] = rolesOf(object);
      sent = 0;
      open({ settlesAfterMs: SETTLES_MS });
      await harness.backend.observe(object);
      const attempt = attempts.next();
      const { acted } = await bench.postgres.onceChanged(`${green}-user`, () => bench.bao.crash());
      const failed = generate(attempt).then(
        () => undefined,
        (error: unknown) => error,
      );
      await acted;
      const error = await failed;
      if (error !== undefined) {
        broken += (await getsIn(green)) ? 0 : 1;
        await pause(SETTLES_MS);
        await generate(again(attempt));
      }
      expect(sent).toBeLessThanOrEqual(2);
      expect(await getsIn(green)).toBe(true);
      if (tries < 5 && broken === 0) await harness.close();
    }
    expect(broken).toBe(1);
  });
});
