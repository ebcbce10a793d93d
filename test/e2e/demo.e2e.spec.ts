import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The main job, as a person on a fresh machine meets it: it asserts what it shows and ends with 0 only when all of it holds. */
it('the demo drives a graceful and an emergency rotation to their ends and puts both on paper', async () => {
  const base = mkdtempSync(join(tmpdir(), 'keyturn-demo-spec-'));
  const directory = join(base, 'data');
  try {
    const ended = await new Promise<{ readonly code: number | null; readonly text: string }>((resolve) => {
      const child = execFile(
        process.execPath,
        ['dist/apps/cli/src/main.js', 'demo', '--exit', '--directory', directory],
        { timeout: 170_000, maxBuffer: 16 * 1024 * 1024 },
        (_error, stdout, stderr) => {
          resolve({ code: child.exitCode, text: `${stdout}${stderr}` });
        },
      );
    });
    expect(ended).toMatchObject({ code: 0 });
    expect(ended.text).toContain('production/StockEase session JWT, due 2026-02-11');
    expect(ended.text.match(/✓/g)).toHaveLength(8);
    expect(ended.text).not.toContain('✗');
    expect(readdirSync(join(directory, 'records')).filter((name) => name.endsWith('.pdf'))).toHaveLength(2);
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
}, 180_000);
