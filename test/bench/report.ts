import { arch, cpus, totalmem } from 'node:os';
import type { Row } from './rounds.js';

/** Where the time goes, by the beginning of a row's name: found with `--cpu-prof`, said where a goal is missed too. */
const WHERE: readonly (readonly [string, string])[] = [
  [
    'Requests of a graceful rotation',
    'the script has no record of what it intends and nobody who takes over from it. Ours, for each of five steps, reads the object’s record and looks at the engine, writes down what it is about to do, with its fence, before it does it, and what came of it after; each change of the engine goes out with a token that is good for one request (ADR 0030, 0031). A look at a secret of KV v2 is three requests (metadata, the mount’s limits, names without values), and its record is another document than the secret. What could still be saved: taking what rotate and config answer for the look after them, two requests; the mount’s limits read once for many looks, one each.',
  ],
  [
    'A durable command over HTTP',
    'about a quarter of the service’s time goes into reading the stream the command decides on (two hashes, two JSON texts and a schema an event: nothing is believed unread), a fourteenth into folding it again for the read model the answer waits for, as much into garbage, the rest into routing, the token, validation, the log line and the answer. Streams that grow long cost more.',
  ],
  [
    'Rebuild',
    'of about 100 µs an event, 8 go into reading it, 11 into opening it (two hashes, two JSON texts), 29 into its schema, and the rest into folding it and writing the rows of twelve projections. The baseline is the first and a third of the second; one thread does all of it.',
  ],
  [
    'Read a stream',
    'a third is SQLite’s own (the transaction, the search, 12 rows of one column), nearly all of the rest is handing seven more values a row to JavaScript; hashes and JSON come on top where the events are opened.',
  ],
  [
    'Append with one writer',
    'the store’s own commit is done on the thread that waits for it; ours is on another one, so that the event loop never stands still for a disk, and each way wakes a sleeping thread.',
  ],
  [
    'Append with 64 writers',
    'what is above the store’s own commit is the way to the writer’s thread and back, and the check of each append: is it a repeat, is the revision the expected one.',
  ],
];

export interface Run {
  readonly scale: string;
  readonly rounds: number;
  readonly day: string;
  readonly rows: readonly Row[];
}

/** The page: one table a run. */
export function page(runs: readonly Run[]): string {
  return `# Benchmarks

Made by \`npm run bench\` (and \`npm run bench -- --ten-million\`); do not edit. Ours and the baseline are measured in turn in one
run, and the ratio is the median of the rounds' own ratios: a machine that is busy is busy for both. Times without a
baseline of another kind are growth: the same look at a log a hundred times as long.

${runs.map(section).join('\n')}
## Where the rest goes

${WHERE.map(([name, text]) => `- **${name}**: ${text}`).join('\n')}
`;
}

function section({ scale, rounds, day, rows }: Run): string {
  const head = ['what', 'ours', 'baseline', 'unit', 'ratio', 'goal', ''];
  const body = rows.map((row) => [
    row.name,
    shown(row.ours),
    shown(row.baseline),
    row.unit,
    row.ratio === null ? '–' : row.ratio.toFixed(2),
    goalText(row),
    verdict(row),
  ]);
  const notes = rows.flatMap(({ name, note }) => (note === undefined ? [] : [`- ${name}: ${note}`]));
  return `## ${scale}

${day}; ${machine()}; median of ${rounds} rounds.

${tableOf([head, ...body])}
${notes.length === 0 ? '' : `\n${notes.join('\n')}\n`}`;
}

/** Its class: no name, no address. */
export function machine(): string {
  return `${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, ${process.platform} ${arch()}, Node ${process.versions.node}`;
}

function goalText({ goal, better, ratio, baseline, unit }: Row): string {
  if (goal === null) return '–';
  const sign = better === 'more' ? '≥' : '≤';
  return `${sign} ${goal}${ratio === null && baseline === null && unit === 'ms' ? ' ms' : ''}`;
}

export function verdict({ goal, better, ratio, ours, baseline }: Row): string {
  if (ours === null) return 'not measured';
  const reached = baseline === null ? ours : ratio;
  if (goal === null || reached === null) return '';
  const met = better === 'more' ? reached >= goal : reached <= goal;
  return met ? 'reached' : 'missed';
}

export function shown(value: number | null): string {
  if (value === null) return '–';
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return value.toFixed(digits).replace(/\B(?=(?:\d{3})+(?!\d))/g, ',');
}

/** As prettier writes a table. */
export function tableOf(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(3, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  const [head = [], ...body] = rows;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...body.map(line)].join('\n');
}
