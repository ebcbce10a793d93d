import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import {
  ALGORITHMS,
  EFFECTS,
  type Attempt,
  type Effect,
  type Fence,
  type GeneratedVersion,
  type LedgerEntry,
  type ObservedVersion,
} from '../key-backend.js';
import { LARGEST_MAX_AGE_SECONDS } from '../jwks-document.js';
import {
  refuse,
  requireAcceptable,
  requireKnown,
  requireNotOlder,
  unknownVersions,
} from '../requirements.js';

/**
 * What Keyturn keeps of one back-end object, in the server itself: one document in KV v2, changed by compare-and-set alone.
 * Fence, versions, what is accepted and emits, and the ledger move in one write, so that a repeat is found and a frozen worker
 * is refused wherever it thaws. Pure: whoever stores it is `object-store.ts`.
 */

const wholeNumber = z.number().int().nonnegative();
const fenceSchema = z.strictObject({ slot: wholeNumber, step: wholeNumber, attemptId: z.string() });

const versionSchema = z.strictObject({
  versionId: z.string(),
  /** The engine's own name for it: transit's version number, KV's, a role. */
  engine: z.string(),
  algorithm: z.enum(ALGORITHMS),
  strengthBits: wholeNumber,
  fingerprint: z.string(),
  createdAt: z.string(),
  /** Of an asymmetric key. */
  publicJwk: z.record(z.string(), z.string()).optional(),
  /** What it signed for the probe while it could: no token, good for nothing else. */
  canary: z.string().optional(),
  accepted: z.boolean(),
  /** It was accepted once. */
  published: z.boolean(),
  emittingShare: z.number().int().min(0).max(100),
  destroyed: z.boolean(),
  /** It was tried before anybody had it, and refused: never accepted. */
  broken: z.literal(true).optional(),
});

const entrySchema = z.strictObject({
  key: z.string(),
  attemptId: z.string(),
  effect: z.enum(EFFECTS),
  versions: z.array(z.string()),
  at: z.string(),
  /** It was found in the engine after an answer was lost: nobody can prove whose it is. */
  adopted: z.literal(true).optional(),
});

/** An effect in the engine that was begun and whose end is not known yet. Nobody else may write the object meanwhile. */
const pendingSchema = z.strictObject({
  key: z.string(),
  attemptId: z.string(),
  effect: z.enum(EFFECTS),
  versions: z.array(z.string()),
  /** The newest version of the engine before it. */
  before: z.string(),
  /** When, by the server's clock: RFC 3339. */
  at: z.string().optional(),
});

export const objectDocumentSchema = z.strictObject({
  format: z.literal(1),
  familyId: z.string().optional(),
  fence: fenceSchema.optional(),
  /** In the order they were made. */
  versions: z.array(versionSchema),
  /** The deny set: version, and the keys of the containments that put it there. */
  denied: z.record(z.string(), z.array(z.string())),
  maxAgeSeconds: wholeNumber.optional(),
  pending: pendingSchema.optional(),
  /** Newest last. */
  ledger: z.array(entrySchema),
});
export type ObjectDocument = z.output<typeof objectDocumentSchema>;
export type DocumentVersion = ObjectDocument['versions'][number];
export type PendingEffect = NonNullable<ObjectDocument['pending']>;

/** A repeat comes within its rotation; a rotation has fewer effects than this by far. */
export const LEDGER_LENGTH = 256;

/** One effect as it is asked for. */
export type Change =
  | {
      readonly effect: 'generate';
      readonly made: GeneratedVersion &
        Pick<DocumentVersion, 'engine' | 'publicJwk' | 'canary'> & { readonly adopted?: true };
    }
  | { readonly effect: 'publish'; readonly versions: readonly string[]; readonly maxAgeSeconds: number }
  | { readonly effect: 'switch-emission'; readonly to: string }
  | { readonly effect: 'cut-over'; readonly to: string; readonly maxAgeSeconds: number }
  | {
      readonly effect: 'withdraw' | 're-accept' | 'contain' | 'destroy';
      readonly versions: readonly string[];
    }
  | { readonly effect: 'lift'; readonly versions: readonly string[]; readonly containedBy: string };

export const emptyDocument: ObjectDocument = { format: 1, versions: [], denied: {}, ledger: [] };

export function observedVersions({ versions, denied }: ObjectDocument): readonly ObservedVersion[] {
  return versions.map(
    ({
      engine: _engine,
      published: _published,
      publicJwk: _jwk,
      canary: _canary,
      broken: _broken,
      ...version
    }) => ({
      ...version,
      contained: isDenied({ denied }, version.versionId),
    }),
  );
}

export function ledgerEntryOf({ ledger }: ObjectDocument, key: string): LedgerEntry | undefined {
  const entry = ledger.find((each) => each.key === key);
  if (entry === undefined) return undefined;
  const { adopted: _adopted, ...rest } = entry;
  return rest;
}

/** Whether both are the same on the server: the order of names says nothing there. */
export function sameDocument(one: ObjectDocument, other: ObjectDocument): boolean {
  const stored = (document: ObjectDocument): unknown => JSON.parse(JSON.stringify(document));
  return one === other || isDeepStrictEqual(stored(one), stored(other));
}

/** With the fence of somebody who takes over; refuses what is older than the newest seen. */
export function raised(
  document: ObjectDocument,
  object: string,
  raise: { readonly fence: Fence; readonly attemptId: string },
): ObjectDocument {
  const { fence: newest } = document;
  requireNotOlder(
    object,
    newest === undefined ? undefined : { fence: newest, attemptId: newest.attemptId },
    raise.fence,
    raise.attemptId,
  );
  if (document.fence?.attemptId === raise.attemptId) return document;
  return { ...document, fence: { ...raise.fence, attemptId: raise.attemptId } };
}

/**
 * The document an attempt finds once it has passed: owned by its family, the fence raised to its own. A containment passes at any
 * age and raises nothing: it only adds to the deny set.
 */
export function entered(document: ObjectDocument, attempt: Attempt, effect: Effect): ObjectDocument {
  const { familyId } = document;
  if (familyId !== undefined && familyId !== attempt.familyId) {
    throw refuse('config', `${attempt.object} belongs to family ${familyId}, not to ${attempt.familyId}`);
  }
  return effect === 'contain' ? document : raised(document, attempt.object, attempt);
}

/** The entry of an effect that was done before under this key. Answering with the receipt of something else would claim what was never done. */
export function repeatOf(
  document: ObjectDocument,
  attempt: Attempt,
  effect: Effect,
  versions: readonly string[] | undefined,
): LedgerEntry | undefined {
  const entry = ledgerEntryOf(document, attempt.key);
  if (entry === undefined) return undefined;
  if (entry.effect !== effect || (versions !== undefined && !sameSet(versions, entry.versions))) {
    throw refuse('config', `The key ${attempt.key} was used for another effect (${entry.effect})`);
  }
  return entry;
}

/** What stands before an engine is asked to change something; `done` takes it away. */
export function begun(document: ObjectDocument, pending: PendingEffect): ObjectDocument {
  return { ...document, pending };
}

/** Where it is known that the attempt's effect was not executed. */
export function withoutPending(
  document: ObjectDocument,
  { attemptId }: Pick<Attempt, 'attemptId'>,
): ObjectDocument {
  const { pending, ...rest } = document;
  return pending?.attemptId === attemptId ? rest : document;
}

/** With one that the engine made and that is good for nothing, under the engine's own name for it. */
export function withBroken(
  document: ObjectDocument,
  made: Omit<DocumentVersion, 'versionId' | 'accepted' | 'published' | 'emittingShare' | 'destroyed'>,
): ObjectDocument {
  if (document.versions.some(({ engine }) => engine === made.engine)) return document;
  const version: DocumentVersion = {
    ...made,
    versionId: made.engine,
    accepted: false,
    published: false,
    emittingShare: 0,
    destroyed: false,
    broken: true,
  };
  return { ...document, versions: [...document.versions, version] };
}

/** After the effect, with its ledger row. Throws, changing nothing, where a rule refuses it. */
export function done(
  document: ObjectDocument,
  attempt: Pick<Attempt, 'object' | 'familyId' | 'key' | 'attemptId'>,
  change: Change,
  at: string,
): ObjectDocument {
  const { pending, ...changed } = applied(document, attempt, change);
  // A containment passes beside whatever is under way; that one is not over by it.
  const beside = change.effect === 'contain' && pending !== undefined && pending.key !== attempt.key;
  const entry = {
    key: attempt.key,
    attemptId: attempt.attemptId,
    effect: change.effect,
    versions: [...versionsOf(change)],
    at,
    ...(change.effect === 'generate' && change.made.adopted === true ? { adopted: true as const } : {}),
  };
  return {
    ...changed,
    ...(beside ? { pending } : {}),
    ledger: [...changed.ledger, entry].slice(-LEDGER_LENGTH),
  };
}

export function versionsOf(change: Change): readonly string[] {
  if (change.effect === 'generate') return [change.made.versionId];
  return 'to' in change ? [change.to] : change.versions;
}

/** The rules, asked before an engine is: what they refuse is never sent. */
export function applied(
  document: ObjectDocument,
  { object, familyId, key }: Pick<Attempt, 'object' | 'familyId' | 'key'>,
  change: Change,
): ObjectDocument {
  const known = observedVersions(document);
  if (change.effect !== 'generate' && document.familyId === undefined) {
    throw refuse('not-found', `Nothing was ever made in ${object}`);
  }
  switch (change.effect) {
    case 'generate': {
      const { adopted: _adopted, ...made } = change.made;
      if (known.some(({ versionId }) => versionId === made.versionId)) {
        throw refuse('config', `Version ${made.versionId} exists already in ${object}`);
      }
      const version = { ...made, accepted: false, published: false, emittingShare: 0, destroyed: false };
      return { ...document, familyId, versions: [...document.versions, version] };
    }
    case 'publish': {
      requireAcceptable(object, known, change.versions);
      return {
        ...accept(document, change.versions),
        maxAgeSeconds: requireMaxAge(change.maxAgeSeconds),
      };
    }
    case 'switch-emission': {
      for (const { versionId, accepted } of requireAcceptable(object, known, [change.to])) {
        if (!accepted) throw refuse('config', `Version ${versionId} is not accepted: publish it first`);
      }
      return emitWith(document, change.to);
    }
    case 'cut-over': {
      requireAcceptable(object, known, [change.to]);
      const others = known.map(({ versionId }) => versionId).filter((versionId) => versionId !== change.to);
      return {
        ...withdrawn(emitWith(accept(document, [change.to]), change.to), others),
        maxAgeSeconds: requireMaxAge(change.maxAgeSeconds),
      };
    }
    case 'withdraw': {
      // A version that never was is not accepted; only where none is known has the caller the wrong object in hand.
      const found = known.filter(({ versionId }) => change.versions.includes(versionId));
      if (found.length === 0) throw unknownVersions(object, change.versions);
      for (const { versionId, emittingShare, contained } of found) {
        if (emittingShare > 0 && !contained) {
          throw refuse('config', `Version ${versionId} is emitting: switch emission first, or contain it`);
        }
      }
      return withdrawn(document, change.versions);
    }
    case 're-accept': {
      requireAcceptable(object, known, change.versions);
      for (const { versionId, published } of document.versions) {
        if (change.versions.includes(versionId) && !published)
          throw refuse('config', `Version ${versionId} was never accepted: publish it`);
      }
      return accept(document, change.versions);
    }
    case 'contain':
      return change.versions.reduce(
        (sofar, versionId) => ({
          ...sofar,
          denied: { ...sofar.denied, [versionId]: [...new Set([...(sofar.denied[versionId] ?? []), key])] },
        }),
        document,
      );
    case 'lift': {
      const lifted = (versionId: string, keys: readonly string[]): string[] =>
        change.versions.includes(versionId) ? keys.filter((each) => each !== change.containedBy) : [...keys];
      return {
        ...document,
        denied: Object.fromEntries(
          Object.entries(document.denied).map(([versionId, keys]) => [versionId, lifted(versionId, keys)]),
        ),
      };
    }
    case 'destroy': {
      for (const { versionId, accepted, emittingShare } of requireKnown(object, known, change.versions)) {
        if (emittingShare > 0) throw refuse('config', `Version ${versionId} is emitting`);
        if (accepted) throw refuse('config', `Version ${versionId} is accepted: withdraw it first`);
      }
      return each(document, change.versions, (version) => ({ ...version, destroyed: true }));
    }
  }
}

export function isDenied({ denied }: Pick<ObjectDocument, 'denied'>, versionId: string): boolean {
  return Object.hasOwn(denied, versionId) && (denied[versionId] ?? []).length > 0;
}

function each(
  document: ObjectDocument,
  versions: readonly string[],
  change: (version: DocumentVersion) => DocumentVersion,
): ObjectDocument {
  return {
    ...document,
    versions: document.versions.map((version) =>
      versions.includes(version.versionId) ? change(version) : version,
    ),
  };
}

function accept(document: ObjectDocument, versions: readonly string[]): ObjectDocument {
  return each(document, versions, (version) => ({ ...version, accepted: true, published: true }));
}

/** Not accepted and not emitting. */
function withdrawn(document: ObjectDocument, versions: readonly string[]): ObjectDocument {
  return each(document, versions, (version) => ({ ...version, accepted: false, emittingShare: 0 }));
}

function emitWith(document: ObjectDocument, to: string): ObjectDocument {
  return {
    ...document,
    versions: document.versions.map((version) => ({
      ...version,
      emittingShare: version.versionId === to ? 100 : 0,
    })),
  };
}

function requireMaxAge(maxAgeSeconds: number): number {
  if (!Number.isSafeInteger(maxAgeSeconds) || maxAgeSeconds < 0) {
    throw refuse('config', 'maxAgeSeconds is not a whole number of seconds');
  }
  return Math.min(maxAgeSeconds, LARGEST_MAX_AGE_SECONDS);
}

function sameSet(one: readonly string[], other: readonly string[]): boolean {
  return one.every((value) => other.includes(value)) && other.every((value) => one.includes(value));
}
