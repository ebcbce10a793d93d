import { execFile, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import { createMasterKeyFile } from '#custody/local';
import { byDepth, haveRealPart, inSlice, sliceText } from '#platform/testing';
import { STEP_BOUNDARIES } from '#rotation';
import { ChaosProxy, type Passed, type Trouble } from '../../libs/custody/src/testing/chaos-proxy.js';
import { OpenBao } from '../../libs/custody/src/testing/openbao.js';
import type { Report } from '../crash/child/crash-child.js';
import { difference, withoutAttempts } from '../support/comparable.js';
import {
  documentOf,
  objectOf,
  serverFacts,
  VAULT_ENGINES,
  vaultGround,
  vaultSettings,
  type ServerFacts,
  type VaultEngineName,
  type VaultGround,
} from '../support/vault-custody.js';

/**
 * Keyturn killed (SIGKILL) in front of a real server: at every boundary of every step, and at every request that changes something there,
 * before the server has it and after it took effect. The child is that of test/crash, with the family's key on the server; a second one
 * goes on. The history must be the uninterrupted one but for attempts, and the server's own metadata must show every effect once, or a
 * version more that is on record and in nobody's use.
 */

jest.setTimeout(byDepth({ check: 600_000, slice: 1_800_000, full: 7_200_000 }));

const root = process.cwd();
const CHILD = join(root, 'dist/test/crash/child/crash-child.js');
const SCENARIOS = [
  'graceful',
  'rollback-accepting',
  'rollback-emitting',
  'rollback-draining',
  'rollback-revoked',
  'emergency',
  'emergency-over-draining',
  'contain',
  'lift',
];
/** What the check plays, of each engine. */
const CHECKED: Readonly<Record<VaultEngineName, readonly string[]>> = {
  transit: ['graceful'],
  kv: ['rollback-draining'],
};
const ONE_OF = byDepth({ check: 29, slice: 8, full: 1 });
const COMMITTED_CASES = byDepth({ check: 4, slice: 90, full: 800 });

const real = haveRealPart('openbao', COMMITTED_CASES);

interface Ended {
  readonly signal: string | null;
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Where one child dies: at a failpoint, or with a request on its way. */
type Death =
  | { readonly at: 'failpoint'; readonly name: string; readonly hit: number }
  | { readonly at: 'request'; readonly number: number; readonly when: 'before' | 'after' };

interface Whole {
  readonly report: Report;
  readonly facts: ServerFacts;
  /** How many requests changed something. */
  readonly changes: number;
  readonly told: unknown;
}

(real ? describe : describe.skip)('Keyturn killed in front of a real server', () => {
  let base: string;
  let empty: string;
  let file: string;
  let bao: OpenBao;
  let proxy: ChaosProxy;
  let ground: VaultGround;
  let child: ChildProcess | undefined;
  let proved = 0;
  let all = 0;
  const boundaries = new Set<string>();

  beforeAll(async () => {
    bao = await OpenBao.start();
    proxy = await ChaosProxy.start(bao.address);
    ground = await vaultGround(bao);
    base = mkdtempSync(join(tmpdir(), 'keyturn-vault-crash-'));
    file = join(base, 'back-ends.yaml');
    const { servers, backEnds } = vaultSettings(ground, proxy.address);
    // JSON is YAML.
    const named = servers.map(({ name, ...server }) => [name, { ...server, address: server.address.origin }]);
    writeFileSync(file, JSON.stringify({ servers: Object.fromEntries(named), backEnds }));
    empty = join(base, 'empty');
    cpSync(mkdtempSync(join(base, 'new-')), empty, { recursive: true });
    createMasterKeyFile(join(empty, 'master.key'));
    const made = await run([empty, 'empty-log']);
    if (made.code !== 0) throw new Error(made.stderr);
  });
  afterAll(async () => {
    await proxy.close();
    ground.driver.close();
    await bao.stop();
    rmSync(base, { recursive: true, force: true });
  });

  function run(given: readonly string[]): Promise<Ended> {
    return new Promise((resolve) => {
      const started = execFile(
        process.execPath,
        [CHILD, ...given],
        { cwd: root, timeout: 120_000, maxBuffer: 64 * 1024 * 1024 },
        (_error, stdout, stderr) => {
          resolve({ signal: started.signalCode, code: started.exitCode, stdout, stderr });
        },
      );
      child = started;
    });
  }

  const changes = ({ method, path }: Passed): boolean =>
    method !== 'GET' &&
    [ground.transit, ground.kv, ground.documents].some((mount) => path.startsWith(`/v1/${mount}/`)) &&
    !/\/(?:sign|verify)\//.test(path);

  async function wholeOf(stdout: string, object: string): Promise<Whole> {
    const report: Report = JSON.parse(stdout);
    const document = await documentOf(ground, object);
    // A claim is named by its object, and each case has its own.
    const told = Object.entries(report.streams).filter(([stream]) => !stream.startsWith('claim-'));
    const streams = told.map(([stream, events]) => [
      stream,
      // When something was done is another time after a death; that it was, and by whom, is not.
      withoutAttempts(events.map(({ type, provenance }) => ({ type, provenance, data: null }))),
    ]);
    return {
      report,
      facts: await serverFacts(ground, object),
      changes: proxy.passed.filter(changes).length,
      told: {
        streams: Object.fromEntries(streams),
        served: report.served,
        effects: document.ledger.map(({ effect }) => effect).sort(),
        pending: document.pending?.effect ?? null,
        versions: document.versions
          .filter(({ versionId }) => !/^\d+$/.test(versionId))
          .map(({ versionId, accepted, emittingShare }) => ({ versionId, accepted, emittingShare })),
      },
    };
  }

  async function uninterrupted(engine: VaultEngineName, scenario: string): Promise<Whole> {
    const [directory, object] = fresh(engine);
    proxy.forget();
    const ended = await run([directory, scenario, '', '1', 'none', file, object]);
    if (ended.code !== 0) throw new Error(`${scenario}: ${ended.stderr.slice(0, 900)}`);
    return wholeOf(ended.stdout, object);
  }

  function fresh(engine: VaultEngineName): readonly [directory: string, object: string] {
    const directory = mkdtempSync(join(base, 'case-'));
    cpSync(empty, directory, { recursive: true });
    return [directory, objectOf(ground, engine, randomUUID())];
  }

  async function prove(
    engine: VaultEngineName,
    scenario: string,
    death: Death,
    wanted: Whole,
    sabotage = 'none',
  ): Promise<string | undefined> {
    const [directory, object] = fresh(engine);
    proxy.forget();
    const kill = async (): Promise<void> => {
      child?.kill('SIGKILL');
      await new Promise((done) => child?.once('exit', done));
    };
    if (death.at === 'request') {
      const dies: Trouble =
        death.when === 'before' ? { before: kill, instead: 'cut' } : { after: kill, answer: 'cut' };
      proxy.plan(dies, changes, death.number);
    }
    const [name, hit] = death.at === 'failpoint' ? [death.name, String(death.hit)] : ['', '1'];
    const killed = await run([directory, scenario, name, hit, sabotage, file, object]);
    if (killed.signal !== 'SIGKILL') return `the child did not die there: ${killed.stderr.slice(0, 400)}`;
    await proxy.settled();
    const resumed = await run([directory, scenario, '', '1', sabotage, file, object]);
    if (resumed.code !== 0) return `it did not go on: ${resumed.stderr.slice(0, 900)}`;
    const { told, facts } = await wholeOf(resumed.stdout, object);
    rmSync(directory, { recursive: true, force: true });
    const { versions } = await documentOf(ground, object);
    const surplus = versions.filter(({ versionId }) => /^\d+$/.test(versionId));
    const used = surplus.filter(({ accepted, emittingShare }) => accepted || emittingShare > 0);
    if (used.length > 0) return `surplus version ${used[0]?.versionId ?? ''} is in use`;
    if (facts.made !== wanted.facts.made + surplus.length)
      return `${facts.made} versions were made; ${wanted.facts.made} without a death, ${surplus.length} surplus`;
    if (facts.written !== wanted.facts.written)
      return `the secret was written ${facts.written} times, not ${wanted.facts.written}`;
    if (surplus.length === 0 && facts.minDecryption !== wanted.facts.minDecryption)
      return `it refuses what is older than ${facts.minDecryption}, not ${wanted.facts.minDecryption}`;
    return difference(wanted.told, told);
  }

  function deathsOf({ report, changes: count }: Whole): readonly Death[] {
    const counts = new Map<string, number>();
    const failpoints = report.passed.map((name): Death => {
      const hit = (counts.get(name) ?? 0) + 1;
      counts.set(name, hit);
      return { at: 'failpoint', name, hit };
    });
    const requests = Array.from({ length: count }, (_, number) =>
      (['before', 'after'] as const).map((when): Death => ({ at: 'request', number, when })),
    );
    return [...failpoints, ...requests.flat()];
  }

  const rows = VAULT_ENGINES.flatMap((engine) =>
    byDepth({ check: CHECKED[engine], slice: SCENARIOS, full: SCENARIOS }).map((scenario) => ({
      engine,
      scenario,
    })),
  );

  it.each(rows)('$engine, $scenario: goes on from a death anywhere', async ({ engine, scenario }) => {
    const wanted = await uninterrupted(engine, scenario);
    const wrong: string[] = [];
    for (const [index, death] of deathsOf(wanted).entries()) {
      if (!inSlice(index, ONE_OF)) continue;
      all += 1;
      const problem = await prove(engine, scenario, death, wanted).catch(String);
      if (death.at === 'failpoint') boundaries.add(death.name);
      if (problem === undefined) proved += 1;
      else wrong.push(`${JSON.stringify(death)}: ${problem}`);
    }
    expect(wrong).toEqual([]);
  });

  it('takes as many as were committed, and in the whole product every boundary', () => {
    process.stdout.write(
      `Keyturn killed before a real server: ${proved} of ${all}${sliceText(`one death of ${ONE_OF}`)}\n`,
    );
    expect(proved).toBe(all);
    expect(all).toBeGreaterThanOrEqual(COMMITTED_CASES);
    const steps = ['generate', 'accept', 'emit', 'revoke', 'verify'];
    const all20 = steps.flatMap((step) => STEP_BOUNDARIES.map((boundary) => `step:${step}:${boundary}`));
    const missing = all20.filter((name) => !boundaries.has(name));
    expect(missing).toEqual(byDepth({ check: missing, slice: missing, full: [] }));
  });

  it('goes red when a takeover does not observe', async () => {
    const wanted = await uninterrupted('transit', 'graceful');
    const death: Death = { at: 'failpoint', name: 'step:generate:after-effect', hit: 1 };
    expect(await prove('transit', 'graceful', death, wanted, 'no-observing')).toMatch(
      /did not go on|versions were made|streams\/rotation/,
    );
  });
});
