import { createHash } from 'node:crypto';
import type { SqlDatabase, SqlValue } from '../sqlite/index.js';

/** SHA-256 over every row of every table, whatever order they were written in: equal tables, equal hash. */
export function hashOf(db: SqlDatabase): string {
  const hash = createHash('sha256');
  const tables = db.prepare(
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
  );
  for (const { name } of tables.all()) {
    const table = String(name);
    const rows = db.prepare(`SELECT * FROM "${table.replaceAll('"', '""')}"`).all();
    hash.update(JSON.stringify([table, rows.length]));
    const lines = rows.map((row) =>
      JSON.stringify(Object.entries(row).map(([column, value]) => [column, plain(value)])),
    );
    for (const line of lines.sort()) hash.update(`${line}\n`);
  }
  return hash.digest('hex');
}

function plain(value: SqlValue): unknown {
  if (value instanceof Uint8Array) return { hex: Buffer.from(value).toString('hex') };
  return typeof value === 'bigint' ? { bigint: value.toString() } : value;
}
