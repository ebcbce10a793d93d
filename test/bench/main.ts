import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { measureAppend } from './append.js';
import { measureGrowth, measureSweep, measureTenMillion } from './growth.js';
import { measureHttp } from './http.js';
import { openPeer } from './peer.js';
import { page, tableOf, verdict, shown, type Run } from './report.js';
import type { Row } from './rounds.js';
import { SCALES, type Scale } from './scale.js';
import { measureVault } from './vault.js';

const HELP = `npm run bench [-- OPTIONS]

Measures what Keyturn costs against the ground it stands on: medians and ratios, both sides in one run.

  --quick         up to 100 k events, at most five minutes
  --ten-million   only start and timeline with 10 M events: an hour, and 25 GB where --directory is
  --smoke         only that it runs: tiny sizes, numbers that say nothing
  --only A,B      of append, http, growth, sweep, vault; docs/benchmarks.md keeps the other rows as they were
  --due N         families of a Vault that are due at once, instead of 1,000; 0: only requests are counted
  --json FILE     the rows as JSON: [{name, ours, baseline, unit, ratio, better, goal}]
  --directory DIR where the logs are made, and removed again; the system's temporary directory unless told
  --keep DIR      with --ten-million: the log stays in DIR, and is looked at again where it is there already
  --no-docs       does not write docs/benchmarks.md (a full run and --ten-million do)
`;

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    'ten-million': { type: 'boolean', default: false },
    smoke: { type: 'boolean', default: false },
    only: { type: 'string' },
    due: { type: 'string' },
    json: { type: 'string' },
    directory: { type: 'string', default: tmpdir() },
    keep: { type: 'string' },
    'no-docs': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const root = fileURLToPath(new URL('../../../', import.meta.url));
const PAGE = join(root, 'docs', 'benchmarks.md');
const KEPT = join(root, 'docs', 'benchmarks.json');

function scaleOf(): Scale {
  if (values.smoke) return SCALES.smoke;
  if (values['ten-million']) return SCALES['ten-million'];
  return values.quick ? SCALES.quick : SCALES.full;
}

function dueIn(scale: Scale): number {
  const due = values.due === undefined ? scale.due : Number(values.due);
  if (!Number.isSafeInteger(due) || due < 0) throw new Error('--due is a number of families');
  return due;
}

const began = performance.now();
function tell(text: string): void {
  process.stderr.write(`${String(Math.round((performance.now() - began) / 1_000)).padStart(5)} s  ${text}\n`);
}

async function measure(scale: Scale, directory: (name: string) => string): Promise<Row[]> {
  const wanted = values.only?.split(',');
  const parts: readonly (readonly [string, () => Promise<readonly Row[]>])[] =
    scale.name === 'ten-million'
      ? [['growth', () => measureTenMillion(scale, values.keep ?? directory('ten-million'), tell)]]
      : [
          ['append', () => appends(scale, directory)],
          ['http', () => measureHttp(scale, directory)],
          ['sweep', () => measureSweep(scale, directory)],
          ['growth', () => measureGrowth(scale, directory, tell)],
          ['vault', () => measureVault(dueIn(scale), directory)],
        ];
  const rows: Row[] = [];
  for (const [name, work] of parts) {
    if (wanted !== undefined && !wanted.includes(name)) continue;
    tell(name);
    rows.push(...(await work()));
  }
  return rows;
}

async function appends(scale: Scale, directory: (name: string) => string): Promise<readonly Row[]> {
  // A quick run fetches and compiles nothing.
  const peer = await openPeer(join(root, '.cache'), directory('peer'), scale.name === 'full');
  try {
    return await measureAppend(scale, directory, peer);
  } finally {
    if (typeof peer !== 'string') await peer.close();
  }
}

function write(scale: Scale, rows: readonly Row[]): void {
  const kept: Run[] = existsSync(KEPT) ? JSON.parse(readFileSync(KEPT, 'utf8')) : [];
  const title = scale.name === 'full' ? 'Up to 1 M events' : '10 M events';
  const before = kept.find((each) => each.scale === title)?.rows ?? [];
  const run: Run = {
    scale: title,
    rounds: scale.rounds,
    day: new Date().toISOString().slice(0, 10),
    rows: values.only === undefined ? rows : merged(before, rows),
  };
  const runs = [...kept.filter((each) => each.scale !== run.scale), run].sort((left, right) =>
    left.scale < right.scale ? 1 : -1,
  );
  writeFileSync(KEPT, `${JSON.stringify(runs, null, 2)}\n`);
  writeFileSync(PAGE, page(runs));
  tell('wrote docs/benchmarks.md');
}

/** What was measured anew stands where it stood. */
function merged(before: readonly Row[], rows: readonly Row[]): readonly Row[] {
  const anew = (name: string): Row | undefined => rows.find((row) => row.name === name);
  return [
    ...before.map((row) => anew(row.name) ?? row),
    ...rows.filter(({ name }) => before.every((row) => row.name !== name)),
  ];
}

if (values.help) {
  process.stdout.write(HELP);
} else {
  const scale = scaleOf();
  if (values.keep !== undefined && scale.name !== 'ten-million') {
    process.stderr.write('--keep goes with --ten-million only: no other run leaves a log\n');
    process.exit(2);
  }
  if (values.keep !== undefined) mkdirSync(values.keep, { recursive: true });
  const place = mkdtempSync(join(values.directory, 'keyturn-bench-'));
  const directory = (name: string): string => {
    const path = join(place, name);
    mkdirSync(path, { recursive: true });
    return path;
  };
  try {
    const rows = await measure(scale, directory);
    const lines = rows.map((row) => [
      row.name,
      shown(row.ours),
      shown(row.baseline),
      row.unit,
      row.ratio?.toFixed(2) ?? '–',
      row.goal === null ? '–' : `${row.better === 'more' ? '≥' : '≤'} ${row.goal}`,
      verdict(row),
    ]);
    process.stdout.write(
      `${tableOf([['what', 'ours', 'baseline', 'unit', 'ratio', 'goal', ''], ...lines])}\n`,
    );
    if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(rows, null, 2)}\n`);
    const whole = scale.name === 'full' || scale.name === 'ten-million';
    if (whole && !values['no-docs']) write(scale, rows);
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}
