import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Inspection } from './child/inspector.js';

const root = process.cwd();
export const WORKLOAD = join(root, 'dist/test/durability/child/workload.js');
const INSPECTOR = join(root, 'dist/test/durability/child/inspector.js');

/** A build that is older than its sources proves something else. */
export function assertBuilt(): void {
  const newest = ['libs', 'test/durability/child'].flatMap(sources).map((path) => statSync(path).mtimeMs);
  if (statSync(join(root, 'dist/.tsbuildinfo')).mtimeMs < Math.max(...newest)) {
    throw new Error('dist is older than its sources: run npm run build');
  }
}

function sources(directory: string): readonly string[] {
  return readdirSync(join(root, directory), { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return sources(path);
    return entry.name.endsWith('.ts') && !entry.name.endsWith('.spec.ts') ? [join(root, path)] : [];
  });
}

/** Opens one log after the other in a process of its own, as a new start would. */
export class Inspector {
  readonly #child: ChildProcessWithoutNullStreams = spawn(process.execPath, ['--expose-gc', INSPECTOR]);
  readonly #waiting: ((line: string | Error) => void)[] = [];
  #stderr = '';

  constructor() {
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#waiting.shift()?.(line));
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    this.#child.once('close', () => {
      for (const waiting of this.#waiting.splice(0)) waiting(new Error(`inspector ended: ${this.#stderr}`));
    });
  }

  async inspect(directory: string): Promise<Inspection> {
    const answer = new Promise<string>((resolve, reject) => {
      this.#waiting.push((line) => {
        if (typeof line === 'string') resolve(line);
        else reject(line);
      });
    });
    this.#child.stdin.write(`${directory}\n`);
    const inspection: Inspection = JSON.parse(await answer);
    return inspection;
  }

  stop(): void {
    this.#child.kill('SIGKILL');
  }
}

/** Two at a time, each with an inspector of its own. */
export async function inLanes<T>(
  items: readonly T[],
  work: (item: T, inspector: Inspector) => Promise<void>,
): Promise<void> {
  const waiting = [...items];
  const lane = async (): Promise<void> => {
    const inspector = new Inspector();
    try {
      for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) {
        await work(item, inspector);
      }
    } finally {
      inspector.stop();
    }
  };
  await Promise.all([lane(), lane()]);
}

/** One acknowledged event of the workload. */
export interface Ack {
  readonly append: number;
  /** As an inspection names it. */
  readonly event: string;
  /** Bytes the WAL had when it was acknowledged. */
  readonly walBytes: number;
}

export function readAcks(file: string): Ack[] {
  return existsSync(file) ? parseAcks(readFileSync(file, 'utf8')) : [];
}

/** Whole lines only. */
export function parseAcks(text: string): Ack[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const [append, treeSize, stream, revision, id, leaf, walBytes] = line.split(' ');
      return {
        append: Number(append),
        event: [treeSize, stream, revision, id, leaf].join(' '),
        walBytes: Number(walBytes),
      };
    });
}

/** The most events one transaction of the workload holds: its last one, of four appends, one of them of two events. */
const LARGEST_TRANSACTION = 5;

/**
 * What is wrong with a log after a death: nothing acknowledged may be missing, nothing else there but the transaction that
 * was under way, everything in a total order without a gap and what its hashes say, and it goes on.
 */
export function problemOf(
  inspection: Inspection,
  acks: readonly Ack[],
  unacknowledged = LARGEST_TRANSACTION,
): string | undefined {
  if (inspection.refused !== undefined) return `refused: ${inspection.refused.message}`;
  if (inspection.integrityCheck !== 'ok') return `integrity_check: ${inspection.integrityCheck}`;
  const [first] = inspection.findings;
  if (first !== undefined) return `at ${first.treeSize}: ${first.what}`;
  const stored = new Set(inspection.events);
  const lost = acks.find(({ event }) => !stored.has(event));
  if (lost !== undefined) return `acknowledged and lost: ${lost.event}`;
  const extra = inspection.events.length - acks.length;
  if (extra > unacknowledged) return `${extra} events were stored that nobody was told of`;
  const gap = inspection.events.findIndex((event, index) => !event.startsWith(`${index + 1} `));
  if (gap !== -1) return `no event has tree size ${gap + 1}`;
  return inspection.goesOn ? undefined : 'it does not go on';
}

/** A generator that a seed reproduces (mulberry32), 0 ≤ x < 1. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
