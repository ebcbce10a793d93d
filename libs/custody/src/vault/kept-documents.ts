import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { renderJwks, type ServedDocument } from '../jwks-document.js';
import { readIfThere, replaceFile, TEMPORARY } from '../replace-file.js';
import { isDenied, objectDocumentSchema, type ObjectDocument } from './object-document.js';

const keptSchema = z.strictObject({
  object: z.string(),
  cas: z.number().int().nonnegative(),
  document: objectDocumentSchema,
});
type Kept = z.output<typeof keptSchema>;

/**
 * The newest document of each object that was seen, on this machine: verifiers are served from it, with no request to the server, also
 * while that one is sealed or away. There is nothing secret in it.
 */
export class KeptDocuments {
  readonly #folder: string;
  readonly #kept = new Map<string, Kept>();
  readonly #served = new Map<string, ServedDocument>();

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(folder)) {
      const path = join(folder, name);
      if (name.endsWith(TEMPORARY)) rmSync(path, { force: true });
      else if (name.endsWith('.json'))
        this.#remember(keptSchema.parse(JSON.parse(readFileSync(path, 'utf8'))));
    }
  }

  /**
   * Keeps and serves it, unless a newer one is kept: a late answer never brings an older set back. Memory goes first: where the disk
   * refuses the file, a contained version is out of what is served nevertheless.
   */
  put(object: string, cas: number, document: ObjectDocument): void {
    const known = this.#kept.get(object);
    if (known !== undefined && known.cas > cas) return;
    const kept: Kept = { object, cas, document };
    this.#remember(kept);
    const body = bytesOf(kept);
    const path = this.#path(object);
    if (readIfThere(path)?.equals(body) !== true) replaceFile(path, body);
  }

  served(familyId: string): ServedDocument | undefined {
    return this.#served.get(familyId);
  }

  /** Whether what is served, and the file a restart would serve from, are this document's. */
  agrees(object: string, cas: number, document: ObjectDocument): boolean {
    const served = document.familyId === undefined ? undefined : this.#served.get(document.familyId);
    const wanted = rendered(document);
    return (
      served?.etag === wanted?.etag &&
      served?.maxAgeSeconds === wanted?.maxAgeSeconds &&
      readIfThere(this.#path(object))?.equals(bytesOf({ object, cas, document })) === true
    );
  }

  #remember(kept: Kept): void {
    const { object, document } = kept;
    this.#kept.set(object, kept);
    if (document.familyId === undefined) return;
    const wanted = rendered(document);
    if (wanted === undefined) this.#served.delete(document.familyId);
    else this.#served.set(document.familyId, wanted);
  }

  /** An object's name is a path in the server; here it is no more than a name. */
  #path(object: string): string {
    return join(this.#folder, `${createHash('sha256').update(object).digest('hex').slice(0, 40)}.json`);
  }
}

function bytesOf(kept: Kept): Buffer {
  return Buffer.from(JSON.stringify(kept), 'utf8');
}

function rendered(document: ObjectDocument): ServedDocument | undefined {
  return renderJwks(
    document.versions.map((version) => ({ ...version, contained: isDenied(document, version.versionId) })),
    document.maxAgeSeconds,
  );
}
