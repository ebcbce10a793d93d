import { DomainError } from '#eventlog';
import type { HttpReply } from './request-context.js';

/** The version of what is edited is its stream's revision: `ETag: "<revision>"`, strong. */
export function etagOf(revision: number): string {
  return `"${revision}"`;
}

export function setETag(reply: Pick<HttpReply, 'header'>, revision: number): void {
  reply.header('etag', etagOf(revision));
}

const STRONG = /^"(\d{1,15})"$/;

/** The revision an `If-Match` names; `undefined` where there is none. A weak one matches nothing. */
export function ifMatchOf(value: string | undefined): number | undefined {
  if (value === undefined || value.trim() === '*') return undefined;
  const [, revision] = STRONG.exec(value.trim()) ?? [];
  if (revision !== undefined) return Number(revision);
  if (value.trim().startsWith('W/"')) {
    throw new DomainError('precondition.failed', 'If-Match compares strongly: a weak ETag matches nothing');
  }
  throw new DomainError('precondition.invalid', 'If-Match is one ETag as it was given, such as "7"');
}

/** Refuses (412) where the caller has seen another revision than the one that is there. */
export function requireRevision(expected: number | undefined, actual: number): void {
  if (expected === undefined || expected === actual) return;
  throw new DomainError(
    'precondition.failed',
    'It has changed since you read it: read it again, then decide anew',
    {
      expected,
      actual,
    },
  );
}
