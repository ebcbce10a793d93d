import { derivedId } from '#platform';
import { formatInstant, WrongExpectedRevisionError } from '#eventlog';
import type { EventStore } from '#eventlog/kit';
import type { NewAccessEvent } from '../domain/access.events.js';

const HOUR_MS = 60 * 60 * 1000;

export interface LogRead {
  readonly actor: string;
  /** What was asked, without its cursor: paging is one reading. */
  readonly query: string;
  readonly address?: string;
}

/** Records that the log was read, once per actor, query and hour. What cannot be recorded is not answered. */
export class RecordLogRead {
  constructor(private readonly store: EventStore) {}

  async execute({ actor, query, address }: LogRead): Promise<void> {
    const { store } = this;
    const hour = formatInstant(Math.floor(store.clock.now() / HOUR_MS) * HOUR_MS);
    const id = derivedId(store.logId, 'audit-log-read', actor, query, hour);
    const at = await store.read(`audit-${id}`);
    if (at.events.length > 0) return;
    const read: NewAccessEvent = { type: 'AuditLogRead', data: { query, hour } };
    const origin = { via: 'http', ...(address === undefined ? {} : { address }) } as const;
    try {
      await store.append(at, [read], { actor, correlationId: id, causationId: id, origin });
    } catch (error) {
      // Somebody recorded the same reading in between: it stands there, which is all that is wanted.
      if (!(error instanceof WrongExpectedRevisionError)) throw error;
    }
  }
}
