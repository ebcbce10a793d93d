import { z } from 'zod';
import type { SecretValue } from '#platform';
import { BackendError } from '../key-backend.js';
import { emptyDocument, objectDocumentSchema, type ObjectDocument } from './object-document.js';
import { CasMismatchError } from './vault-answer.js';
import type { VaultClient } from './vault-client.js';

/** Where the documents of an instance's objects lie: a KV v2 mount, and a folder in it. */
export interface ObjectStoreOptions {
  readonly client: VaultClient;
  readonly mount: string;
  readonly folder: string;
  /** The driver's own token, as good as it is now. */
  readonly token: () => Promise<SecretValue>;
}

export interface Stored {
  readonly document: ObjectDocument;
  /** The version to compare with; 0: nothing was ever written. */
  readonly cas: number;
}

export interface Written extends Stored {
  /** RFC 3339, by the server's own clock. */
  readonly at: string;
}

const readSchema = z.looseObject({
  data: z.unknown(),
  metadata: z.looseObject({ version: z.number(), created_time: z.string() }),
});
const writtenSchema = z.looseObject({ version: z.number(), created_time: z.string() });

/** A write whose answer was lost, and what it compares with. */
interface LostWrite {
  readonly cas: number;
  readonly error: BackendError;
}

/** How often a change is decided anew on what somebody else wrote meanwhile. */
const MOST_TRIES = 6;

/** Keeps the documents of `object-document.ts` in KV v2, by compare-and-set alone. */
export class ObjectStore {
  readonly #options: ObjectStoreOptions;

  constructor(options: ObjectStoreOptions) {
    this.#options = options;
  }

  async read(object: string, signal?: AbortSignal): Promise<Stored> {
    const { client, token } = this.#options;
    const path = this.#path(object);
    const answer = await client.read(path, {
      token: await token(),
      ...(signal === undefined ? {} : { signal }),
    });
    if (answer === undefined) return { document: emptyDocument, cas: 0 };
    const body = readSchema.safeParse(answer.data);
    const document = body.success ? objectDocumentSchema.safeParse(body.data.data) : undefined;
    // Never taken as empty: whoever writes over it loses what is accepted and who emits.
    if (body.data === undefined || document?.data === undefined) {
      throw new BackendError('config', `${client.instance}, ${path}: this is no document of Keyturn's`);
    }
    return { document: document.data, cas: body.data.metadata.version };
  }

  /** Writes what `cas` was read as; `CasMismatchError`: somebody else wrote since. */
  async write(object: string, cas: number, document: ObjectDocument, signal?: AbortSignal): Promise<Written> {
    const { client, token } = this.#options;
    const path = this.#path(object);
    const answer = await client.effect(path, {
      method: 'POST',
      token: await token(),
      body: { options: { cas }, data: document },
      ...(signal === undefined ? {} : { signal }),
    });
    const written = writtenSchema.safeParse(answer?.data);
    if (answer === undefined || !written.success) {
      throw new BackendError('unknown', `${client.instance}, ${path}: its answer to a write says no version`);
    }
    return {
      document,
      cas: written.data.version,
      at: new Date(written.data.created_time).toISOString(),
    };
  }

  /**
   * Decides on what is there, and writes that; anew where somebody else wrote in between. An answer that was lost is looked for and not
   * guessed: the same write by the same compare-and-set happens once, and `isOurs` knows it again.
   */
  async change(
    object: string,
    decide: (document: ObjectDocument) => ObjectDocument,
    {
      isOurs,
      signal,
      from,
    }: {
      /** Knows the change again where its answer was lost; without it the same is decided, and written, again. */
      readonly isOurs?: (document: ObjectDocument) => boolean;
      readonly signal?: AbortSignal;
      /** What was read last: the compare-and-set says whether it still is so. */
      readonly from?: Stored;
    } = {},
  ): Promise<Stored> {
    let stored = from ?? (await this.read(object, signal));
    let lost: LostWrite | undefined;
    for (let tries = 1; ; tries += 1) {
      const wanted = decide(stored.document);
      // Decided to be so already.
      if (wanted === stored.document) return stored;
      try {
        return await this.write(object, stored.cas, wanted, signal);
      } catch (error) {
        const unknown = error instanceof BackendError && error.errorClass === 'unknown';
        if (unknown) lost = { cas: stored.cas, error };
        const again = unknown || error instanceof CasMismatchError;
        // As long as an earlier try may still be on its way, "not executed" is only true of the last one.
        if (!again || tries === MOST_TRIES) throw lost?.error ?? error;
      }
      const sent = lost;
      stored = await this.read(object, signal).catch((error: unknown) => {
        throw sent?.error ?? error;
      });
      if (isOurs?.(stored.document) === true) return stored;
      // Whatever was lost cannot happen any more: the compare-and-set refuses it.
      if (lost !== undefined && stored.cas > lost.cas) lost = undefined;
    }
  }

  #path(object: string): string {
    return `${this.#options.mount}/data/${this.#options.folder}/${object}`;
  }
}
