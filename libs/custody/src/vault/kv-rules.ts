import { randomBytes } from 'node:crypto';
import { SecretValue } from '#platform';
import { BackendError, type Algorithm, type Effect, type EffectClass } from '../key-backend.js';
import { refuse } from '../requirements.js';
import {
  CONFIRMED,
  createdAtOf,
  fingerprintOfUnread,
  isOurs,
  type KvNames,
  type KvObject,
  type KvState,
} from './kv-object.js';
import {
  isDenied,
  type DocumentVersion,
  type ObjectDocument,
  type PendingEffect,
} from './object-document.js';
import type { Identity, MadeVersion } from './vault-engine.js';

/** What every layout of KV v2 is the same in. */

/** A request of ours is given up after 10 s; the server works on one for at most 90 s more (its default `default_max_request_duration`). */
export const LONGEST_REQUEST_MS = 105_000;
const VALUE_BYTES = 32;

/** Every write says which KV version it replaces; only destroying cannot. */
export const KV_CLASSES: Readonly<Record<Effect, EffectClass>> = {
  generate: 'compare-and-swap',
  publish: 'compare-and-swap',
  'switch-emission': 'compare-and-swap',
  withdraw: 'compare-and-swap',
  're-accept': 'compare-and-swap',
  'cut-over': 'compare-and-swap',
  contain: 'compare-and-swap',
  lift: 'compare-and-swap',
  destroy: 'absolute',
};
export const KV_ALGORITHMS: readonly Algorithm[] = ['HS256'];

/** A new value as applications read it: 256 random bits as base64url text, no line end. The tag is random, too: nothing of the value. */
export function newValue(): { readonly value: SecretValue; readonly fingerprint: string } {
  const bytes = randomBytes(VALUE_BYTES);
  const value = new SecretValue(bytes.toString('base64url'));
  bytes.fill(0);
  return { value, fingerprint: randomBytes(VALUE_BYTES).toString('hex') };
}

/** In clear, for the body of a request and for nothing else. */
export function inClear(value: SecretValue): string {
  return value.reveal().toString('utf8');
}

/** Throws `config` where what is there cannot be driven, whoever wrote it. */
export function requireUsable(state: KvState): void {
  const { object, current, readable, expires } = state;
  if (expires)
    throw refuse(
      'config',
      `${object}: its server deletes it after a time (delete_version_after): set it to 0s, Keyturn says when a value goes`,
    );
  requireReadable({ object, current, readable });
}

/** What was deleted by somebody is not written over: no application can read it, and nobody here knows why. */
export function requireReadable({
  object,
  current,
  readable,
}: Pick<KvState, 'object' | 'current' | 'readable'>): void {
  if (current > 0 && !readable)
    throw refuse(
      'config',
      `${object}: its newest KV version ${current} was deleted by somebody: undelete it, or write back what applications should read`,
    );
}

/** A containment is under way: it waits for nothing that only matters to what comes after it. */
export function isContaining({ pending }: ObjectDocument): boolean {
  return pending?.effect === 'contain';
}

/** Throws where somebody else wrote since Keyturn did. */
export function requireExplained(document: ObjectDocument, state: KvState): void {
  if (isExplained(document, state)) return;
  const { object, current, note } = state;
  const [, mount = '', path = ''] = /^(.+?)\/data\/(.+)$/.exec(object) ?? [];
  // Writing back is one KV version more.
  const [restore, good] =
    note === undefined
      ? ['write back the KV version that Keyturn wrote last (kv rollback)', current + 1]
      : [`see to it that its values are those of KV version ${note.written}, which Keyturn wrote`, current];
  throw refuse(
    'config',
    `${object}: somebody else wrote its KV version ${current}; nothing is written over it. To go on, ${restore}, and confirm what stands there then: kv metadata patch -mount=${mount} -custom-metadata=${CONFIRMED}=${good} ${path}`,
  );
}

/** Nobody but Keyturn wrote it, or the document took in what it holds, or there is nothing of ours that it could have changed. */
export function isExplained(document: ObjectDocument, state: KvState): boolean {
  return (
    state.current === 0 ||
    isOurs(state) ||
    document.versions.length === 0 ||
    document.versions.some((version) => version.published && takenInAt(version, state.current))
  );
}

/** The engine's name of a version's place: the KV version its value was made in. */
export function madeIn(number: number, prefix = ''): string {
  return `${prefix}${number}`;
}

/** Of a version that was there before Keyturn came: anywhere up to that KV version. */
export function foundIn(number: number, prefix = ''): string {
  return `${prefix}0-${number}`;
}

/** The KV versions that a version's name speaks of: the first that may have its value, and where it was seen. */
export function spanOf(engine: string): {
  readonly prefix: string;
  readonly first: number;
  readonly seen: number;
} {
  const [, prefix = '', first = '', seen = first] = /^(.*?)(\d+)(?:-(\d+))?$/.exec(engine) ?? [];
  return { prefix, first: Number(first), seen: Number(seen) };
}

function takenInAt({ engine }: DocumentVersion, number: number): boolean {
  const { first, seen } = spanOf(engine);
  return first === 0 && seen === number;
}

/** Before there was a document: what is found then was in use. */
export function isUntouched({ versions, pending }: ObjectDocument): boolean {
  return versions.length === 0 && pending === undefined;
}

/** Of those, the ones that neither the document nor an effect under way names. */
export function unknownTo(
  { versions, pending }: ObjectDocument,
  versionIds: readonly string[],
): readonly string[] {
  const known = new Set([...versions.map(({ versionId }) => versionId), ...(pending?.versions ?? [])]);
  return versionIds.filter((versionId) => !known.has(versionId));
}

/** A version that is found: made by nobody we know, its value not read. */
export function foundVersion(
  state: KvState,
  {
    versionId,
    engine,
    use,
  }: {
    readonly versionId: string;
    readonly engine: string;
    /** How it was in use before Keyturn came; absent: surplus. */
    readonly use?: 'accepted' | 'emitting';
  },
): DocumentVersion {
  const createdAt = createdAtOf(state);
  return {
    versionId,
    engine,
    algorithm: 'HS256',
    // Nobody here looked at it.
    strengthBits: 0,
    fingerprint: fingerprintOfUnread(state.object, versionId, createdAt),
    createdAt,
    accepted: use !== undefined,
    published: use !== undefined,
    emittingShare: use === 'emitting' ? 100 : 0,
    destroyed: false,
  };
}

export function withFound(document: ObjectDocument, found: readonly DocumentVersion[]): ObjectDocument {
  const known = new Set(document.versions.map(({ versionId }) => versionId));
  const added = found.filter(({ versionId }) => !known.has(versionId));
  return added.length === 0 ? document : { ...document, versions: [...document.versions, ...added] };
}

/** A KV version somebody else wrote since, as a version that is surplus: on record, never accepted. */
export function strangeVersion(state: KvState, prefix = ''): DocumentVersion {
  const { current } = state;
  return foundVersion(state, { versionId: `kv-${prefix}${current}`, engine: madeIn(current, prefix) });
}

export function isGenerating(pending: PendingEffect, versionId: string | undefined): boolean {
  return pending.effect === 'generate' && versionId !== undefined && pending.versions[0] === versionId;
}

/** The version that the newest KV version was written for. `unknown` where it is another. */
export function madeOf(state: KvState | undefined, versionId: string, prefix = ''): MadeVersion {
  const made = state?.note?.made;
  if (state === undefined || made?.versionId !== versionId || state.note?.written !== state.current)
    throw new BackendError(
      'unknown',
      `${state?.object ?? 'its secret'}: version ${versionId} was written and is not what stands there`,
    );
  return {
    engine: madeIn(state.current, prefix),
    algorithm: 'HS256',
    strengthBits: VALUE_BYTES * 8,
    fingerprint: made.fingerprint,
    createdAt: createdAtOf(state),
  };
}

/** The document's versions that consumers may be shown. */
export function shownVersions({ versions, denied }: ObjectDocument): {
  readonly accepted: readonly DocumentVersion[];
  readonly emitting: DocumentVersion | undefined;
} {
  const accepted = versions.filter((version) => version.accepted && !isDenied({ denied }, version.versionId));
  return { accepted, emitting: accepted.find(({ emittingShare }) => emittingShare > 0) };
}

/** The KV versions from `first` on, up to and without `before`, that may still hold a value: all that are not shown to be free of it. */
export async function holding(
  secret: KvObject,
  { versions }: KvState,
  {
    first,
    before,
    identity,
    free,
  }: {
    readonly first: number;
    readonly before: number;
    readonly identity: Identity;
    /** By its names alone; absent names: it was deleted, and shows nothing. */
    readonly free: (names: KvNames, number: number) => boolean;
  },
): Promise<readonly number[]> {
  const held: number[] = [];
  const candidates = versions.filter(
    ({ number, destroyed }) => number >= first && number < before && !destroyed,
  );
  for (const { number } of candidates) {
    const names = await secret.names(number, await identity.token());
    if (names === undefined || !free(names, number)) held.push(number);
  }
  return held;
}

/** Consumers go by what they read: nobody can be asked whether an artefact would be refused. */
export function honoured(state: KvState): { readonly accepted: undefined; readonly how: string } {
  return {
    accepted: undefined,
    how: `not probed: a value is refused by whoever reads KV version ${state.current}, not by the server`,
  };
}

export function sameNames(one: readonly string[] | undefined, other: readonly string[]): boolean {
  return one !== undefined && JSON.stringify([...one].sort()) === JSON.stringify([...other].sort());
}
