import { hash } from 'node:crypto';
import { LogIntegrityError, LogTooNewError, type LoggedEvent, type SealedEvent } from '../event-log.js';
import { formatInstant, parseInstant } from '../instant.js';
import { PROVENANCES, type EventOrigin, type Provenance } from '../recorded-event.js';
import { canonicalText, InvalidValueError } from './canonical.js';

/**
 * The envelope: body (with salt) → data hash → record → leaf, byte for byte as in contracts.md. Fixed for ever;
 * test/fixtures/envelope/vectors.json holds it to two other implementations.
 */

/** The version of the record's form: the `v` of every record. */
export const RECORD_VERSION = 1;

/** Everything one event says, before its bytes are made. */
export interface EventContent {
  readonly stream: string;
  readonly revision: number;
  readonly id: string;
  readonly type: string;
  readonly schemaVersion: number;
  /** Milliseconds; a fraction is cut, never rounded up. */
  readonly occurredAt?: number;
  readonly recordedAt: number;
  readonly actor: string;
  readonly onBehalfOf?: string;
  readonly correlationId: string;
  readonly causationId: string;
  readonly provenance: Provenance;
  readonly data: unknown;
  readonly origin: EventOrigin;
  /** 16 random bytes, base64url. */
  readonly salt: string;
}

const encoder = new TextEncoder();

/** Makes the bytes of one event, once. */
export function sealEvent(content: EventContent): SealedEvent {
  const { stream, revision, id, type, schemaVersion, data, origin, salt } = content;
  const body = encoder.encode(bodyText(data, origin, salt));
  const record = canonicalText({
    v: RECORD_VERSION,
    stream,
    revision,
    id,
    type,
    schemaVersion,
    occurredAt: content.occurredAt === undefined ? undefined : instantText(content.occurredAt, 'occurredAt'),
    recordedAt: instantText(content.recordedAt, 'recordedAt'),
    actor: content.actor,
    onBehalfOf: content.onBehalfOf,
    correlationId: content.correlationId,
    causationId: content.causationId,
    provenance: content.provenance,
    dataHash: dataHashOf(body),
  });
  return { stream, revision, id, type, record, body, leaf: leafOf(record) };
}

/** RFC 8785 text of `{data, origin, salt}`. */
function bodyText(data: unknown, origin: EventOrigin, salt: string): string {
  if (data === undefined) throw new InvalidValueError('data', 'must not be undefined');
  return canonicalText({ data, origin, salt });
}

/** SHA-256 of the body's bytes, lower-case hex. */
export function dataHashOf(body: Uint8Array): string {
  return hash('sha256', body, 'hex');
}

/** SHA-256(0x00 ‖ record), lower-case hex: the RFC 6962 leaf hash. */
export function leafOf(record: string): string {
  return hash('sha256', `\0${record}`, 'hex');
}

/**
 * Opens a stored event and checks it: the leaf over the record, the data hash over the body, and that the record says
 * what the columns say. What does not fit is a `LogIntegrityError`.
 */
export function openSealed(sealed: SealedEvent | LoggedEvent): EventContent {
  const corrupt = (what: string): LogIntegrityError =>
    new LogIntegrityError({
      stream: sealed.stream,
      revision: sealed.revision,
      ...('treeSize' in sealed ? { treeSize: sealed.treeSize } : {}),
      what,
    });
  if (leafOf(sealed.record) !== sealed.leaf) throw corrupt('its leaf does not match its record');
  const record = parseObject(sealed.record);
  if (record === undefined) throw corrupt('its record is no JSON object');
  if (record['v'] !== RECORD_VERSION) {
    throw new LogTooNewError(
      `event ${sealed.stream}@${sealed.revision} has a record of version ${String(record['v'])}`,
    );
  }
  for (const column of ['stream', 'revision', 'id', 'type'] as const) {
    if (record[column] !== sealed[column]) throw corrupt(`its ${column} does not match its record`);
  }
  if (record['dataHash'] !== dataHashOf(sealed.body)) throw corrupt('its data hash does not match its body');
  const body = parseObject(decoder.decode(sealed.body));
  if (body === undefined) throw corrupt('its body is no JSON object');

  const text = (name: string): string => {
    const value = record[name];
    if (typeof value !== 'string') throw corrupt(`its record has no ${name}`);
    return value;
  };
  const instant = (name: string): number => {
    const value = parseInstant(text(name));
    if (value === undefined) throw corrupt(`its record's ${name} is no instant`);
    return value;
  };
  const { schemaVersion } = record;
  if (typeof schemaVersion !== 'number') throw corrupt('its record has no schemaVersion');
  const { origin, salt } = body;
  if (!isOrigin(origin) || typeof salt !== 'string') throw corrupt('its body has no origin or salt');
  const provenance = PROVENANCES.find((known) => known === record['provenance']);
  if (provenance === undefined) throw corrupt('its record has no known provenance');
  return {
    stream: sealed.stream,
    revision: sealed.revision,
    id: sealed.id,
    type: sealed.type,
    schemaVersion,
    ...('occurredAt' in record ? { occurredAt: instant('occurredAt') } : {}),
    recordedAt: instant('recordedAt'),
    actor: text('actor'),
    ...('onBehalfOf' in record ? { onBehalfOf: text('onBehalfOf') } : {}),
    correlationId: text('correlationId'),
    causationId: text('causationId'),
    provenance,
    data: body['data'],
    origin,
    salt,
  };
}

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** Years 0000 to 9999, the only ones RFC 3339 can write. */
const EARLIEST = Date.parse('0000-01-01T00:00:00.000Z');
const LATEST = Date.parse('9999-12-31T23:59:59.999Z');

function instantText(instant: number, name: string): string {
  const whole = Math.floor(instant);
  if (!(whole >= EARLIEST && whole <= LATEST)) {
    throw new InvalidValueError(name, 'must be an instant in the years 0000 to 9999');
  }
  return formatInstant(whole);
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isOrigin(value: unknown): value is EventOrigin {
  return isObject(value) && typeof value['via'] === 'string';
}
