import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { SecretValue } from '#platform';
import { BackendError } from '../key-backend.js';
import { refuse } from '../requirements.js';
import { onceBegun } from './effect-phases.js';
import { CasMismatchError, DeletedError } from './vault-answer.js';
import type { VaultClient } from './vault-client.js';
import { pathProblem } from './vault-path.js';

/** Where the note stands in an application's secret. Applications ignore it. */
export const NOTE_FIELD = 'keyturn';
/** Custom metadata with which a person says: what this KV version holds is what its note says. */
export const CONFIRMED = 'keyturn-confirmed';
/** What a server keeps of a secret where neither the secret nor its mount says anything. */
const KEPT_BY_DEFAULT = 10;

const kvVersion = z.number().int().nonnegative();
const noteSchema = z.strictObject({
  /** The KV version it was written as: where the newest one has another number, somebody else wrote since. */
  written: kvVersion,
  /** The version whose value was made with this write. */
  made: z.strictObject({ versionId: z.string(), fingerprint: z.string() }).optional(),
  /** What applications were told to accept and to emit with, in their own words. */
  accept: z.array(z.string()).optional(),
  emit: z.string().optional(),
  /** Which field has which version's value. */
  fields: z.record(z.string(), z.string()).optional(),
  /** The newest KV version, and the field in it, that has the value of a version no field has any more. */
  last: z.record(z.string(), z.tuple([kvVersion, z.string()])).optional(),
});

/**
 * What Keyturn writes beside the values, as the *name* of a field: the server shows names without values, so that what was written is
 * known again without a value being read. There is nothing secret in it.
 */
export type KvNote = z.output<typeof noteSchema>;

/** Names as `subkeys` shows them; what has a value is null. */
export interface KvNames {
  readonly [name: string]: KvNames | null;
}

const namesSchema: z.ZodType<KvNames> = z.lazy(() => z.record(z.string(), z.union([z.null(), namesSchema])));

const metadataSchema = z.looseObject({
  current_version: kvVersion,
  max_versions: kvVersion,
  delete_version_after: z.string().default('0s'),
  custom_metadata: z.record(z.string(), z.string()).nullish(),
  versions: z.record(z.string(), z.looseObject({ created_time: z.string(), destroyed: z.boolean() })),
});
const mountSchema = z.looseObject({
  max_versions: kvVersion,
  delete_version_after: z.string().default('0s'),
});
const subkeysSchema = z.looseObject({ subkeys: namesSchema.nullable() });
const writtenSchema = z.looseObject({ version: kvVersion });

export interface KvVersion {
  readonly number: number;
  /** RFC 3339, by the server. */
  readonly createdAt: string;
  readonly destroyed: boolean;
}

/** One secret as its metadata and its names show it: no value is in it. */
export interface KvState {
  /** `MOUNT/data/PATH`. */
  readonly object: string;
  /** What the next write is compared with; 0: nothing was ever written. */
  readonly current: number;
  /** The newest version was neither deleted nor destroyed. */
  readonly readable: boolean;
  readonly names: KvNames;
  readonly note: KvNote | undefined;
  /** The KV version that a person says is as its note says. */
  readonly confirmed: number | undefined;
  /** So many versions the server keeps; an older one is gone with the next write, without a mark. */
  readonly keeps: number;
  /** The server deletes its versions after a time. */
  readonly expires: boolean;
  /** Those it still knows, oldest first. */
  readonly versions: readonly KvVersion[];
}

export interface KvWrite {
  /** The KV version it replaces: whatever else is there by then, nothing is written. */
  readonly cas: number;
  readonly token: SecretValue;
  readonly rotation: string;
}

/** The newest index that was seen: no older state is decided on, whichever node answers. One for each engine. */
export interface Freshness {
  index: string | undefined;
}

/** One secret of a KV v2 mount, as its HTTP face has it. Nothing here decides; every write is a compare-and-set, sent once. */
export class KvObject {
  readonly #mount: string;
  readonly #path: string;

  /** Throws `config` where the object is not named `MOUNT/data/PATH`. */
  constructor(
    private readonly client: VaultClient,
    private readonly object: string,
    private readonly freshness: Freshness,
  ) {
    const [, mount = '', path = ''] = /^(.+?)\/data\/(.+)$/.exec(object) ?? [];
    if (path === '')
      throw refuse('config', `${object} names no secret of KV v2: write it as MOUNT/data/PATH`);
    const problem = pathProblem(object);
    if (problem !== undefined) throw refuse('config', `${object}: a path of the back end ${problem}`);
    this.#mount = mount;
    this.#path = path;
  }

  /** What is there by its names; `undefined`: not even metadata. Reads no value. */
  async look(token: SecretValue): Promise<KvState | undefined> {
    const answer = await this.#read('metadata', token);
    if (answer === undefined) return undefined;
    const metadata = this.#parsed(metadataSchema, answer, 'metadata');
    const mount = await this.#mountConfig(token);
    const { current_version: current } = metadata;
    const names = current === 0 ? undefined : await this.names(current, token);
    const confirmed = Number(metadata.custom_metadata?.[CONFIRMED]);
    return {
      object: this.object,
      current,
      readable: names !== undefined,
      names: names ?? {},
      note: noteOf(names),
      confirmed: Number.isSafeInteger(confirmed) ? confirmed : undefined,
      keeps: Math.max(metadata.max_versions, mount.max_versions) || KEPT_BY_DEFAULT,
      expires: [metadata, mount].some(({ delete_version_after: after }) => after !== '0s' && after !== ''),
      versions: Object.entries(metadata.versions)
        .map(([number, { created_time, destroyed }]) => ({
          number: Number(number),
          createdAt: new Date(created_time).toISOString(),
          destroyed,
        }))
        .sort((one, other) => one.number - other.number),
    };
  }

  /** Its names in one KV version; `undefined`: deleted, destroyed or pushed out. */
  async names(version: number, token: SecretValue): Promise<KvNames | undefined> {
    try {
      const answer = await this.#read('subkeys', token, `version=${version}`);
      if (answer === undefined) return undefined;
      return this.#parsed(subkeysSchema, answer, 'subkeys').subkeys ?? {};
    } catch (error) {
      if (error instanceof DeletedError) return undefined;
      throw error;
    }
  }

  /** Reads values: only for layouts that say so (`readsValues`). Nothing of the answer is kept but what is asked for. */
  async values(
    version: number,
    fields: readonly string[],
    token: SecretValue,
  ): Promise<ReadonlyMap<string, SecretValue>> {
    const answer = await this.#read('data', token, `version=${version}`);
    const read = z.looseObject({ data: z.record(z.string(), z.unknown()) }).safeParse(answer);
    const found = new Map<string, SecretValue>();
    for (const field of fields) {
      const value = read.data?.data[field];
      if (typeof value !== 'string')
        throw refuse(
          'config',
          `${this.object}: its KV version ${version} has no text in the field ${field}; nothing was changed`,
        );
      found.set(field, new SecretValue(value));
    }
    return found;
  }

  /** Writes it whole, with a note of ours. Answers with the KV version it became. */
  async write(data: Readonly<Record<string, unknown>>, { cas, token, rotation }: KvWrite): Promise<number> {
    return this.#write('POST', data, cas, token, rotation);
  }

  /** Changes what `data` names and leaves everything else as it is; null takes a name away. */
  async patch(data: Readonly<Record<string, unknown>>, { cas, token, rotation }: KvWrite): Promise<number> {
    return this.#write('PATCH', data, cas, token, rotation);
  }

  /** Deletes these KV versions for good, and believes only the metadata. */
  async destroy(
    versions: readonly number[],
    {
      destroyer,
      reader,
      rotation,
    }: Readonly<Record<'destroyer' | 'reader', SecretValue>> & { rotation: string },
  ): Promise<void> {
    if (versions.length > 0) {
      await this.client.effect(this.#named('destroy'), {
        method: 'POST',
        token: destroyer,
        rotation,
        body: { versions },
      });
    }
    const known = (await onceBegun(() => this.look(reader)))?.versions ?? [];
    const left = known.filter(({ number, destroyed }) => versions.includes(number) && !destroyed);
    if (left.length > 0)
      throw new BackendError(
        'unknown',
        `${this.object}: its metadata show KV version ${left.map(({ number }) => number).join(', ')} as not destroyed`,
      );
  }

  async #write(
    method: 'POST' | 'PATCH',
    data: Readonly<Record<string, unknown>>,
    cas: number,
    token: SecretValue,
    rotation: string,
  ): Promise<number> {
    const { index } = this.freshness;
    const answer = await this.client
      .effect(this.object, {
        method,
        token,
        rotation,
        // A misspelt option would be ignored, and nothing compared.
        body: { options: { cas }, data },
        ...(index === undefined ? {} : { index }),
      })
      .catch(async (error: unknown) => {
        if (error instanceof CasMismatchError) await this.#requireAnothers(data, cas, token);
        throw error;
      });
    if (answer === undefined)
      throw refuse('config', `${this.object}: there is nothing to change; nothing was written`);
    this.freshness.index = answer.index ?? index;
    const written = writtenSchema.safeParse(answer.data);
    if (!written.success)
      throw new BackendError('unknown', `${this.object}: the answer to a write says no version`);
    return written.data.version;
  }

  /** Whoever stands between may send a request twice: then its first try won, and the second one is refused. */
  async #requireAnothers(
    data: Readonly<Record<string, unknown>>,
    cas: number,
    token: SecretValue,
  ): Promise<void> {
    const names = await onceBegun(() => this.names(cas + 1, token));
    const ours = notesIn(data[NOTE_FIELD]);
    if (ours.length > 0 && isDeepStrictEqual(ours, Object.keys(names?.[NOTE_FIELD] ?? {})))
      throw new BackendError(
        'unknown',
        `${this.object}: refused, and its KV version ${cas + 1} is this very write`,
      );
  }

  async #mountConfig(token: SecretValue): Promise<z.output<typeof mountSchema>> {
    const path = `${this.#mount}/config`;
    const answer = await this.client.read(path, { token });
    return this.#parsed(mountSchema, answer?.data, path);
  }

  async #read(face: 'metadata' | 'subkeys' | 'data', token: SecretValue, query?: string): Promise<unknown> {
    const { index } = this.freshness;
    const answer = await this.client.read(this.#named(face), {
      token,
      ...(query === undefined ? {} : { query }),
      ...(index === undefined ? {} : { index }),
    });
    this.freshness.index = answer?.index ?? index;
    return answer?.data;
  }

  /** Throws without the answer: a schema's own error would print what it found. */
  #parsed<Shape>(schema: z.ZodType<Shape>, value: unknown, what: string): Shape {
    const { data, success } = schema.safeParse(value);
    if (!success) throw refuse('config', `${this.object}: its ${what} are not those of KV v2`);
    return data;
  }

  #named(face: string): string {
    return `${this.#mount}/${face}/${this.#path}`;
  }
}

/** The names that a write of ours leaves under its note's field. */
function notesIn(field: unknown): readonly string[] {
  return typeof field === 'object' && field !== null
    ? Object.entries(field).flatMap(([name, value]) => (value === null ? [] : [name]))
    : [];
}

export function noteOf(names: KvNames | undefined): KvNote | undefined {
  const written = Object.keys(names?.[NOTE_FIELD] ?? {});
  const [only] = written;
  if (only === undefined || written.length > 1) return undefined;
  try {
    return noteSchema.safeParse(JSON.parse(only)).data;
  } catch {
    return undefined;
  }
}

/** The patch that puts this note in the place of whatever stands there. */
export function notePatch(note: KvNote, state?: Pick<KvState, 'names'>): Readonly<Record<string, unknown>> {
  const old = Object.keys(state?.names[NOTE_FIELD] ?? {}).map((name) => [name, null] as const);
  return { [NOTE_FIELD]: { ...Object.fromEntries(old), [JSON.stringify(note)]: '' } };
}

/** Whose writing the newest KV version is, by its note. */
export function isOurs({ current, note, confirmed }: KvState): boolean {
  return note !== undefined && (note.written === current || confirmed === current);
}

/** Of a version that was made elsewhere: tells it from others, and nothing of its value, which is not read for it. */
export function fingerprintOfUnread(object: string, versionId: string, createdAt: string): string {
  return createHash('sha256').update(`keyturn unread\n${object}\n${versionId}\n${createdAt}`).digest('hex');
}

/** When its newest KV version was written, RFC 3339 by the server. */
export function createdAtOf({ versions, current }: KvState): string {
  return versions.find(({ number }) => number === current)?.createdAt ?? new Date(0).toISOString();
}
