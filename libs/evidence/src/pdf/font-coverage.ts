/**
 * Which characters a TrueType file can draw, from its `cmap` table. pdfkit draws a missing character as an empty box
 * and has no public question for it, so the pages ask here first.
 */
export interface FontCoverage {
  has(codePoint: number): boolean;
}

export function readFontCoverage(font: Uint8Array): FontCoverage {
  const view = new DataView(font.buffer, font.byteOffset, font.byteLength);
  const cmap = tableOffset(view, 'cmap');
  const subtables = view.getUint16(cmap + 2);
  const offsets = new Map<number, number>();
  for (let index = 0; index < subtables; index += 1) {
    const offset = cmap + view.getUint32(cmap + 4 + index * 8 + 4);
    offsets.set(view.getUint16(offset), offset);
  }
  const full = offsets.get(12);
  if (full !== undefined) return segmentedCoverage(view, full);
  const basic = offsets.get(4);
  if (basic === undefined) throw new Error('the font has no Unicode cmap of format 4 or 12');
  return basicCoverage(view, basic);
}

function tableOffset(view: DataView, tag: string): number {
  const tables = view.getUint16(4);
  for (let index = 0; index < tables; index += 1) {
    const record = 12 + index * 16;
    const name = String.fromCharCode(
      view.getUint8(record),
      view.getUint8(record + 1),
      view.getUint8(record + 2),
      view.getUint8(record + 3),
    );
    if (name === tag) return view.getUint32(record + 8);
  }
  throw new Error(`the font has no ${tag} table`);
}

/** Format 12: groups of (first, last, first glyph), sorted. */
function segmentedCoverage(view: DataView, offset: number): FontCoverage {
  const groups = view.getUint32(offset + 12);
  return {
    has(codePoint) {
      for (let index = 0; index < groups; index += 1) {
        const group = offset + 16 + index * 12;
        if (codePoint < view.getUint32(group)) return false;
        if (codePoint <= view.getUint32(group + 4)) return true;
      }
      return false;
    },
  };
}

/** Format 4: segments of the basic plane, sorted by their last character. */
function basicCoverage(view: DataView, offset: number): FontCoverage {
  const doubled = view.getUint16(offset + 6);
  const ends = offset + 14;
  const starts = ends + doubled + 2;
  const deltas = starts + doubled;
  const ranges = deltas + doubled;
  return {
    has(codePoint) {
      if (codePoint > 0xffff) return false;
      for (let at = 0; at < doubled; at += 2) {
        if (codePoint > view.getUint16(ends + at)) continue;
        const start = view.getUint16(starts + at);
        if (codePoint < start) return false;
        const range = view.getUint16(ranges + at);
        const glyph = range === 0 ? codePoint : view.getUint16(ranges + at + range + (codePoint - start) * 2);
        return glyph !== 0 && ((glyph + view.getUint16(deltas + at)) & 0xffff) !== 0;
      }
      return false;
    },
  };
}
