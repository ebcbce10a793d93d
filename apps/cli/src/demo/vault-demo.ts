import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadConfig } from '#platform';
import { shellWord, type FamilyView, type PolicyView, type RotationViewJson } from '#rotation';
import type { Surroundings } from '../surroundings.js';
import type { Column } from '../table.js';
import { saveToken } from '../token-file.js';
import { sinceStart } from '../words.js';
import { DemoClient } from './demo-client.js';
import { exampleFile } from './package-folder.js';
import { BaoServer, type AuditedRequest } from './vault/bao-server.js';
import type { Consumers, Negative, Shown } from './vault/consumers.js';
import { driveRotation, type TimelineEntry } from './vault/drive.js';
import { consumersOf, LANES, objectOf, type Lane, type Servers } from './vault/lanes.js';
import { DemoPage } from './vault/page.js';
import { getParts, type Parts } from './vault/parts.js';
import { readUsed, type Used } from './vault/pointer.js';
import { PostgresServer } from './vault/postgres-server.js';
import { PAIR, setUpDatabase, setUpVault } from './vault/set-up.js';

export interface VaultDemoOptions {
  /** End once everything was shown, instead of staying up. */
  readonly exit: boolean;
  readonly json: boolean;
  readonly directory?: string;
  readonly port?: number;
}

/** In which a rotation passes: what the bar counts. */
/** Of three engines, and the first versions of two. */
const DRIVEN = 5;
const PHASES: readonly string[] = [
  'requested',
  'approved',
  'generated',
  'accepting',
  'emitting',
  'draining',
  'revoked',
  'watching',
  'completed',
];
/** What was just declared is looked at within seconds. */
const FOUND_MS = 60_000;
const LOOK_MS = 500;
/** So much traffic that "nothing was refused" says something. */
const LEAST_SHOWN = 10;

/** Everything that was opened, and is closed in the end. */
interface Stage extends Servers {
  readonly url: string;
  readonly directory: string;
  readonly operator: DemoClient;
  readonly approver: DemoClient;
  readonly page: DemoPage;
  readonly interrupted: AbortSignal;
}

interface Row extends Lane {
  readonly before: string;
  readonly after: string;
  readonly phase: string;
  /** Effects that the server's audit log has under this rotation's name. */
  readonly steps: number;
  /** All that Keyturn asked about this object meanwhile, by the same log. */
  readonly requests: number;
  readonly shown: number;
  readonly refused: number;
  readonly versionsShown: number;
  readonly negative: Negative;
  readonly record: string;
}

/**
 * A rotation on each engine of a real OpenBao that is started here, with a real PostgreSQL behind it, while applications sign, read and
 * log in. Set up as docs/vault.md tells its readers; everything goes over HTTP, and every program ends with the demo.
 */
export async function runVaultDemo(options: VaultDemoOptions, around: Surroundings): Promise<number> {
  const page = new DemoPage(around, options.json);
  const { paint } = page;
  page.line(
    paint('Keyturn demo', 'bold') + paint('  EXAMPLE DATA, a real OpenBao and a real PostgreSQL', 'dim'),
  );
  page.title('1  The servers');
  page.line(paint('  OpenBao is fetched the first time: about 60 MB', 'dim'));
  const parts = await getParts();
  const began = Date.now();
  const ends: (() => Promise<void>)[] = [];
  try {
    const { stage, stopped } = await opened(parts, options, { page, around, ends });
    const rows = await rotated(stage);
    const failures = judged(rows, page);
    page.answer({ directory: stage.directory, engines: rows, failed: failures });
    page.line();
    page.line(`${((Date.now() - began) / 1_000).toFixed(0)} s in all.  Data: ${stage.directory}`);
    if (failures.length > 0) page.line(paint(`${failures.length} checks failed`, 'red'));
    if (failures.length > 0) return 1;
    if (options.exit) return 0;
    stays(stage);
    await stopped();
    return 0;
  } finally {
    page.progressEnded();
    // Newest first; one that fails leaves none of the others running.
    for (const end of ends.reverse())
      await end().catch((error: unknown) => {
        page.line(`  not ended: ${String(error)}`);
      });
  }
}

interface Opening {
  readonly page: DemoPage;
  readonly around: Surroundings;
  readonly ends: (() => Promise<void>)[];
}

async function opened(
  parts: Parts,
  options: VaultDemoOptions,
  { page, around, ends }: Opening,
): Promise<{ readonly stage: Stage; readonly stopped: () => Promise<void> }> {
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'keyturn-demo-'));
  const home = join(directory, 'openbao');
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const postgres = await PostgresServer.start(parts.postgres);
  ends.push(() => postgres.stop());
  const bao = await BaoServer.start({ program: parts.bao, home });
  ends.push(() => bao.stop());
  page.line(`  OpenBao on ${bao.address}, PostgreSQL on port ${postgres.port}: on this machine alone`);
  await setUpDatabase(bao, postgres);
  const backEndsFile = await setUpVault(bao, postgres, directory);
  page.line(`  set up by deploy/vault/setup.sh; what it printed is ${backEndsFile}`);

  page.title('2  The service, and what it is to drive (keyturn apply -f examples/vault.yaml)');
  const dataDir = join(directory, 'keyturn');
  const config = {
    ...loadConfig({ KEYTURN_DATA_DIR: dataDir, KEYTURN_BACK_ENDS: backEndsFile, KEYTURN_LOG: 'silent' }),
    port: options.port ?? (options.exit ? 0 : 7411),
  };
  const { serve, stopOnSignal } = await import('#service');
  let code = '';
  const serving = await serve(config, {
    onOneTimeSignIn: (given) => {
      code = given;
    },
  });
  ends.push(() => serving.stop());
  const { url } = serving;
  const first = await new DemoClient(url, undefined).post<{ token: string }>('/api/v1/tokens/bootstrap', {
    code,
    name: 'Dana Demo (operator)',
  });
  saveToken({ dataDir, url }, first.token);
  const operator = new DemoClient(url, first.token);
  const second = await operator.post<{ token: string }>('/api/v1/tokens', {
    subject: { name: 'Alex Approver', kind: 'person' },
    roles: ['approver', 'viewer'],
    scope: { environments: 'all', teams: 'all' },
    label: 'demo approver',
  });
  const approver = new DemoClient(url, second.token);
  for (const line of await applied(dataDir, url)) page.line(page.paint(`  ${line}`, 'dim'));
  const policies = await operator.get<{ items: PolicyView[] }>('/api/v1/policies');
  for (const { id, name, status } of policies.items) {
    if (status !== 'waits for approval') continue;
    await approver.post(`/api/v1/policies/${id}/approve`, { note: 'demo' });
    page.line(`  policy "${name}" approved by Alex: an author never approves their own`);
  }
  const stage = { bao, postgres, url, directory, operator, approver, page, interrupted: around.interrupted };
  return { stage, stopped: () => stopOnSignal(serving) };
}

/** As a person does it: the command itself, signed in by the file beside the data. */
function applied(dataDir: string, url: string): Promise<readonly string[]> {
  const main = fileURLToPath(new URL('../main.js', import.meta.url));
  return new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      [main, 'apply', '-f', exampleFile('vault.yaml')],
      { env: { KEYTURN_DATA_DIR: dataDir, KEYTURN_URL: url } },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout.split('\n').filter((line) => line !== ''));
        else reject(new Error(`keyturn apply: ${stdout}${stderr}`));
      },
    );
  });
}

/** The lanes side by side: a first version where there is none, then the applications, and the rotation they are not to notice. */
async function rotated(stage: Stage): Promise<readonly Row[]> {
  const { page, operator, bao } = stage;
  const phases = new Map<string, string>();
  const done = (): number => [...phases.values()].reduce((sum, phase) => sum + PHASES.indexOf(phase) + 1, 0);
  const drive = async (
    lane: Lane,
    part: string,
    familyId: string,
    wish: Readonly<Record<string, unknown>>,
    consumers?: Consumers,
  ) => {
    const began = Date.now();
    return driveRotation(
      {
        ...stage,
        ...(consumers === undefined ? {} : { consumers }),
        onEntry: (entry) => {
          if (entry.minor !== true) page.line(entryText(page, lane, entry, began));
        },
        onPhase: ({ phase }) => {
          phases.set(`${part} ${lane.engine}`, phase);
          const now = LANES.map(({ engine }) => `${engine} ${phases.get(`${part} ${engine}`) ?? ''}`);
          page.progress(done(), DRIVEN * PHASES.length, now.join(' · '));
        },
      },
      familyId,
      wish,
    );
  };

  page.title('3  A first version on each engine, so that there is an old one');
  const families = new Map<Lane, FamilyView>();
  for (const lane of LANES)
    families.set(lane, await operator.get<FamilyView>(`/api/v1/families/${encodeURIComponent(lane.family)}`));
  await Promise.all(
    [...families].map(async ([lane, { id }]) => {
      if (lane.engine === 'database') {
        await foundInUse(stage, lane, id);
        return;
      }
      const reason = 'The first version of this family.';
      await drive(lane, 'first', id, { strategy: 'graceful', trigger: 'manual', reason });
    }),
  );

  page.title('4  A rotation on each engine, while applications sign, read and log in');
  const rows = await Promise.all(
    [...families].map(async ([lane, family]): Promise<Row> => {
      const object = objectOf(family);
      const consumers = await consumersOf(lane, family, stage, stage.url);
      await consumers.start();
      try {
        const used = (): Promise<Used | undefined> => readUsed(bao, bao.rootToken, object);
        const [before, auditedBefore] = [await used(), bao.audited().length];
        const wish = {
          strategy: 'graceful',
          trigger: 'scheduled',
          reason: 'The policy asks for a new version.',
        };
        const rotation = await drive(lane, 'rotation', family.id, wish, consumers);
        const audited = bao.audited().slice(auditedBefore);
        const shown = consumers.taken();
        return {
          ...lane,
          before: wordOf(lane, before),
          after: wordOf(lane, await used()),
          phase: rotation.phase,
          steps: new Set(
            audited.flatMap(({ rotation: named }) => (named?.includes(rotation.id) === true ? [named] : [])),
          ).size,
          requests: audited.filter((request) => isKeyturns(request, object)).length,
          shown: shown.length,
          refused: shown.filter(({ accepted }) => !accepted).length,
          versionsShown: versionsIn(shown),
          negative: await consumers.negative(),
          record: await recorded(stage, lane, rotation),
        };
      } finally {
        consumers.stop();
      }
    }),
  );
  page.progressEnded();
  return rows;
}

/** Applications use a role of the pair already: what was there before it was declared is found, and goes on record as it is. */
async function foundInUse(
  { operator, page, interrupted }: Stage,
  lane: Lane,
  familyId: string,
): Promise<void> {
  const end = Date.now() + FOUND_MS;
  for (;;) {
    const { current } = await operator.get<FamilyView>(`/api/v1/families/${familyId}`);
    if (current !== null) {
      page.line(`            ${lane.engine.padEnd(9)} found in use: ${current}`);
      return;
    }
    interrupted.throwIfAborted();
    if (Date.now() > end) throw new Error(`${lane.family}: what is in use there was not found`);
    await new Promise((done) => setTimeout(done, LOOK_MS));
  }
}

function entryText(
  page: DemoPage,
  { engine }: Lane,
  { at, title, detail, kind }: TimelineEntry,
  began: number,
): string {
  const when = sinceStart(Date.parse(at) - began);
  const short = detail.length > 80 ? `${detail.slice(0, 79)}…` : detail;
  const colour = kind === 'failure' ? 'red' : 'cyan';
  return `  ${page.paint(when.padEnd(9), 'dim')} ${engine.padEnd(9)} ${page.paint(title, colour)}  ${page.paint(short, 'dim')}`;
}

/** As people who know the engine call it. */
function wordOf({ engine }: Lane, used: Used | undefined): string {
  if (used === undefined) return engine === 'database' ? PAIR[0] : 'none';
  switch (engine) {
    case 'transit':
      return `v${used.engine}`;
    case 'kv':
      return used.versionId.slice(0, 8);
    case 'database':
      return used.engine.slice(0, used.engine.lastIndexOf('@'));
  }
}

/** Asked with one of Keyturn's own tokens, about this object or about what Keyturn keeps of it. */
function isKeyturns({ path, policies }: AuditedRequest, object: string): boolean {
  const [, name = object] = /^[^/]+\/[^/]+\/(.+)$/.exec(object) ?? [];
  const names = object.includes('/static-roles/') ? name.split('/') : [name];
  return (
    policies.some((policy) => policy.startsWith('keyturn-')) && names.some((each) => path.includes(each))
  );
}

function versionsIn(shown: readonly Shown[]): number {
  return new Set(shown.filter(({ accepted }) => accepted).map(({ version }) => version)).size;
}

async function recorded(
  { operator, directory }: Stage,
  { engine }: Lane,
  { id }: RotationViewJson,
): Promise<string> {
  const folder = join(directory, 'records');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, `${engine}-${id.slice(0, 8)}.pdf`);
  const pdf = await operator.bytes(`/api/v1/rotations/${id}/record.pdf`);
  writeFileSync(path, pdf, { mode: 0o600 });
  return path;
}

const COLUMNS: readonly Column<Row>[] = [
  { title: 'engine', cell: ({ engine }) => engine },
  { title: 'version', cell: ({ before, after }) => `${before} → ${after}` },
  { title: 'ended', cell: ({ phase }) => phase },
  { title: 'steps', cell: ({ steps }) => String(steps), align: 'right' },
  { title: 'requests', cell: ({ requests }) => String(requests), align: 'right' },
  { title: 'shown', cell: ({ shown }) => String(shown), align: 'right' },
  { title: 'refused', cell: ({ refused }) => String(refused), align: 'right' },
  { title: 'old one', cell: ({ negative }) => (negative.refused ? 'refused' : 'ACCEPTED') },
];

/** Shows what came of it, and answers what is not as it should be. */
function judged(rows: readonly Row[], page: DemoPage): readonly string[] {
  page.title('5  What came of it');
  page.table(rows, COLUMNS);
  page.line(
    page.paint(
      '  steps and requests: by the audit log of the server, which has the header X-Keyturn-Rotation of each',
      'dim',
    ),
  );
  page.title('What was checked');
  const failures: string[] = [];
  const check = (holds: boolean, what: string): void => {
    page.line(`  ${holds ? page.paint('✓', 'green') : page.paint('✗', 'red')} ${what}`);
    if (!holds) failures.push(what);
  };
  for (const { engine, phase, before, after, shown, refused, versionsShown, steps, negative } of rows) {
    check(
      phase === 'completed' && before !== after,
      `${engine}: completed, and another version is used (${before} → ${after})`,
    );
    check(
      refused === 0 && shown >= LEAST_SHOWN && versionsShown === 2,
      `${engine}: nothing was refused to applications: ${refused} of ${shown}, with ${versionsShown} versions`,
    );
    check(steps > 0, `${engine}: the server's audit log has ${steps} steps under the rotation's name`);
    check(negative.refused, `${engine}: ${negative.how}`);
  }
  page.title('On paper');
  for (const { record } of rows) page.line(`  ${record}`);
  return failures;
}

function stays({ page, url, directory, bao }: Stage): void {
  page.title('It keeps running');
  page.line(`  ${url}/api/docs    the API`);
  const where = `KEYTURN_DATA_DIR=${shellWord(join(directory, 'keyturn'))} KEYTURN_URL=${url}`;
  page.line(`  ${where} npx keyturn status`);
  page.line(`  ${where} npx keyturn timeline ${LANES[0]?.family ?? ''}`);
  page.line(
    `  ${bao.address}/ui    the server, as far as its tokens let in; its audit log: ${join(directory, 'openbao/audit.log')}`,
  );
  page.line(page.paint('  Ctrl-C ends all of it.', 'dim'));
}
