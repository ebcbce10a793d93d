import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { byDepth, DEPTH, haveRealPart, SEED } from '#platform/testing';
import { assertBuilt, inLanes, problemOf, readAcks, seeded, WORKLOAD, type Inspector } from './inspecting.js';
import { countCalls, filesOf, run, straceArguments } from './tracing.js';

/**
 * A child that appends is killed by SIGKILL at the entry of every call that changes the log's files or tells an
 * acknowledgement: so before it takes effect, and after everything before it has. The calls are counted in a run that is
 * not killed. What follows a call is the entry of the next; what follows the last, the run to its end.
 */
const SCENARIOS = [
  /** No file yet: lock, schema and WAL are made, 20 appends, the checkpoint of an orderly end. */
  'fresh',
  /** The WAL of a process that was killed: written anew and checkpointed at start, then the same. */
  'killed-before',
] as const;
/** A matrix that shrinks fails. */
const COMMITTED_CASES = 400;
/** How much of the calls beside the check's. */
const MORE = byDepth({ check: 0.6, slice: 3, full: 16 });
const RANDOM_INSTANTS = 60;
const NOT_REACHED = 'it did not die there';

interface Case {
  readonly scenario: (typeof SCENARIOS)[number];
  /** The call and its how-manieth; or how long after the start, where no call can be caught. */
  readonly at: { readonly call: string; readonly hit: number } | { readonly afterMs: number };
}

const traced = haveRealPart('strace', COMMITTED_CASES);

describe('killed at every call on the log’s files', () => {
  let base: string;
  let all: readonly Case[];

  beforeAll(async () => {
    assertBuilt();
    base = mkdtempSync(join(tmpdir(), 'keyturn-kill-'));
    const template = join(base, 'template');
    mkdirSync(template);
    await run(process.execPath, [WORKLOAD, join(template, 'data'), join(template, 'acks'), 'stay']);
    expect(readAcks(join(template, 'acks'))).toHaveLength(EVENTS);
    const counted = traced ? await Promise.all(SCENARIOS.map(countOf)) : SCENARIOS.map(instantsOf);
    all = counted.flat();
  });
  afterAll(() => {
    rmSync(base, { recursive: true, force: true });
  });

  /** 20 appends, four of them of two events. */
  const EVENTS = 24;

  function place(scenario: Case['scenario']): string {
    const directory = mkdtempSync(join(base, 'case-'));
    if (scenario === 'killed-before') cpSync(join(base, 'template'), directory, { recursive: true });
    else mkdirSync(join(directory, 'data'));
    return directory;
  }

  function command(directory: string, inject?: string, mode = 'close'): [string, string[]] {
    const [data, acks] = [join(directory, 'data'), join(directory, 'acks')];
    const child = ['--expose-gc', WORKLOAD, data, acks, mode];
    if (!traced) return [process.execPath, child];
    const output = join(directory, 'trace');
    const paths = [...filesOf(data), acks];
    const options = { paths, output, ...(inject === undefined ? {} : { inject }) };
    return ['strace', [...straceArguments(options), process.execPath, ...child]];
  }

  async function countOf(scenario: Case['scenario']): Promise<Case[]> {
    const directory = place(scenario);
    const ended = await run(...command(directory));
    expect(ended).toMatchObject({ code: 0, signal: null });
    const counts = countCalls(join(directory, 'trace'));
    expect([...counts.keys()].sort()).toEqual(
      expect.arrayContaining(['fsync', 'ftruncate', 'pwrite64', 'unlink', 'write']),
    );
    return [...counts].flatMap(([call, count]) =>
      Array.from({ length: count }, (_, index) => ({ scenario, at: { call, hit: index + 1 } })),
    );
  }

  function instantsOf(scenario: Case['scenario']): Case[] {
    const random = seeded(SEED);
    return Array.from({ length: RANDOM_INSTANTS / SCENARIOS.length }, () => ({
      scenario,
      at: { afterMs: 150 + random() * 350 },
    }));
  }

  /** Nothing where all is as it must be. */
  async function prove(
    { scenario, at }: Case,
    inspector: Inspector,
    mode?: string,
  ): Promise<string | undefined> {
    const directory = place(scenario);
    try {
      if ('call' in at) {
        const inject = `${at.call}:signal=KILL:when=${at.hit}`;
        const ended = await run(...command(directory, inject, mode));
        if (ended.signal !== 'SIGKILL')
          return `${NOT_REACHED}: ${ended.code ?? ended.signal} ${ended.stderr}`;
      } else {
        const child = spawn(...command(directory, undefined, mode), { stdio: 'ignore' });
        await Promise.race([delay(at.afterMs), once(child, 'exit')]);
        child.kill('SIGKILL');
        if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      }
      const acks = readAcks(join(directory, 'acks'));
      return problemOf(await inspector.inspect(join(directory, 'data')), acks);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }

  const nameOf = ({ scenario, at }: Case): string =>
    `${scenario} × ${'call' in at ? `${at.call} ${at.hit}` : `${at.afterMs.toFixed(0)} ms`}`;

  it('has a case for every call', () => {
    expect(all.length).toBeGreaterThanOrEqual(traced ? COMMITTED_CASES : RANDOM_INSTANTS);
  });

  it('loses nothing acknowledged, and goes on from a sound file', async () => {
    const random = seeded(SEED);
    // In the check a seeded slice, with fewer of pwrite64, which is most of them; `npm run test:full` takes all.
    const cases = all.filter(
      ({ at, scenario }) =>
        DEPTH === 'full' ||
        !('call' in at) ||
        random() < MORE * (at.call === 'pwrite64' ? 1 / 16 : scenario === 'fresh' ? 3 / 4 : 1 / 4),
    );
    const wrong: string[] = [];
    await inLanes(cases, async (one, inspector) => {
      let problem = await prove(one, inspector);
      // When a closed connection is collected decides on a call more or less at the very end: not reached is tried again.
      for (let again = 0; again < 2 && problem?.startsWith(NOT_REACHED) === true; again += 1) {
        problem = await prove(one, inspector);
      }
      if (problem !== undefined) wrong.push(`${nameOf(one)}: ${problem}`);
    });
    const slice = DEPTH === 'full' ? 'all' : `seed ${SEED} of ${all.length}`;
    const how = traced ? 'at every call' : 'at random instants, since calls cannot be traced here';
    console.log(`log killed ${how}: ${cases.length - wrong.length} of ${cases.length} (${slice})`);
    expect(wrong).toEqual([]);
  }, 900_000);

  it('goes red when an append is acknowledged before it is stored', async () => {
    const problems: (string | undefined)[] = [];
    const last = traced ? all.filter((one) => 'call' in one.at && one.at.call === 'fsync') : all.slice(0, 6);
    await inLanes(last.slice(12, 18), async (one, inspector) => {
      problems.push(await prove({ ...one, scenario: 'fresh' }, inspector, 'ack-first'));
    });
    expect(problems).toContainEqual(expect.stringContaining('acknowledged and lost'));
  }, 60_000);
});
