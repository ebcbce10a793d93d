import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ownFolder } from './testing/own-folder.js';
import { FAMILY, FAMILY_ID } from './testing/examples.js';
import { run, type Ran } from './testing/run-in.js';
import { problem, startStandIn, type StandInService } from './testing/stand-in-service.js';

const CONSUMERS = `/families/${FAMILY_ID}/consumers`;

let standIn: StandInService;
beforeEach(async () => {
  standIn = await startStandIn({
    'GET /families': { body: { items: [FAMILY], next: null } },
    'GET /policies': { body: { items: [], next: null } },
    [`POST ${CONSUMERS}`]: (times) => ({ status: 201, body: { ...FAMILY, revision: 5 + times } }),
  });
});
afterEach(() => standIn.close());

function apply(text: string, ...argv: readonly string[]): Promise<Ran> {
  const file = join(ownFolder(), 'families.yaml');
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
    const text = `${TWO}${consumer('api').replace('PT10M', 'PT20M')}`;
    const { code, out } = await apply(text, '--dry-run');
    expect(code).toBe(0);
    expect(out.split('\n')).toEqual([
      '+ create  consumer  gateway of production/session-jwt',
      '+ create  consumer  mobile of production/session-jwt',
      '~ change  consumer  api of production/session-jwt',
      '            cacheTtl: PT10M → PT20M',
      '            instances: 3 → 1',
      '2 to create (2 consumers), 1 to change (1 consumer), 0 unchanged, 1 not in the file (left alone: nothing is ever removed).',
      'Nothing was changed: a dry run.',
      '',
    ]);
    expect(sent()).toEqual([]);
    expect((await apply(TWO, '--dry-run', '--exit-code')).code).toBe(4);
  });

  it('sends a family and its consumers one after the other, each under a key and a revision', async () => {
    const { code, out } = await apply(TWO);
    expect({ code, made: out.includes('2 created (2 consumers)') }).toEqual({ code: 0, made: true });
    expect(sent().map(({ body }) => body)).toMatchObject([{ name: 'gateway' }, { name: 'mobile' }]);
    expect(sent().map(({ headers }) => headers['if-match'])).toEqual(['"4"', '"5"']);
    const keys = sent().map(({ headers }) => headers['idempotency-key']);
    expect(new Set(keys).size).toBe(2);
    // Asked again of the same state: the same requests, whatever else is in the file.
    await apply(`consumers:${consumer('mobile')}`);
    expect(sent().at(-1)?.headers['idempotency-key']).toBe(keys[1]);
  });

  it('answers a script with what it did', async () => {
    const { out } = await apply(TWO, '--json');
    expect(JSON.parse(out)).toMatchObject({
      dryRun: false,
      summary: {
        families: { create: 0, change: 0, unchanged: 0, notInFile: 1 },
        consumers: { create: 2, change: 0, unchanged: 0, notInFile: 1 },
      },
      objects: [
        {
          what: 'consumer',
          name: 'gateway of production/session-jwt',
          line: 2,
          action: 'create',
          requests: ['register-consumer'],
          result: 'done',
        },
        { name: 'mobile of production/session-jwt', result: 'done' },
      ],
    });
  });

  it('sends nothing of a file that is wrong, and tells what no request can do with it', async () => {
    const text = `${TWO.replace('production/session-jwt', 'production/nothing')}  - family: production/session-jwt\n    name: x\n`;
    const { code, err } = await apply(text);
    expect(code).toBe(2);
    expect(err).toContain('2 things are wrong; nothing was changed.');
    expect(err).toMatch(/families\.yaml:11, consumers\[2\]\.roles: is missing/);
    expect(err).toMatch(/families\.yaml:2, family: .*there is no family production\/nothing/);
    expect(sent()).toEqual([]);
  });

  it('checks a file where no service is', async () => {
    const file = join(ownFolder(), 'families.yaml');
    writeFileSync(file, TWO.replace('verifier', 'judge'));
    const { code, err } = await run(['apply', '-f', file, '--dry-run']);
    expect({ code, named: err.includes('roles') }).toEqual({ code: 2, named: true });
    writeFileSync(file, TWO);
    expect((await run(['apply', '-f', file, '--dry-run'])).code).toBe(3);
  });

  it('sends nothing where a part of it cannot be done', async () => {
    const { code, err } = await apply(TWO.replace('production/session-jwt', 'production/nothing'));
    expect(code).toBe(1);
    expect(err).toContain('there is no family production/nothing');
    expect(sent()).toEqual([]);
  });

  it('shows the first hundred of more errors than anybody reads, and all of them to a script', async () => {
    const many = `consumers:${Array.from({ length: 150 }, (_, index) => consumer(`c${index}`).replace('verifier', 'judge')).join('')}`;
    const { err } = await apply(many);
    expect(err.split('\n').filter((each) => each.includes('roles'))).toHaveLength(100);
    expect(err).toContain('… and 50 more');
    const { out } = await apply(many, '--json');
    expect(JSON.parse(out).error.errors).toHaveLength(150);
  });

  it('names the line of what the service refuses, and goes on with the rest', async () => {
    const refused = problem(409, 'consumer.refused', 'not this one');
    standIn.answer(`POST ${CONSUMERS}`, (times) =>
      times === 0 ? { status: 409, body: refused } : { status: 201, body: FAMILY },
    );
    const { code, out, err } = await apply(TWO);
    expect(code).toBe(4);
    expect(out).toMatch(
      /refused {3}consumer {2}gateway of production\/session-jwt {2}\(.*families\.yaml:2\)/,
    );
    expect(out).toContain('not this one (consumer.refused)');
    expect(out).toContain('created   consumer  mobile');
    expect(out).toContain('1 created (1 consumer), 0 changed, 1 refused');
    expect(err).toContain('1 refused; what was done stays.');
  });

  it('repeats what got no answer under its own key, and ends where the service stays away', async () => {
    const away = { status: 503, body: problem(503, 'log.unavailable', 'disk full') };
    standIn.answer(`POST ${CONSUMERS}`, (times) => (times < 2 ? away : { status: 201, body: FAMILY }));
    const again = await apply(TWO);
    expect({ code: again.code, slept: again.slept }).toEqual({ code: 0, slept: [250, 1_000] });
    expect(new Set(sent().map(({ headers }) => headers['idempotency-key'])).size).toBe(2);
    standIn.answer(`POST ${CONSUMERS}`, away);
    const { code, out, err } = await apply(TWO);
    expect(code).toBe(3);
    expect(out).toContain('2 not tried');
    expect(err).toContain('disk full (log.unavailable)');
    expect(err).toContain('it goes on from there');
  });

  it('is a bar on a terminal where there is much of it, and lists what was refused', async () => {
    const many = `consumers:${Array.from({ length: 60 }, (_, index) => consumer(`c${index}`)).join('')}`;
    standIn.answer(`POST ${CONSUMERS}`, (times) =>
      times === 30
        ? { status: 409, body: problem(409, 'consumer.refused', 'not this one') }
        : { status: 201, body: FAMILY },
    );
    const file = join(ownFolder(), 'families.yaml');
    writeFileSync(file, many);
    const { out } = await run(['apply', '-f', file], { url: standIn.url, terminal: { columns: 100 } });
    expect(out.split('\n').filter((each) => each.startsWith('created'))).toEqual([]);
    expect(out.split('\n').filter((each) => each.startsWith('refused'))).toHaveLength(1);
    expect(out).toContain('59 created (59 consumers), 0 changed, 1 refused');
  });
});

describe('the files of apply', () => {
  const CSV = 'family,name,roles\nproduction/session-jwt,edge,verifier\n';

  it('come from the input, which says no format of its own', async () => {
    const piped = (...argv: readonly string[]) =>
      run(['apply', '-f', '-', '--dry-run', ...argv], { url: standIn.url, input: CSV });
    expect((await piped('--format', 'csv')).out).toContain('+ create  consumer  edge of');
    const { code, err } = await piped();
    expect({ code, named: err.includes('--format') }).toEqual({ code: 2, named: true });
  });

  it('are those of a folder, by their endings, and each only once', async () => {
    const folder = ownFolder();
    writeFileSync(join(folder, 'b.csv'), CSV);
    writeFileSync(join(folder, 'a.yaml'), TWO);
    writeFileSync(join(folder, 'notes.txt'), 'hello');
    const { code, out } = await run(['apply', '-f', folder, join(folder, 'b.csv'), '--dry-run', '--json'], {
      url: standIn.url,
    });
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ files: [join(folder, 'a.yaml'), join(folder, 'b.csv')] });
    expect(JSON.parse(out).objects).toHaveLength(3);
    const { code: none, err } = await run(['apply', '-f', join(folder, 'notes.txt')], { url: standIn.url });
    expect({ none, named: err.includes('--format') }).toEqual({ none: 2, named: true });
    expect((await run(['apply', '-f', join(folder, 'missing.csv')])).code).toBe(2);
    expect((await run(['apply', '-f', ownFolder()])).code).toBe(2);
  });
});
