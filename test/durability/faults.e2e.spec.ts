import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LOG_FILE, openDatabase } from '#eventlog/sqlite';
import { haveRealPart, NOTES, someOf } from '#platform/testing';
import { assertBuilt, Inspector } from './inspecting.js';
import { afflict, refusedStart, ServiceProcess, type Attempt } from './service.js';

/**
 * What a disk can do to a running service. While it lasts: 503 with Retry-After, red readiness, reading goes on. What was
 * answered with 2xx is there afterwards; what was not is settled by the repeat with the same key, and there once.
 */
interface Fault {
  readonly what: string;
  readonly calls: string;
  readonly error: string;
  /** It passes by itself; otherwise a restart ends it (docs/adr/0013). */
  readonly passes: boolean;
}
const EVERY_FAULT: readonly Fault[] = [
  { what: 'no space', calls: 'pwrite64', error: 'ENOSPC', passes: true },
  { what: 'a failing fsync', calls: 'fsync,fdatasync', error: 'EIO', passes: false },
  { what: 'a failing write', calls: 'pwrite64', error: 'EIO', passes: false },
  { what: 'a file system that has become read-only', calls: 'pwrite64', error: 'EROFS', passes: false },
];

const FAULTS = someOf(EVERY_FAULT, 2);
const CASES = 6 + FAULTS.length;
const traced = haveRealPart('strace', CASES);

describe('what a disk does to the service', () => {
  let base: string;
  let proved = 0;
  const running: ServiceProcess[] = [];

  beforeAll(() => {
    assertBuilt();
    base = mkdtempSync(join(tmpdir(), 'keyturn-faults-'));
    // Nobody must be able to go through it, for the case that runs as nobody.
    chmodSync(base, 0o755);
  });
  afterEach(async () => {
    await Promise.all(running.splice(0).map((service) => service.stop('SIGKILL')));
  });
  afterAll(() => {
    console.log(
      `the disk fails under the service: ${proved} of ${traced ? CASES : CASES - FAULTS.length - 1}`,
    );
    rmSync(base, { recursive: true, force: true });
  });

  const service = (dataDir = join(mkdtempSync(join(base, 'service-')), 'data')): ServiceProcess => {
    const made = new ServiceProcess(dataDir);
    running.push(made);
    return made;
  };

  function expectRefused({ answer }: Attempt): void {
    expect(answer).toMatchObject({ status: 503 });
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(answer.headers.get('retry-after')).toBe('1');
    expect(answer.text).toMatch(/"code":"(?:log\.unavailable|read-model\.behind)"/);
    expect(answer.text).not.toMatch(/ {4}at /);
  }

  /** What was answered with 2xx is there, and everything once: from the API, and from the file. */
  async function expectAllOnce(it: ServiceProcess, attempts: readonly Attempt[]): Promise<void> {
    const names = new Set(attempts.map(({ name }) => name));
    expect(await it.families()).toEqual(new Map([...names].map((name) => [name, 1])));
    await it.stop();
    const inspector = new Inspector();
    try {
      const inspection = await inspector.inspect(it.dataDir);
      expect(inspection).toMatchObject({ findings: [], integrityCheck: 'ok', goesOn: true });
    } finally {
      inspector.stop();
    }
  }

  const faulty = traced ? it.each(FAULTS) : it.skip.each(FAULTS);
  faulty(
    '$what: nothing is said to be stored that is not, and it ends when the fault does',
    async (fault) => {
      const it = service();
      await it.start();
      const before = await it.register();
      expect(before.status).toBe(201);
      const log = join(it.dataDir, LOG_FILE);
      const end = await afflict(it.pid, [log, `${log}-wal`], fault.calls, fault.error);
      const during = await Promise.all(Array.from({ length: 6 }, () => it.register()));
      for (const attempt of during) expectRefused(attempt);
      expect(await it.untilUnready()).toContain('service.not-ready');
      expect((await it.request('GET', '/health/live')).status).toBe(200);
      expect((await it.families()).get(before.name)).toBe(1);
      await end();
      if (!fault.passes) {
        // Whether it is stored is not known, and a new try would be believed without a reason.
        expectRefused(await it.register());
        expect((await it.ready()).text).toMatch(/disk failed.*restarted/);
        await it.stop();
        await it.start();
      }
      await it.untilReady();
      const again = await Promise.all(during.map(({ name, key }) => it.register(name, key)));
      expect(again.map(({ status }) => status)).toEqual(during.map(() => 201));
      const after = await it.register();
      expect(after.status).toBe(201);
      await expectAllOnce(it, [before, ...again, after]);
      proved += 1;
    },
  );

  it('a disk that is really full: refused while it is, and it goes on by itself when there is space', async () => {
    const mount = mkdtempSync(join(base, 'small-'));
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', mount], { stdio: 'ignore' });
    } catch {
      appendFileSync(
        NOTES,
        'Not proved on the real part: a full disk wants a tmpfs, which cannot be mounted here.\n',
      );
      return;
    }
    try {
      const it = service(join(mount, 'data'));
      await it.start();
      const filler = join(mount, 'filler');
      fill(filler);
      const during: Attempt[] = [];
      while (during.filter(({ status }) => status === 503).length < 4) during.push(await it.register());
      for (const attempt of during) if (attempt.status !== 201) expectRefused(attempt);
      await it.untilUnready();
      unlinkSync(filler);
      await it.untilReady();
      const again = await Promise.all(during.map(({ name, key }) => it.register(name, key)));
      expect(again.map(({ status }) => status)).toEqual(during.map(() => 201));
      await expectAllOnce(it, again);
      proved += 1;
    } finally {
      await Promise.all(running.splice(0).map((each) => each.stop('SIGKILL')));
      execFileSync('umount', ['-l', mount]);
    }
  });

  /** Takes what space there is, to the last page. */
  function fill(path: string): void {
    for (const size of [65_536, 4096]) {
      try {
        for (;;) appendFileSync(path, Buffer.alloc(size, 1));
      } catch (error) {
        expect(error).toMatchObject({ code: 'ENOSPC' });
      }
    }
  }

  it('no descriptor left: who is connected is served, nobody is told a lie, and it goes on', async () => {
    const it = service();
    await it.start();
    const before = await it.register();
    const open = readdirSync(`/proc/${it.pid}/fd`).length;
    const limit = (soft: string): void => {
      execFileSync('prlimit', ['--pid', String(it.pid), `--nofile=${soft}:`]);
    };
    limit(String(open));
    const during: Attempt[] = [];
    for (let each = 0; each < 6; each += 1) {
      const name = `family none-${each}`;
      // A new connection cannot be accepted: no answer is an answer too.
      const attempt = await it.register(name, name).catch(() => undefined);
      if (attempt === undefined) continue;
      expect([201, 503]).toContain(attempt.status);
      if (attempt.status === 201) during.push(attempt);
    }
    limit('1024');
    await it.untilReady();
    const all: Attempt[] = [];
    for (let each = 0; each < 6; each += 1) {
      all.push(await it.register(`family none-${each}`, `family none-${each}`));
    }
    expect(all.map(({ status }) => status)).toEqual(all.map(() => 201));
    await expectAllOnce(it, [before, ...during, ...all]);
    proved += 1;
  });

  (traced ? it : it.skip)(
    'no descriptor for the log at start: refused in plain words, nothing changed',
    async () => {
      const made = service();
      await made.start();
      const before = await made.register();
      await made.stop();
      const log = join(made.dataDir, LOG_FILE);
      const inject = [
        '-f',
        '-o',
        '/dev/null',
        '-P',
        log,
        '-e',
        'trace=openat',
        '-e',
        'inject=openat:error=EMFILE',
      ];
      const { code, said } = await refusedStart(made.dataDir, ['strace', ...inject]);
      expect({ code, said }).toEqual({
        code: 1,
        said: expect.stringMatching(
          /^Keyturn does not start: .*log\.sqlite cannot be used: .*unable to open/,
        ),
      });
      expect(said).not.toMatch(/ {4}at /);
      await made.start();
      await expectAllOnce(made, [before]);
      proved += 1;
    },
  );

  const asNobody = process.getuid?.() === 0 ? it : it.skip;
  asNobody('a directory it may only read: refused in plain words, nothing changed', async () => {
    const made = service();
    await made.start();
    const before = await made.register();
    await made.stop();
    const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
    const contents = (): string[] =>
      readdirSync(made.dataDir, { withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map(({ name }) => `${name} ${readFileSync(join(made.dataDir, name)).toString('base64')}`);
    const kept = contents();
    chmodSync(join(made.dataDir, '..'), 0o755);
    for (const [directory, file] of [
      [0o755, 0o644],
      [0o700, 0o600],
    ] as const) {
      chmodSync(made.dataDir, directory);
      for (const name of readdirSync(made.dataDir)) {
        if (name.endsWith('.sqlite') || name.endsWith('.lock')) chmodSync(join(made.dataDir, name), file);
      }
      const { code, said } = await refusedStart(made.dataDir, nobody);
      expect({ code, said }).toEqual({
        code: 1,
        said: expect.stringMatching(/^Keyturn does not start: .*(?:EPERM|EACCES|cannot be used)/),
      });
      expect(said).not.toMatch(/ {4}at /);
    }
    expect(contents()).toEqual(kept);
    await made.start();
    await expectAllOnce(made, [before]);
    proved += 1;
  });

  it('an altered event: named while it stays ready, refused to who needs it, everything else goes on', async () => {
    const made = service();
    await made.start();
    const [altered, other] = [await made.register(), await made.register()];
    await made.stop();
    const log = join(made.dataDir, LOG_FILE);
    const db = openDatabase(log);
    db.exec(`DROP TRIGGER events_are_not_changed;
      UPDATE events SET body = replace(body, 'Platform on-call', 'Someone on-call')
      WHERE type = 'FamilyRegistered' AND body LIKE '%${altered.name}%'; PRAGMA wal_checkpoint(TRUNCATE)`);
    const place = db.prepare(`SELECT stream FROM events WHERE body LIKE '%Someone on-call%'`).get()?.[
      'stream'
    ];
    db.close();
    await made.start('listening');
    expect(await made.untilFound()).toContain(`${String(place)}@0`);
    const id = String(place).replace('family-', '');
    const refused = await made.request('POST', `/api/v1/families/${id}/rotations`, { reason: 'a new key' });
    expect(refused).toMatchObject({ status: 503, text: expect.stringContaining('"code":"log.integrity"') });
    expect(refused.text).not.toContain('Someone');
    const meanwhile = await made.register();
    expect(meanwhile.status).toBe(201);
    await made.stop();
    // Its read model is gone too: folded anew, over what cannot be read.
    for (const name of readdirSync(made.dataDir)) {
      if (name.startsWith('read-model')) rmSync(join(made.dataDir, name));
    }
    await made.start('listening');
    expect(await made.untilFound()).toContain(`${String(place)}@0`);
    const families = await eventually(
      () => made.families(),
      (all) => all.has(meanwhile.name),
    );
    expect(families).toEqual(
      new Map([
        [other.name, 1],
        [meanwhile.name, 1],
      ]),
    );
    expect((await made.register()).status).toBe(201);
    proved += 1;
  });

  /** Waits for what the read model shows when it has caught up; readiness is red for another reason. */
  async function eventually<T>(look: () => Promise<T>, isThere: (seen: T) => boolean): Promise<T> {
    for (;;) {
      const seen = await look();
      if (isThere(seen)) return seen;
      await new Promise((resolve) => {
        setTimeout(resolve, 50);
      });
    }
  }

  it('a damaged database: does not start, and says what to do', async () => {
    const made = service();
    await made.start();
    await made.register();
    await made.stop();
    const log = join(made.dataDir, LOG_FILE);
    const content = readFileSync(log);
    writeFileSync(log, content.fill(0xa5, 2 * 4096, 3 * 4096));
    const { code, said } = await refusedStart(made.dataDir);
    expect({ code, said }).toEqual({
      code: 1,
      said: expect.stringMatching(/^Keyturn does not start: .*is damaged.*Writes are refused.*restore/),
    });
    expect(readFileSync(log).equals(content)).toBe(true);
    proved += 1;
  });
});
