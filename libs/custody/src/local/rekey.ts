import { existsSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { failpoint, type SecretValue } from '#platform';
import { CustodyStore } from './custody-store.js';
import { fsyncFolder } from '../fsync-folder.js';
import { KeySealer, masterKeyName } from './key-material.js';
import { copyMasterKeyFile, createMasterKeyFile, loadMasterKey } from './master-key.js';
import { refuse } from '../requirements.js';

/** What a change of the master key did. */
export interface Rekeyed {
  /** Keys sealed anew; those that are destroyed have nothing left to seal. */
  readonly resealed: number;
  /** `finished`: an earlier run had sealed everything and ended before it said so. */
  readonly outcome: 'done' | 'finished';
  /** The old key, which opens older backups still; where the key is kept in a file of ours. */
  readonly oldKeyFile?: string;
  /** `false`: pages sealed under the old key stand in the store's write-ahead log until it is opened next. */
  readonly scrubbed: boolean;
}

/**
 * Seals every key of a store anew, in one transaction: before it everything opens with the old key, after it with the
 * new one. Both keys are with the caller, who MUST have the new one durable before.
 */
export function rekeyStore(keys: {
  readonly directory: string;
  readonly oldKey: SecretValue;
  readonly newKey: SecretValue;
}): Rekeyed {
  const { directory, oldKey, newKey } = keys;
  if (oldKey.reveal().equals(newKey.reveal()))
    throw refuse('config', 'The new master key is the old one: nothing was changed');
  const [oldSealer, newSealer] = [new KeySealer(oldKey), new KeySealer(newKey)];
  if (CustodyStore.opensWith(directory, newSealer))
    return { resealed: 0, outcome: 'finished', scrubbed: true };
  const store = CustodyStore.open(directory, oldSealer);
  try {
    const resealed = store.transaction(() => {
      const count = store.reseal(oldSealer, newSealer);
      failpoint('rekey:before-commit');
      return count;
    });
    failpoint('rekey:committed');
    return { resealed, outcome: 'done', scrubbed: store.scrub() };
  } finally {
    store.close();
  }
}

/**
 * The same where the master key is a file beside which we may write. The new key is on disk before anything is sealed
 * with it, in `<file>.new`; the old one is kept as `<file>.old-<name>`, and there is a key under `<file>` at any time.
 * Whatever ends this between two of its writes, `settleMasterKeyFile` or another run goes on from there.
 */
export function rekeyMasterKeyFile(at: { readonly directory: string; readonly file: string }): Rekeyed {
  const { directory, file } = at;
  const settled = settleMasterKeyFile(at);
  if (settled !== undefined) return { resealed: 0, outcome: 'finished', scrubbed: true, ...settled };
  const oldKey = loadMasterKey({ file, opens: directory });
  if (!CustodyStore.opensWith(directory, new KeySealer(oldKey))) {
    throw refuse('config', `The master key in ${file} does not open ${directory}; nothing was changed`);
  }
  const next = nextOf(file);
  // Of a run that ended before it had sealed anything: nothing was ever sealed with it.
  rmSync(next, { force: true });
  createMasterKeyFile(next);
  failpoint('rekey:new-key-stored');
  const done = rekeyStore({ directory, oldKey, newKey: loadMasterKey({ file: next }) });
  return { ...done, ...putInPlace(file) };
}

/**
 * Finishes what a killed change of the master key left behind its commit: the key that opens the store takes its place.
 * `undefined`: there was nothing to finish. Called at every start, under the log's lock.
 */
export function settleMasterKeyFile(at: {
  readonly directory: string;
  readonly file: string;
}): { readonly oldKeyFile: string } | undefined {
  const { directory, file } = at;
  const next = nextOf(file);
  if (!existsSync(next) || !existsSync(file)) return undefined;
  // While the key in place opens the store, the one beside it is of no use, and may be half written.
  if (CustodyStore.opensWith(directory, new KeySealer(loadMasterKey({ file })))) return undefined;
  if (!CustodyStore.opensWith(directory, new KeySealer(loadMasterKey({ file: next })))) return undefined;
  return putInPlace(file);
}

/** Whether a store opens with a key; nothing is changed, and nobody's lock is in the way. */
export function opensWith(directory: string, masterKey: SecretValue): boolean {
  return CustodyStore.opensWith(directory, new KeySealer(masterKey));
}

/** Where a new master key waits for its store to be sealed with it. */
export function nextOf(file: string): string {
  return `${file}.new`;
}

function putInPlace(file: string): { readonly oldKeyFile: string } {
  // Named after the key, so that a repeat keeps it once and never over another one.
  const oldKeyFile = `${file}.old-${masterKeyName(loadMasterKey({ file }))}`;
  copyMasterKeyFile(file, oldKeyFile);
  failpoint('rekey:old-key-kept');
  renameSync(nextOf(file), file);
  failpoint('rekey:new-key-in-place');
  fsyncFolder(dirname(file));
  return { oldKeyFile };
}
