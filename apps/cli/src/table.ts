import type { Paint, Style } from './terminal.js';

export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => string;
  readonly style?: (row: Row) => readonly Style[];
  readonly align?: 'right';
  /** Gives way when the terminal is narrow; ids and commands never do. */
  readonly shrinks?: true;
}

export interface TableOptions {
  readonly columns: number | undefined;
  readonly paint: Paint;
}

const GAP = '  ';
/** Below this a cut cell says nothing any more. */
const NARROWEST = 12;

/** Aligned columns without borders; lines of their own. Cells hold plain text, styles are put on after measuring. */
export function tableOf<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  { columns: available, paint }: TableOptions,
): readonly string[] {
  const cells = rows.map((row) => columns.map((column) => column.cell(row).replaceAll(/\s+/g, ' ')));
  const natural = columns.map((column, index) =>
    Math.max(widthOf(column.title), ...cells.map((line) => widthOf(line[index] ?? ''))),
  );
  const widths = available === undefined ? natural : fitted(natural, columns, available);
  const lineOf = (texts: readonly string[], stylesOf: (index: number) => readonly Style[]): string =>
    texts
      .map((text, index) => {
        const width = widths[index] ?? 0;
        const cut = cutTo(text, width);
        const padding = ' '.repeat(Math.max(0, width - widthOf(cut)));
        const painted = paint(cut, ...stylesOf(index));
        return columns[index]?.align === 'right' ? padding + painted : painted + padding;
      })
      .join(GAP)
      .trimEnd();
  return [
    lineOf(
      columns.map((column) => column.title),
      () => ['dim'],
    ),
    ...rows.map((row, at) => lineOf(cells[at] ?? [], (index) => columns[index]?.style?.(row) ?? [])),
  ];
}

/** Takes from the widest column that may shrink until the line fits or nothing is left to take. */
function fitted<Row>(
  natural: readonly number[],
  columns: readonly Column<Row>[],
  available: number,
): readonly number[] {
  const widths = [...natural];
  let over = widths.reduce((sum, width) => sum + width, GAP.length * (widths.length - 1)) - available;
  while (over > 0) {
    let widest = -1;
    for (const [index, column] of columns.entries()) {
      const width = widths[index] ?? 0;
      if (column.shrinks === true && width > NARROWEST && width > (widths[widest] ?? 0)) widest = index;
    }
    if (widest < 0) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
    over -= 1;
  }
  return widths;
}

const WIDE =
  /^[\u1100-\u115F\u2E80-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF00-\uFF60\u{1F300}-\u{1FAFF}]/u;
const characters = new Intl.Segmenter('en');

/** Columns a text takes on a terminal: what is seen as one character counts once, wide ones twice. */
export function widthOf(text: string): number {
  let width = 0;
  for (const { segment } of characters.segment(text)) width += WIDE.test(segment) ? 2 : 1;
  return width;
}

export function cutTo(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let cut = '';
  for (const { segment } of characters.segment(text)) {
    if (widthOf(cut + segment) > width - 1) break;
    cut += segment;
  }
  return `${cut}…`;
}
