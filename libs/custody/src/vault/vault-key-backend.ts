import type { SecretValue } from '#platform';
import {
  BackendError,
  EFFECTS,
  type Algorithm,
  type Attempt,
  type BackendDeclaration,
  type Effect,
  type Fence,
  type GeneratedVersion,
  type KeyBackend,
  type LedgerEntry,
  type Observation,
  type Receipt,
  type SuppliedDestroyer,
} from '../key-backend.js';
import type { ServedDocument } from '../jwks-document.js';
import { refuse, requireNotAborted } from '../requirements.js';
import { beforeBegun, onceBegun } from './effect-phases.js';
import type { KeptDocuments } from './kept-documents.js';
import {
  applied,
  begun as withPending,
  done,
  entered,
  ledgerEntryOf,
  observedVersions,
  raised,
  repeatOf,
  sameDocument,
  versionsOf,
  withBroken,
  withoutPending,
  type Change,
  type DocumentVersion,
  type ObjectDocument,
} from './object-document.js';
import type { ObjectStore, Stored } from './object-store.js';
import { CasMismatchError, TokenRefusedError } from './vault-answer.js';
import { noDestroyerText } from './vault-identity.js';
import type { EngineCall, EngineState, Identity, MadeVersion, VaultEngine } from './vault-engine.js';

export interface VaultBackendOptions {
  /** As families name it: `vault.prod-eu`. */
  readonly instance: string;
  readonly store: ObjectStore;
  readonly identity: Identity;
  /** Where everything of it lies, as the server is called from outside; its namespace is a part of it. Absent: nowhere else's. */
  readonly place?: string;
  /** Where what verifiers are served is kept; absent: nothing of it is served (no asymmetric keys). */
  readonly kept: KeptDocuments;
  /** The server's clock, milliseconds. */
  readonly clock: () => Promise<number>;
  /** The same of a server that answered a moment ago, and throws where it does not; absent: `clock`. */
  readonly answering?: () => Promise<number>;
  /** Why no step should begin there now; absent: nobody watches. */
  readonly away?: () => string | undefined;
}

/** What an effect finds. */
interface Opened extends Stored {
  /** What it is, where nothing of the effect is on record yet, its fence neither: its first write is decided on this and on nothing newer. */
  readonly read?: ObjectDocument;
  readonly repeat: LedgerEntry | undefined;
}

interface Found<State> {
  readonly state: State | undefined;
  readonly opened: Opened;
}

/** Somebody wrote the record since it was read: what was decided on it is not written. */
class MovedError extends Error {}

/** What is on record by now rules an effect out that was begun: its version was contained meanwhile. */
class RuledOutError extends Error {
  constructor(readonly reason: unknown) {
    super('it is ruled out by now');
  }
}

/** How an effect is written down. */
interface Ending<State> {
  /** What the engine is held to by it. */
  readonly to: (document: ObjectDocument) => ObjectDocument;
  readonly write: (document: ObjectDocument, at: string) => ObjectDocument;
  /** The engine was told on this very record, or has nothing to be told. */
  readonly told: boolean;
  /** What it showed a moment ago; absent: it is looked at. */
  readonly first?: { readonly state: State | undefined };
}

/** How often a record that others write is looked at anew. */
const MOST_LOOKS = 4;
/** How often an effect is ended anew on what others wrote meanwhile: containments alone do, and each of them once. */
const MOST_ENDINGS = 8;

/** The document an effect stands in, and its row. */
type Committed = readonly [ObjectDocument, LedgerEntry];

interface GenerateInput {
  readonly versionId: string;
  readonly algorithm: Algorithm;
}

const WRONG_DESTROYER =
  'If it is the token that was supplied which may not: supply one with the policy keyturn-destroyer (keyturn destruction token), then keyturn destruction retry';

/** After these a version is used that was not, or not by everybody: it is tried first. */
const ACCEPTING: ReadonlySet<Effect> = new Set(['publish', 'switch-emission', 're-accept', 'cut-over']);

/**
 * The port over a secrets engine: what is accepted and emits stands in the object's document, changed by compare-and-set; the engine is
 * held to it. An effect in the engine is begun in the document before it is sent and written down there after it (docs/adr/0030).
 */
export class VaultKeyBackend<State extends EngineState, Wanted> implements KeyBackend {
  readonly declaration: BackendDeclaration;
  readonly #engine: VaultEngine<State, Wanted>;
  readonly #options: VaultBackendOptions;

  constructor(engine: VaultEngine<State, Wanted>, options: VaultBackendOptions) {
    this.#engine = engine;
    this.#options = options;
    this.declaration = declare(options.instance, engine);
  }

  claims(object: string): readonly { readonly part: string; readonly place: string }[] {
    this.#engine.requireNamed(object);
    const { instance, place = instance } = this.#options;
    return this.#engine.parts(object).map((part) => ({ part, place: `${place}/${part}` }));
  }

  async generate(
    attempt: Attempt,
    input: { readonly versionId: string; readonly algorithm: Algorithm },
  ): Promise<GeneratedVersion & Receipt> {
    const engine = this.#engine;
    if (!engine.algorithms.includes(input.algorithm))
      throw refuse(
        'config',
        `${this.declaration.instance} makes no ${input.algorithm} key: take ${engine.algorithms.join(', ')}`,
      );
    return this.#effect(attempt, 'generate', undefined, (found) => this.#generate(attempt, input, found));
  }

  async #generate(
    attempt: Attempt,
    input: GenerateInput,
    { state, opened }: Found<State>,
  ): Promise<GeneratedVersion & Receipt> {
    const engine = this.#engine;
    if (opened.repeat !== undefined) return generatedOf(opened.document, opened.repeat);
    if (opened.document.versions.some(({ versionId }) => versionId === input.versionId))
      throw refuse('config', `Version ${input.versionId} exists already in ${attempt.object}`);
    engine.requireDrivable(attempt.object, state, input.algorithm, opened.document);
    const { pending } = opened.document;
    // An earlier attempt of this very step asked for a version, and it is there: nobody can prove whose it is.
    const lost = pending?.key === attempt.key && engine.happened(pending, state);
    const versionId = (lost ? pending.versions[0] : undefined) ?? input.versionId;
    const asked = { ...input, versionId };
    const first = lost
      ? await this.#made(attempt, asked, pending.before, opened)
      : await this.#ask(attempt, asked, state, opened);
    const { made, begun } =
      first.made.broken === true ? await this.#again(attempt, asked, first.begun) : first;
    const change: Change = {
      effect: 'generate',
      made: { ...made, versionId, ...(lost ? { adopted: true as const } : {}) },
    };
    const [document, entry] = await onceBegun(() =>
      this.#end(attempt, begun, endingOf(attempt, change, isAsLookedAt(begun, opened))),
    );
    return generatedOf(document, entry);
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
    this.leaveOut(attempt, input);
    try {
      return await this.#contain(attempt, input);
    } catch (error) {
      throw error instanceof BackendError ? this.#whereLeftOut(error, attempt.object, input) : error;
    }
  }

  leaveOut(attempt: Attempt, { versions }: { readonly versions: readonly string[] }): void {
    requireNotAborted(attempt.signal);
    if (this.#options.kept.lists(attempt.object, versions))
      this.#options.kept.leaveOut(attempt.object, attempt.key, versions);
  }

  async #contain(attempt: Attempt, input: { readonly versions: readonly string[] }): Promise<Receipt> {
    const change: Change = { effect: 'contain', ...input };
    const { state, opened } = await beforeBegun(() => this.#enter(attempt, 'contain', input.versions));
    if (opened.repeat !== undefined) return { at: opened.repeat.at };
    // It waits for nobody: what is denied in the document is out of what we serve before the engine is asked at all. Beside another
    // effect that is under way the engine is told, too; whoever that is finds the record moved, and tells it once more (`#end`).
    const pending = await this.#pending(attempt, 'contain', input.versions, state?.newest ?? '0');
    const last = await this.#change(
      attempt,
      'contain',
      (document) => {
        // Done meanwhile by a newer attempt, and perhaps lifted since: denied once, not again.
        if (ledgerEntryOf(document, attempt.key) !== undefined) return document;
        const denied = applied(document, attempt, change);
        return (document.pending ?? attempt).key === attempt.key ? withPending(denied, pending) : denied;
      },
      opened,
    );
    this.#options.kept.put(attempt.object, last.cas, last.document);
    const denied = ledgerEntryOf(last.document, attempt.key);
    if (denied !== undefined) return { at: denied.at };
    const { to, write } = endingOf(attempt, change, false);
    const [, entry] = await onceBegun(() =>
      this.#end(attempt, last, {
        effect: 'contain',
        to: (document) => withPending(to(document), pending),
        write,
        told: false,
        // What it showed before somebody else wrote the record says nothing of what is so since.
        ...(last.cas === opened.cas + 1 ? { first: { state } } : {}),
      }),
    );
    return { at: entry.at };
  }

  async lift(
    attempt: Attempt,
    input: { readonly versions: readonly string[]; readonly containedBy: string },
  ): Promise<Receipt> {
    const receipt = await this.#move(attempt, { effect: 'lift', ...input });
    this.#options.kept.takeBack(attempt.object, input.containedBy);
    return receipt;
  }

  async destroy(attempt: Attempt, input: { readonly versions: readonly string[] }): Promise<Receipt> {
    return this.#effect(attempt, 'destroy', input.versions, (found) => this.#destroy(attempt, input, found));
  }

  async #destroy(
    attempt: Attempt,
    input: { readonly versions: readonly string[] },
    { state, opened }: Found<State>,
  ): Promise<Receipt> {
    const change: Change = { effect: 'destroy', ...input };
    if (opened.repeat !== undefined) {
      await this.dismissDestroyer(attempt.key);
      return { at: opened.repeat.at };
    }
    const after = asNotContaining(applied(opened.document, attempt, change));
    await this.#requireSettled(attempt.object, opened.document, state);
    const begun = await this.#begin(attempt, 'destroy', input.versions, state, opened);
    const gone = after.versions.filter(({ versionId }) => input.versions.includes(versionId));
    await this.#send(attempt, 'destroy', opened, () =>
      this.#engine.destroy(this.#call(attempt), after, gone),
    ).catch((error: unknown) => {
      throw error instanceof BackendError &&
        error.errorClass === 'auth' &&
        this.#engine.destroysItself !== true
        ? new BackendError('auth', `${error.message}. ${WRONG_DESTROYER}`)
        : error;
    });
    const [, entry] = await onceBegun(() =>
      this.#end(attempt, begun, endingOf(attempt, change, isAsLookedAt(begun, opened))),
    );
    await this.dismissDestroyer(attempt.key);
    return { at: entry.at };
  }

  async observe(
    object: string,
    options: {
      readonly key?: string;
      readonly raise?: { readonly fence: Fence; readonly attemptId: string };
      readonly clockOnly?: boolean;
    } = {},
  ): Promise<Observation> {
    const { store, kept, identity, clock, answering = clock } = this.#options;
    const { key: asked, raise } = options;
    this.#engine.requireNamed(object);
    if (options.clockOnly === true) return { object, exists: true, versions: [], clock: await answering() };
    const newest = kept.newest(object);
    const read = await store.read(object);
    if (kept.isPutBack(object, newest, read)) throw this.#putBack(object, newest, read);
    const stored =
      raise === undefined
        ? read
        : await store.change(object, (document) => raised(document, object, raise), {
            isOurs: ({ fence }) => fence?.attemptId === raise.attemptId,
            from: read,
          });
    // After the document: what the engine shows then is what an attempt that was fenced out left.
    const state = await this.#engine.look(object, identity);
    if (stored.cas > 0) kept.put(object, stored.cas, stored.document);
    const document = this.#engine.seen(stored.document, state);
    const entry = asked === undefined ? undefined : ledgerEntryOf(document, asked);
    const served = this.#servedOf(object, stored);
    const told = this.#toldOf(stored.document, state);
    return {
      object,
      exists: document.versions.length > 0,
      versions: observedVersions(document),
      ...(served === undefined ? {} : { served }),
      ...(entry === undefined ? {} : { entry }),
      ...(told.length === 0 ? {} : { told }),
      clock: await clock(),
    };
  }

  async probe(
    object: string,
    input: { readonly refused: readonly string[]; readonly accepted: readonly string[] },
  ): ReturnType<KeyBackend['probe']> {
    this.#engine.requireNamed(object);
    const { document } = await this.#options.store.read(object);
    const refused = [];
    for (const versionId of input.refused) {
      const { accepted, how } = await this.#tried(object, document, versionId);
      refused.push({ versionId, refused: !accepted, how });
    }
    const accepted = [];
    for (const versionId of input.accepted) {
      const verdict = await this.#tried(object, document, versionId);
      accepted.push({ versionId, ...verdict });
    }
    return { refused, accepted };
  }

  unavailable({
    object,
    effect,
    versions,
    key,
  }: Parameters<NonNullable<KeyBackend['unavailable']>>[0]): string | undefined {
    // One attempt is worth its events however long the server is away: what we serve ourselves stops by it.
    if (effect === 'contain' && this.#options.kept.lists(object, versions)) return undefined;
    const away = this.#options.away?.();
    if (away !== undefined) return away;
    const { destroyers } = this.#options.identity;
    const lacks = destroyers !== undefined && destroyers.of(key) === undefined;
    return effect === 'destroy' && lacks && this.#engine.destroysItself !== true
      ? `${this.declaration.instance}: ${noDestroyerText(object)}`
      : undefined;
  }

  async supplyDestroyer(
    { object, key }: { readonly object: string; readonly key: string },
    wrapped: SecretValue,
  ): Promise<SuppliedDestroyer | undefined> {
    this.#engine.requireNamed(object);
    return this.#options.identity.destroyers?.supply(key, wrapped);
  }

  async dismissDestroyer(key: string): Promise<void> {
    await this.#options.identity.destroyers?.dismiss(key);
  }

  /** What verifiers are served: from memory, no server is asked. `undefined`: never published, or symmetric. */
  servedDocument(familyId: string): ServedDocument | undefined {
    return this.#options.kept.served(familyId);
  }

  /** What failed is the server's part; what this machine serves is ours. */
  #whereLeftOut(
    error: BackendError,
    object: string,
    { versions }: { readonly versions: readonly string[] },
  ): BackendError {
    const { capabilities, instance } = this.declaration;
    if (!capabilities.publishesJwks || this.#options.kept.lists(object, versions)) return error;
    return new BackendError(
      error.errorClass,
      `${error.message}. The JWKS that Keyturn serves leaves ${versions.join(', ')} out already; ${instance} itself does not refuse it yet`,
    );
  }

  /** Refused means refused by the document and by the engine, where that one can tell; accepted, by both. */
  async #tried(
    object: string,
    document: ObjectDocument,
    versionId: string,
  ): Promise<{ readonly accepted: boolean; readonly how: string }> {
    const version = document.versions.find((each) => each.versionId === versionId);
    const known = observedVersions(document).find((each) => each.versionId === versionId);
    if (version === undefined || known === undefined) return { accepted: false, how: 'no such version here' };
    const listed = known.accepted && !known.contained;
    const { accepted, how, final } = await this.#engine.probe(object, version, this.#options.identity);
    if (final === true) return { accepted: accepted === true, how };
    const record = listed ? 'its record accepts it' : 'its record does not accept it';
    // What consumers go by is the record; an engine that still accepts what the record does not is no refusal in an accept set of one key.
    return { accepted: listed && accepted !== false, how: `${how}; ${record}` };
  }

  /** Engine first, then the document: what is withdrawn is refused there before anybody is told that it is. */
  async #move(
    attempt: Attempt,
    change: Exclude<Change, { effect: 'generate' | 'contain' | 'destroy' }>,
  ): Promise<Receipt> {
    return this.#effect(attempt, change.effect, versionsOf(change), (found) =>
      this.#moved(attempt, change, found),
    );
  }

  async #moved(
    attempt: Attempt,
    change: Exclude<Change, { effect: 'generate' | 'contain' | 'destroy' }>,
    { state, opened }: Found<State>,
  ): Promise<Receipt> {
    const { effect } = change;
    const versions = versionsOf(change);
    if (opened.repeat !== undefined) return { at: opened.repeat.at };
    if (effect === 're-accept') this.#requireReturn(attempt.object, opened.document, versions);
    const after = await this.#allowed(attempt, change, opened);
    const call = this.#call(attempt);
    if (ACCEPTING.has(effect)) {
      const named = after.versions.filter(({ versionId }) => versions.includes(versionId));
      await this.#engine.requireGood(call, named);
    }
    const wanted = this.#engine.wanted(asNotContaining(after), state);
    let last: Stored | Opened = opened;
    // The record is not written over what another effect began and whose end is not known, either.
    if (wanted !== undefined || (opened.document.pending ?? attempt).key !== attempt.key)
      await this.#requireSettled(attempt.object, opened.document, state);
    if (wanted !== undefined) {
      last = await this.#begin(attempt, effect, versions, state, opened);
      await this.#send(attempt, effect, opened, () => this.#engine.hold(call, wanted));
    }
    // Nobody wrote the record between the look and the beginning.
    const told = last.cas <= opened.cas + 1;
    const end = (): Promise<Stored> => this.#settle(attempt, effect, last, endingOf(attempt, change, told));
    try {
      const { document } = await (wanted === undefined ? end() : onceBegun(end));
      const [, entry] = this.#committed(attempt, document);
      return { at: entry.at };
    } catch (error) {
      if (!(error instanceof RuledOutError)) throw error;
      await onceBegun(() => this.#takeBack(attempt, effect));
      throw error.reason;
    }
  }

  /** The record after it. What an earlier attempt has told the engine is taken back where it is refused by now. */
  async #allowed(attempt: Attempt, change: Change, { document }: Opened): Promise<ObjectDocument> {
    try {
      return applied(document, attempt, change);
    } catch (error) {
      const begun = document.pending?.key === attempt.key && this.#engine.settlesAfterMs === 0;
      if (begun) await onceBegun(() => this.#takeBack(attempt, change.effect));
      throw error;
    }
  }

  /** Holds the engine to the record without this effect, which is not under way any more then. */
  async #takeBack(attempt: Attempt, effect: Effect): Promise<void> {
    const without = (document: ObjectDocument): ObjectDocument => {
      const { pending, ...rest } = document;
      return pending?.key === attempt.key ? rest : document;
    };
    const from = await this.#options.store.read(attempt.object);
    await this.#settle(attempt, effect, from, { to: without, write: without, told: false });
  }

  /**
   * Runs an effect on what it finds. Where nothing is under way, its fence goes on record with the first thing that it writes there; where
   * somebody wrote meanwhile, the fence alone goes first, and it is looked at again.
   */
  async #effect<T>(
    attempt: Attempt,
    effect: Effect,
    versions: readonly string[] | undefined,
    act: (found: Found<State>) => Promise<T>,
  ): Promise<T> {
    try {
      return await act(await beforeBegun(() => this.#look(attempt, effect, versions)));
    } catch (error) {
      if (!(error instanceof MovedError)) throw error;
    }
    return act(await beforeBegun(() => this.#enter(attempt, effect, versions)));
  }

  /** Finds a repeat, and what is there, and writes nothing. */
  async #look(
    attempt: Attempt,
    effect: Effect,
    versions: readonly string[] | undefined,
  ): Promise<Found<State>> {
    const { object } = attempt;
    const read = await this.#read(attempt);
    const document = entered(read.document, attempt, effect);
    const repeat = repeatOf(document, attempt, effect, versions);
    if (repeat !== undefined) return { state: undefined, opened: { ...read, repeat } };
    // Whoever began it may be about to write the engine: it is fenced out first.
    if (document.pending !== undefined) return this.#enter(attempt, effect, versions, read);
    const state = await this.#engine.look(object, this.#options.identity);
    this.#options.kept.put(object, read.cas, read.document);
    const seen = this.#engine.seen(document, state);
    return { state, opened: { cas: read.cas, document: seen, read: read.document, repeat } };
  }

  /** Passes the fence, on record; finds a repeat. What the engine has had all along and the document does not know is taken in first. */
  async #enter(
    attempt: Attempt,
    effect: Effect,
    versions: readonly string[] | undefined,
    from?: Stored,
  ): Promise<Found<State>> {
    let read = from;
    for (let turn = 1; turn <= MOST_LOOKS; turn += 1) {
      read ??= await this.#read(attempt, effect);
      const inside = await this.#change(
        attempt,
        effect,
        (document) => {
          repeatOf(document, attempt, effect, versions);
          return document;
        },
        read,
      );
      // After the fence: nobody older writes the engine from here on.
      const state = await this.#engine.look(attempt.object, this.#options.identity);
      const opened = await this.#seen(attempt, inside, state);
      if (opened !== undefined) {
        const repeat = repeatOf(opened.document, attempt, effect, versions);
        return { state, opened: { ...opened, repeat } };
      }
      read = undefined;
    }
    throw refuse('transient', `${attempt.object}: its record is written by others again and again`);
  }

  /** With what the engine has and nobody wrote down, on record; `undefined`: somebody else wrote the record meanwhile. */
  async #seen(
    { object, signal }: Attempt,
    inside: Stored,
    state: State | undefined,
  ): Promise<Stored | undefined> {
    const { store, kept } = this.#options;
    const seen = this.#engine.seen(inside.document, state);
    try {
      const opened = await store.change(
        object,
        (document) => (theSame(document, inside, inside.document) === seen ? document : seen),
        { signal, from: inside },
      );
      kept.put(object, opened.cas, opened.document);
      return opened;
    } catch (error) {
      if (error instanceof MovedError) return undefined;
      throw error;
    }
  }

  async #read({ object, signal }: Attempt, effect?: Effect): Promise<Stored> {
    this.#engine.requireNamed(object);
    requireNotAborted(signal);
    const newest = this.#options.kept.newest(object);
    const read = await this.#options.store.read(object, signal);
    const back = this.#options.kept.isPutBack(object, newest, read);
    // It waits for nobody, not even for that.
    if (back && effect !== 'contain') throw this.#putBack(object, newest, read);
    return read;
  }

  /** Asks the engine for one version more, on record before it is sent. */
  async #ask(
    attempt: Attempt,
    input: GenerateInput,
    state: State | undefined,
    from: Stored | Opened,
  ): Promise<{ readonly made: MadeVersion; readonly begun: Stored }> {
    const { object } = attempt;
    await this.#requireSettled(object, from.document, state);
    const before = this.#engine.before(object, from.document, state);
    const begun = await this.#begin(attempt, 'generate', [input.versionId], state, from, before);
    await this.#send(attempt, 'generate', from, () =>
      this.#engine.generate(this.#call(attempt), state, { ...input, before }),
    );
    return this.#made(attempt, input, before, begun);
  }

  /** What was made, tried. A broken one is written down before anything else is done about it: no version of anybody. */
  async #made(
    attempt: Attempt,
    input: GenerateInput,
    before: string,
    begun: Stored,
  ): Promise<{ readonly made: MadeVersion; readonly begun: Stored }> {
    const made = await onceBegun(() => this.#engine.made(this.#call(attempt), before, input));
    if (made.broken !== true) return { made, begun };
    const recorded = await onceBegun(() =>
      this.#change(attempt, 'generate', (document) => withBroken(document, made), begun),
    );
    return { made, begun: recorded };
  }

  /** One more in the place of a broken one, and no third: somebody else writes there, or what tries it is wrong. */
  async #again(
    attempt: Attempt,
    input: GenerateInput,
    from: Stored,
  ): Promise<{ readonly made: MadeVersion; readonly begun: Stored }> {
    const state = await this.#engine.look(attempt.object, this.#options.identity);
    const second = await this.#ask(attempt, input, state, from);
    if (second.made.broken === true)
      throw refuse(
        'config',
        `${attempt.object}: two versions in a row were made and are good for nothing (${second.made.engine} is the second): find out who else writes there`,
      );
    return second;
  }

  /** Runs what is sent to the engine. What certainly was not executed is not waited for by whoever comes next. */
  async #send(attempt: Attempt, effect: Effect, opened: Stored, run: () => Promise<void>): Promise<void> {
    requireNotAborted(attempt.signal);
    try {
      await run();
    } catch (thrown) {
      // A token for one request that is not known may have been used up by this very request, sent twice by whoever stands between.
      const once = this.#engine.classes[effect] !== 'compare-and-swap';
      const error =
        thrown instanceof TokenRefusedError && once ? new BackendError('unknown', thrown.message) : thrown;
      // What an earlier attempt of it did is as unknown as it was.
      if (error instanceof BackendError && error.errorClass !== 'unknown' && !begunBefore(attempt, opened))
        await this.#change(attempt, effect, (document) => withoutPending(document, attempt)).catch(
          () => undefined,
        );
      throw error;
    }
  }

  /** Where it is not known how an effect ended, it is waited out and looked for: a second one beside it would be one on a guess. */
  async #requireSettled(
    object: string,
    { pending }: ObjectDocument,
    state: State | undefined,
  ): Promise<void> {
    const { settlesAfterMs } = this.#engine;
    // A containment is the record's alone until the next effect.
    if (settlesAfterMs === 0 || pending?.at === undefined || pending.effect === 'contain') return;
    if (this.#engine.happened(pending, state)) return;
    const until = Date.parse(pending.at) + settlesAfterMs;
    if ((await this.#options.clock()) >= until) return;
    throw refuse(
      'transient',
      `${object}: ${pending.effect} was begun at ${pending.at} and may still take effect: nothing is sent there before ${new Date(until).toISOString()}`,
    );
  }

  /**
   * A document is never older than it was when it was last seen, unless somebody put an old copy back, or deleted or moved it: whatever
   * came after is lost there, and an effect would be decided on what was so once.
   */
  #putBack(object: string, newest: { readonly cas: number } | undefined, { cas }: Stored): BackendError {
    const found = cas === 0 ? 'is gone' : `is version ${cas}`;
    return refuse(
      'config',
      `${object}: its record in the server ${found}, and version ${newest?.cas ?? 0} of it was read before, which says something else: the server was put back from an older copy, or the record deleted or moved. Give it the newer one back; or, where that is lost for good, stop Keyturn, delete back-ends/${this.#options.kept.nameOf(object)} in its data directory and start it again: it goes on from what the server has`,
    );
  }

  #requireReturn(object: string, { versions }: ObjectDocument, wanted: readonly string[]): void {
    if (this.#engine.pointOfNoReturn !== 'withdraw') return;
    const gone = versions.find(({ versionId, destroyed }) => destroyed && wanted.includes(versionId));
    if (gone !== undefined)
      throw refuse(
        'config',
        `${object}: version ${gone.versionId} was withdrawn, which is the point of no return here: what it was made of is gone. Start a new rotation`,
      );
  }

  async #begin(
    attempt: Attempt,
    effect: Effect,
    versions: readonly string[],
    state: State | undefined,
    from: Stored | Opened,
    before = state?.newest ?? '0',
  ): Promise<Stored> {
    const pending = await this.#pending(attempt, effect, versions, before);
    return beforeBegun(() =>
      this.#change(attempt, effect, (document) => withPending(document, pending), from),
    );
  }

  async #pending(
    { key, attemptId }: Attempt,
    effect: Effect,
    versions: readonly string[],
    before: string,
  ): Promise<NonNullable<ObjectDocument['pending']>> {
    const at = new Date(await this.#options.clock()).toISOString();
    return { key, attemptId, effect, versions: [...versions], before, at };
  }

  /** A change of the document by this attempt: its fence first, then what it decides on what is there now. */
  async #change(
    attempt: Attempt,
    effect: Effect,
    decide: (document: ObjectDocument) => ObjectDocument,
    from?: Stored | Opened,
  ): Promise<Stored> {
    return this.#options.store.change(
      attempt.object,
      (document) => decide(entered(asLookedAt(document, attempt, from), attempt, effect)),
      { signal: attempt.signal, ...(from === undefined ? {} : { from }) },
    );
  }

  async #end(
    attempt: Attempt,
    from: Stored | Opened,
    ending: Ending<State> & { readonly effect: Effect },
  ): Promise<Committed> {
    const { document } = await this.#settle(attempt, ending.effect, from, ending).catch((error: unknown) => {
      throw error instanceof RuledOutError ? error.reason : error;
    });
    return this.#committed(attempt, document);
  }

  #committed(attempt: Attempt, document: ObjectDocument): Committed {
    const entry = ledgerEntryOf(document, attempt.key);
    if (entry === undefined)
      throw new BackendError('unknown', `${attempt.object}: its record does not show ${attempt.key}`);
    return [document, entry];
  }

  /**
   * Writes an effect's end on the very record that the engine is held to. A containment waits for nobody: where one passed, the engine may
   * have been told after it what was so before it, and is told once more.
   */
  async #settle(
    attempt: Attempt,
    effect: Effect,
    from: Stored | Opened,
    ending: Ending<State>,
  ): Promise<Stored> {
    const { store, kept, clock } = this.#options;
    const { object, key } = attempt;
    // Where it could not be told whose turn it was, nothing is sent beside another effect: what is denied is the record's alone there.
    const tells = this.#engine.settlesAfterMs === 0;
    const isOurs = (document: ObjectDocument): boolean => ledgerEntryOf(document, key) !== undefined;
    let last = from;
    let held = ending.told || !tells;
    let { first } = ending;
    for (let turn = 1; turn <= MOST_ENDINGS; turn += 1) {
      if (isOurs(last.document)) return last;
      held ||= await this.#held(attempt, effect, last.document, ending.to, first);
      const at = new Date(await clock()).toISOString();
      const [read, found] = ['read' in last && last.read !== undefined ? last.read : last.document, last];
      try {
        if (held) {
          const written = await store.change(
            object,
            (document) =>
              isOurs(document)
                ? document
                : ending.write(entered(theSame(document, found, read), attempt, effect), at),
            // No signal: what was done is written down, whoever says stop now.
            { isOurs, from: found },
          );
          kept.put(object, written.cas, written.document);
          return written;
        }
      } catch (error) {
        if (!(error instanceof MovedError) || 'read' in last) throw error;
      }
      last = await store.read(object);
      held = !tells;
      first = undefined;
    }
    throw new BackendError('unknown', `${object}: its record is written by others again and again`);
  }

  /** Holds the engine to what the record will say. `false`: somebody else wrote there in between. */
  async #held(
    attempt: Attempt,
    effect: Effect,
    document: ObjectDocument,
    to: Ending<State>['to'],
    first: Ending<State>['first'],
  ): Promise<boolean> {
    const inside = entered(document, attempt, effect);
    let target: ObjectDocument;
    try {
      target = to(inside);
    } catch (error) {
      throw new RuledOutError(error);
    }
    const { state } = first ?? { state: await this.#engine.look(attempt.object, this.#options.identity) };
    const wanted = this.#engine.wanted(effect === 'contain' ? target : asNotContaining(target), state);
    if (wanted === undefined) return true;
    try {
      await this.#engine.hold(this.#call(attempt), wanted);
      return true;
    } catch (error) {
      if (!(error instanceof CasMismatchError)) throw error;
      return false;
    }
  }

  #call({ object, key, attemptId, signal }: Attempt): EngineCall {
    const { identity } = this.#options;
    // A worker that was frozen before it asked for its token gets one after it thaws, too: only the end of its lease stops it then.
    const inTime = async (token: Promise<SecretValue>): Promise<SecretValue> => {
      const made = await token.catch((error: unknown) => {
        // Refused to whoever asks for it: what it was for has not been sent.
        throw error instanceof TokenRefusedError ? new BackendError(error.errorClass, error.message) : error;
      });
      requireNotAborted(signal);
      return made;
    };
    const fenced: Identity = {
      token: () => identity.token(),
      probe: () => identity.probe(),
      once: (seconds) => inTime(identity.once(seconds)),
      destroyer: (destroyed) => inTime(identity.destroyer(destroyed)),
    };
    return { object, rotation: key, attemptId, identity: fenced, signal };
  }

  /** While an effect is under way the engine may be ahead of the document; else it is held to it, or somebody else moved it. */
  #toldOf(document: ObjectDocument, state: State | undefined): readonly string[] {
    if (document.versions.length === 0) return [];
    if (state === undefined) return ['it is gone from the engine'];
    return [...(this.#engine.wrong?.(state) ?? []), ...this.#movedBy(document, state)];
  }

  #movedBy(document: ObjectDocument, state: State): readonly string[] {
    // What nobody goes on with any more mutes nothing.
    const { pending, fence } = document;
    if (
      pending !== undefined &&
      (fence === undefined || pending.attemptId === fence.attemptId || pending.effect === 'contain')
    )
      return [];
    try {
      const moved = this.#engine.wanted(document, state) !== undefined;
      return moved ? ['the engine accepts other versions than its record says'] : [];
    } catch (error) {
      // What it would refuse to write over is what somebody else wrote.
      if (!(error instanceof BackendError)) throw error;
      return [error.message];
    }
  }

  #servedOf(object: string, { document, cas }: Stored): Observation['served'] {
    const { familyId } = document;
    if (familyId === undefined || !document.versions.some(({ publicJwk }) => publicJwk !== undefined))
      return undefined;
    const { kept } = this.#options;
    const body = kept.served(familyId)?.body.toString('utf8');
    const { keys }: { keys: { kid: string }[] } = body === undefined ? { keys: [] } : JSON.parse(body);
    return { kids: keys.map(({ kid }) => kid), agrees: kept.agrees(object, cas, document) };
  }
}

function begunBefore({ key }: Attempt, { document }: Stored): boolean {
  return document.pending?.key === key;
}

/** Whether nothing was under way when the engine was looked at, and nobody wrote the record between that and the effect's beginning. */
function isAsLookedAt(begun: Stored, { cas, document }: Opened): boolean {
  return document.pending === undefined && begun.cas === cas + 1;
}

/** A containment waits for nothing that only matters to what comes after it; what is done beside one has no part in that. */
function asNotContaining(document: ObjectDocument): ObjectDocument {
  const { pending, ...rest } = document;
  return pending?.effect === 'contain' ? rest : document;
}

/** The document an effect's first write is decided on: what it has looked at, or what is its own already. */
function asLookedAt(
  document: ObjectDocument,
  { attemptId }: Attempt,
  from: Stored | Opened | undefined,
): ObjectDocument {
  if (from === undefined || !('read' in from) || from.read === undefined) return document;
  return document.fence?.attemptId === attemptId ? document : theSame(document, from, from.read);
}

/** What was decided on, as long as the record still is what it was read as. */
function theSame(
  document: ObjectDocument,
  { document: decidedOn }: Stored,
  read: ObjectDocument,
): ObjectDocument {
  if (document === decidedOn || sameDocument(document, read)) return decidedOn;
  throw new MovedError('its record was written meanwhile');
}

function endingOf(
  attempt: Attempt,
  change: Change,
  told: boolean,
): Pick<Ending<never>, 'to' | 'write' | 'told'> & { readonly effect: Effect } {
  return {
    effect: change.effect,
    told,
    to: (document) => applied(document, attempt, change),
    write: (document, at) => done(document, attempt, change, at),
  };
}

function generatedOf(document: ObjectDocument, entry: LedgerEntry): GeneratedVersion & Receipt {
  const version = document.versions.find(({ versionId }) => versionId === entry.versions[0]);
  if (version === undefined) throw new BackendError('unknown', `${entry.key}: its version is not on record`);
  const { versionId, algorithm, strengthBits, fingerprint, createdAt }: DocumentVersion = version;
  return { versionId, algorithm, strengthBits, fingerprint, createdAt, at: entry.at };
}

function declare<State extends EngineState, Wanted>(
  instance: string,
  { kind, algorithms, capabilities, classes, pointOfNoReturn, longestRequestMs }: VaultEngine<State, Wanted>,
): BackendDeclaration {
  const effects = Object.fromEntries(
    EFFECTS.map((effect) => [effect, { class: classes[effect], longestRequestMs }]),
  ) as Record<Effect, BackendDeclaration['effects'][Effect]>;
  return { instance, kind, effects, algorithms, requestsOutliveProcess: true, pointOfNoReturn, capabilities };
}
