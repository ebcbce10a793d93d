import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LOG_FILE } from '#eventlog/sqlite';
import { byDepth, haveRealPart, SEED } from '#platform/testing';
import { Disk } from './disk.js';
import {
  assertBuilt,
  inLanes,
  parseAcks,
  problemOf,
  readAcks,
  seeded,
  WORKLOAD,
  type Ack,
  type Inspector,
} from './inspecting.js';
import { CHANGING, filesOf, readTrace, run, straceArguments, type Call } from './tracing.js';

/**
 * The power goes: of what was written only what was synced is sure to be there. The calls of one run, with their bytes, are
 * replayed on a model of a disk; after each of them the disk is looked at as it could be found, and opened.
 */
const IMAGES = byDepth({ check: 1, slice: 3, full: 12 });
const CASES = 800;

const traced = haveRealPart('strace', CASES);
// Syncing what is thrown away a moment later is no part of the proof.
const scratch = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

(traced ? describe : describe.skip)('the power goes after any call', () => {
  let base: string;
  let images: string;

  beforeAll(() => {
    assertBuilt();
    base = mkdtempSync(join(tmpdir(), 'keyturn-power-'));
    images = mkdtempSync(join(scratch, 'keyturn-power-'));
  });
  afterAll(() => {
    for (const directory of [base, images]) rmSync(directory, { recursive: true, force: true });
  });

  interface Trace {
    readonly directory: string;
    readonly acksFile: string;
    readonly calls: readonly Call[];
  }

  async function traceOf(name: string, mode: string, from?: string): Promise<Trace> {
    const place = join(base, name);
    mkdirSync(place);
    const [directory, acksFile, output] = ['data', 'acks', 'trace'].map((each) => join(place, each));
    if (directory === undefined || acksFile === undefined || output === undefined) throw new Error('a path');
    if (from === undefined) mkdirSync(directory);
    else cpSync(from, directory, { recursive: true });
    const paths = [...filesOf(directory), acksFile];
    const args = straceArguments({ paths, output, calls: [...CHANGING, 'openat'], data: true });
    const ended = await run('strace', [...args, process.execPath, WORKLOAD, directory, acksFile, mode]);
    expect(ended).toMatchObject({ code: 0 });
    // What is in memory only, shared between processes, is no part of a disk.
    const calls = readTrace(output).filter((call) => !call.path.endsWith('-shm'));
    return { directory, acksFile, calls };
  }

  interface Image {
    readonly after: number;
    readonly directory: string;
    readonly acks: readonly Ack[];
    readonly acknowledged: boolean;
  }

  /** Writes images after every call, one batch at a time, and tells what was wrong with each. */
  async function problems(
    { directory, acksFile, calls }: Trace,
    options: {
      readonly disk?: Disk;
      readonly count: number;
      readonly earlier?: readonly Ack[];
      readonly unacknowledged?: number;
    },
  ): Promise<{ readonly images: number; readonly wrong: readonly string[] }> {
    const { disk = new Disk(directory), earlier = [], unacknowledged, count } = options;
    const random = seeded(SEED);
    const wrong: string[] = [];
    let text = '';
    let made = 0;
    let batch: Image[] = [];
    const check = async (image: Image, inspector: Inspector): Promise<void> => {
      const inspection = await inspector.inspect(image.directory);
      rmSync(image.directory, { recursive: true, force: true });
      const demanded = image.acknowledged ? [...earlier, ...image.acks] : image.acks;
      const spare = image.acknowledged ? unacknowledged : (unacknowledged ?? 5) + earlier.length;
      const problem = problemOf(inspection, demanded, spare);
      if (problem !== undefined) wrong.push(`after call ${image.after}: ${problem}`);
    };
    for (const [index, call] of calls.entries()) {
      if (call.path === acksFile) {
        if (call.name === 'write') text += call.data.toString();
        continue;
      }
      disk.apply(call);
      const acks = parseAcks(text);
      for (let each = 0; each < count; each += 1) {
        const image = join(images, `image-${(made += 1)}`);
        disk.writeImage(image, random);
        batch.push({ after: index, directory: image, acks, acknowledged: acks.length > 0 });
      }
      if (batch.length >= 400) {
        await inLanes(batch, check);
        batch = [];
      }
    }
    await inLanes(batch, check);
    return { images: made, wrong };
  }

  it('keeps every acknowledged append', async () => {
    const trace = await traceOf('fresh', 'close');
    expect(readAcks(trace.acksFile)).toHaveLength(24);
    const { images: made, wrong } = await problems(trace, { count: IMAGES });
    console.log(
      `power lost after every call: ${made - wrong.length} of ${made} images (seed ${SEED}, ${IMAGES} each)`,
    );
    expect(wrong).toEqual([]);
    expect(made).toBeGreaterThanOrEqual(170 * IMAGES);
  }, 600_000);

  it('syncs the WAL once for each transaction', async () => {
    const { calls, acksFile, directory } = await traceOf('synced', 'close');
    const wal = `${join(directory, LOG_FILE)}-wal`;
    const syncs = [0];
    for (const call of calls) {
      if (call.path === acksFile && call.name === 'write') syncs.push(0);
      if (call.path === wal && call.name === 'sync') syncs.push((syncs.pop() ?? 0) + 1);
    }
    // The first also syncs the WAL's header; four appends in one transaction are told of in four calls; closing checkpoints.
    expect(syncs.slice(0, 20)).toEqual([2, ...Array.from({ length: 16 }, () => 1), 0, 0, 0]);
  });

  /** A start over a WAL that can be read and is not on the disk, as a failed fsync leaves it. */
  async function afterFailedSync(rewrites: boolean): Promise<{ images: number; wrong: readonly string[] }> {
    const name = rewrites ? 'rewritten' : 'believed';
    const before = join(base, `${name}-before`);
    mkdirSync(before);
    const data = join(before, 'data');
    await run(process.execPath, [WORKLOAD, data, join(before, 'acks'), 'stay']);
    const trace = await traceOf(name, 'close', data);
    const disk = new Disk(trace.directory);
    for (const file of readdirSync(data).filter((each) => !each.endsWith('-shm'))) {
      const content = readFileSync(join(data, file));
      disk.place(file, content, file.endsWith('-wal') ? Buffer.alloc(content.length) : content);
    }
    const wal = `${join(trace.directory, LOG_FILE)}-wal`;
    const truncated = trace.calls.findIndex((call) => call.name === 'truncate' && call.path === wal);
    const calls = trace.calls.filter(
      (call, index) => rewrites || index > truncated || call.path !== wal || call.name !== 'write',
    );
    expect(calls.length).toBe(trace.calls.length - (rewrites ? 0 : 1));
    const earlier = readAcks(join(before, 'acks'));
    // The start, and the first appends after it; what comes then is the other proof's.
    const start = calls.slice(0, truncated + 40);
    return problems({ ...trace, calls: start }, { disk, count: IMAGES * 3, earlier });
  }

  it('a start makes durable what a failed fsync left readable, before it rests on it', async () => {
    const { images: made, wrong } = await afterFailedSync(true);
    console.log(`power lost in a start after a failed fsync: ${made - wrong.length} of ${made} images`);
    expect(wrong).toEqual([]);
  }, 600_000);

  it('goes red when a start believes what it can read', async () => {
    const { wrong } = await afterFailedSync(false);
    expect(wrong.length).toBeGreaterThan(0);
  }, 600_000);

  it('goes red without fsync', async () => {
    const trace = await traceOf('no-sync', 'no-sync');
    const acknowledged = trace.calls.findIndex(
      (call) => call.name === 'write' && call.path === trace.acksFile,
    );
    const some = { ...trace, calls: trace.calls.slice(0, acknowledged + 60) };
    const { wrong } = await problems(some, { count: 1 });
    expect(wrong).toContainEqual(expect.stringContaining('acknowledged and lost'));
  }, 600_000);
});
