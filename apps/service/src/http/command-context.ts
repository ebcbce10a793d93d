import { createHash } from 'node:crypto';
import type { Principal } from '#access';
import { DomainError } from '#eventlog';
import { canonicalBytes, type Cause } from '#eventlog/kit';
import { derivedId } from '#platform';

/** What was found stored of a repeat. */
export interface StoredPart {
  readonly stream: string;
  readonly revision: number;
  readonly type: string;
}

/** A request that may change something, as use cases see it. */
export interface CommandContext {
  readonly subject: string;
  readonly principal: Principal;
  /** UUIDv5 of subject, method, path and Idempotency-Key: the cause of all this command appends. */
  readonly commandId: string;
  /** SHA-256 of the body's RFC 8785 bytes. */
  readonly requestHash: string;
  readonly via: 'http';
  readonly address: string;
  /** What to append with; a rotation's own correlation id is put in its place by the use case. */
  readonly cause: Cause;
  /** What this very command has stored before; empty for a new one. What is not among it is still to be done. */
  readonly repeat: readonly StoredPart[];
}

export interface CommandRequest {
  readonly logId: string;
  readonly subject: string;
  readonly method: string;
  /** As it was sent. */
  readonly url: string;
  readonly key: string;
}

/** One key belongs to one subject, method and path (contracts.md, Who caused it). */
export function commandIdOf({ logId, subject, method, url, key }: CommandRequest): string {
  const [path = ''] = url.split('?', 1);
  return derivedId(logId, subject, method, path, key);
}

/** No body at all says the same as `{}`. A body RFC 8785 cannot write is refused (`value.invalid`). */
export function requestHashOf(body: unknown): string {
  return createHash('sha256')
    .update(canonicalBytes(body ?? {}, 'body'))
    .digest('hex');
}

const PRINTABLE = /^[\x20-\x7E]{1,200}$/;

export function checkIdempotencyKey(key: string | undefined): string {
  if (key === undefined || key.trim() === '') {
    throw new DomainError(
      'idempotency.key-missing',
      'Every POST carries an Idempotency-Key header: make one, and send it again when you repeat the request',
    );
  }
  if (!PRINTABLE.test(key)) {
    throw new DomainError(
      'idempotency.key-invalid',
      'An Idempotency-Key is 1 to 200 printable ASCII characters',
    );
  }
  return key;
}
