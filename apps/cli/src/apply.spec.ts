import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import type { ApplyOperation, ApplyTools } from './apply-tools.js';
import { registerApply } from './commands/apply.js';
import { UsageError } from './failures.js';
import { FAMILY, POLICY } from './testing/examples.js';
import { surroundingsOf } from './testing/run-in.js';
import { startStandIn, type StandInService } from './testing/stand-in-service.js';

const OPERATIONS: readonly ApplyOperation[] = [
  { line: 'register family production/new', method: 'POST', path: '/families', body: { name: 'new' } },
  {
    line: 'revise its runbook',
    method: 'PUT',
    path: '/families/production%2Fnew/runbook',
    body: {},
    ifMatch: 0,
  },
];

let standIn: StandInService;
beforeEach(async () => {
  standIn = await startStandIn({
    'GET /families': { body: { items: [FAMILY], next: null } },
    'GET /policies': { body: { items: [POLICY], next: null } },
    'POST /families': { status: 201, body: {} },
    'PUT /families/production%2Fnew/runbook': { body: {} },
  });
});
afterEach(() => standIn.close());

async function apply(tools: ApplyTools, ...argv: readonly string[]): Promise<string> {
  const file = join(mkdtempSync(join(tmpdir(), 'keyturn-cli-')), 'families.yaml');
  writeFileSync(file, 'families: []\n');
  const { around, said } = surroundingsOf({ url: standIn.url });
  const program = new Command('keyturn').exitOverride();
  registerApply(program, around, tools);
  await program.parseAsync(['apply', '-f', file, ...argv], { from: 'user' });
  return said.out;
}

describe('apply', () => {
  const tools: ApplyTools = { parse: () => ({ declared: {} }), plan: () => OPERATIONS };

  it('shows what would change in a dry run, and changes nothing', async () => {
    const out = await apply(tools, '--dry-run');
    expect(out).toContain('would  register family production/new');
    expect(standIn.asked().filter((each) => !each.startsWith('GET'))).toEqual([]);
  });

  it('does it in order, each request under a key of its own', async () => {
    expect(await apply(tools, '--idempotency-key', 'k')).toContain('2 changed.');
    const sent = standIn.seen.filter(({ method }) => method !== 'GET');
    expect(sent.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'POST /api/v1/families',
      'PUT /api/v1/families/production%2Fnew/runbook',
    ]);
    expect(sent[1]?.headers['if-match']).toBe('"0"');
    expect(new Set(sent.map(({ headers }) => headers['idempotency-key'])).size).toBe(2);
  });

  it('sends nothing of a file that is wrong, and names the line', async () => {
    const wrong: ApplyTools = {
      ...tools,
      parse: () => ({ errors: [{ line: 7, field: 'families[0].name', message: 'is missing' }] }),
    };
    await expect(apply(wrong)).rejects.toBeInstanceOf(UsageError);
    expect(standIn.seen).toEqual([]);
  });
});
