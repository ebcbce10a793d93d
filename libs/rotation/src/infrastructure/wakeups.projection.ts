import type { RecordedEvent } from '#eventlog';
import type { Projection } from '#eventlog/kit';
import type { SqlDatabase } from '#eventlog/sqlite';

/**
 * Whom to wake, and when: one row for every rotation, containment and destruction that is not finished. Any event that may concern a
 * rotation makes its row due; the waker then asks the runner, which reads the truth from the streams and writes back when
 * to look again. So a rebuilt table costs one look at each open rotation and loses nothing.
 */
export const wakeupsProjection: Projection = {
  name: 'wakeups',
  version: 5,
  schema: [
    // waits_on: the stream of the rotation whose emitter switch it waits for, where that is what it waits for. attested: something was,
    // and is to be compared with the back end, over or not; NULL: people are the back end.
    `CREATE TABLE wakeups (
      id TEXT PRIMARY KEY, kind TEXT NOT NULL, family_id TEXT NOT NULL, wake_at INTEGER, waits_for TEXT,
      waits_on TEXT, ended INTEGER NOT NULL, held INTEGER NOT NULL, urgent INTEGER NOT NULL, attested INTEGER DEFAULT 0
    ) STRICT`,
    // Everything may be due at one time (a rebuild, a confirmed clock): what cannot wait stands apart, and is looked at first.
    'CREATE INDEX wakeups_due ON wakeups (urgent, wake_at)',
    'CREATE INDEX wakeups_waiting ON wakeups (waits_on) WHERE waits_on IS NOT NULL',
    'CREATE INDEX wakeups_by_family ON wakeups (family_id)',
    'CREATE INDEX wakeups_by_wait ON wakeups (waits_for)',
  ],
  apply: (db, event) => {
    const [category, id] = split(event.stream);
    if (category === 'family') family(db, id, event);
    else if (category === 'rotation') rotation(db, id, event);
    else if (category === 'containment') containment(db, id, event);
    else if (category === 'destruction') destruction(db, id, event);
    else if (category === 'claim') claimed(db, event);
    else if (category === 'telemetry') touch(db, id);
    else if (category === 'holds') holdMoved(db, event);
  },
};

const NOW = 0;

/** Whoever waits for a hold says so with these first letters, so that an index finds them. */
function holdMoved(db: SqlDatabase, event: RecordedEvent): void {
  if (event.type === 'ClockConfirmed') {
    // While a leap was held, every time to look again was reckoned by a clock that was wrong.
    db.prepare(`UPDATE wakeups SET wake_at = ${NOW}`).run();
    return;
  }
  db.prepare(
    `UPDATE wakeups SET wake_at = ${NOW} WHERE waits_for >= 'held: ' AND waits_for < 'held:!'`,
  ).run();
}

function split(stream: string): readonly [string, string] {
  const at = stream.indexOf('-');
  return [stream.slice(0, at), stream.slice(at + 1)];
}

function valueOf({ data }: RecordedEvent, field: string): unknown {
  return typeof data === 'object' && data !== null
    ? Object.entries(data).find(([name]) => name === field)?.[1]
    : undefined;
}

function text(event: RecordedEvent, field: string): string | undefined {
  const value = valueOf(event, field);
  return typeof value === 'string' ? value : undefined;
}

function flag(event: RecordedEvent, field: string): boolean {
  return valueOf(event, field) === true;
}

function due(
  db: SqlDatabase,
  id: string,
  kind: 'rotation' | 'containment' | 'destruction',
  familyId: string,
  urgent: boolean,
): void {
  db.prepare(
    `INSERT INTO wakeups (id, kind, family_id, wake_at, ended, held, urgent) VALUES (?, ?, ?, ${NOW}, 0, 0, ?)
     ON CONFLICT (id) DO UPDATE SET wake_at = ${NOW}`,
  ).run(id, kind, familyId, urgent ? 1 : 0);
}

/** An emergency waits for whatever else its family has under way: that comes first with it. */
function hurry(db: SqlDatabase, familyId: string): void {
  db.prepare('UPDATE wakeups SET urgent = 1 WHERE family_id = ?').run(familyId);
}

function isEmergency({ data }: RecordedEvent): boolean {
  if (typeof data !== 'object' || data === null || !('request' in data)) return false;
  const { request } = data;
  return (
    typeof request === 'object' &&
    request !== null &&
    'strategy' in request &&
    request.strategy === 'emergency'
  );
}

function touch(db: SqlDatabase, id: string): void {
  db.prepare(`UPDATE wakeups SET wake_at = ${NOW} WHERE id = ?`).run(id);
}

function end(db: SqlDatabase, id: string): void {
  db.prepare(`UPDATE wakeups SET ended = 1, wake_at = ${NOW} WHERE id = ?`).run(id);
  drop(db, id);
}

/** A rotation that is over stays until its claims are released and what was attested of it was seen. */
function drop(db: SqlDatabase, id: string): void {
  db.prepare(
    'DELETE FROM wakeups WHERE id = ? AND ended = 1 AND held <= 0 AND coalesce(attested, 0) = 0',
  ).run(id);
}

function family(db: SqlDatabase, familyId: string, event: RecordedEvent): void {
  if (event.type === 'RotationOpened') {
    const id = text(event, 'rotation');
    // An import opens and closes its slots itself: nothing imported ever acts.
    if (id !== undefined && event.provenance !== 'imported') {
      due(db, id, 'rotation', familyId, false);
      if (isEmergency(event)) hurry(db, familyId);
    }
  }
  if (event.type === 'RotationClosed') {
    const id = text(event, 'rotation');
    if (id !== undefined) end(db, id);
  }
  if (event.type === 'CompromiseSuspected') {
    const id = text(event, 'containment');
    if (id !== undefined) due(db, id, 'containment', familyId, true);
  }
  if (event.type === 'SlotFreed') {
    const id = text(event, 'id');
    // A process that stands still frees the slot too: its row stays for the retry, and waits for a person.
    if (id !== undefined) touch(db, id);
  }
  // A containment that is not applied waits for nobody; one that is lifted waits for its family's slot, as a destruction does.
  db.prepare(`UPDATE wakeups SET wake_at = ${NOW} WHERE family_id = ?`).run(familyId);
}

function rotation(db: SqlDatabase, id: string, event: RecordedEvent): void {
  if (event.type === 'RotationPlanned' && flag(event, 'attested')) {
    db.prepare('UPDATE wakeups SET attested = NULL WHERE id = ?').run(id);
  }
  if (event.type === 'Attested')
    db.prepare('UPDATE wakeups SET attested = 1 WHERE id = ? AND attested IS NOT NULL').run(id);
  if (event.type === 'RotationSuperseded') end(db, id);
  else touch(db, id);
  if (event.type === 'AttestationReconciled') {
    db.prepare('UPDATE wakeups SET attested = 0 WHERE id = ? AND attested IS NOT NULL').run(id);
    drop(db, id);
  }
}

function containment(db: SqlDatabase, id: string, event: RecordedEvent): void {
  if (event.type === 'ContainmentApplied') {
    db.prepare('DELETE FROM wakeups WHERE id = ?').run(id);
    return;
  }
  // What it denied may have held a rotation of its family.
  if (event.type === 'ContainmentLifted') {
    db.prepare(
      `UPDATE wakeups SET wake_at = ${NOW} WHERE family_id = (SELECT family_id FROM wakeups WHERE id = ?)`,
    ).run(id);
  }
  const familyId = text(event, 'family');
  const asks = event.type === 'ContainmentRequested' || event.type === 'ContainmentLiftRequested';
  if (asks && familyId !== undefined) due(db, id, 'containment', familyId, true);
  else touch(db, id);
}

function destruction(db: SqlDatabase, id: string, event: RecordedEvent): void {
  const familyId = text(event, 'family');
  if (event.type === 'DestructionRequested' && familyId !== undefined)
    due(db, id, 'destruction', familyId, false);
  else touch(db, id);
}

/** A rotation that ended still releases its emitters' claims; one that waits for a claim looks again when it is free. */
function claimed(db: SqlDatabase, event: RecordedEvent): void {
  const by = text(event, 'by');
  if (by === undefined || !by.startsWith('rotation-')) return;
  const id = by.slice('rotation-'.length);
  if (event.type === 'Claimed') {
    db.prepare('UPDATE wakeups SET held = held + 1 WHERE id = ?').run(id);
    return;
  }
  db.prepare('UPDATE wakeups SET held = held - 1 WHERE id = ?').run(id);
  drop(db, id);
  db.prepare(`UPDATE wakeups SET wake_at = ${NOW} WHERE waits_on = ?`).run(by);
}
