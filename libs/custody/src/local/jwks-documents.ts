import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { renderJwks, type ServedDocument } from '../jwks-document.js';
import { replaceFile, readIfThere, TEMPORARY } from '../replace-file.js';
import type { CustodyStore, StoredObject } from './custody-store.js';
import { fsyncFolder } from '../fsync-folder.js';

/**
 * The JWKS documents: rendered from the store, kept in a file each and, for serving, in memory. `sync` does not yield
 * between reading the store and the end of the rename, so a family never has two writers and a late one never writes
 * an older set.
 */
export class JwksDocuments {
  readonly #folder: string;
  readonly #store: CustodyStore;
  readonly #served = new Map<string, ServedDocument>();

  constructor(folder: string, store: CustodyStore) {
    this.#folder = folder;
    this.#store = store;
  }

  served(familyId: string): ServedDocument | undefined {
    return this.#served.get(familyId);
  }

  /**
   * Makes memory and file say what the store says; `true` when the file had to be written. Memory goes first: where the
   * disk refuses the file, a contained version is out of what we serve nevertheless.
   */
  sync(object: StoredObject): boolean {
    const wanted = this.#render(object);
    if (wanted === undefined) this.#served.delete(object.familyId);
    else this.#served.set(object.familyId, wanted);
    if (this.#fileAgrees(object.familyId, wanted)) return false;
    const path = this.#path(object.familyId);
    if (wanted === undefined) {
      rmSync(path, { force: true });
      fsyncFolder(this.#folder);
    } else {
      replaceFile(path, wanted.body);
    }
    return true;
  }

  /** At start: what a crash left between commit and rename. A disk that refuses keeps no one from being served. */
  mend(): void {
    for (const name of readdirSync(this.#folder)) {
      if (name.endsWith(TEMPORARY)) attempt(() => rmSync(join(this.#folder, name), { force: true }));
    }
    for (const object of this.#store.objects()) {
      // Memory is right in any case; `observe` says that the file does not agree, and the next effect writes it.
      attempt(() => this.sync(object));
    }
  }

  /** Whether the file is what the store says; for whoever looks from outside the process that serves. */
  fileIsRight(object: StoredObject): boolean {
    return this.#fileAgrees(object.familyId, this.#render(object));
  }

  fileIsThere(familyId: string): boolean {
    return existsSync(this.#path(familyId));
  }

  /** Whether the file and what is served from memory both are what the store says. */
  agrees(object: StoredObject): boolean {
    const wanted = this.#render(object);
    const served = this.#served.get(object.familyId);
    return (
      served?.etag === wanted?.etag &&
      served?.maxAgeSeconds === wanted?.maxAgeSeconds &&
      this.#fileAgrees(object.familyId, wanted)
    );
  }

  /** None before the first publication, nor for symmetric keys; `{"keys":[]}` where nothing is accepted any more. */
  #render(object: StoredObject): ServedDocument | undefined {
    return renderJwks(this.#store.versions(object.object), object.maxAge);
  }

  #fileAgrees(familyId: string, wanted: ServedDocument | undefined): boolean {
    const found = readIfThere(this.#path(familyId));
    return wanted === undefined ? found === undefined : found !== undefined && wanted.body.equals(found);
  }

  #path(familyId: string): string {
    return join(this.#folder, `${familyId}.json`);
  }
}

function attempt(work: () => unknown): void {
  try {
    work();
  } catch {
    // The caller says why this may fail.
  }
}
