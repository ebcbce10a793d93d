import { Refusal } from './refusal.js';

/** What lasts, key by key, as the storage of a raft node: every change has a number, what is not in here is gone with the process. */
export class Storage {
  readonly #entries = new Map<string, { readonly text: string | undefined; readonly at: number }>();
  /** By what stands before the first slash: few are asked for all the time. */
  readonly #folders = new Map<string, Set<string>>();
  readonly #followers = new Set<(changes: Changes, index: number) => void>();
  #index = 1;
  #epoch = 0;

  /** Number of the newest change. */
  get index(): number {
    return this.#index;
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** Nothing that began before can be written any more: it was sealed, or killed. */
  interrupt(): void {
    this.#epoch += 1;
  }

  begin(prefix = ''): Transaction {
    return new Transaction(this, prefix);
  }

  text(key: string): string | undefined {
    return this.#entries.get(key)?.text;
  }

  changedAt(key: string): number {
    return this.#entries.get(key)?.at ?? 0;
  }

  keys(prefix: string): readonly string[] {
    const folder = this.#folders.get(folderOf(prefix));
    return folder === undefined ? [] : [...folder].filter((key) => key.startsWith(prefix));
  }

  /** All of it or nothing. */
  write(changes: Changes, index = this.#index + 1): void {
    if (changes.size === 0) return;
    this.#index = index;
    for (const [key, text] of changes) {
      this.#entries.set(key, { text, at: index });
      const folder = this.#folders.get(folderOf(key)) ?? new Set();
      this.#folders.set(folderOf(key), folder);
      if (text === undefined) folder.delete(key);
      else folder.add(key);
    }
    for (const follower of this.#followers) follower(changes, index);
  }

  /** Told of every change, in order. */
  follow(follower: (changes: Changes, index: number) => void): void {
    this.#followers.add(follower);
  }

  /** As it is now: what a node gets that joins. */
  copy(): Storage {
    const copied = new Storage();
    copied.write(new Map([...this.#entries].map(([key, { text }]) => [key, text])), this.#index);
    return copied;
  }
}

const folderOf = (key: string): string => key.slice(0, key.indexOf('/'));

/** By key; `undefined`: deleted. */
export type Changes = ReadonlyMap<string, string | undefined>;

/** Begun when its request came: what somebody else wrote since fails it, though memory may have it already. */
export class Transaction {
  readonly #at: number;
  readonly #epoch: number;

  constructor(
    private readonly storage: Storage,
    private readonly prefix: string,
    private readonly changes = new Map<string, string | undefined>(),
  ) {
    this.#at = storage.index;
    this.#epoch = storage.epoch;
  }

  /** The same transaction, seen from another folder. */
  within(prefix: string): Transaction {
    return new Transaction(this.storage, prefix, this.changes);
  }

  read<T>(key: string): T | undefined {
    const whole = this.prefix + key;
    const text = this.changes.has(whole) ? this.changes.get(whole) : this.storage.text(whole);
    if (text === undefined) return undefined;
    const value: T = JSON.parse(text);
    return value;
  }

  put(key: string, value: unknown): void {
    this.changes.set(this.prefix + key, JSON.stringify(value));
  }

  remove(key: string): void {
    this.changes.set(this.prefix + key, undefined);
  }

  /** What stands below `folder`, by the rest of its name. */
  list(folder: string): readonly string[] {
    const whole = this.prefix + folder;
    return this.storage.keys(whole).map((key) => key.slice(whole.length));
  }

  get writes(): boolean {
    return this.changes.size > 0;
  }

  commit(): void {
    const lost =
      this.#epoch !== this.storage.epoch ||
      [...this.changes.keys()].some((key) => this.storage.changedAt(key) > this.#at);
    if (lost) throw Refusal.several(500, 'transaction commit failed');
    this.storage.write(this.changes);
  }
}
