import { join } from 'node:path';
import { z } from 'zod';
import { openDatabase, openSnapshot, type Snapshot, type SqlRow } from '#eventlog/sqlite';
import { CustodyStore, DOCUMENT_FOLDER, SCHEMA_VERSION, STORE_FILE } from './custody-store.js';
import { JwksDocuments } from './jwks-documents.js';
import type { ObservedVersion } from '../key-backend.js';
import { refuse } from '../requirements.js';

/** What a store says of itself without its master key: no material, sealed or not. */
export interface CustodyFacts {
  readonly schema: number;
  /** Hex; random, made with the store. */
  readonly storeId: string;
  /** Families with keys here. */
  readonly families: readonly string[];
  readonly versions: number;
  /** Versions whose key is in the store, sealed; the others are destroyed. */
  readonly sealedKeys: number;
  readonly effects: number;
  /** RFC 3339; `undefined` where nothing was ever done. */
  readonly newestEffectAt?: string;
}

/** A store pinned beside whoever runs it. */
export interface CustodySnapshot extends Snapshot {
  readonly facts: CustodyFacts;
}

/** Pins the store in a back end's folder; its lock is in nobody's way. */
export function openCustodySnapshot(directory: string): CustodySnapshot {
  const snapshot = openSnapshot(join(directory, STORE_FILE));
  try {
    return Object.assign(snapshot, { facts: factsOf((sql) => snapshot.all(sql)) });
  } catch (error) {
    snapshot.release();
    throw error;
  }
}

/** Of a store nobody writes to. */
export function readCustodyFacts(directory: string): CustodyFacts {
  const db = openDatabase(join(directory, STORE_FILE), { readOnly: true });
  try {
    return factsOf((sql) => db.prepare(sql).all());
  } finally {
    db.close();
  }
}

/** Families whose JWKS document on disk is not what the store says; `missing`: those that have none at all. */
export function documentsThatDiffer(directory: string): {
  readonly checked: number;
  readonly differing: readonly string[];
  readonly missing: readonly string[];
} {
  const store = CustodyStore.openReader(directory);
  try {
    const documents = new JwksDocuments(join(directory, DOCUMENT_FOLDER), store);
    const objects = store.objects();
    const wrong = objects.filter((object) => !documents.fileIsRight(object)).map(({ familyId }) => familyId);
    const missing = wrong.filter((familyId) => !documents.fileIsThere(familyId));
    const differing = wrong.filter((familyId) => !missing.includes(familyId));
    return { checked: objects.length, differing, missing };
  } finally {
    store.close();
  }
}

/** What the store accepts and emits with, without its key: for whoever compares it with a record. */
export function versionsIn(directory: string): readonly {
  readonly familyId: string;
  readonly versions: readonly Pick<
    ObservedVersion,
    'versionId' | 'accepted' | 'emittingShare' | 'contained'
  >[];
}[] {
  const store = CustodyStore.openReader(directory);
  try {
    return store.objects().map(({ object, familyId }) => ({ familyId, versions: store.versions(object) }));
  } finally {
    store.close();
  }
}

const bytes = z.custom<Uint8Array>((value) => ArrayBuffer.isView(value));

function factsOf(all: (sql: string) => SqlRow[]): CustodyFacts {
  const one = (sql: string): SqlRow => all(sql)[0] ?? {};
  const schema = Number(one('PRAGMA user_version')['user_version']);
  if (schema > SCHEMA_VERSION) {
    throw refuse(
      'config',
      `The custody store was written by a newer Keyturn: it has version ${schema}, this one knows ${SCHEMA_VERSION}`,
    );
  }
  const store = all('SELECT store_id FROM store')[0];
  if (store === undefined)
    throw refuse('config', 'The custody store has lost its master key check: restore it');
  const counts = one('SELECT count(*) AS versions, count(material) AS sealed FROM versions');
  const ledger = one('SELECT count(*) AS effects FROM ledger');
  const newest = one('SELECT at FROM ledger ORDER BY rowid DESC LIMIT 1')['at'];
  return {
    schema,
    storeId: Buffer.from(bytes.parse(store['store_id'])).toString('hex'),
    families: all('SELECT family_id FROM objects ORDER BY family_id').map((row) => String(row['family_id'])),
    versions: Number(counts['versions']),
    sealedKeys: Number(counts['sealed']),
    effects: Number(ledger['effects']),
    ...(typeof newest === 'string' ? { newestEffectAt: newest } : {}),
  };
}
