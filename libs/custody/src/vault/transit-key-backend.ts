import type { SecretValue } from '#platform';
import {
  BackendError,
  type Algorithm,
  type Attempt,
  type BackendDeclaration,
  type Effect,
  type Fence,
  type GeneratedVersion,
  type LedgerEntry,
  type Observation,
  type Receipt,
} from '../key-backend.js';
import { refuse, requireNotAborted } from '../requirements.js';
import {
  applied,
  begun,
  done,
  entered,
  ledgerEntryOf,
  observedVersions,
  raised,
  repeatOf,
  versionsOf,
  type Change,
  type DocumentVersion,
  type ObjectDocument,
} from './object-document.js';
import type { ObjectStore, Stored } from './object-store.js';
import { TransitKey, TRANSIT_TYPES, type TransitKeyState, type TransitVersion } from './transit-key.js';
import type { VaultClient } from './vault-client.js';

/** Whom Keyturn is to the server. */
export interface Identity {
  /** The driver's own token, as good as it is now. */
  token(): Promise<SecretValue>;
  /** Good for one request, and dead after so many seconds: neither a frozen worker nor a re-sent request acts with it twice. */
  once(seconds: number): Promise<SecretValue>;
}

export interface TransitBackendOptions {
  readonly client: VaultClient;
  readonly store: ObjectStore;
  readonly identity: Identity;
  /** The server's clock, milliseconds. */
  readonly clock: () => Promise<number>;
}

/** A request of ours is given up after 15 s; the server works on one for at most 90 s more (its default `default_max_request_duration`). */
const LONGEST_REQUEST_MS = 105_000;
/** As long as the effect's own limit of time. */
const ONCE_SECONDS = 20;

/**
 * Keys of transit mounts. What is accepted and emits stands in the object's document; the engine is held to it from below
 * (`min_decryption_version`, `min_encryption_version`), so that what was withdrawn is refused by the server itself.
 */
export class TransitKeyBackend {
  readonly declaration: BackendDeclaration;
  readonly #options: TransitBackendOptions;

  constructor(options: TransitBackendOptions) {
    this.#options = options;
    this.declaration = declare(options.client.instance);
  }

  async generate(
    attempt: Attempt,
    input: { readonly versionId: string; readonly algorithm: Algorithm },
  ): Promise<GeneratedVersion & Receipt> {
    const { versionId, algorithm } = input;
    if (TRANSIT_TYPES[algorithm] === undefined)
      throw refuse(
        'config',
        `transit makes no ${algorithm} key that could be followed: take ${this.declaration.algorithms.join(', ')}`,
      );
    const key = this.#key(attempt.object);
    const opened = await this.#enter(attempt, 'generate', undefined, await this.#read(key));
    if (opened.repeat !== undefined) return generatedOf(opened.document, opened.repeat);
    const before = await this.#read(key);
    if (before !== undefined && before.algorithm !== algorithm)
      throw refuse('config', `${attempt.object} is a key of ${before.algorithm}, not of ${algorithm}`);
    if (before?.turnsItself === true)
      throw refuse(
        'config',
        `${attempt.object} turns itself (auto_rotate_period): set it to 0, Keyturn drives it`,
      );
    requireNotAborted(attempt.signal);
    const { store, identity } = this.#options;
    const latest = before?.latest ?? 0;
    const pending = opened.document.pending;
    // An earlier attempt of this very step asked for a version, and one more than then is there: it is the one.
    const lost = pending?.key === attempt.key && latest === Number(pending.before) + 1;
    let began: Stored = opened;
    if (!lost) {
      const at = await this.#at();
      began = await store.change(
        attempt.object,
        (document) =>
          begun(entered(document, attempt, 'generate'), {
            key: attempt.key,
            attemptId: attempt.attemptId,
            effect: 'generate',
            versions: [versionId],
            before: String(latest),
            at,
          }),
        ({ pending: now }) => now?.attemptId === attempt.attemptId,
        attempt.signal,
      );
      const once = await identity.once(ONCE_SECONDS);
      requireNotAborted(attempt.signal);
      if (before === undefined) await key.create(algorithm, once, attempt.key);
      else await key.rotate(once, attempt.key);
    }
    const made = await this.#durable(key, latest + (lost ? 0 : 1), attempt);
    const change: Change = {
      effect: 'generate',
      made: {
        versionId: began.document.pending?.versions[0] ?? versionId,
        engine: String(made.number),
        algorithm,
        strengthBits: made.strengthBits,
        fingerprint: made.fingerprint,
        createdAt: made.createdAt,
        ...(lost ? { adopted: true as const } : {}),
      },
    };
    return generatedOf(...(await this.#commit(attempt, change)));
  }

  async publish(
    attempt: Attempt,
    input: { readonly versions: readonly string[]; readonly maxAgeSeconds: number },
  ): Promise<Receipt> {
    return this.#move(attempt, { effect: 'publish', ...input });
  }

  async switchEmission(
    attempt: Attempt,
    input: { readonly to: string; readonly share?: number },
  ): Promise<Receipt> {
    if (input.share !== undefined && input.share !== 100)
      throw refuse(
        'config',
        'emission moves as a whole here: a share below 100 is for back ends with cohorts',
      );
    return this.#move(attempt, { effect: 'switch-emission', to: input.to });
  }

  async cutOver(
    attempt: Attempt,
    input: { readonly to: string; readonly maxAgeSeconds: number },
  ): Promise<Receipt> {
    return this.#move(attempt, { effect: 'cut-over', ...input });
  }

  async withdraw(attempt: Attempt, input: { readonly versions: readonly string[] }): Promise<Receipt> {
    return this.#move(attempt, { effect: 'withdraw', ...input });
  }

  async reAccept(attempt: Attempt, input: { readonly versions: readonly string[] }): Promise<Receipt> {
    return this.#move(attempt, { effect: 're-accept', ...input });
  }

  async contain(attempt: Attempt, input: { readonly versions: readonly string[] }): Promise<Receipt> {
    return this.#move(attempt, { effect: 'contain', ...input });
  }

  async lift(
    attempt: Attempt,
    input: { readonly versions: readonly string[]; readonly containedBy: string },
  ): Promise<Receipt> {
    return this.#move(attempt, { effect: 'lift', ...input });
  }

  async observe(
    object: string,
    options: {
      readonly key?: string;
      readonly raise?: { readonly fence: Fence; readonly attemptId: string };
    } = {},
  ): Promise<Observation> {
    const { store } = this.#options;
    const { key: asked, raise } = options;
    const key = this.#key(object);
    const stored =
      raise === undefined
        ? await store.read(object)
        : await store.change(
            object,
            (document) => raised(document, object, raise),
            ({ fence }) => fence?.attemptId === raise.attemptId,
          );
    const engine = await this.#read(key);
    const document = seen(stored.document, engine);
    const entry = asked === undefined ? undefined : ledgerEntryOf(document, asked);
    return {
      object,
      exists: document.versions.length > 0,
      versions: observedVersions(document),
      ...(entry === undefined ? {} : { entry }),
      clock: await this.#options.clock(),
    };
  }

  /** Engine first, then the document: what is withdrawn is refused there before anybody is told that it is. */
  async #move(attempt: Attempt, change: Exclude<Change, { effect: 'generate' }>): Promise<Receipt> {
    const { effect } = change;
    const key = this.#key(attempt.object);
    const engine = await this.#read(key);
    const opened = await this.#enter(attempt, effect, versionsOf(change), engine);
    if (opened.repeat !== undefined) return { at: opened.repeat.at };
    const wanted = limitsOf(applied(opened.document, attempt, change), engine);
    // A containment waits for nobody: beside an effect under way it denies in the document, and whoever moves next holds the engine to it.
    const beside = effect === 'contain' && opened.document.pending !== undefined;
    if (engine !== undefined && wanted !== undefined && !beside && !agree(engine, wanted)) {
      const at = await this.#at();
      await this.#options.store.change(
        attempt.object,
        (document) =>
          begun(seen(entered(document, attempt, effect), engine), {
            key: attempt.key,
            attemptId: attempt.attemptId,
            effect,
            versions: [...versionsOf(change)],
            before: String(engine.latest),
            at,
          }),
        ({ pending }) => pending?.attemptId === attempt.attemptId,
        attempt.signal,
      );
      const once = await this.#options.identity.once(ONCE_SECONDS);
      requireNotAborted(attempt.signal);
      await key.limit(wanted, once, attempt.key);
    }
    const [, entry] = await this.#commit(attempt, change);
    return { at: entry.at };
  }

  /** Passes the fence, on record; finds a repeat. What is not in the document yet and in the engine long since is taken in first. */
  async #enter(
    attempt: Attempt,
    effect: Effect,
    versions: readonly string[] | undefined,
    engine: TransitKeyState | undefined,
  ): Promise<Stored & { readonly repeat: LedgerEntry | undefined }> {
    requireNotAborted(attempt.signal);
    const stored = await this.#options.store.change(
      attempt.object,
      (document) => {
        const inside = entered(document, attempt, effect);
        repeatOf(inside, attempt, effect, versions);
        return seen(inside, engine);
      },
      ({ fence }) => fence?.attemptId === attempt.attemptId,
      attempt.signal,
    );
    return { ...stored, repeat: repeatOf(stored.document, attempt, effect, versions) };
  }

  async #commit(attempt: Attempt, change: Change): Promise<readonly [ObjectDocument, LedgerEntry]> {
    const at = await this.#at();
    const { document } = await this.#options.store.change(
      attempt.object,
      (document) => {
        const inside = entered(document, attempt, change.effect);
        return ledgerEntryOf(inside, attempt.key) === undefined ? done(inside, attempt, change, at) : inside;
      },
      (document) => ledgerEntryOf(document, attempt.key) !== undefined,
      // What was done is written down, whoever says stop now.
    );
    const entry = ledgerEntryOf(document, attempt.key);
    if (entry === undefined)
      throw new BackendError('unknown', `${attempt.object}: its record does not show ${attempt.key}`);
    return [document, entry];
  }

  /**
   * The version, once it is sure to outlive the server. Two rotates at once leave one of them in the leader's memory only, and both
   * are answered; a config change that really changes something writes all of it down. The key before and after must be the same.
   */
  async #durable(key: TransitKey, number: number, attempt: Attempt): Promise<TransitVersion> {
    const first = await this.#version(key, number, attempt.object);
    const { minDecryption, minEncryption } = first.state;
    const other = minEncryption === number ? number - 1 : number;
    for (const changed of [Math.max(other, minDecryption), minEncryption]) {
      const once = await this.#options.identity.once(ONCE_SECONDS);
      await key.limit({ minDecryption, minEncryption: changed }, once, attempt.key);
    }
    const again = await this.#version(key, number, attempt.object);
    if (again.version.fingerprint !== first.version.fingerprint) {
      throw new BackendError(
        'unknown',
        `${attempt.object}: version ${number} is another key than a moment ago`,
      );
    }
    return again.version;
  }

  async #version(
    key: TransitKey,
    number: number,
    object: string,
  ): Promise<{ readonly state: TransitKeyState; readonly version: TransitVersion }> {
    const state = await this.#read(key);
    const version = state?.versions.find((each) => each.number === number);
    if (state === undefined || version === undefined)
      throw new BackendError('unknown', `${object}: version ${number} was asked for and is not shown`);
    if (state.latest !== number)
      throw new BackendError('unknown', `${object}: somebody else made version ${state.latest} meanwhile`);
    return { state, version };
  }

  async #read(key: TransitKey): Promise<TransitKeyState | undefined> {
    return key.read(await this.#options.identity.token());
  }

  async #at(): Promise<string> {
    return new Date(await this.#options.clock()).toISOString();
  }

  #key(object: string): TransitKey {
    const [, mount = '', name = ''] = /^(.+)\/keys\/([^/]+)$/.exec(object) ?? [];
    if (name === '') throw refuse('config', `${object} names no transit key: write it as MOUNT/keys/NAME`);
    return new TransitKey(this.#options.client, mount, name);
  }
}

/** With the versions the engine has and the document does not know yet: accepted as long as nobody but the engine decided. */
function seen(document: ObjectDocument, engine: TransitKeyState | undefined): ObjectDocument {
  if (engine === undefined) return document;
  const before = document.versions.length === 0;
  const known = new Set(document.versions.map(({ engine: number }) => number));
  const pending = document.pending?.effect === 'generate' ? Number(document.pending.before) : Infinity;
  const found = engine.versions.filter(({ number }) => !known.has(String(number)) && number <= pending);
  if (found.length === 0) return document;
  const versions: readonly DocumentVersion[] = found.map(
    ({ number, fingerprint, strengthBits, createdAt }) => ({
      versionId: String(number),
      engine: String(number),
      algorithm: engine.algorithm,
      strengthBits,
      fingerprint,
      createdAt,
      // Before there was a document, emitters took the newest and verifiers whatever the engine accepts. Later ones are surplus.
      accepted: before,
      published: before,
      emittingShare: before && number === engine.latest ? 100 : 0,
      destroyed: false,
    }),
  );
  return { ...document, versions: [...document.versions, ...versions] };
}

/** The least the engine must refuse: everything older than the oldest version that is accepted and not contained. */
function limitsOf(
  document: ObjectDocument,
  engine: TransitKeyState | undefined,
): { readonly minDecryption: number; readonly minEncryption: number } | undefined {
  const numbers = observedVersions(document).flatMap(({ accepted, contained }, index) =>
    accepted && !contained ? [Number(document.versions[index]?.engine)] : [],
  );
  // The newest cannot be refused by a limit: with nothing accepted the document alone says so.
  if (engine === undefined || numbers.length === 0) return undefined;
  const oldest = Math.min(...numbers);
  return { minDecryption: oldest, minEncryption: oldest };
}

function agree(engine: TransitKeyState, wanted: { minDecryption: number; minEncryption: number }): boolean {
  return engine.minDecryption === wanted.minDecryption && engine.minEncryption === wanted.minEncryption;
}

function generatedOf(document: ObjectDocument, entry: LedgerEntry): GeneratedVersion & Receipt {
  const version = document.versions.find(({ versionId }) => versionId === entry.versions[0]);
  if (version === undefined) throw new BackendError('unknown', `${entry.key}: its version is not on record`);
  const { versionId, algorithm, strengthBits, fingerprint, createdAt } = version;
  return { versionId, algorithm, strengthBits, fingerprint, createdAt, at: entry.at };
}

function declare(instance: string): BackendDeclaration {
  const swapped = { class: 'compare-and-swap', longestRequestMs: LONGEST_REQUEST_MS } as const;
  const absolute = { class: 'absolute', longestRequestMs: LONGEST_REQUEST_MS } as const;
  return {
    instance,
    kind: 'vault-transit',
    effects: {
      generate: { class: 'increment', longestRequestMs: LONGEST_REQUEST_MS },
      publish: swapped,
      'switch-emission': swapped,
      withdraw: absolute,
      're-accept': absolute,
      'cut-over': absolute,
      contain: absolute,
      lift: absolute,
      destroy: absolute,
    },
    algorithms: ['RS256', 'ES256', 'EdDSA'],
    requestsOutliveProcess: true,
    pointOfNoReturn: 'destroy',
    capabilities: { overlap: true, cohorts: false, performs: true, readsValues: false, publishesJwks: true },
  };
}
