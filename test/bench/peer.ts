import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

/**
 * The peer the table names, installed on demand into a folder git does not know: it brings a binding that is compiled
 * where no binary can be downloaded, so it is no dependency of ours.
 */
const PEER = '@event-driven-io/emmett-sqlite';
const MANIFEST = {
  private: true,
  description: 'What the benchmarks compare with. Made by npm run bench.',
  // What its manifest leaves to whoever installs it is named too.
  dependencies: {
    [PEER]: '0.38.5',
    '@event-driven-io/emmett': '0.38.5',
    'async-retry': '1.3.3',
    commander: '12.1.0',
    sqlite3: '5.1.7',
    uuid: '10.0.0',
    'web-streams-polyfill': '4.0.0',
  },
  allowScripts: { sqlite3: true },
};
/** Compiling SQLite takes minutes where two cores are busy. */
const PATIENCE_MS = 15 * 60_000;
/** Of an append it refused for a moment. */
const MOST_TRIES = 40;
const PAUSE_MS = 5;

export interface Peer {
  append(stream: string, data: readonly unknown[]): Promise<void>;
  /** How many events a read of the whole stream gives. */
  length(stream: string): Promise<number>;
  close(): Promise<void>;
}

/** What is used of it. Its types are not here when ours are checked. */
interface EmmettStore {
  appendToStream(
    stream: string,
    events: readonly { readonly type: string; readonly data: unknown }[],
  ): Promise<unknown>;
  readStream(stream: string): Promise<{ readonly events: readonly unknown[] }>;
  close?: () => Promise<void>;
}

/** The peer over a file in this folder, or why there is none. `install`: fetch it where it is not there. */
export async function openPeer(cache: string, directory: string, install: boolean): Promise<Peer | string> {
  const home = join(cache, 'bench-peers');
  const require = createRequire(join(home, 'package.json'));
  const works = (): boolean => {
    try {
      require('sqlite3');
      require(PEER);
      return true;
    } catch {
      return false;
    }
  };
  if (!works()) {
    if (!install) return `${PEER} is not installed; npm run bench installs it`;
    mkdirSync(home, { recursive: true });
    writeFileSync(join(home, 'package.json'), `${JSON.stringify(MANIFEST, null, 2)}\n`);
    try {
      execFileSync('npm', ['install', '--no-audit', '--no-fund', '--legacy-peer-deps'], {
        cwd: home,
        stdio: 'ignore',
        timeout: PATIENCE_MS,
      });
    } catch {
      return `${PEER} could not be installed here`;
    }
    if (!works()) return `${PEER} could not be installed here`;
  }
  const module: { getSQLiteEventStore(options: object): EmmettStore } = await import(
    pathToFileURL(require.resolve(PEER)).href
  );
  const store = module.getSQLiteEventStore({
    fileName: join(directory, 'emmett.sqlite'),
    schema: { autoMigration: 'CreateOrUpdate' },
  });
  const once = (stream: string, data: readonly unknown[]): Promise<unknown> =>
    store.appendToStream(
      stream,
      data.map((each) => ({ type: 'NoteAdded', data: each })),
    );
  // Two appends at once close its connection on each other, and about one commit in 15,000 is refused with SQLITE_BUSY and rolled back,
  // for as long as its binding keeps a read statement open: what its callers would have to do is done here.
  const patiently = async (stream: string, data: readonly unknown[], tries = MOST_TRIES): Promise<void> => {
    try {
      await once(stream, data);
    } catch (error) {
      if (!isBusy(error) || tries === 0) throw error;
      await setTimeout(PAUSE_MS);
      await patiently(stream, data, tries - 1);
    }
  };
  let last: Promise<unknown> = Promise.resolve();
  return {
    append: async (stream, data) => {
      const turn = last.then(() => patiently(stream, data));
      last = turn.catch(() => undefined);
      await turn;
    },
    length: async (stream) => (await store.readStream(stream)).events.length,
    close: async () => {
      await store.close?.();
    },
  };
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'SQLITE_BUSY';
}
