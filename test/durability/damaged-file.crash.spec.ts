import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LOG_FILE, openDatabase } from '#eventlog/sqlite';
import { byDepth, SEED } from '#platform/testing';
import type { Inspection } from './child/inspector.js';
import { assertBuilt, inLanes, readAcks, seeded, WORKLOAD } from './inspecting.js';
import { run } from './tracing.js';

/**
 * A log file damaged at each page in each way: refused at start, or found by the scrub, or nothing of it is missing or
 * changed. Never read as something else.
 */
const PAGE = 4096;
const scratch = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

type Damage = (file: Buffer, page: number, random: () => number) => Buffer;
const flip: Damage = (file, page, random) => {
  const at = page * PAGE + Math.floor(random() * PAGE);
  file[at] = (file[at] ?? 0) ^ (1 << Math.floor(random() * 8));
  return file;
};
const EVERYWHERE: Readonly<Record<string, Damage>> = {
  'a bit flipped': flip,
  'another bit flipped': flip,
  'a third bit flipped': flip,
  'a sector zero': (file, page, random) => {
    const at = page * PAGE + Math.floor(random() * 8) * 512;
    return file.fill(0, at, at + 512);
  },
  'a page garbled': (file, page, random) => {
    for (let at = page * PAGE; at < (page + 1) * PAGE; at += 1) file[at] = Math.floor(random() * 256);
    return file;
  },
  'a page from elsewhere': (file, page, random) => {
    const from = Math.floor(random() * (file.length / PAGE)) * PAGE;
    file.copyWithin(page * PAGE, from, from + PAGE);
    return file;
  },
  'cut off there': (file, page) => file.subarray(0, page * PAGE),
  'cut off in the middle of it': (file, page, random) =>
    file.subarray(0, page * PAGE + Math.floor(random() * PAGE)),
};

/** As somebody with a hand on the file would. */
const BY_HAND: Readonly<Record<string, string>> = {
  'a body changed': `UPDATE events SET body = replace(body, 'text', 'tExt') WHERE tree_size = 9`,
  'a record changed': `UPDATE events SET record = replace(record, 'performed', 'observed') WHERE tree_size = 9`,
  'a leaf changed': 'UPDATE events SET leaf = zeroblob(32) WHERE tree_size = 9',
  'an event of another type': `UPDATE events SET type = 'Other' WHERE tree_size = 9`,
  'an event of another stream': `UPDATE events SET stream = 'probe-00000000-0000-0000-0000-000000000001' WHERE tree_size = 9`,
  'two events with their places swapped': `UPDATE events SET tree_size = 1000 WHERE tree_size = 5;
    UPDATE events SET tree_size = 5 WHERE tree_size = 9; UPDATE events SET tree_size = 9 WHERE tree_size = 1000`,
  'an event deleted': 'DELETE FROM events WHERE tree_size = 9',
  'the first event deleted': 'DELETE FROM events WHERE tree_size = 1',
  'a newer version': 'PRAGMA user_version=2',
  'somebody else’s file': 'PRAGMA application_id=1',
};

describe('a damaged file', () => {
  let base: string;
  let original: Buffer;
  let written: readonly string[];

  beforeAll(async () => {
    assertBuilt();
    base = mkdtempSync(join(scratch, 'keyturn-damage-'));
    const ended = await run(process.execPath, [WORKLOAD, join(base, 'data'), join(base, 'acks'), 'close']);
    expect(ended.code).toBe(0);
    original = readFileSync(join(base, 'data', LOG_FILE));
    written = readAcks(join(base, 'acks')).map(({ event }) => event);
    expect({ events: written.length, pages: original.length / PAGE }).toEqual({
      events: 24,
      pages: expect.any(Number),
    });
  });
  afterAll(() => {
    rmSync(base, { recursive: true, force: true });
  });

  const place = (content: Buffer): string => {
    const directory = mkdtempSync(join(base, 'case-'));
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, LOG_FILE), content);
    return directory;
  };

  /** How it was found; `harmless` where everything is there as it was; or what is wrong. */
  function judge(inspection: Inspection): 'refused' | 'scrubbed' | 'harmless' | { readonly wrong: string } {
    const { refused, findings, events } = inspection;
    if (refused !== undefined) {
      return ['log.corrupt', 'log.too-new'].includes(refused.code) ? 'refused' : { wrong: refused.message };
    }
    if (findings.length > 0) return 'scrubbed';
    const same = events.length === written.length && events.every((event, index) => event === written[index]);
    return same ? 'harmless' : { wrong: `${events.length} events, not those that were written` };
  }

  it('is refused, or found, or harmless, at each page', async () => {
    const pages = Array.from({ length: original.length / PAGE }, (_, page) => page);
    const all = Object.entries(EVERYWHERE).flatMap(([how, damage]) =>
      pages
        .filter((page) => page > 0 || !how.startsWith('cut off there'))
        .map((page) => ({ how, damage, page })),
    );
    const rounds = byDepth({ check: 2, slice: 6, full: 20 });
    const cases = Array.from({ length: rounds }, (_, round) => all.map((one) => ({ ...one, round }))).flat();
    const count = { refused: 0, scrubbed: 0, harmless: 0 };
    const wrong: string[] = [];
    await inLanes(cases, async ({ how, damage, page, round }, inspector) => {
      const random = seeded(SEED + page * 1000 + round * 100 + how.length);
      const directory = place(damage(Buffer.from(original), page, random));
      const found = judge(await inspector.inspect(directory));
      rmSync(directory, { recursive: true, force: true });
      if (typeof found === 'string') count[found] += 1;
      else wrong.push(`${how}, page ${page}, round ${round}: ${found.wrong}`);
    });
    console.log(
      `damaged log file: ${cases.length - wrong.length} of ${cases.length} (${count.refused} refused at start, ` +
        `${count.scrubbed} found by the scrub, ${count.harmless} harmless; seed ${SEED})`,
    );
    expect(wrong).toEqual([]);
    expect(count.scrubbed).toBeGreaterThan(0);
    expect(count.refused).toBeGreaterThan(cases.length / 4);
  }, 900_000);

  it('is found when somebody changed it by hand', async () => {
    const outcomes: Record<string, unknown> = {};
    await inLanes(Object.entries(BY_HAND), async ([how, sql], inspector) => {
      const directory = place(original);
      const db = openDatabase(join(directory, LOG_FILE));
      db.exec(`DROP TRIGGER events_are_not_changed; DROP TRIGGER events_are_not_deleted; ${sql};
        PRAGMA wal_checkpoint(TRUNCATE)`);
      db.close();
      const inspection = await inspector.inspect(directory);
      const found = judge(inspection);
      outcomes[how] =
        found === 'scrubbed' ? inspection.findings[0]?.treeSize : (inspection.refused?.code ?? found);
    });
    console.log(`log changed by hand: ${Object.keys(outcomes).length} of ${Object.keys(BY_HAND).length}`);
    expect(outcomes).toEqual({
      'a body changed': 9,
      'a record changed': 9,
      'a leaf changed': 9,
      'an event of another type': 9,
      'an event of another stream': 9,
      // The one that now stands before what it followed.
      'two events with their places swapped': 5,
      'an event deleted': 'log.corrupt',
      'the first event deleted': 'log.corrupt',
      'a newer version': 'log.too-new',
      'somebody else’s file': 'log.corrupt',
    });
  }, 120_000);

  it.each([
    ['no database', (path: string) => writeFileSync(path, 'no database at all '.repeat(1000))],
    ['empty', (path: string) => truncateSync(path, 0)],
    ['a picture of itself', (path: string) => writeFileSync(path, Buffer.from(readFileSync(path)).reverse())],
  ])('is refused when it is %s, and left as it is', async (_how, damage) => {
    const directory = place(original);
    damage(join(directory, LOG_FILE));
    const before = readFileSync(join(directory, LOG_FILE));
    await inLanes([directory], async (one, inspector) => {
      expect(await inspector.inspect(one)).toMatchObject({ refused: { code: 'log.corrupt' } });
    });
    expect(readFileSync(join(directory, LOG_FILE)).equals(before)).toBe(true);
  });

  it('goes red when an event that was changed is taken for what was written', async () => {
    const directory = place(original);
    copyFileSync(join(base, 'data', LOG_FILE), join(directory, LOG_FILE));
    await inLanes([directory], async (one, inspector) => {
      const inspection = await inspector.inspect(one);
      expect(judge(inspection)).toBe('harmless');
      const events = inspection.events.with(8, inspection.events[8]?.replace(/.$/, 'x') ?? '');
      expect(judge({ ...inspection, events })).toMatchObject({ wrong: expect.any(String) });
    });
  });
});
