import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FAMILY, FAMILY_ID } from './testing/examples.js';
import { run, type Ran } from './testing/run-in.js';
import { startStandIn, type StandInService } from './testing/stand-in-service.js';

const CONSUMERS = `/families/${FAMILY_ID}/consumers`;

let standIn: StandInService;
beforeEach(async () => {
  standIn = await startStandIn({
    'GET /families': { body: { items: [FAMILY], next: null } },
    'GET /policies': { body: { items: [], next: null } },
    [`POST ${CONSUMERS}`]: { status: 201, body: FAMILY },
  });
});
afterEach(() => standIn.close());

function apply(text: string, ...argv: readonly string[]): Promise<Ran> {
  const file = join(mkdtempSync(join(tmpdir(), 'keyturn-cli-')), 'families.yaml');
  writeFileSync(file, text);
  return run(['apply', '-f', file, ...argv], { url: standIn.url });
}
const sent = () => standIn.seen.filter(({ method }) => method !== 'GET');

const consumer = (name: string) => `
  - family: production/session-jwt
    name: ${name}
    roles: [verifier]
    cacheTtl: PT10M
`;
const TWO = `consumers:${consumer('gateway')}${consumer('mobile')}`;

describe('apply', () => {
  it('shows what would change in a dry run, and changes nothing', async () => {
    const { code, out } = await apply(TWO, '--dry-run');
    expect(code).toBe(0);
    expect(out).toContain('would  register consumer gateway of production/session-jwt');
    expect(out).toContain('2 to change; nothing was changed.');
    expect(sent()).toEqual([]);
  });

  it('does it in order, each request under a key of its own', async () => {
    const { code, out } = await apply(TWO, '--idempotency-key', 'k');
    expect({ code, changed: out.includes('2 changed.') }).toEqual({ code: 0, changed: true });
    expect(sent().map(({ body }) => body)).toMatchObject([{ name: 'gateway' }, { name: 'mobile' }]);
    const keys = sent().map(({ headers }) => headers['idempotency-key']);
    expect(new Set(keys).size).toBe(2);
    // Again with the same key: the same requests, whatever else is in the file.
    await apply(`consumers:${consumer('mobile')}`, '--idempotency-key', 'k');
    expect(sent().at(-1)?.headers['idempotency-key']).toBe(keys[1]);
  });

  it('answers a script with what it did', async () => {
    const { out } = await apply(TWO, '--json');
    expect(JSON.parse(out)).toMatchObject({
      dryRun: false,
      operations: [{ kind: 'register-consumer' }, { kind: 'register-consumer' }],
      unchanged: [],
    });
  });

  it('sends nothing of a file that is wrong, and names the line', async () => {
    const { code, err } = await apply(`${TWO}  - family: production/session-jwt\n    name: x\n`);
    expect(code).toBe(2);
    expect(err).toMatch(/line \d+, .*roles/);
    expect(standIn.seen).toEqual([]);
  });

  it('sends nothing where a part of it cannot be done', async () => {
    const { code, err } = await apply(TWO.replace('production/session-jwt', 'production/nothing'));
    expect(code).toBe(1);
    expect(err).toContain('there is no family production/nothing');
    expect(sent()).toEqual([]);
  });
});
