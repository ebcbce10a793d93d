import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LOG_FILE } from '#eventlog/sqlite';
import { byDepth, DEPTH, SEED } from '#platform/testing';
import { assertBuilt, inLanes, problemOf, readAcks, seeded, WORKLOAD, type Ack } from './inspecting.js';
import { run } from './tracing.js';
import type { Inspection } from './child/inspector.js';

/** A WAL with 20 committed appends, damaged at each 512 bytes: what was committed before the damage is there, or it is refused. */
const STEP = 512;
const scratch = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

const DAMAGES: Readonly<Record<string, (wal: Buffer, at: number, random: () => number) => Buffer>> = {
  'cut off': (wal, at) => wal.subarray(0, at),
  'garbled to its end': (wal, at, random) => garbled(wal, at, wal.length, random),
  'one sector garbled': (wal, at, random) => garbled(wal, at, at + STEP, random),
  'one sector zero': (wal, at) => Buffer.from(wal).fill(0, at, Math.min(wal.length, at + STEP)),
  'one bit flipped': (wal, at, random) => {
    const damaged = Buffer.from(wal);
    const byte = Math.min(wal.length - 1, at + Math.floor(random() * STEP));
    damaged[byte] = (damaged[byte] ?? 0) ^ (1 << Math.floor(random() * 8));
    return damaged;
  },
};

function garbled(wal: Buffer, from: number, to: number, random: () => number): Buffer {
  const damaged = Buffer.from(wal);
  for (let at = from; at < Math.min(to, wal.length); at += 1) damaged[at] = Math.floor(random() * 256);
  return damaged;
}

interface Case {
  readonly how: string;
  readonly at: number;
}

describe('a torn WAL', () => {
  let base: string;
  let data: string;
  let acks: readonly Ack[];
  let wal: Buffer;

  beforeAll(async () => {
    assertBuilt();
    base = mkdtempSync(join(scratch, 'keyturn-torn-'));
    data = join(base, 'data');
    const ended = await run(process.execPath, [WORKLOAD, data, join(base, 'acks'), 'stay']);
    expect(ended.signal).toBe('SIGKILL');
    acks = readAcks(join(base, 'acks'));
    wal = readFileSync(`${join(data, LOG_FILE)}-wal`);
    expect(acks).toHaveLength(24);
    expect(wal.length).toBeGreaterThan(200_000);
  });
  afterAll(() => {
    rmSync(base, { recursive: true, force: true });
  });

  function casesOf(step: number): Case[] {
    const offsets = Array.from({ length: Math.ceil(wal.length / step) }, (_, index) => index * step);
    return Object.keys(DAMAGES).flatMap((how) => offsets.map((at) => ({ how, at })));
  }

  /** Damages a copy of the log and opens it. */
  async function outcome(
    { how, at }: Case,
    inspect: (directory: string) => Promise<Inspection>,
  ): Promise<Inspection> {
    const directory = mkdtempSync(join(base, 'case-'));
    mkdirSync(directory, { recursive: true });
    copyFileSync(join(data, LOG_FILE), join(directory, LOG_FILE));
    const damaged = DAMAGES[how]?.(wal, at, seeded(SEED + at)) ?? wal;
    writeFileSync(`${join(directory, LOG_FILE)}-wal`, damaged);
    try {
      return await inspect(directory);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }

  /** What is stored must be a first part of what was appended, not shorter than what was committed before the damage. */
  function judge(inspection: Inspection, at: number): string | undefined {
    if (inspection.refused?.code === 'log.corrupt') return undefined;
    const written = acks.map(({ event }) => event);
    const foreign = inspection.events.findIndex((event, index) => event !== written[index]);
    if (foreign !== -1) return `event ${foreign + 1} is not what was written there`;
    // The WAL's size was taken when the append was acknowledged: all of it lay below.
    const before = acks.filter(({ walBytes }) => walBytes <= at);
    return problemOf(inspection, before, acks.length);
  }

  it('opens with everything committed before the damage, or is refused; never with something else', async () => {
    const all = casesOf(STEP);
    const random = seeded(SEED);
    const cases =
      DEPTH === 'full' ? all : all.filter(() => random() < byDepth({ check: 1 / 12, slice: 1 / 4, full: 1 }));
    const wrong: string[] = [];
    await inLanes(cases, async (one, inspector) => {
      const problem = judge(await outcome(one, (directory) => inspector.inspect(directory)), one.at);
      if (problem !== undefined) wrong.push(`${one.how} at ${one.at}: ${problem}`);
    });
    const slice = DEPTH === 'full' ? 'all' : `seed ${SEED} of ${all.length}`;
    console.log(`torn WAL: ${cases.length - wrong.length} of ${cases.length} (${slice})`);
    expect(wrong).toEqual([]);
    expect(all.length).toBeGreaterThan(2000);
  }, 900_000);

  it('goes red when the damage is taken to lie further back than it does', async () => {
    await inLanes([{ how: 'cut off', at: Math.floor(wal.length / 2) }], async (one, inspector) => {
      const inspection = await outcome(one, (directory) => inspector.inspect(directory));
      expect(judge(inspection, one.at)).toBeUndefined();
      expect(judge(inspection, wal.length)).toContain('acknowledged and lost');
    });
  });
});
