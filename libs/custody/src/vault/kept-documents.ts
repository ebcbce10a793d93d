import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { renderJwks, type ServedDocument } from '../jwks-document.js';
import { readIfThere, replaceFile, TEMPORARY } from '../replace-file.js';
import {
  emptyDocument,
  isDenied,
  ledgerEntryOf,
  sameDocument,
  objectDocumentSchema,
  type ObjectDocument,
} from './object-document.js';

const keptSchema = z.strictObject({
  object: z.string(),
  cas: z.number().int().nonnegative(),
  document: objectDocumentSchema,
  /** Left out of what is served before the server could be told: by the key of the containment. */
  ahead: z.record(z.string(), z.array(z.string())).optional(),
  /** The server had an older one after this: nothing of what it has since is taken in its place. */
  putBack: z.literal(true).optional(),
});
type Kept = z.output<typeof keptSchema>;

type Seen = Pick<Kept, 'cas' | 'document'>;

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
      else if (name.endsWith('.json')) {
        const kept = keptIn(path);
        if (kept !== undefined) this.#remember(kept);
      }
    }
  }

  /**
   * Keeps and serves it, unless a newer one is kept: a late answer never brings an older set back. Memory goes first: where the disk
   * refuses the file, a contained version is out of what is served nevertheless.
   */
  put(object: string, cas: number, document: ObjectDocument): void {
    const known = this.#kept.get(object);
    if (known !== undefined && (known.cas > cas || known.putBack === true)) return;
    this.#keep({ object, cas, document, ...stillAhead(document, known?.ahead) });
  }

  /**
   * Leaves versions out of what is served from now on, without asking the server: whoever verifies by it stops at once, however long that
   * one is away. Ends when the document itself knows the containment.
   */
  leaveOut(object: string, containment: string, versions: readonly string[]): void {
    const known = this.#kept.get(object) ?? { object, cas: 0, document: emptyDocument };
    this.#keep({ ...known, ...stillAhead(known.document, { ...known.ahead, [containment]: [...versions] }) });
  }

  /** A containment that was lifted leaves nothing out, also one that the document never knew: people had applied it by hand. */
  takeBack(object: string, containment: string): void {
    const known = this.#kept.get(object);
    if (known?.ahead?.[containment] === undefined) return;
    const { [containment]: _lifted, ...ahead } = known.ahead;
    const { ahead: _ahead, ...rest } = known;
    this.#keep({ ...rest, ...stillAhead(known.document, ahead) });
  }

  /** Whether one of these is in what verifiers are served. */
  lists(object: string, versions: readonly string[]): boolean {
    const kept = this.#kept.get(object);
    if (kept === undefined || rendered(kept) === undefined) return false;
    return listed(kept).some(
      ({ versionId, publicJwk, accepted, contained }) =>
        versions.includes(versionId) && publicJwk !== undefined && accepted && !contained,
    );
  }

  /** The newest that was seen of the object; asked *before* the server is, so that no later one of ours stands against its answer. */
  newest(object: string): Seen | undefined {
    return this.#kept.get(object);
  }

  /**
   * Whether what the server has is older than what it had before, or another one under the same number: it was put back from a snapshot,
   * or the document deleted. It stays so, whatever is written there since, until the server has what is kept here, or this file is gone.
   */
  isPutBack(object: string, newest: Seen | undefined, { cas, document }: Seen): boolean {
    if (newest === undefined) return false;
    const known = this.#kept.get(object);
    if (known?.putBack === true) {
      if (cas !== known.cas || !sameDocument(document, known.document)) return true;
      const { putBack: _healed, ...rest } = known;
      this.#keep(rest);
      return false;
    }
    const back = cas < newest.cas || (cas === newest.cas && !sameDocument(document, newest.document));
    if (back && known !== undefined) this.#keep({ ...known, putBack: true });
    return back;
  }

  /** The file of the object, in the folder of the back ends' copies. */
  nameOf(object: string): string {
    return join(basename(this.#folder), basename(this.#path(object)));
  }

  served(familyId: string): ServedDocument | undefined {
    return this.#served.get(familyId);
  }

  /** Whether what is served, and the file a restart would serve from, are this document's. */
  agrees(object: string, cas: number, document: ObjectDocument): boolean {
    const served = document.familyId === undefined ? undefined : this.#served.get(document.familyId);
    const wanted: Kept = { object, cas, document, ...stillAhead(document, this.#kept.get(object)?.ahead) };
    const body = rendered(wanted);
    return (
      served?.etag === body?.etag &&
      served?.maxAgeSeconds === body?.maxAgeSeconds &&
      fileIs(this.#path(object), bytesOf(wanted))
    );
  }

  #keep(kept: Kept): void {
    this.#remember(kept);
    const body = bytesOf(kept);
    const path = this.#path(kept.object);
    try {
      if (readIfThere(path)?.equals(body) !== true) replaceFile(path, body);
    } catch {
      // A disk that refuses the file stops no effect: memory serves what is so, the server has it, and `agrees` says that this file does not.
    }
  }

  #remember(kept: Kept): void {
    const { object, document } = kept;
    this.#kept.set(object, kept);
    if (document.familyId === undefined) return;
    const wanted = rendered(kept);
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

function fileIs(path: string, body: Buffer): boolean {
  try {
    return readIfThere(path)?.equals(body) === true;
  } catch {
    return false;
  }
}

/** A file that cannot be read is a copy that is missing: the next look at the server makes it anew. */
function keptIn(path: string): Kept | undefined {
  try {
    return keptSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return undefined;
  }
}

/** Without what the document knows of by itself: done there, perhaps lifted since. */
function stillAhead(document: ObjectDocument, ahead: Kept['ahead'] = {}): Pick<Kept, 'ahead'> {
  const known = (containment: string): boolean =>
    ledgerEntryOf(document, containment) !== undefined ||
    Object.values(document.denied).some((keys) => keys.includes(containment));
  const left = Object.entries(ahead).filter(([containment]) => !known(containment));
  return left.length === 0 ? {} : { ahead: Object.fromEntries(left) };
}

function listed({ document, ahead = {} }: Kept) {
  const leftOut = new Set(Object.values(ahead).flat());
  return document.versions.map((version) => ({
    ...version,
    contained: isDenied(document, version.versionId) || leftOut.has(version.versionId),
  }));
}

function rendered(kept: Kept): ServedDocument | undefined {
  return renderJwks(listed(kept), kept.document.maxAgeSeconds);
}
