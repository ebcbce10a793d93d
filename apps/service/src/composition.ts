import { chmodSync, existsSync, mkdirSync } from 'node:fs';
import {
  isAccessEvent,
  OpenBootstrap,
  RememberedTokens,
  tokenDirectory,
  type OneTimeSignIn,
  type TokenDirectory,
} from '#access';
import {
  createMasterKeyFile,
  loadMasterKey,
  openLocalKeyBackend,
  settleMasterKeyFile,
  type LocalKeyBackend,
} from '#custody/local';
import { openAttestedKeyBackend } from '#custody/attested';
import type { ServedDocument } from '#custody';
import { BackEndsFileError, readBackEnds, VaultBackEnds, type BackEndsSettings } from '#custody/vault';
import type { EventLog } from '#eventlog';
import {
  IntegrityFindings,
  openEventStore,
  startScrub,
  type EventStore,
  type ReadModel,
  type RebuildProgress,
  type StreamPosition,
} from '#eventlog/kit';
import { openSqliteEventLog, type SqliteEventLog } from '#eventlog/sqlite';
import {
  ConfigError,
  systemClock,
  systemIds,
  type Clock,
  type Config,
  type Ids,
  type SecretValue,
} from '#platform';
import { ATTESTED_INSTANCE, BackEnds, holdClockAtStart, Ledger } from '#rotation';
import { DEFINITIONS, PROJECTIONS } from './catalog.js';
import { holdIfOlder } from './older-log.js';
import { placesOf, type Places } from './places.js';
import { ReplaceableReadModel } from './replaceable-read-model.js';

/** How long an answer waits for the read model to show what was just written, or all that was written before. */
export const READ_MODEL_PATIENCE_MS = 2_000;

export interface Overrides {
  readonly clock?: Clock;
  readonly ids?: Ids;
  /** Writes the log on the calling thread: tests and crash children. */
  readonly inlineLog?: boolean;
}

/** The parts of one Keyturn, opened. Knows nothing of HTTP. */
export interface Keyturn {
  readonly config: Config;
  readonly places: Places;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: EventLog;
  readonly store: EventStore;
  readonly readModel: ReadModel;
  readonly tokens: TokenDirectory;
  readonly backend: LocalKeyBackend;
  /** Those of KEYTURN_BACK_ENDS; looked at in the background once `vault.start` was called. */
  readonly vault: VaultBackEnds;
  readonly ledger: Ledger;
  readonly backEnds: BackEnds;
  /** What was found in the log that is not what was written; tells each new place. */
  readonly integrity: IntegrityFindings;
  /** Folds the read models anew while they serve. */
  rebuildReadModel(onProgress: (progress: RebuildProgress) => void): Promise<void>;
  /** What verifiers of the family are served, by whichever back end has its keys; from memory. */
  servedDocument(familyId: string): ServedDocument | undefined;
  /** Why no requests should be sent here; `undefined` when they may. */
  unready(): string | undefined;
  /** Shows what was just appended to every reader of the read model, or fails with `ReadModelBehindError`. */
  settle(at: Pick<StreamPosition, 'stream' | 'revision'>): Promise<void>;
  /** The one-time sign-in of a service nobody has signed in to; made anew by each call, so print it. */
  openBootstrap(): Promise<OneTimeSignIn | undefined>;
  /** Checks the whole log slowly, in the background, for as long as it is open. */
  startScrub(): void;
  /** Runs before anything is closed, newest first: runners, subscriptions. */
  beforeClose(hook: () => Promise<void>): void;
  /** Says from now on that no requests should be sent here. */
  beginClosing(): void;
  /** Aborted once closing began: what never ends by itself ends then. */
  readonly closing: AbortSignal;
  /** Hooks, read model, back end, log: each one while what it needs is still open. Idempotent. */
  close(): Promise<void>;
}

/** Opens everything in the data directory, or nothing: whatever was opened before a failure is closed again. */
export async function openKeyturn(config: Config, overrides: Overrides = {}): Promise<Keyturn> {
  const { clock = systemClock, ids = systemIds, inlineLog = false } = overrides;
  const places = placesOf(config);
  // First: what is wrong in it is wrong whatever else is opened.
  const settings = backEndsOf(config);
  const opened: (() => Promise<void> | void)[] = [];
  try {
    mkdirSync(config.dataDir, { recursive: true, mode: 0o700 });
    // Whoever made the folder before may have left it open; nobody else has business in it.
    chmodSync(config.dataDir, 0o700);
    // The lock first: a second Keyturn on this directory ends here, before it touches anything.
    const log = await openSqliteEventLog({ directory: places.log }, { inline: inlineLog });
    opened.unshift(() => log.close());
    const integrity = new IntegrityFindings();
    const store = await openEventStore({ log, definitions: DEFINITIONS, clock, ids, findings: integrity });
    // Before anything of this start is appended: that would be the newest record the clock is compared with.
    await holdClockAtStart(new Ledger(store));
    const masterKey = obtainMasterKey(config, places);
    const backend = openLocalKeyBackend({ directory: places.custody, masterKey, clock });
    opened.unshift(() => {
      backend.close();
    });
    const vault = new VaultBackEnds({ settings, directory: places.kept, clock });
    opened.unshift(() => vault.close());
    // Before anything acts, and before the read model is fed, so that it shows what is found.
    await holdIfOlder(store, backend);
    const readModel = await ReplaceableReadModel.open({
      store,
      directory: config.dataDir,
      projections: PROJECTIONS,
    });
    opened.unshift(() => readModel.close());
    return new OpenedKeyturn(
      { config, places, clock, ids, log, store, readModel, backend, vault, integrity },
      opened,
    );
  } catch (error) {
    for (const close of opened) await Promise.resolve(close()).catch(() => undefined);
    throw error;
  }
}

/** What the file of KEYTURN_BACK_ENDS says; one that cannot be used is a mistake of the environment, and said as one. */
function backEndsOf({ backEndsFile }: Config): BackEndsSettings {
  if (backEndsFile === undefined) return { servers: [], backEnds: [] };
  try {
    return readBackEnds(backEndsFile);
  } catch (error) {
    if (!(error instanceof BackEndsFileError)) throw error;
    throw new ConfigError(
      error.problems.map(({ field, message }) => ({
        variable: 'KEYTURN_BACK_ENDS',
        message: `names ${error.file}: ${field === '' ? 'it' : field} ${message}`,
      })),
    );
  }
}

function obtainMasterKey(config: Config, places: Places): SecretValue {
  if (config.masterKey !== undefined) {
    return loadMasterKey({ value: config.masterKey, name: 'KEYTURN_MASTER_KEY' });
  }
  // Only where no key was ever sealed: beside existing keys a new one would open nothing.
  if (!existsSync(places.masterKey) && !existsSync(places.custody)) createMasterKeyFile(places.masterKey);
  settleMasterKeyFile({ directory: places.custody, file: places.masterKey });
  return loadMasterKey({ file: places.masterKey, opens: places.custody });
}

type Parts = Pick<
  Keyturn,
  'config' | 'places' | 'clock' | 'ids' | 'store' | 'backend' | 'vault' | 'integrity'
> & {
  readonly log: SqliteEventLog;
  readonly readModel: ReplaceableReadModel;
};

class OpenedKeyturn implements Keyturn {
  readonly config: Config;
  readonly places: Places;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: SqliteEventLog;
  readonly store: EventStore;
  readonly integrity: IntegrityFindings;
  readonly readModel: ReplaceableReadModel;
  readonly tokens: RememberedTokens;
  readonly backend: LocalKeyBackend;
  readonly vault: VaultBackEnds;
  readonly ledger: Ledger;
  readonly backEnds: BackEnds;
  readonly #parts: readonly (() => Promise<void> | void)[];
  readonly #hooks: (() => Promise<void>)[] = [];
  #unready: string | undefined = CATCHING_UP;
  #closing: Promise<void> | undefined;
  readonly #closingBegan = new AbortController();

  constructor(parts: Parts, close: readonly (() => Promise<void> | void)[]) {
    this.config = parts.config;
    this.places = parts.places;
    this.clock = parts.clock;
    this.ids = parts.ids;
    this.log = parts.log;
    this.store = parts.store;
    this.integrity = parts.integrity;
    this.readModel = parts.readModel;
    this.backend = parts.backend;
    this.vault = parts.vault;
    this.ledger = new Ledger(parts.store);
    this.backEnds = new BackEnds([
      parts.backend,
      openAttestedKeyBackend(ATTESTED_INSTANCE),
      ...parts.vault.all,
    ]);
    this.tokens = new RememberedTokens(tokenDirectory(parts.readModel.db));
    this.readModel.onApplied((events) => {
      if (events.some(isAccessEvent)) this.tokens.forget();
    });
    this.integrity.onFailure(({ stream }) => {
      this.tokens.stopRemembering();
      this.ledger.forget(stream);
    });
    this.#parts = close;
    this.readModel.caughtUp().then(
      () => {
        if (this.#closing === undefined && this.#unready === CATCHING_UP) this.#unready = undefined;
      },
      () => undefined,
    );
    void this.readModel.failed.then((error) => {
      this.#unready = `the read model stopped: ${error.message}`;
    });
  }

  rebuildReadModel(onProgress: (progress: RebuildProgress) => void): Promise<void> {
    return this.readModel.rebuild(onProgress).finally(() => {
      this.tokens.forget();
    });
  }

  servedDocument(familyId: string): ServedDocument | undefined {
    return this.backend.servedDocument(familyId) ?? this.vault.servedDocument(familyId);
  }

  unready(): string | undefined {
    return this.#unready ?? this.log.trouble() ?? this.readModel.trouble();
  }

  async settle({ stream, revision }: Pick<StreamPosition, 'stream' | 'revision'>): Promise<void> {
    if (revision >= 0) await this.readModel.waitFor(stream, revision, READ_MODEL_PATIENCE_MS);
  }

  async openBootstrap(): Promise<OneTimeSignIn | undefined> {
    await this.readModel.caughtUp();
    const made = await new OpenBootstrap(this.store, this.tokens).execute();
    if (made !== undefined) await this.settle(made.at);
    return made;
  }

  startScrub(): void {
    const { log, integrity: findings } = this;
    const scrub = startScrub({ log, findings, misfiled: (after, limit) => log.misfiled(after, limit) });
    this.beforeClose(() => scrub.stop());
  }

  beforeClose(hook: () => Promise<void>): void {
    this.#hooks.unshift(hook);
  }

  get closing(): AbortSignal {
    return this.#closingBegan.signal;
  }

  beginClosing(): void {
    this.#unready = 'the service is stopping';
    this.#closingBegan.abort();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.beginClosing();
    const failures: unknown[] = [];
    for (const close of [...this.#hooks, ...this.#parts]) {
      try {
        await close();
      } catch (error) {
        // The others are closed nevertheless: above all the log, which holds the lock.
        failures.push(error);
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, 'not everything could be closed');
  }
}

const CATCHING_UP = 'the read model has not caught up yet';
