import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run, type Ran } from '../../apps/cli/src/testing/run-in.js';
import { startService, type StartedService } from '../../apps/service/src/testing/started-service.js';
import { exampleFile } from '../../apps/cli/src/demo/package-folder.js';

let service: StartedService;
let folder: string;
beforeAll(async () => {
  service = await startService();
  folder = mkdtempSync(join(tmpdir(), 'keyturn-apply-'));
});
afterAll(async () => {
  await service.stop();
  rmSync(folder, { recursive: true, force: true });
});

function apply(files: readonly string[], ...argv: readonly string[]): Promise<Ran> {
  return run(['apply', '-f', ...files, ...argv], {
    url: service.url,
    env: { KEYTURN_TOKEN: service.token },
    now: service.clock.now(),
  });
}

function fileOf(name: string, lines: readonly string[]): string {
  const file = join(folder, name);
  writeFileSync(file, lines.join('\n'));
  return file;
}

const treeSize = (): Promise<number> => service.keyturn.log.treeSize();

const HEADER = 'environment,name,kind,protects,usage,overlap,mode,authority.kind,owner.role,team';
const row = (environment: string, name: string): string =>
  `${environment},${name},shared-secret,other,mac,dual,tracked,nobody,platform lead,platform`;
const policyOf = (name: string, change: object = {}) => ({
  policy: {
    name,
    selector: { environment: name },
    terms: {
      stopEmitting: 'P90D',
      stopAccepting: 'P97D',
      margins: { clockSkew: 'PT30S', safety: 'PT5M' },
      approvals: 1,
      settle: 'PT1H',
      watch: 'PT1H',
      emergency: { approvalWithin: 'P1D', reviewWithin: 'P1D', targets: [] },
    },
    basis: {
      setBy: 'the board',
      riskAnalysis: 'none',
      reviewedOn: '2026-01-01',
      nextReview: '2027-01-01',
    },
    ...change,
  },
});

const SECOND_THURSDAY = { nth: 2, weekday: 'thursday', of: 'quarter', at: '02:00', timeZone: 'UTC' };

describe('apply, against a service', () => {
  it('the examples are applied, and applied again record nothing', async () => {
    const examples = ['illustrative.yaml', 'stockease-policies.yaml', 'families.csv', 'consumers.csv'].map(
      exampleFile,
    );
    const before = await treeSize();
    const dry = await apply(examples, '--dry-run');
    expect(dry.code).toBe(0);
    expect(dry.out).toContain('16 to create (2 policies, 5 families, 9 consumers)');
    expect(await treeSize()).toBe(before);
    const first = await apply(examples);
    expect({ code: first.code, err: first.err }).toEqual({ code: 0, err: '' });
    expect(first.out).toContain('2 policies wait for approval by somebody other than you');
    const after = await treeSize();
    expect(after).toBeGreaterThan(before);
    const again = await apply(examples);
    expect(again.out).toContain('0 created, 0 changed, 16 unchanged, 0 not in the file');
    expect(again.code).toBe(0);
    // The same, in another format.
    const ndjson = await apply([exampleFile('inventory.ndjson')], '--dry-run', '--exit-code');
    expect({ code: ndjson.code, out: ndjson.out }).toMatchObject({
      code: 0,
      out: expect.stringContaining('0 to create, 0 to change, 7 unchanged, 9 not in the file'),
    });
    expect(await treeSize()).toBe(after);
  });

  it('of 3,000 rows 12 are bad: all 12 are named in one answer, and the log is as it was', async () => {
    const rows = Array.from({ length: 3_000 }, (_, index) => row('bulk', `Secret ${index}`));
    const bad = [7, 100, 101, 400, 800, 801, 1_200, 1_999, 2_000, 2_222, 2_900, 2_999];
    for (const index of bad) rows[index] = (rows[index] ?? '').replace('mac', 'encrypt');
    const file = fileOf('bulk.csv', [HEADER, ...rows]);
    const before = await treeSize();
    const { code, err } = await apply([file]);
    expect(code).toBe(2);
    expect(err).toContain('12 things are wrong; nothing was changed.');
    expect(err.match(/bulk\.csv:\d+, usage/g)).toEqual(bad.map((index) => `bulk.csv:${index + 2}, usage`));
    const { out } = await apply([file], '--json');
    const lines: readonly { line: number }[] = JSON.parse(out).error.errors;
    expect(lines.map(({ line }) => line)).toEqual(bad.map((index) => index + 2));
    expect(await treeSize()).toBe(before);
    // Mended, the very same file is taken.
    for (const index of bad) rows[index] = row('bulk', `Secret ${index}`);
    const mended = fileOf('bulk.csv', [HEADER, ...rows.slice(0, 40)]);
    expect((await apply([mended])).out).toContain('40 created (40 families)');
  });

  it.each([
    ['two policies with the same selector', [policyOf('one'), policyOf('one', { name: 'two' })], 'selector'],
    [
      'a policy that stops accepting before it stops emitting',
      [policyOf('one', { terms: { ...policyOf('one').policy.terms, stopAccepting: 'P30D' } })],
      'terms.stopAccepting',
    ],
    [
      'two contradicting cadence rules: 90 days, and the 2nd Thursday of the quarter',
      [policyOf('one', { terms: { ...policyOf('one').policy.terms, calendar: SECOND_THURSDAY } })],
      'terms.calendar',
    ],
  ])('%s: told by line and field, and the log is as it was', async (_what, entries, field) => {
    const file = fileOf(
      'bad.ndjson',
      entries.map((entry) => JSON.stringify(entry)),
    );
    const before = await treeSize();
    const { code, err } = await apply([file]);
    expect(code).toBe(2);
    expect(err).toContain(`bad.ndjson:${entries.length}, policy.${field}: `);
    expect(await treeSize()).toBe(before);
  });

  it('the service refuses contradicting rules by itself, too, and records nothing', async () => {
    const { policy } = policyOf('two-rules');
    const terms = { ...policy.terms, calendar: SECOND_THURSDAY };
    const sound = await service.call('POST', '/api/v1/policies', { body: policy });
    expect(sound.status).toBe(201);
    const before = await treeSize();
    for (const [method, path, body] of [
      ['POST', '/api/v1/policies', { ...policyOf('other').policy, terms }],
      ['PUT', `/api/v1/policies/${String(sound.body['id'])}`, { ...policy, selector: undefined, terms }],
    ] as const) {
      const answer = await service.call(method, path, { body });
      expect([answer.status, answer.body['code']]).toEqual([422, 'policy.cadence-contradicts']);
      expect(answer.text).toContain('terms.calendar');
    }
    expect(await treeSize()).toBe(before);
  });

  it('what the service refuses is named with its line; the rest is done, and goes on when it is applied again', async () => {
    const object = 'backEnd.instance,backEnd.object';
    const taken = fileOf('taken.csv', [`${HEADER},${object}`, `${row('part', 'Owner')},local,part/one`]);
    expect((await apply([taken])).code).toBe(0);
    const consumers = fileOf('part-consumers.csv', [
      'family,name,roles',
      'part/B,api of b,verifier',
      'part/C,api of c,verifier',
    ]);
    const rows = (of: string) => [
      `${HEADER},${object}`,
      `${row('part', 'A')},local,part/a`,
      `${row('part', 'B')},local,part/${of}`,
      `${row('part', 'C')},local,part/c`,
    ];
    const first = await apply([fileOf('part.csv', rows('one')), consumers]);
    expect(first.code).toBe(4);
    expect(first.out).toMatch(/refused {3}family {4}part\/B {2}\(.*part\.csv:3\)/);
    expect(first.out).toContain('(back-end.object-taken)');
    expect(first.out).toContain('3 created (2 families, 1 consumer), 0 changed, 1 refused, 1 not tried');
    const again = await apply([fileOf('part.csv', rows('b')), consumers]);
    expect(again.code).toBe(0);
    expect(again.out).toContain('2 created (1 family, 1 consumer), 0 changed, 3 unchanged');
  });

  it('a policy is amended, waits for approval, and is not effective before it was recorded', async () => {
    const file = fileOf('policy.ndjson', [JSON.stringify(policyOf('amended'))]);
    expect((await apply([file])).code).toBe(0);
    service.clock.advance(60_000);
    const terms = { ...policyOf('amended').policy.terms, stopEmitting: 'P60D' };
    const amended = fileOf('policy.ndjson', [JSON.stringify(policyOf('amended', { terms }))]);
    // A machine whose clock is behind the service's.
    const { code, out } = await run(['apply', '-f', amended], {
      url: service.url,
      env: { KEYTURN_TOKEN: service.token },
      now: service.clock.now() - 3_600_000,
    });
    expect({ code, changed: out.includes('terms.stopEmitting: P90D → P60D') }).toEqual({
      code: 0,
      changed: true,
    });
    const { text } = await service.call('GET', '/api/v1/policies');
    const items: readonly { name: string; status: string; details: { effectiveFrom: string } }[] =
      JSON.parse(text).items;
    expect(items.find(({ name }) => name === 'amended')).toMatchObject({
      status: 'waits for approval',
      details: {
        effectiveFrom: new Date(service.clock.now()).toISOString(),
        terms: { stopEmitting: 'P60D' },
      },
    });
  });
});
