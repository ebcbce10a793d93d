import { jest } from '@jest/globals';
import * as fc from 'fast-check';
import { byDepth, DEPTH } from '#platform/testing';
import { readImportFile } from '#rotation';
import { readPdf } from '../testing/pdf-reader.js';
import { consumerOf, emptyRunbook, longRunbook, runbookInput } from '../testing/runbooks.js';
import type { BackEndKind, RunbookInput } from '../runbook-page.js';
import { familyWord } from './command-words.js';
import { importFile } from './emergency-steps.js';
import { renderEmergencyCard } from './render-emergency-card.js';
import { renderRunbook } from './render-runbook.js';
import { completenessOf, runbookFields } from './runbook-fields.js';
import { PAPERS, type Paper } from './sheet.js';

jest.setTimeout(120_000);

const KINDS: readonly (BackEndKind | undefined)[] = [
  'local',
  'attested',
  'vault-transit',
  'vault-kv',
  'vault-database',
  undefined,
];

const of = (input: RunbookInput, backEndKind: BackEndKind | undefined): RunbookInput => {
  const { backEndKind: _, ...rest } = input;
  return backEndKind === undefined ? rest : { ...rest, backEndKind };
};

const textOf = async (pdf: Promise<Buffer>): Promise<string> => readPdf(await pdf).pages.join(' ');
const runbook = (input: RunbookInput): Promise<string> => textOf(renderRunbook(input));
const card = (input: RunbookInput): Promise<string> => textOf(renderEmergencyCard(input));

const ENGLISH = 'Every gateway fetches the keys by itself; nobody copies them by hand. ';
const filled =
  (word: string) =>
  (characters: number): string =>
    word
      .repeat(Math.ceil(characters / word.length))
      .slice(0, characters)
      .trim()
      .padEnd(1, 'x');

describe('always one page', () => {
  const fillers: readonly (readonly [string, string])[] = [
    ['English', ENGLISH],
    ['one word without an end', 'x'],
    ['the widest letters', 'W '],
    ['line breaks', 'a\n\nb\n'],
    ['what no font has', '王芳'],
    ['right to left', 'דוד כהן '],
    ['quotes and brackets', '"\'`$(rm -rf)\\ </script> '],
  ];
  // The check draws each on one sheet, in turn; the slice on both.
  const cases = fillers.flatMap(([name, word], index) =>
    PAPERS.filter((_, sheet) => DEPTH !== 'check' || sheet === index % PAPERS.length).map(
      (paper): [string, Paper, string] => [name, paper, word],
    ),
  );
  /** Each case draws the cards of a third of the kinds; all together draw every kind on both sheets. */
  let turn = 0;
  afterEach(() => {
    turn += 1;
  });

  it.each(cases)('%s, as long as everything may be, on %s', async (_name, paper, word) => {
    const filler = (characters: number): string => {
      const text = filled(word)(characters);
      // A line holds no line breaks; texts do.
      return characters < 8_000 ? text.replaceAll('\n', ' ') : text;
    };
    const input = longRunbook(filler);
    const drawn = [
      await renderRunbook(input, paper),
      ...(await Promise.all(
        KINDS.filter((_, index) => index % 3 === turn % 3).map((kind) =>
          renderEmergencyCard(of(input, kind), paper),
        ),
      )),
    ];
    for (const pdf of drawn) {
      const { pages } = readPdf(pdf);
      expect(pages).toHaveLength(1);
      expect(pages[0]).toContain('Page 1 of 1');
      expect(pages[0]).toContain('(cut)');
      expect(pages[0]).toContain(`keyturn families ${input.family.id} --json`);
    }
  });

  it('whatever is written, however long', async () => {
    const text = fc.oneof(
      fc.string({ maxLength: 200, unit: 'grapheme' }),
      fc
        .tuple(fc.string({ minLength: 1, maxLength: 12, unit: 'grapheme' }), fc.nat(700))
        .map(([word, times]) => word.repeat(times + 1).slice(0, 8_000)),
    );
    const fields = fc.record(
      {
        scope: text,
        storage: text,
        blastRadius: text,
        rolloutOrder: text,
        verification: text,
        rollbackPlan: text,
        cadence: text,
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(
        fields,
        fc.nat(30),
        fc.constantFrom(...PAPERS),
        fc.constantFrom(...KINDS),
        async (written, consumers, paper, kind) => {
          const input = of(
            runbookInput({
              runbook: written,
              consumers: Array.from({ length: consumers }, (_, index) => consumerOf(`consumer ${index}`)),
            }),
            kind,
          );
          expect(readPdf(await renderRunbook(input, paper)).pages).toHaveLength(1);
          expect(readPdf(await renderEmergencyCard(input, paper)).pages).toHaveLength(1);
        },
      ),
      { numRuns: byDepth({ check: 3, slice: 12, full: 60 }) },
    );
  });

  it('would not go unnoticed: content that does not fit is an error, not a second page', async () => {
    const input = runbookInput({
      name: 'n'.repeat(120),
      team: 'x'.repeat(90_000),
      owner: { role: 'r' },
    });
    // Cut to its lines, so it fits; a page composed past its end is refused by the sheet itself.
    expect(readPdf(await renderRunbook(input)).pages).toHaveLength(1);
    const { Sheet } = await import('./sheet.js');
    const sheet = await Sheet.open({
      title: 't',
      subject: 's',
      asOf: 0,
      runningTitle: 't',
      footer: 'f',
      example: false,
      onePage: true,
    });
    expect(() => {
      for (let line = 0; line < 200; line += 1) sheet.paragraph('a line');
    }).toThrow('this page has no second one');
  });
});

it('the same input gives the same bytes, at another second too', async () => {
  const draw = async (): Promise<readonly Buffer[]> => [
    await renderRunbook(runbookInput()),
    await renderEmergencyCard(runbookInput(), 'letter'),
  ];
  const first = await draw();
  await new Promise((resolve) => setTimeout(resolve, 1_100));
  const second = await draw();
  expect(first.every((pdf, index) => pdf.equals(second[index] ?? Buffer.alloc(0)))).toBe(true);
});

it('the sheet is of the size that was asked for', async () => {
  const sizeOf = async (paper: Paper): Promise<string | undefined> =>
    readPdf(await renderRunbook(runbookInput(), paper))
      .objects.map((object) => /\/MediaBox \[([^\]]*)\]/u.exec(object)?.[1])
      .find((box) => box !== undefined);
  expect(await sizeOf('a4')).toBe('0 0 595.28 841.89');
  expect(await sizeOf('letter')).toBe('0 0 612 792');
});

describe('the runbook', () => {
  it('has every field of a runbook page', async () => {
    const text = await runbook(runbookInput());
    const { runbook: written } = runbookInput().family;
    const fields = [
      'scope',
      'storage',
      'blastRadius',
      'rolloutOrder',
      'verification',
      'rollbackPlan',
      'cadence',
    ];
    for (const field of fields) expect(text).toContain(written[field]);
    expect(text).toContain('9 of 9 fields are complete; nothing is missing.');
    expect(text).toContain('production / orders-signing');
    expect(text).toContain('created 2026-01-05, 56 days old');
    expect(text).toContain('due 2026-04-05');
    expect(text).toContain('deputy: Payments SRE on call');
    expect(text).toContain('reconciliation of the partner (verifier, third party, caches 6 h)');
    expect(text).toMatch(/Accept 1\sd 5\smin 30\ss .* Binding: mobile-app caches its keys for P1D\./u);
    expect(text).toMatch(/Drain 2\sd .* Binding: twice the longest cache/u);
    expect(text).toMatch(/stop emitting after 90\sd, accepting after 97\sd/u);
    expect(text).toContain('Next review of this page: 2026-09-01');
    expect(text).toContain('keyturn rotate production/orders-signing');
    expect(text).not.toContain('(cut)');
  });

  it('shows what is missing as missing, and counts it', async () => {
    const text = await runbook(emptyRunbook());
    expect(text).toContain('0 of 9 fields are complete');
    expect(text.match(/Missing: nobody has written it down\./gu)).toHaveLength(8);
    for (const said of [
      'algorithm missing',
      'No back end is named',
      'No policy selects this family',
      'deputy: missing',
    ])
      expect(text).toContain(said);
    expect(text).toContain('Not computed: no back end is named');
    expect(text).toContain('ROTATED BY not recorded no date');
    expect(text).not.toContain('keyturn rotate');
  });

  it.each([
    ['scope', 'scope and purpose'],
    ['storage', 'storage and distribution'],
    ['blastRadius', 'blast radius'],
    ['rolloutOrder', 'rollout order'],
    ['verification', 'verification'],
    ['rollbackPlan', 'rollback plan'],
    ['cadence', 'cadence'],
    ['nextReview', 'next review'],
  ])('without %s is one field less', (field, said) => {
    const { [field]: _, ...runbookWithout } = runbookInput().family.runbook;
    const found = completenessOf(runbookFields(runbookInput({ runbook: runbookWithout })));
    expect(found).toEqual({ complete: 8, of: 9, missing: [said] });
  });

  it('says that a review has passed and that a rotation is overdue', async () => {
    const text = await runbook(
      runbookInput(
        { runbook: { nextReview: '2026-03-01' } },
        { due: { status: 'overdue', due: '2026-02-01T00:00:00.000Z', overdueDays: 29 } },
      ),
    );
    expect(text).toContain('2026-03-01 (this day has passed)');
    expect(text).toContain('overdue by 29 days');
  });

  it('marks example data', async () => {
    expect(await runbook(runbookInput({ illustrative: true }))).toContain('EXAMPLE DATA');
    expect(await card(runbookInput({ illustrative: true }))).toContain('EXAMPLE DATA');
  });

  it('draws no direction mark and no mark-up of whoever wrote it', async () => {
    const text = await runbook(runbookInput({ runbook: { scope: '\u202Eesrever <b>bold</b> {{7*7}}' } }));
    expect(text).toContain('U+202E esrever <b>bold</b> {{7*7}}');
    expect(text).not.toContain('\u202E');
  });

  it('has room for a text that fits, whole', async () => {
    const scope = ENGLISH.repeat(9).trim();
    const text = await runbook(runbookInput({ runbook: { ...runbookInput().family.runbook, scope } }));
    expect(text).toContain(scope);
    expect(text).not.toContain('(cut)');
  });
});

describe('the emergency card', () => {
  const family = runbookInput().family;

  it('of the local back end names the document and says what is not possible', async () => {
    const text = await card(runbookInput());
    expect(text).toContain(`custody/jwks/${family.id}.json`);
    expect(text).toContain('select(.kid != "VERSION")');
    expect(text).toContain('Nothing can sign with this key and nobody can make a new one');
    expect(text).toContain('keyturn contain production/orders-signing --version VERSION');
    expect(text).toContain('orders-api (6 instances)');
    expect(text).not.toContain('bao ');
  });

  it('of a shared secret serves no document', async () => {
    const text = await card(runbookInput({ kind: 'shared-secret', algorithm: 'HS256', usage: 'mac' }));
    expect(text).not.toContain('jq ');
    expect(text).toContain('no document is served');
  });

  it.each([
    [
      'vault-transit',
      'transit/keys/jwt',
      ['bao read transit/keys/jwt', 'min_decryption_version=N min_encryption_version=N'],
    ],
    [
      'vault-kv',
      'secret/apps/jwt',
      ['bao kv put -mount=secret -cas=N apps/jwt value=@FILE', '-versions=OLD apps/jwt'],
    ],
    [
      'vault-database',
      'database/static-roles/app',
      ['bao write -f database/rotate-role/app', 'last_vault_rotation'],
    ],
  ] as const)('of %s has its raw commands', async (kind, object, said) => {
    const text = await card(of(runbookInput({ backEnd: { instance: 'vault.prod-eu', object } }), kind));
    for (const words of said) expect(text).toContain(words);
    expect(text).not.toContain('custody/jwks');
  });

  it('of people, and of a back end nobody knows here, has what they wrote down', async () => {
    for (const kind of ['attested', undefined] as const) {
      const text = await card(of(runbookInput({ mode: 'attested' }), kind));
      expect(text).toContain(family.runbook['rollbackPlan']);
      expect(text).toContain(family.runbook['storage']);
      expect(text).toContain('keyturn attest production/orders-signing --step revoke');
      expect(text).not.toMatch(/custody|bao |keyturn import/u);
      const tracked = await card(of(runbookInput({ mode: 'tracked' }), kind));
      expect(tracked).toContain('keyturn import FILE');
      expect(tracked).not.toContain('keyturn attest');
    }
    expect(await runbook(runbookInput({ mode: 'attested' }))).toContain('keyturn attest');
  });

  it('prints a file that the import takes', () => {
    for (const qualifiedName of ['production/orders-signing', 'staging/Zoë "quoted" \\ 王芳']) {
      const reading = readImportFile(
        new TextEncoder().encode(importFile({ qualifiedName, algorithm: 'ES256' })),
        Date.parse('2026-03-01T00:00:00Z'),
      );
      expect(reading).toMatchObject({
        file: { entries: [{ kind: 'rotation', family: qualifiedName, facts: [{}, {}] }] },
      });
    }
  });
});

it.each([
  ['production/orders-signing', 'production/orders-signing'],
  ['production/Session JWT', '"production/Session JWT"'],
  ['production/$(reboot)', undefined],
  ['production/it`s', undefined],
  ['production/Zoë', undefined],
  [`production/${'x'.repeat(60)}`, undefined],
])('a family is typed as one word: %s', (qualifiedName, word) => {
  const { id } = runbookInput().family;
  expect(familyWord({ id, qualifiedName })).toBe(word ?? id);
});
