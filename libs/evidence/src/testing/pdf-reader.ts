import { inflateSync } from 'node:zlib';

/**
 * Reads back what the specs assert, by hand and for pdfkit's own output only (classic cross-reference table, no object
 * streams): the specs must not depend on poppler being installed.
 */
export interface ReadPdf {
  /** Text of each page in drawing order, all white space as single spaces. */
  readonly pages: readonly string[];
  /** All objects as text, streams left out. */
  readonly objects: readonly string[];
}

interface PdfObject {
  readonly dictionary: string;
  readonly stream?: Buffer;
}

export function readPdf(pdf: Buffer): ReadPdf {
  const objects = readObjects(pdf);
  const at = (reference: string | undefined): PdfObject => {
    const found = reference === undefined ? undefined : objects.get(Number(reference));
    if (found === undefined) throw new Error(`no object ${reference ?? '?'}`);
    return found;
  };
  const kids = [...objects.values()].find(({ dictionary }) => /\/Type \/Pages\b/u.test(dictionary));
  const order = /\/Kids \[([^\]]*)\]/u.exec(kids?.dictionary ?? '')?.[1] ?? '';
  const fonts = new Map<string, readonly string[]>();
  const pages = [...order.matchAll(/(\d+) 0 R/gu)].map(([, page]) => {
    const { dictionary } = at(page);
    const resources = at(/\/Resources (\d+) 0 R/u.exec(dictionary)?.[1]).dictionary;
    for (const [, name = '', font] of resources.matchAll(/\/(F\d+) (\d+) 0 R/gu)) {
      if (!fonts.has(name)) {
        const unicode = /\/ToUnicode (\d+) 0 R/u.exec(at(font).dictionary)?.[1];
        fonts.set(name, readUnicodeMap(textOf(at(unicode))));
      }
    }
    return readText(textOf(at(/\/Contents (\d+) 0 R/u.exec(dictionary)?.[1])), fonts);
  });
  return { pages, objects: [...objects.values()].map(({ dictionary }) => dictionary) };
}

function readObjects(pdf: Buffer): ReadonlyMap<number, PdfObject> {
  const text = pdf.toString('latin1');
  const objects = new Map<number, PdfObject>();
  const table = text.slice(text.lastIndexOf('\nxref\n') + 6);
  const entries = [...table.matchAll(/^(\d{10}) \d{5} ([nf]) $/gmu)];
  entries.forEach(([, offset, kind], id) => {
    if (kind !== 'n') return;
    const start = Number(offset);
    const head = `${id} 0 obj\n`;
    if (!text.startsWith(head, start)) throw new Error(`object ${id} is not where the table says`);
    const end = text.indexOf('\nendobj', start);
    const streamAt = text.indexOf('\nstream\n', start);
    if (streamAt === -1 || streamAt > end) {
      objects.set(id, { dictionary: text.slice(start + head.length, end) });
      return;
    }
    const dictionary = text.slice(start + head.length, streamAt);
    const length = Number(/\/Length (\d+)/u.exec(dictionary)?.[1] ?? 0);
    objects.set(id, { dictionary, stream: pdf.subarray(streamAt + 8, streamAt + 8 + length) });
  });
  return objects;
}

function textOf({ dictionary, stream }: PdfObject): string {
  if (stream === undefined) return '';
  return (dictionary.includes('/FlateDecode') ? inflateSync(stream) : stream).toString('latin1');
}

/** Glyph id → characters, from the `beginbfrange` lists that pdfkit writes. */
function readUnicodeMap(cmap: string): readonly string[] {
  return [...cmap.matchAll(/<([0-9a-f]{4})> <[0-9a-f]{4}> \[([^\]]*)\]/gu)].flatMap(([, , list = '']) =>
    [...list.matchAll(/<([^>]*)>/gu)].map(([, units = '']) =>
      String.fromCharCode(
        ...units
          .split(' ')
          .filter(Boolean)
          .map((unit) => Number.parseInt(unit, 16)),
      ),
    ),
  );
}

function readText(content: string, fonts: ReadonlyMap<string, readonly string[]>): string {
  let glyphs: readonly string[] = [];
  let text = '';
  for (const [operation, font, shown, ended] of content.matchAll(
    /\/(F\d+) [\d.]+ Tf|\[([^\]]*)\] TJ|\b(EMC)\b/gu,
  )) {
    if (font !== undefined) glyphs = fonts.get(font) ?? [];
    else if (ended !== undefined) text += ' ';
    else if (shown !== undefined) {
      for (const [, hex = ''] of shown.matchAll(/<([0-9a-f]*)>/gu)) {
        for (const [id] of hex.matchAll(/.{4}/gu)) text += glyphs[Number.parseInt(id, 16)] ?? '';
      }
    } else throw new Error(`unread operation ${operation}`);
  }
  return text.replaceAll(/\s+/gu, ' ');
}
