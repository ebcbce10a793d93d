import { readFileSync } from 'node:fs';
import { DeclarationReader } from './declaration-reader.js';
import { linesOf, MAX_LINE_BYTES, type Chunks } from './lines.js';
import {
  formatOf,
  readDeclarations,
  type DeclarationFormat,
  type DeclarationReading,
} from './read-declarations.js';

function example(name: string): string {
  return readFileSync(new URL(`../../../../../examples/${name}`, import.meta.url), 'utf8');
}

function read(text: string | Uint8Array, format: DeclarationFormat = 'yaml'): Promise<DeclarationReading> {
  return readDeclarations([{ name: `x.${format}`, format, chunks: [Buffer.from(text)] }]);
}

async function problems(text: string | Uint8Array, format?: DeclarationFormat): Promise<readonly string[]> {
  return (await read(text, format)).errors.map(({ line, field }) => `${line} ${field}`);
}

const FAMILY = `families:
  - name: Session JWT
    environment: production
    kind: shared-secret
    algorithm: HS256
    protects: application-account
    usage: mac
    overlap: dual
    mode: tracked
    authority: { kind: nobody }
    owner: { role: platform lead, deputy: deputy lead }
    team: platform
`;
const HEADER = 'environment,name,kind,protects,usage,overlap,mode,authority.kind,owner.role,team';
const row = (name: string): string =>
  `production,${name},shared-secret,other,mac,dual,tracked,nobody,platform lead,platform`;
const MINIMAL = {
  environment: 'production',
  kind: 'shared-secret',
  protects: 'other',
  usage: 'mac',
  overlap: 'dual',
  mode: 'tracked',
  authority: { kind: 'nobody' },
  owner: { role: 'platform lead' },
  team: 'platform',
};

describe('what gives power, or happened, is not declared', () => {
  const told = async (text: string, format?: DeclarationFormat): Promise<readonly string[]> =>
    (await read(text, format)).errors.map(({ line, field, message }) => `${line} ${field}: ${message}`);
  const standing = expect.stringMatching(/is not declared: .*keyturn standing grant/);
  const telemetry = expect.stringMatching(/terms\.telemetry.*keyturn telemetry/);

  it('in YAML: on its own line, beside everything else that is wrong', async () => {
    const text = `${FAMILY}    telemetry: [{ current: 7 }]
    approvedBy: Ada
    colour: red
policies:
  - name: All
    selector: {}
    standing: [{ strategies: [graceful] }]
standing:
  - { policy: All }
`;
    const errors = await told(text);
    expect(errors).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^12 families\.0\.telemetry|^13 .*telemetry/),
        telemetry,
        expect.stringContaining('keyturn approve'),
        expect.stringMatching(/colour: is not known here/),
      ]),
    );
    expect(errors.filter((error) => error.includes('keyturn standing grant'))).toHaveLength(2);
  });

  it('in NDJSON and CSV', async () => {
    expect(await told('{"standing":{"policy":"All"}}\n{"family":{"telemetry":1}}', 'ndjson')).toEqual(
      expect.arrayContaining([standing, telemetry]),
    );
    expect(await told(`${HEADER},standing\n${row('A')},graceful\n`, 'csv')).toEqual([standing]);
    expect(await told(`${HEADER},telemetry.current\n${row('A')},7\n`, 'csv')).toEqual([telemetry]);
  });
});

describe('a YAML file that cannot be applied', () => {
  it('is told everything that is wrong, by line and field', async () => {
    const text = `families:
  - name: A
    environment: Production
    kind: shared-secret
    protects: other
    usage: encrypt
    overlap: dual
    mode: tracked
    authority: { kind: nobody }
    owner: { rolle: lead }
    team: t
    artefactLife: 1 day
  - name: B
    environment: demo
    kind: asymmetric-key
    protects: other
    usage: sign
    overlap: dual
    mode: driven
    authority: { kind: nobody }
    owner: { role: lead }
    team: t
consumers:
  - { family: B, name: api, roles: [] }
policies: nothing
`;
    const { errors } = await read(text);
    expect(errors.map(({ line, field }) => `${line} ${field}`)).toEqual([
      '3 families[0].environment',
      '6 families[0].usage',
      '10 families[0].owner.role',
      '10 families[0].owner.rolle',
      '12 families[0].artefactLife',
      '13 families[1].backEnd',
      '24 consumers[0].roles',
      '24 consumers[0].family',
      '25 policies',
    ]);
    expect(errors[1]?.message).toContain('withdrawing one makes old ciphertext unreadable');
    expect(errors[4]?.message).toContain('ISO 8601');
  });

  it('two declarations of one thing, also in two documents', async () => {
    const family = FAMILY.replace('families:\n', '');
    const object = '    backEnd: { instance: local, object: a/b }\n';
    expect(await problems(`${FAMILY}${family}`)).toEqual(['13 families[1].name']);
    expect(await problems(`${FAMILY}---\n${FAMILY}`)).toEqual(['15 families[0].name']);
    expect(await problems(`${FAMILY}${object}${family.replace('Session JWT', 'B')}${object}`)).toEqual([
      '25 families[1].backEnd.object',
    ]);
    const policy = example('stockease-policies.yaml').split('policies:\n')[1] ?? '';
    const twice = `policies:\n${policy}${policy.replace('name: StockEase', 'name: Other')}`;
    const reading = await read(twice);
    expect(reading.errors).toHaveLength(1);
    expect(reading.errors[0]).toMatchObject({
      field: 'policies[1].selector',
      message: expect.stringContaining('selector of two policies'),
    });
    expect(
      await problems(`consumers:\n${'  - { family: a/b, name: c, roles: [emitter] }\n'.repeat(2)}`),
    ).toEqual(['3 consumers[1].name']);
  });

  it.each([
    ['a name that stands twice', 'families:\npolicies: []\npolicies: []\n', 3],
    ['an alias', 'families: &a []\npolicies: *a\n', 2],
    ['broken YAML', 'families:\n  - {name: "x\n', 3],
    ['a tab', 'families:\n\t- name: x\n', 2],
    ['a tag', 'families:\n  - name: !!binary aGVsbG8=\n', 2],
  ])('%s is told where, without quoting it', async (_what, text, line) => {
    const { errors } = await read(text);
    expect(errors.map((error) => error.line)).toContain(line);
    expect(JSON.stringify(errors)).not.toContain('aGVsbG8');
  });

  it('a secret value, without repeating it', async () => {
    const value = 'hvs.CAESIJ0abcdefghijklmnop';
    const { errors } = await read(`${FAMILY}    description: ${value}\n`);
    expect(errors).toEqual([
      {
        file: 'x.yaml',
        line: 13,
        field: 'families[0].description',
        message: expect.stringContaining('looks like secret'),
      },
    ]);
    expect(JSON.stringify(errors)).not.toContain(value.slice(4));
  });

  it('a policy that stops accepting before it stops emitting', async () => {
    const text = example('stockease-policies.yaml').replace('stopAccepting: P97D', 'stopAccepting: P30D');
    expect((await read(text)).errors[0]?.field).toBe('policies[0].terms.stopAccepting');
  });

  it('nothing at all', async () => {
    expect(await problems('')).toEqual(['1 ']);
    expect(await problems('# only a comment\n---\nfamilies: []\n')).toEqual(['1 ']);
  });
});

describe('a CSV file', () => {
  it('declares families by the columns of its header, whatever their order', async () => {
    const { declared, errors } = await read(
      `${HEADER},backEnd.instance,backEnd.object,strengthBits,frameworks,illustrative,runbook.scope
${row('Session JWT')},local,keys/session,256,SOC 2|PCI DSS,TRUE,"who, what and ""why"""
${row('Other')},,,,,,
`,
      'csv',
    );
    expect(errors).toEqual([]);
    expect(declared.families[0]).toMatchObject({
      place: { file: 'x.csv', line: 2 },
      details: {
        environment: 'production',
        name: 'Session JWT',
        authority: { kind: 'nobody' },
        owner: { role: 'platform lead' },
        backEnd: { instance: 'local', object: 'keys/session' },
        strengthBits: 256,
        frameworks: ['SOC 2', 'PCI DSS'],
        illustrative: true,
      },
      aspects: { runbook: { scope: 'who, what and "why"' } },
    });
    // An empty cell says nothing at all.
    expect(declared.families[1]?.details).not.toHaveProperty('backEnd');
    expect(declared.families[1]?.aspects).toEqual({});
  });

  it('declares consumers where it has a column family', async () => {
    const { declared } = await read(
      'family,name,roles,cacheTtl,instances\nproduction/Session JWT,api,emitter|verifier,PT5M,3\n',
      'csv',
    );
    expect(declared.consumers).toEqual([
      {
        place: { file: 'x.csv', line: 2 },
        family: 'production/Session JWT',
        consumer: {
          name: 'api',
          roles: ['emitter', 'verifier'],
          cacheTtl: 'PT5M',
          neverRefreshes: false,
          thirdParty: false,
          instances: 3,
        },
      },
    ]);
  });

  it.each([
    ['a byte order mark and CRLF', `\u{FEFF}${HEADER}\r\n${row('A')}\r\n`],
    ['no end of the last line', `${HEADER}\n${row('A')}`],
    ['semicolons', `${HEADER}\n${row('A')}`.replaceAll(',', ';')],
    ['tabs', `${HEADER}\n${row('A')}`.replaceAll(',', '\t')],
    ['spaces and quotes around values', `${HEADER}\n${row('A').replace(',A,', ' , "A" , ')}`],
    ['empty lines, and rows of nothing but separators', `\n${HEADER}\n\n,,,,,,,,,\n${row('A')}\n\n`],
  ])('is read with %s', async (_what, text) => {
    const { declared, errors } = await read(text, 'csv');
    expect(errors).toEqual([]);
    expect(declared.families.map(({ details }) => details.name)).toEqual(['A']);
  });

  it('keeps the lines of the file where a value holds line breaks', async () => {
    const text = `${HEADER},description\r\n${row('A')},"one\r\ntwo\r\n\r\nfour"\r\n${row('B')},\r\n${row('C').replace('mac', 'encrypt')},x\r\n`;
    const { declared, errors } = await read(text, 'csv');
    expect(declared.families.map(({ details, place }) => [details.name, place.line])).toEqual([
      ['A', 2],
      ['B', 6],
    ]);
    expect(declared.families[0]?.details.description).toBe('one\ntwo\n\nfour');
    expect(errors).toMatchObject([{ line: 7, field: 'usage' }]);
  });

  it('a header that is wrong is said once, and not on every row', async () => {
    const rows = Array.from({ length: 50 }, (_, index) => `x,${row(`A ${index}`)}`).join('\n');
    const wrong = `colour,${HEADER.replace('owner.role', 'owner').replace('team', 'name')}`;
    const { errors } = await read(`${wrong}\n${rows}\n`, 'csv');
    expect(errors.map(({ line, field, message }) => `${line} ${field} ${message.slice(0, 21)}`)).toEqual([
      '1 colour is no column here; kn',
      '1 owner is no column here; kn',
      '1 name must not be the name ',
      '1 owner.role is missing: every fam',
      '1 team is missing: every fam',
    ]);
    expect(errors[0]?.message).toContain('known are name, environment, description');
    expect(await problems(`${HEADER},backEnd.instance\n${row('A')},local\n`, 'csv')).toEqual([
      '1 backEnd.object',
    ]);
    expect((await read('a,b\n1,2\n1,2\n', 'csv')).errors).toMatchObject([
      { line: 1, field: '', message: expect.stringContaining('must be a header') },
    ]);
  });

  it('a row that is wrong leaves the others', async () => {
    const text = [
      HEADER,
      row('A'),
      `${row('B')},too much`,
      row('C').replace('other', 'an "other" one'),
      row('D'),
      'production,E',
      row('F').replace('shared-secret', '"shared-secret'),
      row('G'),
      row('H').replace('H', '"H"'),
      row('I').replace('I', '"I"x'),
    ].join('\n');
    const { declared, errors } = await read(text, 'csv');
    expect(declared.families.map(({ details }) => details.name)).toEqual(['A', 'D', 'G', 'H']);
    expect(errors.map(({ line, field }) => `${line} ${field}`)).toEqual(['3 ', '4 ', '6 ', '7 ', '10 ']);
    expect(errors.map(({ message }) => message.slice(0, 30))).toEqual([
      'must have 10 values, as the he',
      'must quote a value as a whole:',
      'must have 10 values, as the he',
      'must close the quote that open',
      'must quote a value as a whole:',
    ]);
    const open = `${HEADER}\n${row('A')}\n${row('B').replace('B', '"B')}\n${row('C')}\n`;
    expect((await read(open, 'csv')).errors).toMatchObject([
      { line: 3, message: expect.stringContaining('close the quote') },
    ]);
  });

  it('two quotes too many do not hide what stands between them', async () => {
    const text = [
      HEADER,
      row('A').replace('other', '"other'),
      row('B'),
      row('C').replace('mac', 'encrypt'),
      row('D').replace('other', 'ot"her'),
      row('E'),
    ].join('\n');
    const { declared, errors } = await read(text, 'csv');
    expect(declared.families.map(({ details }) => details.name)).toEqual(['B', 'E']);
    expect(errors.map(({ line, field }) => `${line} ${field}`)).toEqual(['2 ', '4 usage', '5 ']);
  });

  it('bytes that are no UTF-8 are told by their line', async () => {
    const latin = Buffer.from(`${HEADER}\n${row('A')}\n${row('Schl\u00FCssel')}\n`, 'latin1');
    expect((await read(latin, 'csv')).errors).toMatchObject([
      { line: 3, field: '', message: expect.stringContaining('UTF-8') },
    ]);
    const utf16 = Buffer.from(`\u{FEFF}${HEADER}\n${row('A')}\n`, 'utf16le');
    expect((await read(utf16, 'csv')).errors[0]).toMatchObject({ line: 1 });
  });

  it('names a secret by its column, without repeating it', async () => {
    const value = 'hvs.CAESIJ0abcdefghijklmnop';
    const { errors } = await read(`${HEADER},description\n${row('A')},${value}\n`, 'csv');
    expect(errors).toMatchObject([{ line: 2, field: 'description' }]);
    expect(JSON.stringify(errors)).not.toContain(value.slice(4));
  });

  it('of 3,000 rows with 12 bad ones, all 12 are named by line and field', async () => {
    const rows = Array.from({ length: 3_000 }, (_, index) => row(`Secret ${index}`).split(','));
    const bad: readonly (readonly [number, number, string])[] = [
      [3, 0, 'Production'],
      [250, 2, 'shared secret'],
      [251, 3, 'nothing'],
      [999, 4, 'encrypt'],
      [1_000, 5, 'maybe'],
      [1_001, 6, 'driven'],
      [1_500, 7, 'everybody'],
      [1_999, 8, ''],
      [2_000, 9, ''],
      [2_500, 1, 'Secret 17'],
      [2_501, 1, 'a/b'],
      [2_999, 1, ''],
    ];
    for (const [index, column, value] of bad) (rows[index] ?? [])[column] = value;
    const text = [HEADER, ...rows.map((cells) => cells.join(','))].join('\r\n');
    const { errors } = await read(text, 'csv');
    expect(errors.map(({ line, field }) => `${line} ${field}`)).toEqual([
      '5 environment',
      '252 kind',
      '253 protects',
      '1001 usage',
      '1002 overlap',
      '1003 backEnd',
      '1502 authority.kind',
      '2001 owner.role',
      '2002 team',
      '2502 name',
      '2503 name',
      '3001 name',
    ]);
    expect(errors[9]?.message).toContain('line 19 declares the same');
  });
});

describe('an NDJSON file', () => {
  const line = (kind: string, value: unknown): string => JSON.stringify({ [kind]: value });

  it('declares one thing a line', async () => {
    const text = [
      line('family', { ...MINIMAL, name: 'A', runbook: { scope: 'all' } }),
      '',
      line('consumer', { family: 'production/A', name: 'api', roles: ['verifier'] }),
    ].join('\r\n');
    const { declared, errors } = await read(text, 'ndjson');
    expect(errors).toEqual([]);
    expect(declared.families).toMatchObject([
      { place: { line: 1 }, details: { name: 'A' }, aspects: { runbook: { scope: 'all' } } },
    ]);
    expect(declared.consumers).toMatchObject([{ place: { line: 3 }, family: 'production/A' }]);
  });

  it('is told everything that is wrong, by line and field', async () => {
    const text = [
      line('family', { ...MINIMAL, name: 'A', usage: 'encrypt', colour: 'red', owner: { rolle: 'x' } }),
      line('families', []),
      '{"family": {"name": "A"',
      '[1]',
      JSON.stringify({ family: { ...MINIMAL, name: 'B' }, consumer: {} }),
      JSON.stringify({ family: { ...MINIMAL, name: 'C' }, note: 'x' }),
      '{"family": {"name": "D", "name": "E"}}',
      line('consumer', { family: 'A', name: 'api', roles: [] }),
      line('family', { ...MINIMAL, name: 'A' }),
      `{"family": "${'x'.repeat(MAX_LINE_BYTES)}"}`,
      line('family', { ...MINIMAL, name: 'F', description: '-----BEGIN PRIVATE KEY-----' }),
    ].join('\n');
    const { errors } = await read(text, 'ndjson');
    const found = errors.map((error) => `${error.line} ${error.field}`);
    expect(found.filter((each) => !each.startsWith('7 '))).toEqual([
      '1 family.usage',
      '1 family.owner.role',
      '1 family.owner.rolle',
      '1 family.colour',
      '2 ',
      '3 ',
      '4 ',
      '5 ',
      '6 note',
      '8 consumer.roles',
      '8 consumer.family',
      '9 family.name',
      '10 ',
      '11 family.description',
    ]);
    expect(errors.find((each) => each.line === 7 && each.field === 'family.name')?.message).toBe(
      'must not stand twice',
    );
    expect(JSON.stringify(errors)).not.toContain('PRIVATE');
  });

  it('of 20,000 families is read as it comes, and never held as a text', async () => {
    let sent = 0;
    let furthest = 0;
    const scope = 'What it is for, at some length. '.repeat(8);
    async function* generated(): AsyncGenerator<Uint8Array> {
      for (let index = 0; index < 20_000; index += 1) {
        const text = `${line('family', { ...MINIMAL, name: `Secret ${index}`, runbook: { scope } })}\n`;
        // Cut anywhere, also inside a character.
        const bytes = Buffer.from(text);
        sent += 1;
        yield bytes.subarray(0, 100);
        yield bytes.subarray(100);
      }
    }
    const reader = new DeclarationReader();
    const taken = reader.family.bind(reader);
    reader.family = (item) => {
      taken(item);
      furthest = Math.max(furthest, sent - reader.count);
    };
    const { readNdjson } = await import('./read-ndjson.js');
    const { Problems } = await import('../files/file-problems.js');
    const problems = new Problems(10);
    await readNdjson(generated(), 'x.ndjson', reader, problems);
    expect(problems.none()).toBe(true);
    expect(reader.families).toHaveLength(20_000);
    // Each line is taken before the next one is asked for.
    expect(furthest).toBe(0);
  });
});

describe('several files', () => {
  const source = (name: string, text: string) => ({
    name,
    format: formatOf(name) ?? 'yaml',
    chunks: [Buffer.from(text)],
  });

  it('are one declaration: what is declared twice is named by file and line', async () => {
    const { declared, errors } = await readDeclarations([
      source('a.yaml', FAMILY),
      source('b.csv', `${HEADER}\n${row('Other')}\n${row('Session JWT')}\n`),
      source('c.csv', 'family,name,roles\nproduction/Other,api,judge\n'),
    ]);
    expect(declared.families).toHaveLength(3);
    expect(errors.map(({ file, line, field }) => [file, line, field])).toEqual([
      ['b.csv', 3, 'name'],
      ['c.csv', 2, 'roles'],
    ]);
    expect(errors[0]?.message).toContain('line 2 of a.yaml declares the same');
  });

  it('one may declare nothing where another does', async () => {
    expect(
      (await readDeclarations([source('a.yaml', FAMILY), source('b.csv', `${HEADER}\n`)])).errors,
    ).toEqual([]);
    expect((await readDeclarations([source('b.csv', `${HEADER}\n`)])).errors).toHaveLength(1);
  });
});

describe('linesOf', () => {
  const lines = async (chunks: Chunks) => {
    const found: unknown[] = [];
    for await (const { line, text, problem } of linesOf(chunks)) found.push([line, problem ?? text]);
    return found;
  };

  it('is the same however the bytes are cut', async () => {
    const bytes = Buffer.from('\u{FEFF}a\r\nü\u{1F600}\n\nlast');
    const whole = await lines([bytes]);
    expect(whole).toEqual([
      [1, 'a'],
      [2, 'ü\u{1F600}'],
      [3, ''],
      [4, 'last'],
    ]);
    for (let cut = 1; cut < bytes.length; cut += 1) {
      expect(await lines([bytes.subarray(0, cut), bytes.subarray(cut)])).toEqual(whole);
    }
  });

  it('keeps nothing of a line that is too long, and goes on', async () => {
    let yielded = 0;
    function* endless(): Generator<Uint8Array> {
      for (; yielded < 2_000; yielded += 1) yield Buffer.alloc(64 * 1024, 'x');
      yield Buffer.from('\nafter\n');
    }
    const before = process.memoryUsage().arrayBuffers;
    const found = await lines(endless());
    expect(found).toEqual([
      [1, expect.stringContaining('must not be longer')],
      [2, 'after'],
    ]);
    // 125 MiB went by.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(100 * 1024 * 1024);
  });
});
