import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readFontCoverage, type FontCoverage } from './font-coverage.js';

/** The faces of every page. `wide` stands in for a character the three others lack. */
export type Face = 'regular' | 'strong' | 'mono' | 'wide';

const FILES: Readonly<Record<Face, string>> = {
  regular: 'IBMPlexSans-Regular.ttf',
  strong: 'IBMPlexSans-SemiBold.ttf',
  mono: 'SourceCodePro-Regular.ttf',
  wide: 'DejaVuSans.ttf',
};

/** Text in one face, left to right; `rightToLeft` runs are shaped as a whole. */
export interface Run {
  readonly face: Face;
  readonly text: string;
  readonly rightToLeft: boolean;
}

/**
 * The same folder from the sources (`libs/evidence/src/pdf`) and from the build (`dist/libs/evidence/src/pdf`): the
 * assets stay beside package.json and are never copied.
 */
function assetFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const candidate = join(folder, 'libs', 'evidence', 'assets', 'fonts');
    if (existsSync(join(folder, 'package.json')) && existsSync(candidate)) return candidate;
    const parent = dirname(folder);
    if (parent === folder)
      throw new Error('libs/evidence/assets/fonts was not found above the evidence library');
    folder = parent;
  }
}

const folder = assetFolder();

/** The file of a face, as pdfkit wants it: a path, so that it opens each face once a document. */
export function fontFile(face: Face): string {
  return join(folder, FILES[face]);
}

const coverages = new Map<Face, FontCoverage>();

function covers(face: Face, codePoint: number): boolean {
  const known = coverages.get(face);
  if (known !== undefined) return known.has(codePoint);
  const read = readFontCoverage(readFileSync(fontFile(face)));
  coverages.set(face, read);
  return read.has(codePoint);
}

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });
const ONLY_ASCII = /^[\u0020-\u007e]*$/u;
const RIGHT_TO_LEFT = /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u;

/** They reorder or hide what stands around them: on a record they are shown, never obeyed. */
const INVISIBLE =
  /[\p{Cc}\p{Zl}\p{Zp}\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/u;

/** The text as it can be drawn: a character that no face has is written as U+XXXX, never left as a hole. */
export function drawable(text: string, face: Face): string {
  if (ONLY_ASCII.test(text)) return text;
  let drawn = '';
  for (const { segment } of graphemes.segment(text)) {
    if (faceFor(segment, face) !== undefined) drawn += segment;
    else drawn += ` ${codePointsOf(segment).map(spell).join(' ')} `;
  }
  return drawn.replaceAll(/ {2,}/gu, ' ').trim();
}

/** Cuts a drawable text into runs of one face each. */
export function runsOf(text: string, face: Face): readonly Run[] {
  if (ONLY_ASCII.test(text)) return text === '' ? [] : [{ face, text, rightToLeft: false }];
  const runs: { face: Face; text: string; rightToLeft: boolean }[] = [];
  for (const { segment } of graphemes.segment(text)) {
    const part = {
      face: faceFor(segment, face) ?? face,
      text: segment,
      rightToLeft: RIGHT_TO_LEFT.test(segment),
    };
    const last = runs.at(-1);
    if (last !== undefined && last.face === part.face && last.rightToLeft === part.rightToLeft)
      last.text += part.text;
    else runs.push(part);
  }
  return joinRightToLeft(runs);
}

function faceFor(grapheme: string, face: Face): Face | undefined {
  if (INVISIBLE.test(grapheme)) return undefined;
  const codePoints = codePointsOf(grapheme);
  return ([face, 'wide'] as const).find((candidate) =>
    codePoints.every((codePoint) => covers(candidate, codePoint)),
  );
}

function codePointsOf(text: string): readonly number[] {
  return Array.from(text, (character) => character.codePointAt(0) ?? 0);
}

function spell(codePoint: number): string {
  return `U+${codePoint.toString(16).toUpperCase().padStart(4, '0')}`;
}

/** A space between two right-to-left words belongs to them: otherwise the words would stand in the wrong order. */
function joinRightToLeft(runs: readonly Run[]): readonly Run[] {
  const joined: Run[] = [];
  for (let index = 0; index < runs.length; index += 1) {
    const run = runs[index];
    const last = joined.at(-1);
    const next = runs[index + 1];
    if (run === undefined) continue;
    if (last?.rightToLeft === true && next?.rightToLeft === true && run.text.trim() === '') {
      joined[joined.length - 1] = { ...last, text: `${last.text} ${next.text}` };
      index += 1;
    } else joined.push(run);
  }
  return joined;
}
