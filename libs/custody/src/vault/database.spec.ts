import { randomUUID } from 'node:crypto';
import { inspect } from 'node:util';
import { jest } from '@jest/globals';
import { footingOn, haveRealPart } from '#platform/testing';
import { BackendError, type BackendErrorClass } from '../key-backend.js';
import { DatabaseBench, type DatabaseHarness } from '../testing/database-bench.js';
import { rolesOf } from '../testing/database-pairs.js';
import { Attempts, keyBackendContract } from '../testing/key-backend.contract.js';
import { formsOf } from '../testing/local-harness.js';

jest.setTimeout(120_000);

const CASES = 50;
const footing = footingOn('openbao');
const database = haveRealPart('postgres', CASES);

(database ? describe : describe.skip)(`database pairs over a real PostgreSQL, on ${footing.name}`, () => {
  let bench: DatabaseBench;
  let harness: DatabaseHarness;
  beforeAll(async () => {
    bench = await DatabaseBench.shared(footing);
  });
  afterAll(() => bench.stop());

  describe('the port', () => {
    beforeEach(async () => {
      while (bench.unused.length < 3) bench.unused.push(await bench.pairs.make());
    });
    keyBackendContract('database pairs', async () => bench.open({ inUse: 'none' }));
  });

  describe('a pair', () => {
    let object: string;
    let attempts: Attempts;
    let blue: string;
    let green: string;
    /** Every password that was seen: none of them may be found anywhere. */
    let passwords: string[];
    beforeEach(async () => {
      passwords = [];
      harness = bench.open();
      await take(await bench.pairs.make());
    });
    afterEach(() => harness.close());

    async function take(pair: string): Promise<void> {
      object = pair;
      attempts = new Attempts({ object, familyId: randomUUID() });
      [blue, green] = rolesOf(object);
    }

    const observed = async (backend = harness.backend) =>
      Object.fromEntries(
        (await backend.observe(object)).versions.map((version) => [
          version.versionId,
          [version.accepted, version.emittingShare, version.destroyed],
        ]),
      );
    const named = async (role: string) =>
      `${role}@${new Date(await bench.pairs.lastRotation(role)).toISOString()}`;
    const generate = async () =>
      (await harness.backend.generate(attempts.next(), { versionId: randomUUID(), algorithm: 'password' }))
        .versionId;
    const publish = (version: string) =>
      harness.backend.publish(attempts.next(), { versions: [version], maxAgeSeconds: 300 });
    const switchTo = (to: string) => harness.backend.switchEmission(attempts.next(), { to });
    const withdraw = (version: string) => harness.backend.withdraw(attempts.next(), { versions: [version] });
    const refusal = async (call: Promise<unknown>): Promise<readonly [BackendErrorClass, string]> => {
      const error = await call.then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      if (!(error instanceof BackendError)) throw new Error('it was not refused as a back end refuses');
      expect(error.cause).toBeUndefined();
      return [error.errorClass, error.message];
    };

    /** An application that reads a role's credential when it opens a session. */
    async function credentialOf(role: string): ReturnType<typeof bench.pairs.credential> {
      const credential = await bench.pairs.credential(role);
      passwords.push(credential.password);
      return credential;
    }
    async function getsIn(credential: {
      readonly username: string;
      readonly password: string;
    }): Promise<boolean> {
      const session = await bench.postgres
        .session(credential.username, credential.password)
        .catch((error: unknown) => error);
      if (typeof session === 'object' && session !== null && 'query' in session) {
        await (session as Awaited<ReturnType<typeof bench.postgres.session>>).end();
        return true;
      }
      expect(session).toMatchObject({ code: '28P01' });
      return false;
    }

    it('turns blue, green, blue: at no moment is an application without a login', async () => {
      const first = await named(blue);
      expect(await observed()).toEqual({ [first]: [true, 100, false] });
      let old = { version: first, credential: await credentialOf(blue) };
      const pooled = await bench.postgres.session(old.credential.username, old.credential.password);
      for (const role of [green, blue]) {
        const version = await generate();
        expect(await getsIn(old.credential)).toBe(true);
        await publish(version);
        // The new login works before emission moves; nobody uses it yet.
        const credential = await credentialOf(role);
        expect(await getsIn(credential)).toBe(true);
        expect(await observed()).toMatchObject({
          [old.version]: [true, 100, false],
          [version]: [true, 0, false],
        });
        await switchTo(version);
        expect(await getsIn(old.credential)).toBe(true);
        await withdraw(old.version);
        expect(await getsIn(old.credential)).toBe(false);
        expect(await getsIn(credential)).toBe(true);
        expect(await observed()).toMatchObject({
          [old.version]: [false, 0, true],
          [version]: [true, 100, false],
        });
        const probed = await harness.backend.probe(object, { refused: [old.version], accepted: [version] });
        expect(probed).toEqual({
          refused: [
            {
              versionId: old.version,
              refused: true,
              how: 'the database refused a login with its password; its record does not accept it',
            },
          ],
          accepted: [
            {
              versionId: version,
              accepted: true,
              how: 'the database let in a login with its password; its record accepts it',
            },
          ],
        });
        old = { version, credential };
      }
      // What was open goes on: that is what the drain window is for.
      expect((await pooled.query('SELECT 1')).rowCount).toBe(1);
      await pooled.end();
    });

    it('calls an old password not probed after a restart, and refused only by its record', async () => {
      const first = await named(blue);
      const version = await generate();
      await publish(version);
      await switchTo(version);
      await withdraw(first);
      await harness.reopen();
      const { refused } = await harness.backend.probe(object, { refused: [first], accepted: [] });
      expect(refused).toMatchObject([{ refused: true, how: expect.stringMatching(/^not probed: /) }]);
    });

    it('says so where the old password still gets in', async () => {
      const first = await named(blue);
      const { username, password } = await credentialOf(blue);
      const version = await generate();
      await publish(version);
      await switchTo(version);
      await withdraw(first);
      await bench.postgres.query(`ALTER ROLE "${username}" PASSWORD '${password}'`);
      const { refused } = await harness.backend.probe(object, { refused: [first], accepted: [] });
      expect(refused).toEqual([
        { versionId: first, refused: false, how: 'the database let in a login with its password' },
      ]);
    });

    it('has no way back once the old role was turned, and says what remains', async () => {
      const first = await named(blue);
      const version = await generate();
      await publish(version);
      await switchTo(version);
      await switchTo(first);
      await switchTo(version);
      await withdraw(first);
      const [errorClass, message] = await refusal(
        harness.backend.reAccept(attempts.next(), { versions: [first] }),
      );
      expect(errorClass).toBe('config');
      expect(message).toContain('point of no return');
      expect(message).toContain('Start a new rotation');
      expect(harness.backend.declaration.pointOfNoReturn).toBe('withdraw');
    });

    it('cuts over: the old password is refused, the new one is in use', async () => {
      const first = await named(blue);
      const credential = await credentialOf(blue);
      const version = await generate();
      await harness.backend.cutOver(attempts.next(), { to: version, maxAgeSeconds: 300 });
      expect(await observed()).toEqual({ [first]: [false, 0, true], [version]: [true, 100, false] });
      expect(await getsIn(credential)).toBe(false);
      expect(await getsIn(await credentialOf(green))).toBe(true);
    });

    describe('a role that turns by itself', () => {
      it('takes the emitting version with it: what the role has now is what is in use', async () => {
        const first = await named(blue);
        await generate();
        await bench.pairs.rotate(blue);
        const next = await named(blue);
        expect(next).not.toBe(first);
        expect(await observed()).toMatchObject({ [first]: [false, 0, true], [next]: [true, 100, false] });
        expect(await getsIn(await credentialOf(blue))).toBe(true);
      });

      it('takes a version with it that nobody has yet, which is refused from then on', async () => {
        const version = await generate();
        await bench.pairs.rotate(green);
        expect((await observed())[version]).toEqual([false, 0, true]);
        expect(await refusal(publish(version))).toEqual(['config', `Version ${version} is destroyed`]);
      });

      it('is nothing where nobody uses it', async () => {
        const first = await named(blue);
        await bench.pairs.rotate(green);
        expect(await observed()).toEqual({ [first]: [true, 100, false] });
      });
    });

    describe('is refused, with what to do', () => {
      it('where a role would turn by itself near a rotation', async () => {
        await take(await bench.pairs.make('24h'));
        const [errorClass, message] = await refusal(generate());
        expect(errorClass).toBe('config');
        expect(message).toContain(`static-roles/${blue} turns itself every 86400 s`);
        expect(message).toContain('set its rotation_period to 77760000s or more (10 x the 90 days');
        const before = await bench.pairs.lastRotation(green);
        await bench.pairs.role(blue, { username: `${blue}-user`, rotation_period: '77760000s' });
        await bench.pairs.role(green, { username: `${green}-user`, rotation_period: '77759999s' });
        expect(await refusal(generate())).toEqual([
          'config',
          expect.stringContaining(`static-roles/${green} turns`),
        ]);
        expect(await bench.pairs.lastRotation(green)).toBe(before);
        await bench.pairs.role(green, { username: `${green}-user`, rotation_period: '77760000s' });
        await generate();
      });

      it('where a role is missing, both are of one user, or no database is named', async () => {
        const whole = object;
        await take(`${bench.pairs.mount}/static-roles/${blue}/missing-${randomUUID().slice(0, 8)}`);
        expect((await refusal(generate()))[1]).toContain(`static-roles/${green} is not there`);
        const twin = `twin-${randomUUID().slice(0, 8)}`;
        await bench.pairs.role(twin, { username: `${blue}-user`, rotation_period: '2000000h' });
        await take(`${bench.pairs.mount}/static-roles/${blue}/${twin}`);
        expect((await refusal(generate()))[1]).toContain(`both roles are of one database user, ${blue}-user`);
        await take(whole);
        const blind = bench.open({ probes: new Map() });
        const asked = blind.backend.generate(attempts.next(), {
          versionId: randomUUID(),
          algorithm: 'password',
        });
        expect((await refusal(asked))[1]).toContain('no database is named to log in to');
        await blind.close();
      });

      it.each([
        'database/roles/a/b',
        'database/static-roles/a',
        'database/static-roles/a/a',
        'static-roles/a/b',
      ])('where %s is no name of a pair', async (name) => {
        expect(await refusal(harness.backend.observe(name))).toEqual([
          'config',
          expect.stringContaining('MOUNT/static-roles/BLUE/GREEN'),
        ]);
      });

      it('while both roles are in use', async () => {
        const version = await generate();
        await publish(version);
        expect(await refusal(generate())).toEqual([
          'config',
          expect.stringContaining('both roles are in use'),
        ]);
      });
    });

    it('shows no password anywhere', async () => {
      const printed: string[] = [];
      const look = async () => {
        passwords.push(
          ...(await Promise.all([blue, green].map(async (role) => (await credentialOf(role)).password))),
        );
        printed.push(
          inspect(harness, { depth: 12, showHidden: true }),
          inspect(harness.backend, { depth: 12, showHidden: true }),
          JSON.stringify(harness.backend),
          JSON.stringify(await harness.backend.observe(object)),
          JSON.stringify(await bench.document(object)),
        );
      };
      const first = await named(blue);
      await credentialOf(blue);
      const version = await generate();
      await look();
      await publish(version);
      await switchTo(version);
      await withdraw(first);
      await look();
      printed.push(
        JSON.stringify(await harness.backend.probe(object, { refused: [first], accepted: [version] })),
      );
      await bench.postgres.query(`ALTER ROLE "${green}-user" PASSWORD 'somebody else''s'`);
      const errors = [switchTo(version), withdraw(version), generate().then(async (next) => publish(next))];
      for (const error of await Promise.allSettled(errors))
        printed.push(inspect(error, { depth: 12, showHidden: true }), JSON.stringify(error));
      await look();
      expect(new Set(passwords).size).toBeGreaterThanOrEqual(4);
      for (const password of passwords) {
        const forms = [password, encodeURIComponent(password), ...formsOf(Buffer.from(password, 'utf8'))];
        for (const form of forms) for (const text of printed) expect(text.includes(form)).toBe(false);
      }
    });
  });
});
