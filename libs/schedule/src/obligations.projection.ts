import { parseInstant } from '#eventlog';
import type { Projection } from '#eventlog/kit';
import { familyStream, policyStream, rotationStream } from '#rotation';
import type { ObligationEvent } from './obligation.events.js';

/** What was missed, and whether it is over: for lists, and to know whom to look at. */
export const obligationsProjection: Projection = {
  name: 'obligations',
  version: 1,
  schema: [
    `CREATE TABLE obligations (
      id TEXT PRIMARY KEY, kind TEXT NOT NULL, owing TEXT NOT NULL, family_id TEXT, rotation_id TEXT, policy_id TEXT,
      what TEXT NOT NULL, basis TEXT NOT NULL, due_at INTEGER NOT NULL, missed_at INTEGER NOT NULL, settled_at INTEGER,
      how TEXT, settled_by TEXT, fact TEXT, fact_id TEXT
    ) STRICT`,
    'CREATE INDEX obligations_open ON obligations (owing) WHERE settled_at IS NULL',
    'CREATE INDEX obligations_listed ON obligations (due_at DESC, id DESC)',
    'CREATE INDEX obligations_of_family ON obligations (family_id)',
  ],
  apply: (db, recorded) => {
    if (!recorded.stream.startsWith('obligation-')) return;
    const id = recorded.stream.slice('obligation-'.length);
    // The category of a stream decides its event types.
    const event = recorded as ObligationEvent;
    switch (event.type) {
      case 'ObligationMissed': {
        const { kind, family, rotation, policy, what, basis, due } = event.data;
        const owing =
          rotation === undefined
            ? family === undefined
              ? policyStream(policy ?? '')
              : familyStream(family)
            : rotationStream(rotation);
        // Missed again after it was settled: the newest time is shown, the log has both.
        db.prepare(
          `INSERT OR REPLACE INTO obligations
            (id, kind, owing, family_id, rotation_id, policy_id, what, basis, due_at, missed_at)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        ).run(
          id,
          kind,
          owing,
          family ?? null,
          rotation ?? null,
          policy ?? null,
          what,
          basis,
          parseInstant(due) ?? event.recordedAt,
          event.recordedAt,
        );
        return;
      }
      case 'ObligationSettled': {
        const { how, fact, settledAt, by } = event.data;
        db.prepare(
          'UPDATE obligations SET settled_at = ?, how = ?, settled_by = ?, fact = ?, fact_id = ? WHERE id = ?',
        ).run(parseInstant(settledAt) ?? event.recordedAt, how, by, fact.type, fact.id, id);
      }
    }
  },
};
