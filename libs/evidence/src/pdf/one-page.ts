import { STYLES, type Cell, type FactsLook, type Sheet, type TextStyle } from './sheet.js';

/** What stands where a text was shortened for the page. The foot of the page says where the whole of it is. */
export const CUT = '… (cut)';

/** Longer than any page can hold at the smallest size: not even looked at. */
const MOST_CHARACTERS = 4_000;

/** Points: no letter of any face is narrower in the sizes of these pages. */
const NARROWEST = 1.5;

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });

/** A field of a page that must stay one page. Only `text` may be shortened; the rest is there whole. */
export interface Field {
  readonly label: Cell;
  readonly before?: Cell;
  /** As somebody wrote it. */
  readonly text?: string;
  readonly after?: Cell;
}

type Measuring = Sheet['measuring'];

/** A text in at most so many lines; what is left out is marked. */
export function cutTo(
  measuring: Measuring,
  text: string,
  style: TextStyle,
  { width, lines }: { readonly width: number; readonly lines: number },
): string {
  const whole = tidy(text);
  // More than this never stands in so many lines: not measured at all.
  const most = Math.min(MOST_CHARACTERS, Math.ceil((lines * width) / NARROWEST));
  const room = lines * style.leading + 0.01;
  const fits = (words: string): boolean => measuring.heightOf(words, style, width) <= room;
  if (whole.length <= most && fits(whole)) return whole;
  const parts = Array.from(graphemes.segment(whole.slice(0, most)), ({ segment }) => segment);
  const shortened = (count: number): string => `${parts.slice(0, count).join('').trimEnd()} ${CUT}`;
  let [least, greatest] = [0, parts.length];
  while (least < greatest) {
    const middle = Math.ceil((least + greatest) / 2);
    if (fits(shortened(middle))) least = middle;
    else greatest = middle - 1;
  }
  return shortened(least);
}

/** The sizes a page is tried in, largest first: a wall is read from further away than a desk. Shares of the usual size. */
const SIZES = [1.25, 1.15, 1.06, 1] as const;
/** Where texts must be shortened, they are a little smaller still. */
const SMALLEST: TextStyle = { ...STYLES.cell, size: 8, leading: 10.5 };

function scaled(style: TextStyle, share: number): TextStyle {
  return { ...style, size: style.size * share, leading: style.leading * share };
}

function scaledCell(cell: Cell | undefined, share: number): Cell {
  return (cell ?? []).map(({ words, style }) => ({ words, style: scaled(style, share) }));
}

export interface Fitted {
  readonly rows: readonly (readonly [label: Cell, value: Cell])[];
  /** Some text was shortened. */
  readonly cut: boolean;
}

/**
 * Fields as rows that take no more than `room` points: in the largest size in which every text is whole; where there is
 * none, in the smallest, the longest texts shortened first and to the same number of lines.
 */
export function fitFields(
  sheet: Pick<Sheet, 'measuring'>,
  fields: readonly Field[],
  {
    room,
    labelWidth,
    gap,
    padding,
  }: Required<Pick<FactsLook, 'labelWidth' | 'padding'>> & {
    readonly room: number;
    /** Between the two columns. */
    readonly gap: number;
  },
): Fitted {
  const { measuring } = sheet;
  const width = measuring.width - labelWidth - gap;
  const heightOfCell = (cell: Cell, cellWidth: number): number =>
    cell.reduce((sum, { words, style }) => sum + measuring.heightOf(words, style, cellWidth), 0);
  const inSize = (share: number, style: TextStyle): SizedPage => {
    const sized = fields.map(({ label, before, text, after }) => ({
      label: scaledCell(label, share),
      before: scaledCell(before, share),
      text,
      after: scaledCell(after, share),
    }));
    const frames = sized.map((field) => ({
      label: heightOfCell(field.label, labelWidth),
      fixed: heightOfCell(field.before, width) + heightOfCell(field.after, width),
    }));
    return {
      wanted: linesOf(measuring, fields, style, width),
      fits: (lines) =>
        frames.reduce(
          (sum, { label, fixed }, index) =>
            sum + Math.max(label, fixed + (lines[index] ?? 0) * style.leading) + padding * 2,
          0,
        ) <= room,
      rows: (lines) => {
        let cut = false;
        const rows = sized.map(({ label, before, text, after }, index) => {
          if (text === undefined) return [label, [...before, ...after]] as const;
          const words = cutTo(measuring, text, style, { width, lines: lines[index] ?? 1 });
          cut ||= words.endsWith(CUT);
          return [label, [...before, { words, style }, ...after]] as const;
        });
        return { rows, cut };
      },
    };
  };
  const tooLong = fields.some(({ text }) => text !== undefined && text.length > MOST_CHARACTERS);
  for (const share of tooLong ? [] : SIZES) {
    const page = inSize(share, scaled(STYLES.cell, share));
    if (page.fits(page.wanted)) return page.rows(page.wanted);
  }
  const page = inSize(1, SMALLEST);
  return page.rows(shared(page.wanted, page.fits));
}

/** The fields in one size. Lines are those of the texts, field by field. */
interface SizedPage {
  readonly wanted: readonly number[];
  readonly fits: (lines: readonly number[]) => boolean;
  readonly rows: (lines: readonly number[]) => Fitted;
}

/** How many lines each text needs when nothing is shortened. */
function linesOf(
  measuring: Measuring,
  fields: readonly Field[],
  style: TextStyle,
  width: number,
): readonly number[] {
  return fields.map(({ text }) =>
    text === undefined
      ? 0
      : Math.round(measuring.heightOf(tidy(text).slice(0, MOST_CHARACTERS), style, width) / style.leading),
  );
}

/** The same most lines for everybody, as many as fit; then a line more for whoever still wants one, in order. */
function shared(wanted: readonly number[], fits: (lines: readonly number[]) => boolean): readonly number[] {
  const capped = (most: number): number[] => wanted.map((lines) => Math.min(lines, most));
  let most = Math.max(1, ...wanted);
  while (most > 1 && !fits(capped(most))) most -= 1;
  const lines = capped(most);
  for (const [index, want] of wanted.entries()) {
    const now = lines[index] ?? 0;
    if (now >= want) continue;
    lines[index] = now + 1;
    if (!fits(lines)) lines[index] = now;
  }
  return lines;
}

/** Empty lines and trailing blanks cost room and say nothing. */
function tidy(text: string): string {
  return text
    .split(/\r\n|\r|\n/u)
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .join('\n');
}

/** One line that is never wrapped into two: for boxes and headings. */
export function cutLine(
  measuring: Measuring,
  text: string,
  style: TextStyle,
  width: number,
  lines = 1,
): string {
  return cutTo(measuring, text.replaceAll(/\s+/gu, ' '), style, { width, lines });
}
