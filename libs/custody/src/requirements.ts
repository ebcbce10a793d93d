import { BackendError, type Fence, type ObservedVersion } from './key-backend.js';

/** What a back end that keeps its own record asks of a request before it changes anything, and the words it refuses it with. */

type KnownVersion = Pick<ObservedVersion, 'versionId' | 'contained' | 'destroyed'>;

export const OBJECT_NAME = /^[\w.:/@-]{1,256}$/;
/** A family id names a file. */
export const FILE_NAME = /^[a-z0-9][a-z0-9-]{0,99}$/;
export const VERSION_NAME = /^[\w.~:-]{1,128}$/;

export function refuse(errorClass: BackendError['errorClass'], message: string): BackendError {
  return new BackendError(errorClass, message);
}

export function requireName(what: string, value: string, pattern: RegExp): void {
  if (!pattern.test(value))
    throw refuse('config', `The ${what} ${JSON.stringify(value.slice(0, 80))} is not a valid one`);
}

export function requireNotAborted(signal: AbortSignal): void {
  if (signal.aborted) throw refuse('transient', 'The attempt was aborted; nothing was begun');
}

export function requireNotOlder(
  object: string,
  newest: { readonly fence: Fence; readonly attemptId: string } | undefined,
  fence: Fence,
  attemptId: string,
): void {
  if (![fence.slot, fence.step].every(Number.isSafeInteger))
    throw refuse('config', 'A fence is made of two whole numbers');
  if (newest === undefined) return;
  const order = fence.slot - newest.fence.slot || fence.step - newest.fence.step;
  if (order < 0) throw refuse('fenced', `A newer attempt was seen for ${object}; nothing was changed`);
  if (order === 0 && attemptId !== newest.attemptId) {
    throw refuse('fenced', `Another attempt holds the same place on ${object}; nothing was changed`);
  }
}

export function requireKnown<Version extends KnownVersion>(
  object: string,
  versions: readonly Version[],
  wanted: readonly string[],
): readonly Version[] {
  const found = versions.filter(({ versionId }) => wanted.includes(versionId));
  const missing = wanted.filter((versionId) => !found.some((version) => version.versionId === versionId));
  // "Not found" means success to whoever revokes, so it is only said where it is true of all.
  if (missing.length === wanted.length) throw unknownVersions(object, missing);
  if (missing.length > 0)
    throw refuse('config', `${object} knows no version ${missing.join(', ')}; nothing was changed`);
  return found;
}

export function requireAcceptable<Version extends KnownVersion>(
  object: string,
  versions: readonly Version[],
  wanted: readonly string[],
): readonly Version[] {
  const found = requireKnown(object, versions, wanted);
  for (const { versionId, contained, destroyed } of found) {
    if (contained) throw refuse('config', `Version ${versionId} is contained and is never accepted again`);
    if (destroyed) throw refuse('config', `Version ${versionId} is destroyed`);
  }
  return found;
}

export function unknownVersions(object: string, versionIds: readonly string[]): BackendError {
  return refuse('not-found', `${object} knows no version ${versionIds.join(', ')}`);
}
