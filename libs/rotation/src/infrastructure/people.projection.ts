import type { Projection } from '#eventlog/kit';

/** Who knows which secret, and who left: the sweep looks where one does not yet say what the other does. */
export const peopleProjection: Projection = {
  name: 'people',
  version: 1,
  schema: [
    `CREATE TABLE people_custodians (
      family_id TEXT NOT NULL, subject TEXT NOT NULL, departed INTEGER NOT NULL, tree_size INTEGER NOT NULL,
      PRIMARY KEY (family_id, subject)
    ) STRICT`,
    'CREATE INDEX people_by_subject ON people_custodians (subject, departed)',
    `CREATE TABLE people_departures (
      subject TEXT PRIMARY KEY, left_at TEXT NOT NULL, event_id TEXT NOT NULL, tree_size INTEGER NOT NULL
    ) STRICT`,
  ],
  apply: (db, event) => {
    if (event.type === 'CustodianAssigned') {
      const { subject } = event.data as { readonly subject: string };
      db.prepare(
        `INSERT INTO people_custodians (family_id, subject, departed, tree_size) VALUES (?, ?, 0, ?)
         ON CONFLICT (family_id, subject) DO UPDATE SET departed = 0, tree_size = excluded.tree_size`,
      ).run(event.stream.slice('family-'.length), subject, event.treeSize);
    }
    if (event.type === 'CustodianDeparted') {
      const { subject } = event.data as { readonly subject: string };
      db.prepare('UPDATE people_custodians SET departed = 1 WHERE family_id = ? AND subject = ?').run(
        event.stream.slice('family-'.length),
        subject,
      );
    }
    if (event.type === 'PersonLeft') {
      const { subject, leftAt } = event.data as { readonly subject: string; readonly leftAt: string };
      db.prepare(
        `INSERT INTO people_departures (subject, left_at, event_id, tree_size) VALUES (?, ?, ?, ?)
         ON CONFLICT (subject) DO UPDATE SET left_at = excluded.left_at, event_id = excluded.event_id,
           tree_size = excluded.tree_size`,
      ).run(subject, leftAt, event.id, event.treeSize);
    }
  },
};

/** Families that have this subject as a custodian still. */
export const FAMILIES_OF_CUSTODIAN =
  'SELECT family_id FROM people_custodians WHERE subject = ? AND departed = 0';
