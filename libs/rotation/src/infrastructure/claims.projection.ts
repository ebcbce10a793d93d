import type { Projection } from '#eventlog/kit';

/** Claims whose fact has not been seen: the sweep looks at those that are old (contracts, What must be unique is claimed). */
export const claimsProjection: Projection = {
  name: 'claims',
  version: 2,
  schema: [
    `CREATE TABLE claims_pending (
      stream TEXT PRIMARY KEY, kind TEXT NOT NULL, holder TEXT NOT NULL, claimed_at INTEGER NOT NULL
    ) STRICT`,
    'CREATE INDEX claims_pending_by_holder ON claims_pending (holder)',
    'CREATE INDEX claims_pending_by_age ON claims_pending (claimed_at)',
  ],
  apply: (db, event) => {
    if (event.stream.startsWith('claim-')) {
      db.prepare('DELETE FROM claims_pending WHERE stream = ?').run(event.stream);
      if (event.type !== 'Claimed') return;
      const data = event.data as { readonly kind: string; readonly by: string };
      if (data.kind === 'emitter-switch') return;
      db.prepare('INSERT INTO claims_pending (stream, kind, holder, claimed_at) VALUES (?, ?, ?, ?)').run(
        event.stream,
        data.kind,
        data.by,
        event.recordedAt,
      );
      return;
    }
    if (event.type === 'FamilyRegistered' || event.type === 'PolicyDefined') {
      db.prepare("DELETE FROM claims_pending WHERE holder = ? AND kind <> 'consumer-name'").run(event.stream);
    }
    if (event.type === 'ConsumerRegistered') {
      const data = event.data as { readonly consumerId: string };
      db.prepare('DELETE FROM claims_pending WHERE stream = ?').run(`claim-${data.consumerId}`);
    }
  },
};
