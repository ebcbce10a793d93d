import { execFile, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createMasterKeyFile } from '#custody/local';
import { byDepth, DEPTH, inSlice, sliceText } from '#platform/testing';
import { SEAMS, STEP_BOUNDARIES, stepTable } from '#rotation';
import { difference, withoutAttempts } from '../support/comparable.js';
import { SCRIPTS } from '../support/scripts.js';
import type { Report } from './child/crash-child.js';

/**
 * The crash matrix (style: What counts as proved). Every scenario is played once without a death; the failpoints it
 * passes, each with its count, are its cases. For each case a child process is killed there, really (SIGKILL), and a
 * second child goes on from the disk. Then the history must equal the uninterrupted one after the listed rule, and the
 * back end's own ledger must hold the same effects, once each.
 */

const root = process.cwd();
const CHILD = join(root, 'dist/test/crash/child/crash-child.js');
const OWN_SCENARIOS = [
  'setup',
  'graceful',
  'rollback-requested',
  'rollback-approved',
  'rollback-generated',
  'rollback-accepting',
  'rollback-emitting',
  'rollback-draining',
  'emergency',
  'emergency-over-accepting',
  'emergency-over-draining',
  'contain',
  'lift',
  'destruction',
  'departure',
  'import',
];
/** Every other strategy: rows of one table that all proofs play (test/support/scripts.ts). */
const SCRIPTED = SCRIPTS.map((script) => script.name).filter((name) => !OWN_SCENARIOS.includes(name));
const SCENARIOS = [...OWN_SCENARIOS, ...SCRIPTED];
/** Beside the first case of every failpoint a run takes one of so many of the other ones: of a scenario's own, and of a script's. */
const ONE_OF = byDepth({
  check: { own: 10, script: 100 },
  slice: { own: 1, script: 5 },
  full: { own: 1, script: 1 },
});
/** A matrix that shrinks fails: raise it when scenarios, steps or seams are added. */
const COMMITTED_CASES = byDepth({ check: 90, slice: 320, full: 1_080 });
const LANES = 2;

interface Ended {
  readonly signal: string | null;
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function play(
  directory: string,
  scenario: string,
  failpoint = '',
  hit = 1,
  sabotage = 'none',
): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [CHILD, directory, scenario, failpoint, String(hit), sabotage],
      { cwd: root, timeout: 60_000, maxBuffer: 64 * 1024 * 1024 },
      (_error, stdout, stderr) => {
        resolve({ signal: child.signalCode, code: child.exitCode, stdout, stderr });
      },
    );
  });
}

/** Goes on with what a killed child left: one process for many directories, each opened as a new incarnation. */
class Resumer {
  readonly #child: ChildProcessWithoutNullStreams = spawn(process.execPath, [CHILD, '--serve'], {
    cwd: root,
  });
  readonly #waiting: ((line: string) => void)[] = [];

  constructor() {
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      this.#waiting.shift()?.(line);
    });
    this.#child.once('exit', () => {
      for (const waiting of this.#waiting.splice(0))
        waiting(JSON.stringify({ error: 'the resuming child ended' }));
    });
  }

  async play(
    directory: string,
    scenario: string,
    sabotage: string,
  ): Promise<{ report?: Report; error?: string }> {
    const answer = new Promise<string>((resolve) => {
      this.#waiting.push(resolve);
    });
    this.#child.stdin.write(`${JSON.stringify([directory, scenario, '', '1', sabotage])}\n`);
    return JSON.parse(await answer) as { report?: Report; error?: string };
  }

  stop(): void {
    this.#child.kill('SIGKILL');
  }
}

function reported(ended: Ended): Report {
  if (ended.code !== 0)
    throw new Error(`the child ended with ${ended.code ?? ended.signal}: ${ended.stderr}`);
  return JSON.parse(ended.stdout) as Report;
}

/** Histories are compared without attempts, instants and random ids; ids derived from the log are the same in every run. */
function comparable(report: Report): unknown {
  const streams = Object.entries(report.streams).map(
    ([stream, events]) => [stream, withoutAttempts(events)] as const,
  );
  return { streams: Object.fromEntries(streams), effects: report.effects, served: report.served.map(kids) };
}

function kids(served: unknown): unknown {
  if (typeof served !== 'object' || served === null || !('keys' in served) || !Array.isArray(served.keys))
    return served;
  const keys: readonly unknown[] = served.keys;
  return keys
    .map((key) => String(typeof key === 'object' && key !== null && 'kid' in key ? key.kid : key))
    .sort((left, right) => left.localeCompare(right));
}

interface Case {
  readonly scenario: string;
  readonly failpoint: string;
  readonly hit: number;
}

function casesOf(scenario: string, { passed, divergedAt }: Report): readonly Case[] {
  const counts = new Map<string, number>();
  const all = passed.map((failpoint) => {
    const hit = (counts.get(failpoint) ?? 0) + 1;
    counts.set(failpoint, hit);
    return { scenario, failpoint, hit };
  });
  // What came before a scenario left its way is another scenario's case; `test:full` takes it here too.
  const own = DEPTH === 'full' ? all : all.slice(divergedAt);
  // Every line of an import is the same seam: the first, the last and some between.
  return own.filter(
    ({ failpoint, hit }) =>
      DEPTH === 'full' || failpoint !== 'seam:import-line' || hit === 1 || hit % 7 === 0,
  );
}

async function inLanes<T>(
  items: readonly T[],
  work: (item: T, resumer: Resumer) => Promise<void>,
): Promise<void> {
  const waiting = [...items];
  const lane = async (): Promise<void> => {
    const resumer = new Resumer();
    try {
      for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await work(item, resumer);
    } finally {
      resumer.stop();
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

let base: string;
let empty: string;
let template: string;
/** Effects every scenario but the first ones begins with. */
let before = 0;

function fresh(scenario: string): string {
  const directory = mkdtempSync(join(base, 'case-'));
  cpSync(['setup', 'import'].includes(scenario) ? empty : template, directory, { recursive: true });
  return directory;
}

/** Kills at the case's failpoint, goes on, and says what was wrong; nothing where all is as it must be. */
async function prove(
  one: Case,
  expected: Report,
  resumer: Resumer,
  sabotage = 'none',
): Promise<string | undefined> {
  const directory = fresh(one.scenario);
  try {
    const killed = await play(directory, one.scenario, one.failpoint, one.hit, sabotage);
    if (killed.signal !== 'SIGKILL' || !killed.stderr.includes(`failpoint reached: ${one.failpoint}`)) {
      return `the child did not die there (${killed.code ?? killed.signal}): ${killed.stderr.slice(0, 400)}`;
    }
    const resumed = await resumer.play(directory, one.scenario, sabotage);
    if (resumed.report === undefined) return `it did not go on: ${resumed.error?.slice(0, 800) ?? ''}`;
    const actual = comparable(resumed.report);
    const wanted = comparable(expected);
    return difference(wanted, actual);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function sources(directory: string): readonly string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return sources(path);
    return entry.name.endsWith('.ts') && !entry.name.endsWith('.spec.ts') ? [path] : [];
  });
}

describe('the crash matrix', () => {
  const uninterrupted = new Map<string, Report>();
  let cases: readonly Case[] = [];

  beforeAll(async () => {
    const newest = Math.max(...sources(join(root, 'libs')).map((path) => statSync(path).mtimeMs));
    // tsc leaves files alone whose output would not change; the build's own stamp is what counts.
    if (statSync(join(root, 'dist/.tsbuildinfo')).mtimeMs < newest) {
      throw new Error('dist is older than its sources: run npm run build');
    }
    base = mkdtempSync(join(tmpdir(), 'keyturn-crash-'));
    empty = join(base, 'empty');
    template = join(base, 'template');
    for (const directory of [empty, template]) {
      cpSync(mkdtempSync(join(base, 'new-')), directory, { recursive: true });
    }
    createMasterKeyFile(join(empty, 'master.key'));
    createMasterKeyFile(join(template, 'master.key'));
    reported(await play(empty, 'empty-log'));
    before = reported(await play(template, 'template')).effects.length;
    await inLanes([...SCENARIOS], async (scenario) => {
      const directory = fresh(scenario);
      uninterrupted.set(scenario, reported(await play(directory, scenario)));
      rmSync(directory, { recursive: true, force: true });
    });
    const all = SCENARIOS.flatMap((scenario) => {
      const report = uninterrupted.get(scenario);
      return report === undefined ? [] : casesOf(scenario, report);
    });
    cases = all.filter(({ scenario, failpoint }, index) => {
      const first = all.findIndex((other) => other.failpoint === failpoint) === index;
      return first || inSlice(index, SCRIPTED.includes(scenario) ? ONE_OF.script : ONE_OF.own);
    });
  }, 600_000);

  afterAll(() => {
    rmSync(base, { recursive: true, force: true });
  });

  it('has a case for every boundary of every step, every seam, and every failpoint in the source', () => {
    const passed = new Set(cases.map((one) => one.failpoint));
    const wanted = [
      ...Object.keys(stepTable).flatMap((step) =>
        STEP_BOUNDARIES.map((boundary) => `step:${step}:${boundary}`),
      ),
      ...SEAMS,
    ];
    expect(wanted.filter((name) => !passed.has(name))).toEqual([]);
    const literals = sources(join(root, 'libs'))
      .concat(sources(join(root, 'apps')))
      .flatMap((path) => [...readFileSync(path, 'utf8').matchAll(/[^a-zA-Z]failpoint\('([^']+)'\)/g)])
      .map((match) => match[1] ?? '')
      // A change of the master key has a matrix of its own: libs/custody/src/local/rekey.crash.spec.ts.
      .filter((name) => !name.startsWith('rekey:'));
    expect(literals.length).toBeGreaterThan(10);
    // The hook's are proved beside it, against a receiver (libs/notify/src/hook.crash.spec.ts).
    expect(literals.filter((name) => !name.startsWith('hook:') && !passed.has(name))).toEqual([]);
    expect(cases.length).toBeGreaterThanOrEqual(COMMITTED_CASES);
  });

  it('performs at least one effect in every scenario that acts', () => {
    for (const scenario of SCENARIOS) {
      const effects = uninterrupted.get(scenario)?.effects.length ?? 0;
      const still = ['setup', 'import', 'departure', 'rollback-requested', 'rollback-approved'].includes(
        scenario,
      );
      const had = ['setup', 'import'].includes(scenario) ? 0 : before;
      expect({ scenario, acts: effects > had }).toEqual({ scenario, acts: !still });
    }
  });

  it('goes on from a death anywhere: same history, every effect once in the back end’s ledger', async () => {
    const wrong: string[] = [];
    let proved = 0;
    const began = Date.now();
    await inLanes(cases, async (one, resumer) => {
      const expected = uninterrupted.get(one.scenario);
      const problem = expected === undefined ? 'no uninterrupted run' : await prove(one, expected, resumer);
      if (problem === undefined) proved += 1;
      else wrong.push(`${one.scenario} × ${one.failpoint} (${one.hit}): ${problem}`);
    });
    const slice = sliceText(
      `each failpoint, of the other cases one of ${ONE_OF.own}, of the scripts’ one of ${ONE_OF.script}`,
    );
    const seconds = (Date.now() - began) / 1_000;
    console.log(
      `crash matrix: ${proved} of ${cases.length}${slice}, ${(cases.length / seconds).toFixed(1)} cases a second`,
    );
    expect(wrong).toEqual([]);
    expect(proved).toBe(cases.length);
  }, 3_600_000);

  it('goes red when a takeover does not observe', async () => {
    const expected = uninterrupted.get('graceful');
    const one = cases.find(
      (each) => each.scenario === 'graceful' && each.failpoint === 'step:generate:after-effect',
    );
    if (expected === undefined || one === undefined) throw new Error('the case is missing');
    await inLanes([one], async (each, resumer) => {
      expect(await prove(each, expected, resumer, 'no-observing')).toBeDefined();
    });
  }, 60_000);

  it('goes red when an effect is performed twice', async () => {
    const expected = uninterrupted.get('graceful');
    const one = cases.find(
      (each) => each.scenario === 'graceful' && each.failpoint === 'step:emit:after-outcome',
    );
    if (expected === undefined || one === undefined) throw new Error('the case is missing');
    await inLanes([one], async (each, resumer) => {
      expect(await prove(each, expected, resumer, 'double-effect')).toBeDefined();
    });
  }, 60_000);
});
