import type { RunbookInput } from '../runbook-page.js';
import { familyWord } from './command-words.js';
import { emergencySteps, type EmergencyStep } from './emergency-steps.js';
import { fitFields, type Field } from './one-page.js';
import { COLUMN_GAP, STYLES, type Cell, type Paper } from './sheet.js';
import { createdText, drawStrip, MISSING, onePage, ownerBox, pageTitle, type WallBox } from './wall.js';
import { instantText } from './wording.js';

const LABEL_WIDTH = 84;
const PADDING = 3.5;
/** The last line of the page, and what `facts` leaves under itself. */
const FOOT_HEIGHT = 22;

/**
 * What to do by hand while Keyturn itself is down, on one page that is printed beforehand: raw back-end commands, and how to
 * record afterwards what was done. The same input gives the same bytes.
 */
export async function renderEmergencyCard(input: RunbookInput, paper: Paper = 'a4'): Promise<Buffer> {
  const sheet = await onePage(input, 'Emergency card', paper);
  pageTitle(sheet, input, 'Emergency card: when Keyturn itself is down');
  drawStrip(sheet, boxesOf(input));
  const { rows, cut } = fitFields(sheet, emergencySteps(input).map(fieldOf), {
    room: sheet.room - FOOT_HEIGHT,
    labelWidth: LABEL_WIDTH,
    gap: COLUMN_GAP,
    padding: PADDING,
  });
  sheet.facts(rows, { labelWidth: LABEL_WIDTH, padding: PADDING, rule: true });
  const whole = cut
    ? ` Texts marked "(cut)" are shortened; the whole: keyturn families ${familyWord(input.family)} --json`
    : '';
  sheet.paragraph(
    `As of ${instantText(input.asOf)} UTC: versions change with every rotation, so print it anew then.${whole}`,
    STYLES.tiny,
  );
  return sheet.finish();
}

function boxesOf(input: RunbookInput): readonly WallBox[] {
  const { family } = input;
  const accepted = family.versions.filter((version) => version.accepted).map(({ versionId }) => versionId);
  const others = accepted.filter((versionId) => versionId !== family.current);
  return [
    ownerBox(input, 1.5),
    {
      label: 'EMITTED AT PRINTING',
      weight: 1.45,
      lines:
        family.current === null
          ? [{ text: 'not recorded', style: STYLES.absent }]
          : [
              { text: family.current, style: STYLES.cellMono, most: 2 },
              { text: createdText(input), style: STYLES.small, most: 2 },
            ],
    },
    {
      label: 'ACCEPTED BESIDE IT',
      weight: 1.15,
      lines:
        others.length === 0
          ? [{ text: 'none', style: STYLES.cell }]
          : [{ text: others.join(', '), style: STYLES.cellMono, most: 3 }],
    },
    {
      label: 'BACK END',
      weight: 1,
      lines:
        family.backEnd === null
          ? [{ text: 'none is named', style: MISSING }]
          : [
              { text: family.backEnd.instance, style: STYLES.cellStrong },
              { text: family.backEnd.object, style: STYLES.small, most: 2 },
            ],
    },
  ];
}

function fieldOf(step: EmergencyStep, index: number): Field {
  const { title, words, written, missing, commands = [], after } = step;
  const label: Cell = [{ words: `${index + 1}  ${title}`, style: STYLES.cellStrong }];
  const ours: Cell = [
    ...(words === undefined ? [] : [{ words, style: STYLES.cell }]),
    ...(missing === true ? [{ words: 'Missing: nobody has written it down.', style: MISSING }] : []),
    ...commands.map((command) => ({ words: command, style: STYLES.cellMono })),
  ];
  const rest: Cell = after === undefined ? [] : [{ words: after, style: STYLES.cellMuted }];
  return written === undefined
    ? { label, before: [...ours, ...rest] }
    : { label, before: ours, text: written, after: rest };
}
