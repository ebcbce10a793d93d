import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Call } from './tracing.js';

/** What a disk writes whole or not at all. */
const SECTOR = 512;

interface Inode {
  /** What has been synced. */
  durable: Buffer;
  /** What the file reads as. */
  current: Buffer;
  /** Changes since the last sync, in order. */
  pending: Change[];
}

type Change =
  | { readonly kind: 'write'; readonly at: number; readonly data: Buffer }
  | { readonly kind: 'truncate'; readonly size: number };

/**
 * A disk that promises what POSIX does and no more: of a file what was synced, of a folder's names what was there when the
 * folder was synced. Of what came later any sectors may be there, in any combination, and any first part of the changed
 * names (a journal keeps those in order).
 */
export class Disk {
  readonly #directory: string;
  #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();
  #pendingNames: { readonly path: string; readonly inode: Inode | undefined }[] = [];

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** A file that was there before: as it can be read, and what of it is on the disk. */
  place(name: string, current: Buffer, durable = current): void {
    const inode = { current, durable, pending: [] };
    this.#names.set(join(this.#directory, name), inode);
    this.#durableNames.set(join(this.#directory, name), inode);
  }

  apply(call: Call): void {
    switch (call.name) {
      case 'create':
        if (!this.#names.has(call.path) && this.#isOurs(call.path)) {
          this.#rename(call.path, { current: Buffer.alloc(0), durable: Buffer.alloc(0), pending: [] });
        }
        return;
      case 'unlink':
        this.#rename(call.path, undefined);
        return;
      case 'rename': {
        const inode = this.#names.get(call.path);
        if (inode === undefined) throw new Error(`${call.path} was renamed and is not there`);
        // One change of the folder: both names at once or none.
        this.#names.delete(call.path);
        this.#names.set(call.to, inode);
        this.#pendingNames.push({ path: call.path, inode: undefined }, { path: call.to, inode });
        return;
      }
      case 'sync':
        this.#sync(call.path);
        return;
      case 'truncate':
        this.#change(call.path, { kind: 'truncate', size: call.size });
        return;
      case 'write':
        if (call.at === undefined) throw new Error(`${call.path} is written without an offset`);
        this.#change(call.path, { kind: 'write', at: call.at, data: call.data });
        return;
    }
  }

  /** Writes what could be found after a power loss now. `random` says what of the unsynced is there; 0 ≤ x < 1. */
  writeImage(directory: string, random: () => number): void {
    mkdirSync(directory, { recursive: true });
    const names = new Map(this.#durableNames);
    const kept = Math.floor(random() * (this.#pendingNames.length + 1));
    for (const { path, inode } of this.#pendingNames.slice(0, kept)) {
      if (inode === undefined) names.delete(path);
      else names.set(path, inode);
    }
    // All, nothing, and much between: a sector here and there is what tears.
    const share = [0, 1, 0.5, 0.9, 0.1][Math.floor(random() * 5)] ?? 0;
    for (const [path, { durable, pending }] of names) {
      let content = durable;
      for (const change of pending) content = keep(content, change, () => random() < share);
      writeFileSync(join(directory, basename(path)), content);
    }
  }

  #isOurs(path: string): boolean {
    return path.startsWith(`${this.#directory}/`);
  }

  #rename(path: string, inode: Inode | undefined): void {
    if (inode === undefined) this.#names.delete(path);
    else this.#names.set(path, inode);
    this.#pendingNames.push({ path, inode });
  }

  #sync(path: string): void {
    if (path === this.#directory) {
      this.#durableNames = new Map(this.#names);
      this.#pendingNames = [];
      return;
    }
    const inode = this.#names.get(path);
    if (inode === undefined) throw new Error(`${path} is synced and is not there`);
    // What the kernel calls clean it does not write: only what was changed since the last sync reaches the disk.
    for (const change of inode.pending) inode.durable = keep(inode.durable, change, () => true);
    inode.pending = [];
  }

  #change(path: string, change: Change): void {
    const inode = this.#names.get(path);
    if (inode === undefined) throw new Error(`${path} is changed and is not there`);
    inode.current = keep(inode.current, change, () => true);
    inode.pending.push(change);
  }
}

function keep(content: Buffer, change: Change, isKept: () => boolean): Buffer {
  if (change.kind === 'truncate') return isKept() ? resized(content, change.size) : content;
  let next = content;
  const end = change.at + change.data.length;
  for (let from = change.at; from < end;) {
    const to = Math.min(end, (Math.floor(from / SECTOR) + 1) * SECTOR);
    if (isKept()) {
      if (next === content) next = Buffer.from(content);
      if (next.length < to) next = resized(next, to);
      change.data.copy(next, from, from - change.at, to - change.at);
    }
    from = to;
  }
  return next;
}

function resized(content: Buffer, size: number): Buffer {
  const next = Buffer.alloc(size);
  content.copy(next, 0, 0, Math.min(size, content.length));
  return next;
}
