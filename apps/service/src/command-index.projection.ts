import type { Projection } from '#eventlog/kit';
import type { SqlDatabase } from '#eventlog/sqlite';

/** What a command appended, by its command id: where a repeat is found (contracts.md, Who caused it). */
export const commandIndexProjection: Projection = {
  name: 'command-index',
  version: 1,
  schema: [
    `CREATE TABLE command_index_events (
      command_id TEXT NOT NULL, request_hash TEXT NOT NULL, stream TEXT NOT NULL, revision INTEGER NOT NULL,
      type TEXT NOT NULL, PRIMARY KEY (command_id, stream, revision)
    ) STRICT, WITHOUT ROWID`,
  ],
  apply: (db, event) => {
    const { requestHash } = event.origin;
    if (requestHash === undefined) return;
    db.prepare('INSERT INTO command_index_events VALUES (?, ?, ?, ?, ?)').run(
      event.causationId,
      requestHash,
      event.stream,
      event.revision,
      event.type,
    );
  },
};

export interface IndexedEvent {
  readonly requestHash: string;
  readonly stream: string;
  readonly revision: number;
  readonly type: string;
}

export function eventsOfCommand(db: SqlDatabase, commandId: string): readonly IndexedEvent[] {
  return db
    .prepare('SELECT * FROM command_index_events WHERE command_id = ? ORDER BY stream, revision')
    .all(commandId)
    .map((row) => ({
      requestHash: String(row['request_hash']),
      stream: String(row['stream']),
      revision: Number(row['revision']),
      type: String(row['type']),
    }));
}
