import { drawable, fontFile, runsOf, type Face } from './fonts.js';

/** The look of every record: one ink, one accent, much white. */
export const COLOURS = {
  ink: '#1c2430',
  muted: '#5d6875',
  faint: '#9aa4af',
  rule: '#dfe4e9',
  shade: '#f4f6f8',
  accent: '#1f4e79',
  accentLight: '#c9d8e6',
  paper: '#ffffff',
  example: '#f6c445',
  warning: '#9c2f1f',
} as const;

export interface TextStyle {
  readonly face: Face;
  readonly size: number;
  readonly leading: number;
  readonly colour: string;
  /** Slanted: for what was not recorded. */
  readonly slanted?: boolean;
}

export const STYLES = {
  title: { face: 'strong', size: 23, leading: 29, colour: COLOURS.ink },
  subtitle: { face: 'regular', size: 12, leading: 17, colour: COLOURS.muted },
  section: { face: 'strong', size: 12, leading: 16, colour: COLOURS.accent },
  body: { face: 'regular', size: 9, leading: 13, colour: COLOURS.ink },
  strong: { face: 'strong', size: 9, leading: 13, colour: COLOURS.ink },
  label: { face: 'regular', size: 9, leading: 13, colour: COLOURS.muted },
  columnTitle: { face: 'strong', size: 7.5, leading: 10, colour: COLOURS.muted },
  cell: { face: 'regular', size: 8.25, leading: 11.25, colour: COLOURS.ink },
  cellStrong: { face: 'strong', size: 8.25, leading: 11.25, colour: COLOURS.ink },
  cellMuted: { face: 'regular', size: 8.25, leading: 11.25, colour: COLOURS.muted },
  cellMono: { face: 'mono', size: 7.5, leading: 11.25, colour: COLOURS.ink },
  absent: { face: 'regular', size: 8.25, leading: 11.25, colour: COLOURS.muted, slanted: true },
  small: { face: 'regular', size: 7.5, leading: 10.5, colour: COLOURS.muted },
  smallStrong: { face: 'strong', size: 7.5, leading: 10.5, colour: COLOURS.ink },
  tiny: { face: 'regular', size: 7, leading: 9.5, colour: COLOURS.muted },
  running: { face: 'regular', size: 7.5, leading: 10, colour: COLOURS.muted },
} as const satisfies Readonly<Record<string, TextStyle>>;

/** A part of a line that looks different from the rest. */
export interface Span {
  readonly text: string;
  readonly style?: Partial<Omit<TextStyle, 'size' | 'leading'>>;
}

export type Words = string | readonly Span[];

export interface Paragraph {
  readonly words: Words;
  readonly style: TextStyle;
}

/** What stands in one cell of a table, paragraph by paragraph. */
export type Cell = readonly Paragraph[];

export interface Column {
  readonly title: string;
  /** Share of the page's width, against the other columns. */
  readonly weight: number;
  readonly align?: 'left' | 'right';
}

export interface SheetOptions {
  readonly title: string;
  readonly subject: string;
  /** The only date a page knows: the file's creation date. */
  readonly asOf: number;
  readonly runningTitle: string;
  readonly footer: string;
  /** EXAMPLE DATA is marked on every page. */
  readonly example: boolean;
  /** A4 unless told. */
  readonly paper?: Paper;
  /** For the wall: narrower margins, and never a second page. What does not fit is an error of whoever composes it. */
  readonly onePage?: boolean;
}

export const PAPERS = ['a4', 'letter'] as const;
export type Paper = (typeof PAPERS)[number];

export interface FactsLook {
  readonly labelWidth?: number;
  /** Above and below each row. */
  readonly padding?: number;
  /** A hairline between the rows. */
  readonly rule?: boolean;
}

/** One box of a strip. */
export interface Box {
  readonly label: string;
  readonly value: Cell;
  /** Share of the width, against the other boxes; 1 unless told. */
  readonly weight?: number;
}

/** What a figure may draw; coordinates are relative to its upper left corner. */
export interface Canvas {
  readonly width: number;
  line(
    from: readonly [number, number],
    to: readonly [number, number],
    colour: string,
    width: number,
    dash?: boolean,
  ): void;
  bar(
    x: number,
    y: number,
    width: number,
    height: number,
    paint: { fill?: string; stroke?: string; dash?: boolean },
  ): void;
  dot(x: number, y: number, radius: number, paint: { fill: string; stroke: string }): void;
  /** `y` is the upper edge; wraps within `width`. Returns the height used. */
  text(words: Words, style: TextStyle, at: { x: number; y: number; width: number; align?: Align }): number;
  measure(text: string, style: TextStyle): number;
  heightOf(words: Words, style: TextStyle, width: number): number;
}

type Align = 'left' | 'right' | 'center';
type Structure = ReturnType<PDFKit.PDFDocument['struct']>;

/** A stretch of one look within a line. */
interface Segment {
  text: string;
  readonly style: TextStyle;
}

interface Line {
  readonly segments: readonly Segment[];
  readonly leading: number;
  readonly ascent: number;
}

/** Points: ISO 216 and ANSI. */
const SIZES: Readonly<Record<Paper, { readonly width: number; readonly height: number }>> = {
  a4: { width: 595.28, height: 841.89 },
  letter: { width: 612, height: 792 },
};
const MARGIN = { left: 52, top: 62, bottom: 66 };
const ONE_PAGE_MARGIN = { left: 42, top: 38, bottom: 56 };
/** Where the band that says EXAMPLE DATA ends. */
const BAND = 20;
export const COLUMN_GAP = 10;
const CELL_PADDING = 4.5;
/** Within the boxes of a strip, on every side. */
export const BOX_INSET = 6;

/**
 * A tagged A4 document, composed from top to bottom. Text is wrapped and tables are drawn by hand: pdfkit's own flow
 * knows neither a second face for a missing character nor a table row that goes on over a page.
 */
export class Sheet {
  private readonly doc: PDFKit.PDFDocument;
  private readonly root: Structure;
  private readonly done: Promise<Buffer>;
  private readonly widths = new Map<string, number>();
  private readonly size: { readonly width: number; readonly height: number };
  private readonly margin: { readonly left: number; readonly top: number; readonly bottom: number };
  private readonly contentWidth: number;
  private readonly bottom: number;
  private section_: Structure;
  private y: number;
  private pages = 0;
  private pending: { readonly title: string; readonly keepWith: number } | undefined;

  /** pdfkit and its fonts are read with the first document: a service that starts has none to draw. */
  static async open(options: SheetOptions): Promise<Sheet> {
    const { default: PdfKit } = await import('pdfkit');
    return new Sheet(PdfKit, options);
  }

  private constructor(
    PdfKit: new (options: PDFKit.PDFDocumentOptions) => PDFKit.PDFDocument,
    private readonly options: SheetOptions,
  ) {
    this.size = SIZES[options.paper ?? 'a4'];
    this.margin = options.onePage === true ? ONE_PAGE_MARGIN : MARGIN;
    this.contentWidth = this.size.width - this.margin.left * 2;
    this.bottom = this.size.height - this.margin.bottom;
    this.y = this.margin.top;
    this.doc = new PdfKit({
      size: [this.size.width, this.size.height],
      margin: 0,
      bufferPages: true,
      autoFirstPage: false,
      pdfVersion: '1.7',
      tagged: true,
      lang: 'en',
      displayTitle: true,
      // A path as the first font: otherwise pdfkit starts with a Helvetica that is not embedded.
      font: fontFile('regular'),
      info: {
        Title: options.title,
        Subject: options.subject,
        Creator: 'Keyturn',
        Producer: 'Keyturn (PDFKit)',
        CreationDate: new Date(options.asOf),
      },
    });
    const chunks: Uint8Array[] = [];
    this.done = new Promise((resolve, reject) => {
      this.doc.on('data', (chunk: Uint8Array) => chunks.push(chunk));
      this.doc.on('end', () => resolve(Buffer.concat(chunks)));
      this.doc.on('error', reject);
    });
    this.root = this.doc.struct('Document');
    this.doc.addStructure(this.root);
    this.section_ = this.root;
    this.newPage();
  }

  /** The heading of a page that is only one: both are composed to fit. */
  heading(title: Paragraph, subtitle: Paragraph): void {
    this.openSection();
    this.block('H1', [title]);
    this.block('P', [subtitle]);
    this.space(6);
  }

  title(title: string, subtitle: string): void {
    this.openSection();
    this.block('H1', [{ words: title, style: STYLES.title }]);
    this.space(2);
    this.block('P', [{ words: subtitle, style: STYLES.subtitle }]);
    if (this.options.example) {
      this.space(4);
      this.block('P', [
        { words: 'EXAMPLE DATA: made for a demonstration, evidence of nothing.', style: STYLES.strong },
      ]);
    }
    this.space(10);
  }

  /** Opens a section; its heading is drawn with what follows it, so that it never stands alone at the foot of a page. */
  section(title: string, keepWith = 0): void {
    this.openSection();
    this.pending = { title, keepWith };
  }

  /** A heading that takes exactly this much room, with the space before it. */
  subheading(title: string, height: number): void {
    this.openSection();
    this.y += height - STYLES.section.leading;
    this.block('H2', [{ words: title, style: STYLES.section }]);
  }

  paragraph(words: Words, style: TextStyle = STYLES.body): void {
    this.block('P', [{ words, style }]);
    this.space(4);
  }

  space(points: number): void {
    this.y += points;
  }

  /** Label and value, side by side; a table whose first column are its headers. */
  facts(
    rows: readonly (readonly [label: Words | Cell, value: Cell])[],
    { labelWidth = 124, padding = 2.5, rule = false }: FactsLook = {},
  ): void {
    this.reserve(40);
    const table = this.child('Table');
    const widths = [labelWidth, this.contentWidth - labelWidth - COLUMN_GAP];
    if (rule) this.rule(this.y, COLOURS.rule, 0.5);
    for (const [label, value] of rows) {
      this.row(table, [isCell(label) ? label : [{ words: label, style: STYLES.label }], value], {
        widths,
        padding,
        rule,
        rowHeader: true,
        onBreak: () => undefined,
      });
    }
    table.end();
    this.space(2);
  }

  /** What a reader looks for first, side by side in shaded boxes; a table with one row under its headers. */
  strip(boxes: readonly Box[]): void {
    const { widths, height, inset, labels } = this.stripLayout(boxes);
    this.reserve(height);
    const top = this.y;
    this.artifact('Layout', () => {
      widths.forEach((width, index) => {
        const left = this.columnLeft(widths, index);
        this.doc.rect(left, top, width, height).fill(COLOURS.shade);
        this.doc.rect(left, top, width, 1.6).fill(COLOURS.accent);
      });
    });
    const table = this.child('Table');
    const drawRow = (kind: 'TH' | 'TD', cellOf: (box: Box) => Cell, y: number): void => {
      const row = this.doc.struct('TR');
      table.add(row);
      boxes.forEach((box, index) => {
        const element = kind === 'TH' ? this.doc.struct('TH', scoped('Column')) : this.doc.struct('TD');
        row.add(element);
        const width = (widths[index] ?? 0) - inset * 2;
        const lines = this.cellLines(cellOf(box), width);
        this.content(element, kind, () =>
          this.lines(lines, this.columnLeft(widths, index) + inset, y, width),
        );
        element.end();
      });
      row.end();
    };
    drawRow('TH', ({ label }) => [{ words: label, style: STYLES.columnTitle }], top + inset);
    drawRow('TD', ({ value }) => value, top + inset + labels + 1);
    table.end();
    this.y = top + height;
  }

  /** A table with a header that is repeated on every page it reaches. */
  table(columns: readonly Column[], rows: readonly (readonly Cell[])[]): void {
    const total = columns.reduce((sum, column) => sum + column.weight, 0);
    const room = this.contentWidth - COLUMN_GAP * (columns.length - 1);
    const widths = columns.map((column) => (column.weight / total) * room);
    const aligns = columns.map((column): Align => column.align ?? 'left');
    const titles = columns.map((column, index) =>
      this.wrap(column.title, STYLES.columnTitle, widths[index] ?? room),
    );
    const headHeight = Math.max(...titles.map((lines) => heightOf(lines))) + CELL_PADDING * 2;

    // A short table stays together; a long one begins with its first row.
    const heights = rows.slice(0, 12).map((row) => this.rowHeight(row, widths, CELL_PADDING));
    const whole = heights.reduce((sum, height) => sum + height, 0);
    const together = rows.length <= heights.length && whole <= 240 ? whole : Math.min(heights[0] ?? 0, 120);
    this.reserve(headHeight + together);
    const table = this.child('Table');
    const head = (repeated: boolean): void => {
      const top = this.y;
      const drawTitles = (index: number, lines: readonly Line[]): void =>
        this.lines(
          lines,
          this.columnLeft(widths, index),
          top + CELL_PADDING,
          widths[index] ?? room,
          aligns[index],
        );
      if (repeated) {
        this.artifact('Pagination', () => titles.forEach((lines, index) => drawTitles(index, lines)));
      } else {
        const row = this.doc.struct('TR');
        table.add(row);
        titles.forEach((lines, index) => {
          const cell = this.doc.struct('TH', scoped('Column'));
          row.add(cell);
          this.content(cell, 'TH', () => drawTitles(index, lines));
          cell.end();
        });
        row.end();
      }
      this.y = top + headHeight;
      this.rule(this.y, COLOURS.accent, 0.9);
    };

    head(false);
    for (const cells of rows) {
      this.row(table, cells, {
        widths,
        aligns,
        padding: CELL_PADDING,
        rule: true,
        rowHeader: false,
        onBreak: () => head(true),
      });
    }
    table.end();
    this.space(4);
  }

  bullets(items: readonly Words[], style: TextStyle = STYLES.body): void {
    this.reserve(style.leading * 2);
    const list = this.child('L');
    items.forEach((item, index) => {
      const lines = this.wrap(item, style, this.contentWidth - 18);
      this.reserve(Math.min(heightOf(lines), style.leading * 2));
      const entry = this.doc.struct('LI');
      list.add(entry);
      const label = this.doc.struct('Lbl');
      entry.add(label);
      const mark = this.wrap(`${index + 1}.`, { ...style, colour: COLOURS.muted }, 18);
      this.content(label, 'Lbl', () => this.lines(mark, this.margin.left, this.y, 18, 'left'));
      label.end();
      const body = this.doc.struct('LBody');
      entry.add(body);
      this.flow(body, 'LBody', lines, this.margin.left + 18, this.contentWidth - 18);
      body.end();
      entry.end();
      this.space(3);
    });
    list.end();
  }

  /** A shaded box with its own heading; it stands on one page. */
  callout(title: string, paragraphs: readonly Paragraph[]): void {
    this.openSection();
    const inset = 12;
    const width = this.contentWidth - inset * 2;
    const wrapped = [{ words: title, style: STYLES.strong }, ...paragraphs].map(({ words, style }) =>
      this.wrap(words, style, width),
    );
    const height = wrapped.reduce((sum, lines) => sum + heightOf(lines) + 4, 0) - 4 + inset * 2;
    if (this.y > this.margin.top) this.space(18);
    this.reserve(height);
    const top = this.y;
    this.artifact('Layout', () => {
      this.doc.rect(this.margin.left, top, this.contentWidth, height).fill(COLOURS.shade);
      this.doc.rect(this.margin.left, top, 2.5, height).fill(COLOURS.accent);
    });
    this.y = top + inset;
    wrapped.forEach((lines, index) => {
      const type = index === 0 ? 'H2' : 'P';
      const element = this.child(type);
      this.flow(element, type, lines, this.margin.left + inset, width);
      element.end();
      this.space(4);
    });
    this.y = top + height + 4;
  }

  /** A drawing with its text alternative. `draw` returns nothing and stays within `height`. */
  figure(height: number, alternative: string, draw: (canvas: Canvas) => void): void {
    this.reserve(height);
    const top = this.y;
    const options = {
      alt: alternative,
      placement: 'Block',
      bbox: [this.margin.left, top, this.margin.left + this.contentWidth, top + height],
    };
    const element = this.doc.struct('Figure', options);
    this.section_.add(element);
    this.content(element, 'Figure', () => draw(this.canvas(top)));
    element.end();
    this.y = top + height + 4;
  }

  /** From where the next thing is drawn to the foot of the page. */
  get room(): number {
    return this.bottom - this.y;
  }

  /** For figures that must know their height before they are drawn. */
  get measuring(): Pick<Canvas, 'width' | 'measure' | 'heightOf'> {
    return {
      width: this.contentWidth,
      measure: (text, style) => this.widthOf(drawable(text, style.face), style),
      heightOf: (words, style, width) => heightOf(this.wrap(words, style, width)),
    };
  }

  async finish(): Promise<Buffer> {
    if (this.section_ !== this.root) this.section_.end();
    for (let index = 0; index < this.pages; index += 1) {
      this.doc.switchToPage(index);
      this.artifact('Pagination', () => this.footer(index + 1));
    }
    this.root.end();
    this.doc.end();
    return this.done;
  }

  private stripLayout(boxes: readonly Box[]): {
    readonly widths: readonly number[];
    readonly height: number;
    readonly inset: number;
    /** Height of the highest label. */
    readonly labels: number;
  } {
    const inset = BOX_INSET;
    const total = boxes.reduce((sum, { weight = 1 }) => sum + weight, 0);
    const room = this.contentWidth - COLUMN_GAP * (boxes.length - 1);
    const widths = boxes.map(({ weight = 1 }) => (weight / total) * room);
    const values = boxes.map(({ value }, index) =>
      heightOf(this.cellLines(value, (widths[index] ?? 0) - inset * 2)),
    );
    const labels = Math.max(
      ...boxes.map(({ label }, index) =>
        heightOf(this.wrap(label, STYLES.columnTitle, (widths[index] ?? 0) - inset * 2)),
      ),
    );
    const height = inset * 2 + labels + 1 + Math.max(0, ...values);
    return { widths, height, inset, labels };
  }

  private openSection(): void {
    if (this.section_ !== this.root) this.section_.end();
    this.section_ = this.doc.struct('Sect');
    this.root.add(this.section_);
  }

  private child(type: string): Structure {
    const element = this.doc.struct(type);
    this.section_.add(element);
    return element;
  }

  private newPage(): void {
    if (this.options.onePage === true && this.pages === 1) throw new Error('this page has no second one');
    this.doc.addPage();
    this.pages += 1;
    this.artifact('Pagination', () => this.header());
    this.y = this.margin.top;
  }

  /** Makes room for what must stand together, and draws a heading that waits for it. */
  private reserve(height: number): void {
    const heading = this.pending;
    this.pending = undefined;
    const gap = heading !== undefined && this.y > this.margin.top ? 20 : 0;
    const needed =
      heading === undefined ? height : gap + STYLES.section.leading + 5 + Math.max(height, heading.keepWith);
    // What is taller than a page cannot be kept together; it starts where it stands.
    const fits = this.y + needed <= this.bottom;
    const movable = needed <= this.bottom - this.margin.top || heading !== undefined;
    if (!fits && movable && this.y > this.margin.top) this.newPage();
    if (heading === undefined) return;
    if (this.y > this.margin.top) this.y += gap;
    this.block('H2', [{ words: heading.title, style: STYLES.section }]);
    this.space(5);
  }

  private header(): void {
    if (this.options.example) {
      this.doc.rect(0, 0, this.size.width, BAND).fill(COLOURS.example);
      const band = this.wrap('EXAMPLE DATA', { ...STYLES.strong, size: 8.5 }, this.contentWidth);
      this.lines(band, this.margin.left, 4, this.contentWidth, 'center');
    }
    if (this.pages === 1) return;
    this.lines(
      this.clipped(this.options.runningTitle, this.contentWidth),
      this.margin.left,
      34,
      this.contentWidth,
      'left',
    );
    this.hairline(50, COLOURS.rule, 0.6);
  }

  private footer(page: number): void {
    const y = this.size.height - 44;
    this.hairline(y - 7, COLOURS.rule, 0.6);
    this.lines(
      this.clipped(this.options.footer, this.contentWidth - 80),
      this.margin.left,
      y,
      this.contentWidth - 80,
      'left',
    );
    const number = this.wrap(`Page ${page} of ${this.pages}`, STYLES.running, 80);
    this.lines(number, this.margin.left + this.contentWidth - 80, y, 80, 'right');
  }

  /** One line; what does not fit is cut with an ellipsis (running titles only, never content). */
  private clipped(text: string, width: number): readonly Line[] {
    const style = STYLES.running;
    let shown = drawable(text, style.face);
    if (this.widthOf(shown, style) > width) {
      while (shown !== '' && this.widthOf(`${shown}…`, style) > width) shown = shown.slice(0, -1).trimEnd();
      shown += '…';
    }
    return [{ segments: [{ text: shown, style }], leading: style.leading, ascent: ascentOf(style) }];
  }

  private block(type: string, paragraphs: readonly Paragraph[]): void {
    for (const { words, style } of paragraphs) {
      const lines = this.wrap(words, style, this.contentWidth);
      this.reserve(Math.min(heightOf(lines), style.leading * 2));
      const element = this.child(type);
      this.flow(element, type, lines, this.margin.left, this.contentWidth);
      element.end();
    }
  }

  /** Draws lines downwards, over as many pages as they need, as one element. */
  private flow(element: Structure, type: string, lines: readonly Line[], x: number, width: number): void {
    let rest = lines;
    while (rest.length > 0) {
      let count = fitting(rest, this.bottom - this.y);
      if (count === 0) {
        this.newPage();
        count = Math.max(1, fitting(rest, this.bottom - this.y));
      }
      const shown = rest.slice(0, count);
      rest = rest.slice(count);
      const y = this.y;
      this.content(element, type, () => this.lines(shown, x, y, width, 'left', rest.length > 0));
      this.y = y + heightOf(shown);
      if (rest.length > 0) this.newPage();
    }
  }

  private rowHeight(cells: readonly Cell[], widths: readonly number[], padding: number): number {
    const heights = cells.map((cell, index) =>
      heightOf(this.cellLines(cell, widths[index] ?? this.contentWidth)),
    );
    return Math.max(0, ...heights) + padding * 2;
  }

  private row(
    table: Structure,
    cells: readonly Cell[],
    layout: {
      readonly widths: readonly number[];
      readonly aligns?: readonly Align[];
      readonly padding: number;
      readonly rule: boolean;
      readonly rowHeader: boolean;
      readonly onBreak: () => void;
    },
  ): void {
    const { widths, padding } = layout;
    const row = this.doc.struct('TR');
    table.add(row);
    let rest = cells.map((cell, index) => this.cellLines(cell, widths[index] ?? this.contentWidth));
    const elements = cells.map((_, index) => {
      const header = layout.rowHeader && index === 0;
      const element = header ? this.doc.struct('TH', scoped('Row')) : this.doc.struct('TD');
      row.add(element);
      return { element, type: header ? 'TH' : 'TD' };
    });
    const height = Math.max(0, ...rest.map((lines) => heightOf(lines))) + padding * 2;
    const wholePage = this.bottom - this.margin.top - 40;
    const firstLines = Math.max(...rest.map((lines) => heightOf(lines.slice(0, 2)))) + padding * 2;
    const keep = height <= wholePage ? height : firstLines;
    if (this.y + keep > this.bottom) {
      this.newPage();
      layout.onBreak();
    }
    let drawn = false;
    while (!drawn || rest.some((lines) => lines.length > 0)) {
      if (drawn) {
        this.newPage();
        layout.onBreak();
      }
      drawn = true;
      const top = this.y;
      const room = this.bottom - top - padding * 2;
      const shown = rest.map((lines) => lines.slice(0, Math.max(fitting(lines, room), 1)));
      rest = rest.map((lines, index) => lines.slice(shown[index]?.length ?? 0));
      elements.forEach(({ element, type }, index) => {
        const lines = shown[index] ?? [];
        const left = this.columnLeft(widths, index);
        const width = widths[index] ?? this.contentWidth;
        const goesOn = (rest[index]?.length ?? 0) > 0;
        this.content(element, type, () =>
          this.lines(lines, left, top + padding, width, layout.aligns?.[index] ?? 'left', goesOn),
        );
      });
      this.y = top + Math.max(0, ...shown.map((lines) => heightOf(lines))) + padding * 2;
    }
    for (const { element } of elements) element.end();
    row.end();
    if (layout.rule) this.rule(this.y, COLOURS.rule, 0.5);
  }

  private cellLines(cell: Cell, width: number): readonly Line[] {
    return cell.flatMap(({ words, style }) => this.wrap(words, style, width));
  }

  private rule(y: number, colour: string, width: number): void {
    this.artifact('Layout', () => this.hairline(y, colour, width));
  }

  private hairline(y: number, colour: string, width: number): void {
    this.doc
      .moveTo(this.margin.left, y)
      .lineTo(this.margin.left + this.contentWidth, y)
      .lineWidth(width)
      .stroke(colour);
  }

  private artifact(type: 'Pagination' | 'Layout', draw: () => void): void {
    this.doc.markContent('Artifact', { type });
    draw();
    this.doc.endMarkedContent();
  }

  private content(element: Structure, type: string, draw: () => void): void {
    element.add(this.doc.markStructureContent(type));
    draw();
    this.doc.endMarkedContent();
  }

  private canvas(top: number): Canvas {
    const { doc } = this;
    const dashed = (dash: boolean | undefined, draw: () => void): void => {
      doc.save();
      if (dash === true) doc.dash(2.5, { space: 2 });
      draw();
      doc.restore();
    };
    return {
      ...this.measuring,
      line: ([x1, y1], [x2, y2], colour, width, dash) =>
        dashed(dash, () => {
          doc
            .moveTo(this.margin.left + x1, top + y1)
            .lineTo(this.margin.left + x2, top + y2)
            .lineWidth(width)
            .stroke(colour);
        }),
      bar: (x, y, width, height, { fill, stroke, dash }) =>
        dashed(dash, () => {
          if (fill !== undefined) doc.rect(this.margin.left + x, top + y, width, height).fill(fill);
          if (stroke !== undefined) {
            doc
              .lineWidth(0.8)
              .rect(this.margin.left + x, top + y, width, height)
              .stroke(stroke);
          }
        }),
      dot: (x, y, radius, { fill, stroke }) => {
        doc
          .lineWidth(1.2)
          .circle(this.margin.left + x, top + y, radius)
          .fillAndStroke(fill, stroke);
      },
      text: (words, style, { x, y, width, align }) => {
        const lines = this.wrap(words, style, width);
        this.lines(lines, this.margin.left + x, top + y, width, align ?? 'left', true);
        return heightOf(lines);
      },
    };
  }

  private lines(
    lines: readonly Line[],
    x: number,
    y: number,
    width: number,
    align: Align = 'left',
    goesOn = false,
  ): void {
    let top = y;
    lines.forEach((line, index) => {
      const lineWidth = line.segments.reduce((sum, { text, style }) => sum + this.widthOf(text, style), 0);
      const slack = width - lineWidth;
      let left = x + (align === 'right' ? slack : align === 'center' ? slack / 2 : 0);
      const baseline = top + (line.leading - line.ascent) / 2 + line.ascent * 0.93;
      line.segments.forEach((segment, place) => {
        // A line that goes on ends in a space, so that a reader of the text does not join two words.
        const last = place === line.segments.length - 1;
        const tail = last && (goesOn || index < lines.length - 1) ? ' ' : '';
        left += this.segment(segment, tail, left, baseline);
      });
      top += line.leading;
    });
  }

  private segment({ text, style }: Segment, tail: string, x: number, baseline: number): number {
    let left = x;
    for (const run of runsOf(text + tail, style.face)) {
      const options: PDFKit.Mixins.TextOptions = {
        lineBreak: false,
        baseline: 'alphabetic',
        ...(style.slanted === true ? { oblique: true } : {}),
        // With features pdfkit shapes the run as a whole: right-to-left words keep their order.
        ...(run.rightToLeft ? { features: [] } : {}),
      };
      this.doc.font(fontFile(run.face)).fontSize(style.size).fillColor(style.colour);
      this.doc.text(run.text, left, baseline, options);
      left += this.doc.widthOfString(run.text, options);
    }
    return left - x;
  }

  private widthOf(text: string, style: TextStyle): number {
    const key = `${style.face} ${style.size} ${text}`;
    const known = this.widths.get(key);
    if (known !== undefined) return known;
    let width = 0;
    for (const run of runsOf(text, style.face)) {
      this.doc.font(fontFile(run.face)).fontSize(style.size);
      width += this.doc.widthOfString(run.text, run.rightToLeft ? { features: [] } : {});
    }
    this.widths.set(key, width);
    return width;
  }

  private wrap(words: Words, style: TextStyle, width: number): readonly Line[] {
    const spans: readonly Span[] = typeof words === 'string' ? [{ text: words }] : words;
    const lines: Line[] = [];
    let line: Segment[] = [];
    let used = 0;
    let pendingSpace = false;
    const close = (): void => {
      lines.push({ segments: line, leading: style.leading, ascent: ascentOf(style) });
      line = [];
      used = 0;
      pendingSpace = false;
    };
    const put = (text: string, look: TextStyle, textWidth: number): void => {
      const last = line.at(-1);
      if (last !== undefined && last.style === look) last.text += text;
      else line.push({ text, style: look });
      used += textWidth;
    };
    for (const span of spans) {
      const look: TextStyle = span.style === undefined ? style : { ...style, ...span.style };
      span.text.split(/\r\n|\r|\n/u).forEach((part, index) => {
        if (index > 0) close();
        for (const token of drawableTokens(part, look.face)) {
          if (token === ' ') {
            pendingSpace = line.length > 0;
            continue;
          }
          const spaceWidth = pendingSpace ? this.widthOf(' ', look) : 0;
          const tokenWidth = this.widthOf(token, look);
          if (used + spaceWidth + tokenWidth <= width) {
            put(pendingSpace ? ` ${token}` : token, look, spaceWidth + tokenWidth);
            pendingSpace = false;
            continue;
          }
          if (tokenWidth <= width) {
            close();
            put(token, look, tokenWidth);
            continue;
          }
          if (pendingSpace) put(' ', look, spaceWidth);
          pendingSpace = false;
          for (const piece of piecesOf(token)) {
            const pieceWidth = this.widthOf(piece, look);
            if (used > 0 && used + pieceWidth > width) close();
            if (pieceWidth <= width) {
              put(piece, look, pieceWidth);
              continue;
            }
            for (const character of piece) {
              const characterWidth = this.widthOf(character, look);
              if (used > 0 && used + characterWidth > width) close();
              put(character, look, characterWidth);
            }
          }
        }
      });
    }
    if (line.length > 0 || lines.length === 0) close();
    return lines;
  }

  private columnLeft(widths: readonly number[], index: number): number {
    return widths.slice(0, index).reduce((sum, width) => sum + width + COLUMN_GAP, this.margin.left);
  }
}

/** The space between a number and its unit: they stay on one line. */
const UNIT = /(?<=\d) (?=(?:%|d|h|min|s|ms)(?![\p{L}\d]))/gu;

/** Words and single spaces. A space at the edge of a span counts: it stands between two looks. */
function drawableTokens(text: string, face: Face): readonly string[] {
  const collapsed = text.replaceAll(/[^\S\u00a0]+/gu, ' ').replaceAll(UNIT, '\u00a0');
  const drawn = drawable(collapsed, face);
  const lead = collapsed.startsWith(' ') && !drawn.startsWith(' ') ? ' ' : '';
  const tail = collapsed.endsWith(' ') && !drawn.endsWith(' ') ? ' ' : '';
  return `${lead}${drawn}${tail}`.match(/ |[^ ]+/gu) ?? [];
}

/** Where a word that is wider than its column may be cut without surprise: after its punctuation. */
function piecesOf(word: string): readonly string[] {
  return word.match(/[^-/_.:@,;]+[-/_.:@,;]*|[-/_.:@,;]+/gu) ?? [word];
}

function heightOf(lines: readonly Line[]): number {
  return lines.reduce((sum, line) => sum + line.leading, 0);
}

function fitting(lines: readonly Line[], room: number): number {
  let used = 0;
  let count = 0;
  for (const line of lines) {
    used += line.leading;
    if (used > room + 0.01) break;
    count += 1;
  }
  return count;
}

function ascentOf(style: TextStyle): number {
  return style.size;
}

function isCell(words: Words | Cell): words is Cell {
  return typeof words !== 'string' && words.every((part) => 'words' in part);
}

/** The typings of pdfkit do not know `scope` yet; PDF/UA wants it on every header cell. */
function scoped(scope: 'Column' | 'Row'): { readonly scope: string } & PDFKit.Mixins.StructureElementOptions {
  return { scope };
}
