import { DomainError } from '#eventlog';
import { MAX_VALUE_DEPTH } from '#eventlog/kit';

/**
 * What is parsed as a body: strict UTF-8, no deeper than what can be stored, and nothing that reaches for a prototype.
 * Looked at before it is parsed: a parser's stack and time belong to everybody.
 */
export function readJson(bytes: Buffer, parse: (text: string) => unknown): unknown {
  if (bytes.length === 0) return undefined;
  if (depthOf(bytes) > MAX_VALUE_DEPTH) {
    throw new DomainError('json.too-deep', `The body nests deeper than ${MAX_VALUE_DEPTH}`);
  }
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    throw new DomainError('json.malformed', 'The body is not UTF-8');
  }
  try {
    return parse(text);
  } catch {
    // The strict parser gives no reason of its own: what a plain one takes was refused for a name.
    const why = problemOf(text);
    throw why === undefined
      ? new DomainError('json.forbidden-name', 'The body holds a property __proto__ or constructor.prototype')
      : new DomainError('json.malformed', `The body is not JSON${why}`);
  }
}

/** Where it stops being JSON, as far as the engine says so; never its own words, which quote the text. */
function problemOf(text: string): string | undefined {
  try {
    JSON.parse(text);
    return undefined;
  } catch (error) {
    const { message } = error instanceof Error ? error : { message: '' };
    if (message.startsWith('Unexpected end')) return ': it ends too early';
    const at = Number(/ at position (\d+)/.exec(message)?.[1] ?? Number.NaN);
    if (Number.isNaN(at)) return '';
    const before = text.slice(0, at).split('\n');
    return at >= text.length
      ? ': it ends too early'
      : ` at line ${before.length}, column ${(before.at(-1) ?? '').length + 1}`;
  }
}

const decoder = new TextDecoder('utf-8', { fatal: true });

const [QUOTE, BACKSLASH, OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = Buffer.from('"\\[]{}');

/** The deepest nesting. UTF-8 never hides an ASCII byte in another character, so bytes will do. */
function depthOf(bytes: Buffer): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let index = 0; index < bytes.length; index += 1) {
    const byte = bytes[index];
    if (inString) {
      if (byte === BACKSLASH) index += 1;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) inString = true;
    else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
      depth += 1;
      deepest = Math.max(deepest, depth);
    } else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) depth -= 1;
  }
  return deepest;
}
