import { formatInstant, parseInstant, type Provenance } from '#eventlog';
import { parseDuration, spanText } from '#rotation';
import { COLOURS, STYLES, type Cell, type Span, type Words } from './sheet.js';

/** What a record says where a fact is missing: never an invented time, never a target. */
export const NOT_RECORDED = 'not recorded';

export const notRecorded: Span = { text: NOT_RECORDED, style: { colour: COLOURS.muted, slanted: true } };

export const absentCell: Cell = [{ words: NOT_RECORDED, style: STYLES.absent }];

/** `2025-11-13 09:00:00`, UTC; milliseconds only where there are any. */
export function instantText(instant: number): string {
  const text = formatInstant(instant);
  const milliseconds = text.slice(20, 23);
  return `${text.slice(0, 10)} ${text.slice(11, 19)}${milliseconds === '000' ? '' : `.${milliseconds}`}`;
}

/** The same from the text inside an event. */
export function instantTextOf(text: string | undefined): string | undefined {
  const instant = text === undefined ? undefined : parseInstant(text);
  return instant === undefined ? undefined : `${instantText(instant)} UTC`;
}

export function durationText(duration: string): string {
  const milliseconds = parseDuration(duration);
  return milliseconds === undefined ? duration : spanWords(milliseconds);
}

/** A span whose numbers keep their units at a line's end. */
export function spanWords(milliseconds: number): string {
  return spanText(milliseconds).replaceAll(/(?<=\d) /gu, '\u00a0');
}

/** `T+0:15`, `T+26:10:05`: hours and minutes after discovery. */
export function afterText(milliseconds: number): string {
  const sign = milliseconds < 0 ? '−' : '+';
  const seconds = Math.floor(Math.abs(milliseconds) / 1000);
  const rest = seconds % 60;
  const minutes = Math.floor(seconds / 60);
  const clock = `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, '0')}`;
  return `T${sign}${clock}${rest === 0 ? '' : `:${String(rest).padStart(2, '0')}`}`;
}

export function cell(words: Words): Cell {
  return [{ words, style: STYLES.cell }];
}

export function strongCell(words: Words): Cell {
  return [{ words, style: STYLES.cellStrong }];
}

export function monoCell(text: string): Cell {
  return [{ words: text, style: STYLES.cellMono }];
}

/** A value of the facts list, or that it was not recorded. */
export function value(words: Words | undefined, detail?: Words): Cell {
  const main = words === undefined ? [notRecorded] : words;
  return [
    { words: main, style: STYLES.body },
    ...(detail === undefined ? [] : [{ words: detail, style: STYLES.small }]),
  ];
}

export function orNotRecorded(text: string | undefined): Words {
  return text ?? [notRecorded];
}

export function cellOrAbsent(text: string | undefined): Cell {
  return text === undefined ? absentCell : cell(text);
}

export const PROVENANCE_WORDS: Readonly<Record<Provenance, string>> = {
  performed: 'Keyturn did it and recorded it.',
  observed: 'Keyturn saw it in the back end; somebody else may have done it.',
  confirmed: 'a consumer said so for its own instances.',
  attested: 'a person said so.',
  imported: 'taken over from an earlier history; Keyturn did not watch it happen.',
};
