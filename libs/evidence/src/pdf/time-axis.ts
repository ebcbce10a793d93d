import { spanText } from '#rotation';
import { COLOURS, STYLES, type Canvas, type Sheet, type TextStyle } from './sheet.js';

export interface AxisMark {
  readonly at: number;
  readonly label: string;
  /** Under the label: the instant or T+. */
  readonly time: string;
  /** A bound that was computed, not a fact: drawn hollow. */
  readonly computed?: boolean;
}

/** A limit, drawn above the axis; never where a fact would stand. */
export interface AxisLimit {
  readonly at: number;
  readonly label: string;
}

export interface AxisWindow {
  readonly label: string;
  readonly detail: string;
  readonly from?: number;
  /** Absent where it has not ended by itself. */
  readonly to?: number;
  /** How far a light bar reaches: it still runs, or something else ended it. Neither: nothing is drawn. */
  readonly openTo?: number;
  /** Where the required length would end. */
  readonly requiredTo?: number;
}

export interface TimeAxis {
  readonly alternative: string;
  readonly marks: readonly AxisMark[];
  readonly limits: readonly AxisLimit[];
  readonly windows: readonly AxisWindow[];
  /** Break the axis where one instant lies far beyond the others; never where lengths are to be compared. */
  readonly breakable: boolean;
}

const LABEL = { ...STYLES.smallStrong, size: 7, leading: 9 } satisfies TextStyle;
const TIME = { ...STYLES.small, size: 6.75, leading: 9 } satisfies TextStyle;
const LIMIT = { ...STYLES.small, size: 6.75, leading: 8.5 } satisfies TextStyle;
const LABEL_WIDTH = 62;
const LABEL_GAP = 8;
const WINDOW_ROW = 30;
const EMPTY_WINDOW_ROW = 14;
const LEADER = 24;
const LIMIT_STEP = 9.5;

/** Draws the facts along one axis. */
export function drawTimeAxis(sheet: Sheet, axis: TimeAxis): void {
  const { marks } = axis;
  if (marks.length === 0) return;
  const { width, heightOf, measure } = sheet.measuring;
  const scale = scaleOf(axis, width);
  const labels = placeLabels(marks, scale.x, width);
  const { rows } = labels;
  const limits = placeLimits(axis.limits, scale.x, width, (text) => measure(text, LIMIT));
  const limitHeight =
    limits.length === 0 ? 0 : (Math.max(...limits.map(({ level }) => level)) + 1) * LIMIT_STEP + 8;
  const rowHeights = rows.map((row) =>
    Math.max(
      ...row.map(
        ({ mark }) => heightOf(mark.label, LABEL, labels.width) + heightOf(mark.time, TIME, labels.width),
      ),
    ),
  );
  const windowTops = axis.windows.map((_, index) =>
    axis.windows.slice(0, index).reduce((sum, window) => sum + windowRow(window), 0),
  );
  const windowHeight = axis.windows.reduce((sum, window) => sum + windowRow(window), 0);
  const axisY = windowHeight + limitHeight + 8;
  const labelsTop = axisY + LEADER;
  const height = labelsTop + rowHeights.reduce((sum, row) => sum + row + 10, 0) + 2;

  sheet.figure(height, axis.alternative, (canvas) => {
    axis.windows.forEach((window, index) => drawWindow(canvas, window, windowTops[index] ?? 0, scale));
    for (const { limit, x, level, textX, textWidth } of limits) {
      const top = windowHeight + level * LIMIT_STEP;
      canvas.line([x, top + 2], [x, axisY], COLOURS.faint, 0.5, true);
      canvas.text(limit.label, LIMIT, { x: textX, y: top, width: textWidth });
    }
    drawLine(canvas, axisY, scale);
    let top = labelsTop;
    rows.forEach((row, index) => {
      for (const { mark, x, centre } of row) {
        const left = centre - labels.width / 2;
        canvas.line([x, axisY], [x, axisY + 7], COLOURS.faint, 0.5);
        canvas.line([x, axisY + 7], [centre, labelsTop - 3], COLOURS.faint, 0.5);
        if (index > 0) canvas.line([centre, labelsTop - 3], [centre, top - 2], COLOURS.faint, 0.5);
        const used = canvas.text(mark.label, LABEL, {
          x: left,
          y: top,
          width: labels.width,
          align: 'center',
        });
        canvas.text(mark.time, TIME, { x: left, y: top + used, width: labels.width, align: 'center' });
      }
      top += (rowHeights[index] ?? 0) + 10;
    });
    for (const mark of marks) {
      const hollow = mark.computed === true;
      canvas.dot(scale.x(mark.at), axisY, 3.2, {
        fill: hollow ? COLOURS.paper : COLOURS.accent,
        stroke: COLOURS.accent,
      });
    }
  });
}

interface Scale {
  readonly x: (at: number) => number;
  /** Where the axis is broken. */
  readonly breakAt?: number;
  readonly start: number;
  readonly end: number;
}

const INSET = 8;

/** Linear up to the last instant that stands near the others; what lies far beyond shares a short stretch at the end. */
function scaleOf(axis: TimeAxis, width: number): Scale {
  const instants = [
    ...axis.marks.map(({ at }) => at),
    ...axis.limits.map(({ at }) => at),
    ...axis.windows.flatMap((window) => windowInstants(window)),
  ].sort((a, b) => a - b);
  const start = instants[0] ?? 0;
  const end = instants.at(-1) ?? start;
  const near = axis.breakable ? nearEnd(instants) : undefined;
  const left = INSET;
  const right = width - INSET;
  if (near === undefined) {
    const span = Math.max(end - start, 1);
    return { start, end, x: (at) => left + ((at - start) / span) * (right - left) };
  }
  const beyond = instants.filter((at) => at > near);
  const nearRight = right - Math.min(150, 50 + new Set(beyond).size * 28);
  const farLeft = nearRight + 26;
  const farStart = beyond[0] ?? end;
  const nearSpan = Math.max(near - start, 1);
  const farSpan = end - farStart;
  return {
    start,
    end,
    breakAt: nearRight + 13,
    x: (at) => {
      if (at <= near) return left + ((at - start) / nearSpan) * (nearRight - left);
      if (farSpan === 0) return right;
      return farLeft + ((at - farStart) / farSpan) * (right - farLeft);
    },
  };
}

/** The end of the near part, where the largest gap leaves the rest in less than a quarter of the axis. */
function nearEnd(instants: readonly number[]): number | undefined {
  const start = instants[0];
  const end = instants.at(-1);
  if (start === undefined || end === undefined) return undefined;
  let largest = { gap: 0, before: start };
  instants.forEach((at, index) => {
    const next = instants[index + 1];
    if (next !== undefined && next - at > largest.gap) largest = { gap: next - at, before: at };
  });
  const near = largest.before - start;
  return near > 0 && near * 4 < end - start ? largest.before : undefined;
}

function drawLine(canvas: Canvas, y: number, scale: Scale): void {
  const right = canvas.width - INSET;
  if (scale.breakAt === undefined) {
    canvas.line([INSET, y], [right, y], COLOURS.accent, 1.4);
    return;
  }
  canvas.line([INSET, y], [scale.breakAt - 3, y], COLOURS.accent, 1.4);
  canvas.line([scale.breakAt + 3, y], [right, y], COLOURS.accent, 1.4);
  for (const x of [scale.breakAt - 3, scale.breakAt + 3]) {
    canvas.line([x - 2, y + 5], [x + 2, y - 5], COLOURS.accent, 1);
  }
}

function drawWindow(canvas: Canvas, window: AxisWindow, top: number, scale: Scale): void {
  canvas.text(
    [{ text: window.label, style: { face: 'strong', colour: COLOURS.ink } }, { text: `  ${window.detail}` }],
    TIME,
    {
      x: 0,
      y: top,
      width: canvas.width,
    },
  );
  const end = window.to ?? window.openTo;
  if (window.from === undefined || end === undefined) return;
  const y = top + 12;
  const left = scale.x(window.from);
  const barWidth = Math.max(scale.x(end) - left, 1.5);
  const required = window.requiredTo === undefined ? undefined : scale.x(window.requiredTo);
  if (required !== undefined) canvas.bar(left, y, required - left, 8, { stroke: COLOURS.faint });
  canvas.bar(left, y, barWidth, 8, { fill: window.to === undefined ? COLOURS.accentLight : COLOURS.accent });
  if (required !== undefined) canvas.line([required, y - 2.5], [required, y + 10.5], COLOURS.ink, 1);
}

/** Everything of a window that is drawn; one without a start draws nothing. */
function windowInstants({ from, to, openTo, requiredTo }: AxisWindow): readonly number[] {
  if (from === undefined || (to ?? openTo) === undefined) return [];
  return [from, to ?? openTo, requiredTo].filter((at) => at !== undefined);
}

function windowRow({ from, to, openTo }: AxisWindow): number {
  return from === undefined || (to ?? openTo) === undefined ? EMPTY_WINDOW_ROW : WINDOW_ROW;
}

interface PlacedMark {
  readonly mark: AxisMark;
  readonly x: number;
  readonly centre: number;
}

interface Labels {
  readonly width: number;
  readonly rows: readonly (readonly PlacedMark[])[];
}

/**
 * Labels keep the order of their marks and never overlap. Where one row cannot hold them, every second one hangs lower,
 * and its leader passes between two labels of the first row.
 */
function placeLabels(marks: readonly AxisMark[], x: (at: number) => number, width: number): Labels {
  const ordered = [...marks].sort((a, b) => a.at - b.at);
  const oneRow = ordered.length * (LABEL_WIDTH + LABEL_GAP) <= width + LABEL_GAP;
  const widest = (LABEL_WIDTH + LABEL_GAP) / (oneRow ? 1 : 2);
  const step = Math.min(widest, (width - LABEL_WIDTH) / Math.max(ordered.length - 1, 1));
  const labelWidth = oneRow ? LABEL_WIDTH : Math.min(LABEL_WIDTH, step * 2 - LABEL_GAP);
  const placed = spread(
    ordered.map((mark) => ({ mark, x: x(mark.at) })),
    { step, from: labelWidth / 2, to: width - labelWidth / 2 },
  );
  const rows = oneRow
    ? [placed]
    : [placed.filter((_, index) => index % 2 === 0), placed.filter((_, index) => index % 2 === 1)];
  return { width: labelWidth, rows };
}

/** Centres as near to their marks as the step between them allows. */
function spread(
  marks: readonly { readonly mark: AxisMark; readonly x: number }[],
  { step, from, to }: { readonly step: number; readonly from: number; readonly to: number },
): readonly PlacedMark[] {
  const centres = marks.map(({ x }) => Math.min(Math.max(x, from), to));
  for (let index = 1; index < centres.length; index += 1) {
    centres[index] = Math.max(centres[index] ?? 0, (centres[index - 1] ?? 0) + step);
  }
  let limit = to;
  for (let index = centres.length - 1; index >= 0; index -= 1) {
    centres[index] = Math.min(centres[index] ?? 0, limit);
    limit = (centres[index] ?? 0) - step;
  }
  return marks.map(({ mark, x }, index) => ({ mark, x, centre: centres[index] ?? 0 }));
}

interface PlacedLimit {
  readonly limit: AxisLimit;
  readonly x: number;
  readonly level: number;
  readonly textX: number;
  readonly textWidth: number;
}

/**
 * Each label stands right of its tick, or left of it at the axis' end. Placed from the right, and those at the end last,
 * so that no tick runs through a label below its own.
 */
function placeLimits(
  limits: readonly AxisLimit[],
  x: (at: number) => number,
  width: number,
  measure: (text: string) => number,
): readonly PlacedLimit[] {
  const sized = [...limits]
    .sort((a, b) => b.at - a.at)
    .map((limit) => {
      const at = x(limit.at);
      const textWidth = Math.min(measure(limit.label) + 1, width * 0.6);
      const atEnd = at + 3 + textWidth > width;
      return { limit, x: at, textWidth, textX: atEnd ? at - 3 - textWidth : at + 3, atEnd };
    });
  const levels: { from: number; to: number }[][] = [];
  const placed = [...sized.filter(({ atEnd }) => !atEnd), ...sized.filter(({ atEnd }) => atEnd)].map(
    (entry) => {
      const from = Math.min(entry.textX, entry.x) - 4;
      const to = Math.max(entry.textX + entry.textWidth, entry.x) + 4;
      let level = 0;
      // A level is free only if those below it are: a label must not stand under an earlier tick.
      levels.forEach((taken, index) => {
        if (taken.some((other) => from < other.to && to > other.from)) level = index + 1;
      });
      levels[level] = [...(levels[level] ?? []), { from, to }];
      return { ...entry, level };
    },
  );
  // The first level stands nearest to the axis.
  const top = Math.max(0, ...placed.map(({ level }) => level));
  return placed.map((entry) => ({ ...entry, level: top - entry.level }));
}

/** One sentence for those who cannot see the drawing. */
export function axisInWords(marks: readonly AxisMark[]): string {
  const ordered = [...marks].sort((a, b) => a.at - b.at);
  const first = ordered[0];
  const last = ordered.at(-1);
  if (first === undefined || last === undefined) return 'Time axis without facts.';
  const facts = ordered.map(
    ({ label, time, computed }) => `${label} ${time}${computed === true ? ' (computed)' : ''}`,
  );
  return `Time axis over ${spanText(last.at - first.at)}: ${facts.join('; ')}.`;
}
