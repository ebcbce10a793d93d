import type { RunbookInput } from '../runbook-page.js';
import { familyWord } from './command-words.js';
import { cutLine, fitFields, type Field } from './one-page.js';
import { completenessOf, runbookFields, type Completeness, type RunbookField } from './runbook-fields.js';
import { COLOURS, COLUMN_GAP, STYLES, type Cell, type Paper, type Sheet, type TextStyle } from './sheet.js';
import {
  createdText,
  drawStrip,
  dueText,
  MISSING,
  onePage,
  ownerBox,
  pageTitle,
  type WallBox,
} from './wall.js';

const LABEL_WIDTH = 112;
const FIELD_PADDING = 2.75;
const COMMAND_PADDING = 1.25;
const COMMAND: TextStyle = STYLES.cellMono;

/** The runbook of a family on one page, for the wall of whoever owns it. The same input gives the same bytes. */
export async function renderRunbook(input: RunbookInput, paper: Paper = 'a4'): Promise<Buffer> {
  const { family } = input;
  const sheet = await onePage(input, 'Runbook', paper);
  const { measuring } = sheet;
  pageTitle(sheet, input, 'Runbook');
  drawStrip(sheet, boxesOf(input));

  const fields = runbookFields(input);
  completenessLine(sheet, completenessOf(fields));

  const commands = commandRows(input);
  const commandsLook = { labelWidth: LABEL_WIDTH, padding: COMMAND_PADDING };
  const commandWidth = measuring.width - LABEL_WIDTH - COLUMN_GAP;
  const commandsHeight = commands.reduce((sum, [label, command]) => {
    const lines = Math.max(
      measuring.heightOf(label, STYLES.cell, LABEL_WIDTH),
      measuring.heightOf(command, COMMAND, commandWidth),
    );
    return sum + lines + COMMAND_PADDING * 2;
  }, HEADING_HEIGHT);

  const numbered = numberedFields(fields, measuring);
  const { rows, cut } = fitFields(sheet, numbered, {
    room: sheet.room - commandsHeight - FOOT_HEIGHT - 4,
    labelWidth: LABEL_WIDTH,
    gap: COLUMN_GAP,
    padding: FIELD_PADDING,
  });
  sheet.facts(rows, { labelWidth: LABEL_WIDTH, padding: FIELD_PADDING, rule: true });
  sheet.subheading('Commands', HEADING_HEIGHT);
  sheet.facts(
    commands.map(([label, command]) => [
      [{ words: label, style: STYLES.cellMuted }],
      [{ words: command, style: COMMAND }],
    ]),
    commandsLook,
  );
  sheet.paragraph(
    cut
      ? `Texts marked "(cut)" are shortened to keep this one page; the whole: keyturn families ${familyWord(family)} --json`
      : `Printed from the record at tree size ${input.treeSize}. Print it anew after every rotation and review.`,
    STYLES.tiny,
  );
  return sheet.finish();
}

/** Heading of the commands, with the space before it. */
const HEADING_HEIGHT = 24;
/** The last line of the page, and what `facts` leaves under itself. */
const FOOT_HEIGHT = 22;

function boxesOf(input: RunbookInput): readonly WallBox[] {
  const { family } = input;
  const due = dueText(input);
  return [
    {
      label: 'EMITS NOW',
      weight: 1.35,
      lines:
        family.current === null
          ? [{ text: 'not recorded', style: STYLES.absent }]
          : [
              { text: family.current, style: STYLES.cellMono, most: 2 },
              { text: createdText(input), style: STYLES.small, most: 2 },
            ],
    },
    {
      label: 'NEXT ROTATION',
      weight: 0.9,
      lines: [
        { text: due.date, style: due.late ? MISSING : STYLES.cellStrong },
        { text: due.status, style: STYLES.small, most: 2 },
      ],
    },
    ownerBox(input, 1.15),
    {
      label: 'ROTATED BY',
      weight: 0.85,
      lines: [
        {
          text: family.mode === 'driven' ? 'Keyturn drives it' : `${family.mode}, not driven`,
          style: STYLES.cellStrong,
        },
        {
          text:
            family.runningRotation === null
              ? 'no rotation is under way'
              : `rotation ${family.runningRotation.slice(0, 8)} is under way`,
          style: STYLES.small,
          most: 2,
        },
      ],
    },
  ];
}

function completenessLine(sheet: Sheet, { complete, of, missing }: Completeness): void {
  const { measuring } = sheet;
  const all = missing.length === 0;
  const text = all ? 'nothing is missing.' : `missing: ${missing.join(', ')}.`;
  const lead = `${complete} of ${of} fields are complete`;
  const style = { ...STYLES.cell, colour: all ? COLOURS.ink : COLOURS.warning };
  sheet.paragraph(
    [
      { text: `${lead}; `, style: { face: 'strong', colour: style.colour } },
      {
        text: cutLine(measuring, text, style, measuring.width * 0.8, 2),
        style: { colour: style.colour },
      },
    ],
    STYLES.cell,
  );
}

function numberedFields(fields: readonly RunbookField[], measuring: Sheet['measuring']): readonly Field[] {
  const width = measuring.width - LABEL_WIDTH - COLUMN_GAP;
  let number = 0;
  return fields.map((field): Field => {
    if (field.continued !== true) number += 1;
    const label: Cell = [
      {
        words: field.continued === true ? field.title : `${number}  ${field.title}`,
        style: field.continued === true ? STYLES.cellMuted : STYLES.cellStrong,
      },
    ];
    const lines = field.lines.map(({ text, missing }): Cell[number] => {
      const style = missing === true ? { ...STYLES.cell, colour: COLOURS.warning } : STYLES.cellMuted;
      return { words: cutLine(measuring, text, style, width, field.computed === true ? 2 : 1), style };
    });
    if (field.computed === true) return { label, before: lines };
    if (field.written !== undefined) return { label, text: field.written, after: lines };
    return { label, before: [{ words: 'Missing: nobody has written it down.', style: MISSING }, ...lines] };
  });
}

function commandRows({ family }: RunbookInput): readonly (readonly [label: string, command: string])[] {
  const name = familyWord(family);
  const look = [['Where it stands', `keyturn status ${name}`]] as const;
  const card = [
    ['Keyturn is down', `keyturn runbook ${name} --emergency-card -o card.pdf   (print it now)`],
  ] as const;
  if (family.mode === 'tracked') {
    return [
      ['What is known', `keyturn families ${name}`],
      ['Record a rotation', 'keyturn import history.json'],
      ...card,
    ];
  }
  return [
    ...look,
    [
      'Rotate, planned',
      `keyturn rotate ${name}${family.overlap === 'dual' ? '' : ' --strategy cutover'} --reason "…"   (--dry-run shows the plan)`,
    ],
    ['Approve, as another', `keyturn approve ${name}`],
    ...(family.mode === 'attested'
      ? ([['A step was done', `keyturn attest ${name} --step STEP --evidence URL`]] as const)
      : []),
    ['Roll back', `keyturn rollback ${name} --reason "…"`],
    ['Deny a version at once', `keyturn contain ${name} --version VERSION --reason "…"`],
    ['It leaked', `keyturn emergency ${name} --compromised VERSION --incident REF`],
    ...card,
  ];
}
