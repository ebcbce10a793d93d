import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inflateSync } from 'node:zlib';
import { openDatabase } from '#eventlog/sqlite';

/** Bytes by the name of what they are: secrets, and the places they must not be in. */
export type Named = ReadonlyMap<string, Buffer>;

/** Every way in which a value may stand somewhere. */
export function formsOf(secret: Buffer): readonly Buffer[] {
  const hex = secret.toString('hex');
  // Base64 of it inside something longer: three alignments, without the characters neighbours have a part in.
  const aligned = [0, 1, 2].map((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift), secret])
      .toString('base64')
      .replace(/=+$/, '');
    return text.slice(shift === 0 ? 0 : 4, -2);
  });
  const percent = hex.replace(/../g, '%$&');
  const texts = [
    hex,
    hex.toUpperCase(),
    percent,
    percent.toUpperCase(),
    encodeURIComponent(secret.toString('base64')),
    ...aligned.flatMap((text) => [text, text.replaceAll('+', '-').replaceAll('/', '_')]),
    ...textForms(secret),
  ];
  const plain = [secret, ...texts.map((text) => Buffer.from(text))];
  const wide = plain.flatMap((bytes) => {
    const low = Buffer.from(bytes.toString('latin1'), 'utf16le');
    return [low, Buffer.from(low).swap16()];
  });
  const all = [...plain, ...wide].flatMap((bytes) => [bytes, Buffer.from(bytes).reverse()]);
  return [...new Map(all.map((bytes) => [bytes.toString('latin1'), bytes])).values()];
}

/** Of a secret that is text: as it stands in JSON, in JSON within JSON, and in an address. */
function textForms(secret: Buffer): readonly string[] {
  const text = secret.toString('utf8');
  if (!Buffer.from(text).equals(secret)) return [];
  const quoted = JSON.stringify(text).slice(1, -1);
  return [quoted, JSON.stringify(quoted).slice(1, -1), encodeURIComponent(text)];
}

const KEY_BYTES = 4;

interface Sought {
  readonly canary: string;
  readonly form: Buffer;
  /** Where in the form its key stands: its middle, which is less common than how things begin. */
  readonly at: number;
}

/**
 * Which canary stands in which place. Every place is gone through once, however many forms are sought: four bytes of each form say
 * where it is worth comparing.
 */
export function hitsOf(canaries: Named, places: Named): readonly string[] {
  const sought = new Map<number, Sought[]>();
  const first = new Uint8Array(1 << 24);
  for (const [canary, secret] of canaries) {
    for (const form of formsOf(secret)) {
      if (form.length < KEY_BYTES) throw new Error(`${canary} is too short to be looked for`);
      const at = (form.length - KEY_BYTES) >> 1;
      const key = form.readUInt32BE(at);
      const others = sought.get(key);
      if (others === undefined) sought.set(key, [{ canary, form, at }]);
      else others.push({ canary, form, at });
      first[key >>> 8] = 1;
    }
  }
  return [...places].flatMap(([place, bytes]) =>
    [...canariesIn(bytes, sought, first)].map((canary) => `${canary} in ${place}`),
  );
}

function canariesIn(
  bytes: Buffer,
  sought: ReadonlyMap<number, readonly Sought[]>,
  first: Uint8Array,
): ReadonlySet<string> {
  const found = new Set<string>();
  let key = 0;
  for (let end = 0; end < bytes.length; end += 1) {
    key = ((key << 8) | (bytes[end] ?? 0)) >>> 0;
    if (end < KEY_BYTES - 1 || first[key >>> 8] === 0) continue;
    for (const { canary, form, at } of sought.get(key) ?? []) {
      const from = end - (KEY_BYTES - 1) - at;
      if (from >= 0 && bytes.subarray(from, from + form.length).equals(form)) found.add(canary);
    }
  }
  return found;
}

/** Every file below a folder, by its path there. */
export function filesUnder(directory: string): Named {
  const names = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((each) =>
    each.isFile(),
  );
  return new Map(
    names.map((each) => {
      const path = join(each.parentPath, each.name);
      return [path.slice(directory.length + 1), readFileSync(path)];
    }),
  );
}

/**
 * Every value of a database, one after another: one that is longer than a page lies in pieces in the file. The file itself, freed pages
 * and all, is a place of its own.
 */
export function valuesIn(file: string): Buffer {
  const database = openDatabase(file);
  try {
    const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
    const parts = tables.flatMap(({ name }) =>
      database
        .prepare(`SELECT * FROM "${String(name)}"`)
        .all()
        .flatMap((row) => Object.values(row))
        .map((value) => (value instanceof Uint8Array ? Buffer.from(value) : Buffer.from(String(value)))),
    );
    return Buffer.concat(parts.flatMap((part) => [part, Buffer.from('\n')]));
  } finally {
    database.close();
  }
}

/** The streams of a PDF as they were before they were packed. */
export function inflated(pdf: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let from = pdf.indexOf('stream\n'); from >= 0; from = pdf.indexOf('stream\n', from + 7)) {
    try {
      parts.push(inflateSync(pdf.subarray(from + 7, pdf.indexOf('endstream', from))));
    } catch {
      // `endstream`, or one that is not packed: that is scanned raw.
    }
  }
  return Buffer.concat(parts);
}
