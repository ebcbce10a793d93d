import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import type { Row } from './rounds.js';
import { median, paired, percentile } from './rounds.js';
import { shown, tableOf, verdict } from './report.js';

// It starts services in processes of their own; nothing here is about how long that takes.
jest.setTimeout(600_000);

/** Every line of the table, by how its name begins. */
const LINES = [
  'append through the port, 1 writer',
  'append through the port, 64 writers',
  'append, 64 writers; emmett-sqlite',
  'read a stream of 12 events; emmett-sqlite',
  'a durable command over HTTP, 64 clients',
  'a sweep with',
  'start to ready',
  'timeline of a rotation',
  'overdue, 20 of them',
  'rebuild of every read model',
  'requests of a graceful rotation, transit',
  'requests of a graceful rotation, kv document',
  'requests of a graceful rotation, kv fields',
  'rotations with 3 due at once',
];

describe('npm run bench', () => {
  it('runs, writes its rows as JSON, and leaves nothing behind', () => {
    const main = join(process.cwd(), 'dist', 'test', 'bench', 'main.js');
    if (!existsSync(main)) throw new Error('run npm run build first');
    const place = mkdtempSync(join(tmpdir(), 'keyturn-bench-spec-'));
    try {
      const file = join(place, 'rows.json');
      const printed = execFileSync(
        process.execPath,
        ['--no-warnings', main, '--smoke', '--directory', place, '--json', file],
        { stdio: ['ignore', 'pipe', 'ignore'], encoding: 'utf8' },
      );
      const rows: readonly Row[] = JSON.parse(readFileSync(file, 'utf8'));
      expect(rows.map(({ name }) => LINES.findIndex((line) => name.startsWith(line)))).toEqual(
        LINES.map((_, index) => index),
      );
      for (const row of rows) {
        expect(printed).toContain(row.name);
        expect(['more', 'less']).toContain(row.better);
        if (row.ours === null) expect(row.note).toMatch(/^not measured: /);
        else expect([row.name, row.ours > 0, Number.isFinite(row.ratio)]).toEqual([row.name, true, true]);
      }
      expect(readdirSync(place)).toEqual(['rows.json']);
    } finally {
      rmSync(place, { recursive: true });
    }
  });
});

describe('what a round gives', () => {
  it('pairs both sides in turn and takes the median of the rounds’ own ratios', async () => {
    const order: string[] = [];
    const values = { ours: [10, 40, 9], baseline: [20, 40, 3] };
    const next = (side: 'ours' | 'baseline') => () => {
      order.push(side);
      return Promise.resolve(values[side].shift() ?? 0);
    };
    const result = await paired(3, next('ours'), next('baseline'));
    expect(result).toEqual({ ours: 10, baseline: 20, ratio: 1 });
    expect(order).toEqual(['ours', 'baseline', 'baseline', 'ours', 'ours', 'baseline']);
  });

  it('knows a median, a percentile, and whether a goal was reached', () => {
    expect([median([3, 1, 2]), median([4, 1, 2, 3])]).toEqual([2, 2.5]);
    expect(percentile([...Array(100).keys()], 0.99)).toBe(98);
    const row = { name: '', unit: 'ms', ours: 5, baseline: 10, ratio: 0.5 } as const;
    expect(verdict({ ...row, better: 'less', goal: 0.5 })).toBe('reached');
    expect(verdict({ ...row, better: 'more', goal: 0.8 })).toBe('missed');
    expect(verdict({ ...row, baseline: null, ratio: null, better: 'less', goal: 4 })).toBe('missed');
    expect(verdict({ ...row, ours: null, better: 'less', goal: 4 })).toBe('not measured');
    expect([shown(1_234_567.8), shown(12.34), shown(0.5), shown(null)]).toEqual([
      '1,234,568',
      '12.3',
      '0.50',
      '–',
    ]);
    expect(
      tableOf([
        ['a', 'b'],
        ['long', 'c'],
      ]),
    ).toBe('| a    | b   |\n| ---- | --- |\n| long | c   |');
  });
});
