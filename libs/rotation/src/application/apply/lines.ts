/** What a file is read from: its bytes as they come. */
export type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

export interface Line {
  /** 1-based. */
  readonly line: number;
  /** Without its end. */
  readonly text: string;
  readonly problem?: string;
}

/** No declaration is longer: all texts of a runbook are 64 Ki characters. */
export const MAX_LINE_BYTES = 256 * 1024;

/** The lines of a UTF-8 text as its bytes come; never holds more than one of them. A byte order mark is passed over. */
export async function* linesOf(chunks: Chunks): AsyncGenerator<Line> {
  let line = 1;
  let parts: Uint8Array[] = [];
  let length = 0;
  const finished = (): Line => {
    const bytes = Buffer.concat(parts);
    const whole = { line, length, bytes };
    parts = [];
    length = 0;
    line += 1;
    return lineOf(whole);
  };
  for await (const chunk of chunks) {
    let from = 0;
    for (;;) {
      const end = chunk.indexOf(LINE_FEED, from);
      const part = chunk.subarray(from, end < 0 ? undefined : end);
      // What is too long is counted and not kept.
      if (length + part.length <= MAX_LINE_BYTES) parts.push(part);
      length += part.length;
      if (end < 0) break;
      yield finished();
      from = end + 1;
    }
  }
  if (length > 0) yield finished();
}

const LINE_FEED = 0x0a;
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function lineOf({
  line,
  length,
  bytes,
}: {
  readonly line: number;
  readonly length: number;
  readonly bytes: Buffer;
}): Line {
  if (length > MAX_LINE_BYTES) {
    return { line, text: '', problem: `must not be longer than ${MAX_LINE_BYTES} bytes` };
  }
  try {
    const text = decoder.decode(bytes);
    const content = line === 1 && text.startsWith('\u{FEFF}') ? text.slice(1) : text;
    return { line, text: content.endsWith('\r') ? content.slice(0, -1) : content };
  } catch {
    return { line, text: '', problem: 'must be UTF-8 text (save it as "CSV UTF-8", or convert it)' };
  }
}
