import type { Projection } from '#eventlog/kit';
import type { DeliveryEvent } from '../domain/delivery.events.js';
import { parseInstant } from '#eventlog';

/** Which alarms were raised, and which deliveries are not over: says whom to look at. Sends nothing, so a rebuild does not. */
export const deliveriesProjection: Projection = {
  name: 'deliveries',
  version: 1,
  schema: [
    `CREATE TABLE deliveries (
      id TEXT PRIMARY KEY, type TEXT NOT NULL, raised_at INTEGER NOT NULL, next_at INTEGER, state TEXT NOT NULL
    ) STRICT`,
    "CREATE INDEX deliveries_open ON deliveries (next_at) WHERE state = 'open'",
  ],
  apply: (db, recorded) => {
    if (!recorded.stream.startsWith('delivery-')) return;
    const id = recorded.stream.slice('delivery-'.length);
    // The category of a stream decides its event types.
    const event = recorded as DeliveryEvent;
    const set = (state: string, nextAt: number | null): void => {
      db.prepare('UPDATE deliveries SET state = ?, next_at = ? WHERE id = ?').run(state, nextAt, id);
    };
    switch (event.type) {
      case 'AlarmRaised':
        db.prepare('INSERT INTO deliveries (id, type, raised_at, next_at, state) VALUES (?, ?, ?, ?, ?)').run(
          id,
          event.data.alarm.type,
          event.recordedAt,
          event.recordedAt,
          'open',
        );
        return;
      case 'DeliveryStarted':
        set('open', parseInstant(event.data.leaseUntil) ?? event.recordedAt);
        return;
      case 'DeliveryFailed':
        set('open', parseInstant(event.data.retryAt ?? '') ?? event.recordedAt);
        return;
      case 'Delivered':
        set('delivered', null);
        return;
      case 'DeliveryAbandoned':
        set('abandoned', null);
    }
  },
};
