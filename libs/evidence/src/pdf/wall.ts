import { parseInstant } from '#eventlog';
import type { RunbookInput } from '../runbook-page.js';
import { cutLine } from './one-page.js';
import { BOX_INSET, COLUMN_GAP, COLOURS, Sheet, STYLES, type Paper, type TextStyle } from './sheet.js';
import { instantText } from './wording.js';

/** What the pages for the wall have in common. */

const TITLE: TextStyle = { ...STYLES.title, size: 17, leading: 21 };
/** For names that would not fit two lines of the large one. */
const SMALL_TITLE: TextStyle = { ...STYLES.title, size: 12, leading: 15.5 };
const LONG_TITLE = 80;
const SUBTITLE: TextStyle = { ...STYLES.subtitle, size: 9, leading: 12.5 };
/** What is missing or late. */
export const MISSING: TextStyle = { ...STYLES.cellStrong, colour: COLOURS.warning };
export const MISSING_SMALL: TextStyle = { ...STYLES.small, colour: COLOURS.warning };
const DAY_MS = 86_400_000;

export function onePage(input: RunbookInput, kind: string, paper: Paper): Promise<Sheet> {
  const { family, logId, treeSize, asOf } = input;
  const title = `${kind}: ${family.environment} / ${family.name}`;
  return Sheet.open({
    title,
    subject: `Family ${family.id}, log ${logId}, tree size ${treeSize}`,
    asOf,
    runningTitle: title,
    footer: `${kind} · log ${logId.slice(0, 8)} · tree size ${treeSize} · as of ${instantText(asOf)} UTC`,
    example: family.illustrative,
    paper,
    onePage: true,
  });
}

export function pageTitle(sheet: Sheet, { family }: RunbookInput, kind: string): void {
  const { measuring } = sheet;
  const example = family.illustrative ? 'EXAMPLE DATA: made for a demonstration. ' : '';
  const name = `${family.environment} / ${family.name}`;
  const style = name.length > LONG_TITLE ? SMALL_TITLE : TITLE;
  const subtitle = `${example}${kind} · team ${family.team} · family ${family.id}`;
  sheet.heading(
    { words: cutLine(measuring, name, style, measuring.width, 2), style },
    { words: cutLine(measuring, subtitle, SUBTITLE, measuring.width, 2), style: SUBTITLE },
  );
}

/** One box of the strip, whose lines are cut to its own width. */
export interface WallBox {
  readonly label: string;
  readonly weight: number;
  readonly lines: readonly { readonly text: string; readonly style: TextStyle; readonly most?: number }[];
}

/** Draws what a reader looks for first. */
export function drawStrip(sheet: Sheet, boxes: readonly WallBox[]): void {
  const { measuring } = sheet;
  const total = boxes.reduce((sum, { weight }) => sum + weight, 0);
  const room = measuring.width - COLUMN_GAP * (boxes.length - 1);
  sheet.strip(
    boxes.map(({ label, weight, lines }) => ({
      label,
      weight,
      value: lines.map(({ text, style, most = 1 }) => ({
        words: cutLine(measuring, text, style, (weight / total) * room - BOX_INSET * 2, most),
        style,
      })),
    })),
  );
  sheet.space(7);
}

/** When the emitting version was made, and how old it is on the day of the page. */
export function createdText({ family, asOf }: RunbookInput): string {
  const created = family.versions.find(({ versionId }) => versionId === family.current)?.createdAt;
  const at = created === undefined ? undefined : parseInstant(created);
  if (at === undefined) return 'created: not recorded';
  const days = Math.floor((asOf - at) / DAY_MS);
  return `created ${instantText(at).slice(0, 10)}, ${days} ${days === 1 ? 'day' : 'days'} old`;
}

const STATUS_WORDS: Readonly<Record<string, string>> = {
  ok: 'in time',
  'due-soon': 'due soon',
  'never-rotated': 'never rotated',
  'not-observed': 'no version with a known beginning was observed',
  'no-policy': 'no policy selects this family',
};

export function dueText({ due }: RunbookInput): {
  readonly date: string;
  readonly status: string;
  readonly late: boolean;
} {
  const date = due.due === null ? 'no date' : `due ${due.due.slice(0, 10)}`;
  const late = due.status !== 'ok' && due.status !== 'due-soon';
  if (due.status !== 'overdue') return { date, status: STATUS_WORDS[due.status] ?? due.status, late };
  return {
    date,
    status:
      due.overdueDays === null
        ? 'overdue'
        : `overdue by ${due.overdueDays} ${due.overdueDays === 1 ? 'day' : 'days'}`,
    late,
  };
}

/** Whom to call, as far as it is recorded. */
export function ownerBox({ family }: RunbookInput, weight: number): WallBox {
  const { role, deputy, escalation } = family.owner;
  return {
    label: 'OWNER',
    weight,
    lines: [
      { text: role, style: STYLES.cellStrong, most: 2 },
      { text: `deputy: ${deputy ?? 'missing'}`, style: deputy === undefined ? MISSING_SMALL : STYLES.small },
      {
        text: `escalation: ${escalation ?? 'missing'}`,
        style: escalation === undefined ? MISSING_SMALL : STYLES.small,
      },
    ],
  };
}
