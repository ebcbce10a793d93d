import {
  AppendTooLargeError,
  InvalidAppendError,
  MAX_APPEND_BYTES,
  MAX_EVENT_BYTES,
  NO_STREAM,
  type ExpectedRevision,
  type SealedEvent,
  type StreamId,
} from './event-log.js';

/** What every adapter refuses before it writes. */
export function checkAppend(
  stream: StreamId,
  expected: ExpectedRevision,
  events: readonly SealedEvent[],
): void {
  if (!STREAM.test(stream)) {
    throw new InvalidAppendError(`${JSON.stringify(stream)} is no stream: <category>-<lower-case UUID>`);
  }
  if (!Number.isSafeInteger(expected) || expected < NO_STREAM) {
    throw new InvalidAppendError(`stream ${stream} cannot be expected at revision ${expected}`);
  }
  if (events.length === 0) throw new InvalidAppendError(`an append to ${stream} holds no event`);
  const ids = new Set<string>();
  let total = 0;
  for (const [index, event] of events.entries()) {
    const place = `event ${index} of the append to ${stream}`;
    if (event.stream !== stream) throw new InvalidAppendError(`${place} is of stream ${event.stream}`);
    if (event.revision !== expected + 1 + index) {
      throw new InvalidAppendError(`${place} has revision ${event.revision}, not ${expected + 1 + index}`);
    }
    if (!UUID.test(event.id)) throw new InvalidAppendError(`${place} has no lower-case UUID for an id`);
    if (ids.has(event.id)) throw new InvalidAppendError(`${place} repeats the id ${event.id}`);
    if (!LEAF.test(event.leaf)) throw new InvalidAppendError(`${place} has no SHA-256 hex for a leaf`);
    if (!isKeptByteForByte(event.record) || !isKeptByteForByte(event.type)) {
      throw new InvalidAppendError(`${place} holds a lone surrogate or a NUL`);
    }
    ids.add(event.id);
    const bytes = event.body.byteLength + Buffer.byteLength(event.record);
    if (bytes > MAX_EVENT_BYTES) {
      throw new AppendTooLargeError(
        `${place} (${event.type}) has ${bytes} bytes; the limit is ${MAX_EVENT_BYTES}`,
      );
    }
    total += bytes;
  }
  if (total > MAX_APPEND_BYTES) {
    throw new AppendTooLargeError(
      `an append to ${stream} has ${total} bytes; the limit is ${MAX_APPEND_BYTES}`,
    );
  }
}

/** The body's text; bytes that would not come back from text as they are are refused. */
export function bodyTextOf(event: SealedEvent): string {
  try {
    const text = decoder.decode(event.body);
    if (!text.includes('\0')) return text;
  } catch {
    // Told below: a broken sequence and a NUL are one mistake.
  }
  throw new InvalidAppendError(`the body of ${event.type} ${event.id} is no UTF-8 text without NUL`);
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const STREAM = /^[a-z][a-z0-9-]*-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const LEAF = /^[0-9a-f]{64}$/;

/** SQLite ends text at a NUL, and UTF-8 has no lone surrogate: both would be changed silently. */
function isKeptByteForByte(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0');
}
