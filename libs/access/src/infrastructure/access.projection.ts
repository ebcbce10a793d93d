import { z } from 'zod';
import { parseInstant, type RecordedEvent } from '#eventlog';
import type { Projection } from '#eventlog/kit';
import type { SqlDatabase, SqlRow } from '#eventlog/sqlite';
import type { SubjectEntry, TokenDirectory, TokenEntry } from '../application/token-directory.js';
import { accessEvents, subjectKindSchema, type AccessEvent } from '../domain/access.events.js';
import { roleSchema, scopeSchema } from '../domain/permissions.js';

/** Tokens by their hash, and subjects with their newest name. */
export const accessProjection: Projection = {
  name: 'access',
  version: 2,
  schema: [
    `CREATE TABLE access_tokens (
      token_id TEXT PRIMARY KEY, token_hash TEXT NOT NULL, subject TEXT NOT NULL, roles TEXT NOT NULL,
      scope TEXT NOT NULL, label TEXT NOT NULL, bootstrap INTEGER NOT NULL, issued_at INTEGER NOT NULL,
      issued_by TEXT NOT NULL, expires_at INTEGER, revoked_at INTEGER
    ) STRICT`,
    'CREATE UNIQUE INDEX access_tokens_by_hash ON access_tokens (token_hash)',
    'CREATE INDEX access_tokens_by_age ON access_tokens (issued_at, token_id)',
    'CREATE TABLE access_subjects (subject TEXT PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL) STRICT',
  ],
  apply: (db, event) => {
    if (isAccessEvent(event)) fold(db, event);
  },
  // What cannot be read may have been its revocation: a token nobody can vouch for signs nobody in.
  quarantine: (db, stream) => {
    db.prepare('DELETE FROM access_tokens WHERE token_id = ?').run(stream.slice(stream.indexOf('-') + 1));
  },
};

/** The directory over a read model that holds `accessProjection`. */
export function tokenDirectory(db: SqlDatabase): TokenDirectory {
  const tokens = `SELECT t.*, coalesce(s.name, '') AS name FROM access_tokens t LEFT JOIN access_subjects s USING (subject)`;
  return {
    tokenByHash: (hash) => tokenOf(db.prepare(`${tokens} WHERE token_hash = ?`).get(hash)),
    token: (tokenId) => tokenOf(db.prepare(`${tokens} WHERE token_id = ?`).get(tokenId)),
    tokens: () =>
      db
        .prepare(`${tokens} ORDER BY issued_at, token_id`)
        .all()
        .flatMap((row) => tokenOf(row) ?? []),
    tokensAfter: (after, limit) =>
      db
        .prepare(`${tokens} WHERE (issued_at, token_id) > (?, ?) ORDER BY issued_at, token_id LIMIT ?`)
        .all(after?.issuedAt ?? 0, after?.tokenId ?? '', limit)
        .flatMap((row) => tokenOf(row) ?? []),
    subject: (subject) =>
      subjectOf(db.prepare('SELECT * FROM access_subjects WHERE subject = ?').get(subject)),
    subjects: () =>
      db
        .prepare('SELECT * FROM access_subjects ORDER BY name, subject')
        .all()
        .flatMap((row) => subjectOf(row) ?? []),
  };
}

function fold(db: SqlDatabase, event: AccessEvent): void {
  const id = event.stream.slice(event.stream.indexOf('-') + 1);
  switch (event.type) {
    case 'SubjectRegistered': {
      const { name, kind } = event.data;
      db.prepare('INSERT INTO access_subjects VALUES (?, ?, ?)').run(id, name, kind);
      return;
    }
    case 'SubjectRenamed':
      db.prepare('UPDATE access_subjects SET name = ? WHERE subject = ?').run(event.data.name, id);
      return;
    case 'AccessTokenIssued': {
      const { tokenHash, subject, roles, scope, label, bootstrap, expiresAt } = event.data;
      db.prepare('INSERT INTO access_tokens VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)').run(
        id,
        tokenHash,
        subject,
        JSON.stringify(roles),
        JSON.stringify(scope),
        label,
        bootstrap ? 1 : 0,
        event.recordedAt,
        event.actor,
        expiresAt === undefined ? null : (parseInstant(expiresAt) ?? null),
      );
      return;
    }
    case 'AccessTokenRevoked':
      db.prepare('UPDATE access_tokens SET revoked_at = ? WHERE token_id = ?').run(event.recordedAt, id);
      return;
    case 'AuditLogRead':
  }
}

/** Whether an event may change who is let in. */
export function isAccessEvent(event: RecordedEvent): event is AccessEvent {
  return Object.hasOwn(accessEvents, event.type);
}

const rolesSchema = z.array(roleSchema);

function tokenOf(row: SqlRow | undefined): TokenEntry | undefined {
  if (row === undefined) return undefined;
  const { expires_at: expiresAt, revoked_at: revokedAt } = row;
  return {
    tokenId: String(row['token_id']),
    tokenHash: String(row['token_hash']),
    subject: String(row['subject']),
    name: String(row['name']),
    roles: rolesSchema.parse(JSON.parse(String(row['roles']))),
    scope: scopeSchema.parse(JSON.parse(String(row['scope']))),
    label: String(row['label']),
    bootstrap: row['bootstrap'] === 1,
    issuedAt: Number(row['issued_at']),
    issuedBy: String(row['issued_by']),
    ...(expiresAt === null ? {} : { expiresAt: Number(expiresAt) }),
    ...(revokedAt === null ? {} : { revokedAt: Number(revokedAt) }),
  };
}

function subjectOf(row: SqlRow | undefined): SubjectEntry | undefined {
  if (row === undefined) return undefined;
  return {
    subject: String(row['subject']),
    name: String(row['name']),
    kind: subjectKindSchema.parse(row['kind']),
  };
}
