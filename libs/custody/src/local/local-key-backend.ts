import { createHash, randomInt, type KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { decodeProtectedHeader, errors, jwtVerify, SignJWT } from 'jose';
import { z } from 'zod';
import { failpoint, type Clock, type SecretValue } from '#platform';
import {
  KEY_ALGORITHMS,
  BackendError,
  type Algorithm,
  type Attempt,
  type BackendDeclaration,
  type Effect,
  type Fence,
  type GeneratedVersion,
  type KeyBackend,
  type Observation,
  type ObservedVersion,
  type Receipt,
} from '../key-backend.js';
import { isAcceptedByDocument, type Verdict } from './canary.js';
import { CustodyStore, DOCUMENT_FOLDER, type StoredEntry, type StoredVersion } from './custody-store.js';
import { errorCode } from '../error-code.js';
import { LARGEST_MAX_AGE_SECONDS, type ServedDocument } from '../jwks-document.js';
import { JwksDocuments } from './jwks-documents.js';
import { generateKey, importKey, KeySealer } from './key-material.js';
import { guarded } from './failures.js';
import {
  FILE_NAME,
  OBJECT_NAME,
  VERSION_NAME,
  refuse,
  requireAcceptable,
  requireKnown,
  requireName,
  requireNotAborted,
  requireNotOlder,
  unknownVersions,
} from '../requirements.js';

/**
 * Both limits are kept, not hoped for: an effect that has not come to its commit by then is refused. Searching the primes
 * of RSA-3072 took 0.6 s on average and 1.7 s at worst on two cores.
 */
const LONGEST_GENERATE_MS = 10_000;
const LONGEST_CHANGE_MS = 2_000;

const receiptSchema = z.object({ at: z.string() });
const generatedSchema = receiptSchema.extend({
  versionId: z.string(),
  algorithm: z.enum(KEY_ALGORITHMS),
  strengthBits: z.number(),
  fingerprint: z.string(),
  createdAt: z.string(),
});

export interface LocalKeyBackendOptions {
  /** Its own folder, made 0700 where it is missing; refused where others may look into it. */
  readonly directory: string;
  readonly masterKey: SecretValue;
  readonly clock: Clock;
  /** As families name it. */
  readonly instance?: string;
}

export interface SignOptions {
  /** Adds `exp`. */
  readonly lifetimeSeconds?: number;
  /** Whose artefact it is (a user, a tenant): decides on which side of a cohort's share it falls. */
  readonly cohort?: string;
}

/** One effect of the ledger. */
export interface StoredEffect {
  /** `<stream of the process>/<step>`. */
  readonly key: string;
  /** Id of its `StepStarted`. */
  readonly attemptId: string;
  /** RFC 3339. */
  readonly at: string;
}

export type VerificationFailure =
  | 'malformed'
  | 'algorithm'
  | 'not-accepted'
  | 'unknown-kid'
  | 'contained'
  | 'destroyed'
  | 'signature'
  | 'expired'
  | 'claims';

export interface Verification {
  readonly valid: boolean;
  readonly kid?: string;
  readonly reason?: VerificationFailure;
}

interface Change<T extends Receipt> {
  readonly attempt: Attempt;
  readonly effect: Effect;
  readonly versions: readonly string[];
  /** Monotonic time at which the request came in. */
  readonly began: number;
  readonly result: z.ZodType<T>;
  /** MUST find every reason to refuse before it writes anything: a refusal still commits the raised fence. */
  readonly apply: (at: string) => T;
}

/** Opens the local back end: its store, its lock and its documents, mended where a crash left them behind the store. */
export function openLocalKeyBackend(options: LocalKeyBackendOptions): LocalKeyBackend {
  return LocalKeyBackend.open(options);
}

/**
 * Keys on this machine: material sealed under a master key in one SQLite file, JWKS documents beside it. One process at
 * a time. Meant for evaluation, tests and small installations; the master key is as good as the place it is kept in.
 */
export class LocalKeyBackend implements KeyBackend {
  readonly declaration: BackendDeclaration;
  readonly #store: CustodyStore;
  readonly #sealer: KeySealer;
  readonly #documents: JwksDocuments;
  readonly #clock: Clock;

  private constructor(
    store: CustodyStore,
    sealer: KeySealer,
    documents: JwksDocuments,
    options: LocalKeyBackendOptions,
  ) {
    this.#store = store;
    this.#sealer = sealer;
    this.#documents = documents;
    this.#clock = options.clock;
    this.declaration = declare(options.instance ?? 'local');
  }

  static open(options: LocalKeyBackendOptions): LocalKeyBackend {
    const sealer = new KeySealer(options.masterKey);
    const store = CustodyStore.open(options.directory, sealer);
    try {
      const documents = new JwksDocuments(join(options.directory, DOCUMENT_FOLDER), store);
      documents.mend();
      return new LocalKeyBackend(store, sealer, documents, options);
    } catch (error) {
      store.close();
      throw error;
    }
  }

  close(): void {
    this.#store.close();
  }

  async generate(
    attempt: Attempt,
    input: { readonly versionId: string; readonly algorithm: Algorithm },
  ): Promise<GeneratedVersion & Receipt> {
    const began = this.#clock.monotonic();
    const { object, familyId } = attempt;
    const { versionId, algorithm } = input;
    return guarded('generate', async () => {
      requireName('object', object, OBJECT_NAME);
      requireName('family id', familyId, FILE_NAME);
      requireName('version id', versionId, VERSION_NAME);
      requireNotAborted(attempt.signal);
      // What would be refused is refused before primes are searched; the transaction below decides.
      this.#requireOwner(attempt);
      this.#requireCurrent(attempt);
      const known = this.#repeat(attempt, 'generate', undefined, generatedSchema);
      const key = known === undefined ? await generateKey(algorithm) : undefined;
      const sealed = key === undefined ? undefined : this.#sealer.seal(key.material, object, versionId);
      key?.material.fill(0);
      return this.#change({
        attempt,
        effect: 'generate',
        versions: [versionId],
        began,
        result: generatedSchema,
        apply: (at) => {
          const owner = this.#store.object(object);
          const elsewhere = this.#store.objectOfFamily(familyId);
          if (elsewhere !== undefined && elsewhere.object !== object) {
            throw refuse(
              'config',
              `Family ${familyId} keeps its versions in ${elsewhere.object}, not in ${object}`,
            );
          }
          if (this.#store.versions(object).some((version) => version.versionId === versionId)) {
            throw refuse('config', `Version ${versionId} exists already in ${object}`);
          }
          // The ledger row cannot have gone since it was read: it is never deleted.
          if (key === undefined || sealed === undefined) throw new Error('no key was made');
          if (owner === undefined) this.#store.claimObject(object, familyId);
          const { strengthBits, fingerprint, publicJwk } = key;
          const made = { versionId, algorithm, strengthBits, fingerprint, createdAt: at };
          this.#store.addVersion(object, { ...made, publicJwk }, sealed);
          return { ...made, at };
        },
      });
    });
  }

  async publish(
    attempt: Attempt,
    input: { readonly versions: readonly string[]; readonly maxAgeSeconds: number },
  ): Promise<Receipt> {
    const { maxAgeSeconds } = input;
    return this.#changeVersions(attempt, 'publish', input.versions, (versions) => {
      requireMaxAge(maxAgeSeconds);
      requireAcceptable(attempt.object, versions, input.versions);
      for (const versionId of input.versions) this.#store.accept(attempt.object, versionId);
      this.#store.setMaxAge(attempt.object, Math.min(maxAgeSeconds, LARGEST_MAX_AGE_SECONDS));
    });
  }

  async switchEmission(
    attempt: Attempt,
    input: { readonly to: string; readonly share?: number },
  ): Promise<Receipt> {
    const { share = 100 } = input;
    return this.#changeVersions(attempt, 'switch-emission', [input.to], (versions) => {
      if (!Number.isSafeInteger(share) || share < 1 || share > 100) {
        throw refuse('config', 'share is not a whole number of per cent between 1 and 100');
      }
      for (const version of requireAcceptable(attempt.object, versions, [input.to])) {
        if (!version.accepted)
          throw refuse('config', `Version ${input.to} is not accepted: publish it first`);
      }
      const rest = versions
        .filter((version) => version.versionId !== input.to && version.emittingShare > 0)
        .sort((left, right) => right.emittingShare - left.emittingShare)[0];
      if (share < 100 && rest === undefined) {
        throw refuse('config', `Nothing else emits: version ${input.to} can only take all of it`);
      }
      this.#store.emitWith(attempt.object, input.to, share, rest?.versionId);
    });
  }

  async cutOver(
    attempt: Attempt,
    input: { readonly to: string; readonly maxAgeSeconds: number },
  ): Promise<Receipt> {
    const { to, maxAgeSeconds } = input;
    return this.#changeVersions(attempt, 'cut-over', [to], (versions) => {
      requireMaxAge(maxAgeSeconds);
      requireAcceptable(attempt.object, versions, [to]);
      this.#store.accept(attempt.object, to);
      this.#store.emitWith(attempt.object, to, 100, undefined);
      for (const { versionId } of versions) {
        if (versionId !== to) this.#store.withdraw(attempt.object, versionId);
      }
      this.#store.setMaxAge(attempt.object, Math.min(maxAgeSeconds, LARGEST_MAX_AGE_SECONDS));
    });
  }

  async withdraw(attempt: Attempt, input: { readonly versions: readonly string[] }): Promise<Receipt> {
    return this.#changeVersions(attempt, 'withdraw', input.versions, (versions) => {
      // A version that never was is not accepted; only where none is known has the caller the wrong object in hand.
      const known = versions.filter(({ versionId }) => input.versions.includes(versionId));
      if (known.length === 0) throw unknownVersions(attempt.object, input.versions);
      for (const { versionId, emittingShare, contained } of known) {
        if (emittingShare > 0 && !contained) {
          throw refuse('config', `Version ${versionId} is emitting: switch emission first, or contain it`);
        }
      }
      for (const { versionId } of known) this.#store.withdraw(attempt.object, versionId);
    });
  }

  async reAccept(attempt: Attempt, input: { readonly versions: readonly string[] }): Promise<Receipt> {
    return this.#changeVersions(attempt, 're-accept', input.versions, (versions) => {
      for (const version of requireAcceptable(attempt.object, versions, input.versions)) {
        if (!version.published) {
          throw refuse('config', `Version ${version.versionId} was never accepted: publish it`);
        }
      }
      for (const versionId of input.versions) this.#store.accept(attempt.object, versionId);
    });
  }

  /** Takes any id, also of a version still being generated: what is denied stays denied when it appears. */
  async contain(attempt: Attempt, input: { readonly versions: readonly string[] }): Promise<Receipt> {
    return this.#changeVersions(attempt, 'contain', input.versions, (_versions, at) => {
      for (const versionId of input.versions) this.#store.deny(attempt.object, versionId, attempt.key, at);
    });
  }

  async lift(
    attempt: Attempt,
    input: { readonly versions: readonly string[]; readonly containedBy: string },
  ): Promise<Receipt> {
    const { versions, containedBy } = input;
    return this.#changeVersions(attempt, 'lift', versions, (_versions, at) => {
      for (const versionId of versions) this.#store.lift(attempt.object, versionId, containedBy, at);
    });
  }

  async destroy(attempt: Attempt, input: { readonly versions: readonly string[] }): Promise<Receipt> {
    const receipt = await this.#changeVersions(attempt, 'destroy', input.versions, (versions) => {
      for (const version of requireKnown(attempt.object, versions, input.versions)) {
        if (version.emittingShare > 0) throw refuse('config', `Version ${version.versionId} is emitting`);
        if (version.accepted)
          throw refuse('config', `Version ${version.versionId} is accepted: withdraw it first`);
      }
      for (const versionId of input.versions) this.#store.destroy(attempt.object, versionId);
    });
    return guarded('destroy', async () => {
      this.#clearOldPages();
      return receipt;
    });
  }

  /** A destruction is over when nothing of the key is left in a file, and not when its row is. */
  #clearOldPages(): void {
    if (this.#store.scrub()) return;
    throw refuse(
      'unknown',
      'The key is deleted, but its old pages could not be cleared from the write-ahead log yet',
    );
  }

  async observe(
    object: string,
    options: {
      readonly key?: string;
      readonly raise?: { readonly fence: Fence; readonly attemptId: string };
    } = {},
  ): Promise<Observation> {
    return guarded('observe', async () => {
      const { key, raise } = options;
      if (raise !== undefined) {
        requireName('object', object, OBJECT_NAME);
        this.#store.transaction(() => this.#passFence(object, raise.fence, raise.attemptId));
      }
      const owner = this.#store.object(object);
      const versions = this.#store.versions(object);
      const entry = key === undefined ? undefined : this.#store.entry(key);
      // The ledger knows that the row is gone; a crash or a busy file may have left the old pages. Nobody else clears them.
      if (entry?.effect === 'destroy') this.#clearOldPages();
      return {
        object,
        exists: versions.length > 0,
        versions: versions.map(observed),
        ...(owner !== undefined && versions.some((version) => version.publicJwk !== undefined)
          ? { served: { kids: this.#servedKids(owner.familyId), agrees: this.#documents.agrees(owner) } }
          : {}),
        ...(entry !== undefined && entry.object === object ? { entry: ledgerEntry(entry) } : {}),
        clock: this.#clock.now(),
      };
    });
  }

  async probe(
    object: string,
    input: { readonly refused: readonly string[]; readonly accepted: readonly string[] },
  ): ReturnType<KeyBackend['probe']> {
    return guarded('probe', async () => {
      const refused = [];
      for (const versionId of input.refused) {
        const verdict = await this.#tryCanary(object, versionId);
        refused.push({ versionId, refused: !verdict.accepted, how: verdict.how });
      }
      const accepted = [];
      for (const versionId of input.accepted) {
        const verdict = await this.#tryCanary(object, versionId);
        accepted.push({ versionId, accepted: verdict.accepted, how: verdict.how });
      }
      return { refused, accepted };
    });
  }

  /** What verifiers are served: from memory, no store is asked. `undefined`: never published, or symmetric. */
  servedDocument(familyId: string): ServedDocument | undefined {
    return this.#documents.served(familyId);
  }

  /** A compact JWT by the version that emits now. Refused where nothing emits and where what emits is contained. */
  async sign(
    object: string,
    claims: Readonly<Record<string, unknown>>,
    options: SignOptions = {},
  ): Promise<string> {
    return guarded('sign', async () => {
      const emitting = ofCohort(this.#store.versions(object), options.cohort);
      if (emitting === undefined) throw refuse('config', `No version of ${object} emits`);
      if (emitting.contained) {
        throw refuse(
          'config',
          `Version ${emitting.versionId} is contained: nothing is signed with it any more`,
        );
      }
      const issuedAt = Math.floor(this.#clock.now() / 1000);
      const lifetime =
        options.lifetimeSeconds === undefined ? {} : { exp: issuedAt + options.lifetimeSeconds };
      return this.#signWith(object, emitting, { ...claims, iat: issuedAt, ...lifetime });
    });
  }

  /**
   * Verifies a token of a symmetric family; the key never leaves. `acceptedKids` is the verifier's own, perhaps stale,
   * copy of what is accepted. Contained and destroyed versions are refused whatever it says.
   */
  async verify(object: string, token: string, acceptedKids: readonly string[]): Promise<Verification> {
    return guarded('verify', async () => {
      const header = readHeader(token);
      if (header?.kid === undefined) return { valid: false, reason: 'malformed' };
      const { kid, alg } = header;
      const refused = (reason: VerificationFailure): Verification => ({ valid: false, kid, reason });
      if (alg !== 'HS256') return refused('algorithm');
      const version = this.#store.versions(object).find(({ versionId }) => versionId === kid);
      if (version === undefined) return refused('unknown-kid');
      if (version.algorithm !== 'HS256') return refused('algorithm');
      if (version.contained) return refused('contained');
      if (version.destroyed) return refused('destroyed');
      if (!acceptedKids.includes(kid)) return refused('not-accepted');
      try {
        await jwtVerify(token, this.#key(object, version), {
          algorithms: ['HS256'],
          currentDate: new Date(this.#clock.now()),
        });
        return { valid: true, kid };
      } catch (error) {
        if (error instanceof errors.JWTExpired) return refused('expired');
        if (error instanceof errors.JWTClaimValidationFailed) return refused('claims');
        if (error instanceof errors.JWSSignatureVerificationFailed) return refused('signature');
        if (error instanceof errors.JOSEError) return refused('malformed');
        throw error;
      }
    });
  }

  /** What a verifier should accept now; contained versions are left out. Empty for an object nothing was made in. */
  acceptedKids(object: string): readonly string[] {
    return this.#store
      .versions(object)
      .filter((version) => version.accepted && !version.contained)
      .map(({ versionId }) => versionId);
  }

  /** What was done last, newest first: for whoever compares with a log. */
  newestEffects(limit: number): readonly StoredEffect[] {
    return this.#store.newestEntries(limit).map(({ key, attemptId, at }) => ({ key, attemptId, at }));
  }

  /**
   * Lets attempts of a log that was put back be new again. Only while nobody else can be at work: before any effect of
   * this process, under the lock that proves the others dead.
   */
  forgetFences(): void {
    this.#store.transaction(() => {
      this.#store.forgetFences();
    });
  }

  #changeVersions(
    attempt: Attempt,
    effect: Exclude<Effect, 'generate'>,
    versionIds: readonly string[],
    apply: (versions: readonly StoredVersion[], at: string) => void,
  ): Promise<Receipt> {
    const began = this.#clock.monotonic();
    return guarded(effect, async () => {
      requireName('object', attempt.object, OBJECT_NAME);
      requireNotAborted(attempt.signal);
      if (versionIds.length === 0) throw refuse('config', `${effect}: no version was named`);
      for (const versionId of versionIds) requireName('version id', versionId, VERSION_NAME);
      return this.#change({
        attempt,
        effect,
        versions: versionIds,
        began,
        result: receiptSchema,
        apply: (at) => {
          if (this.#store.object(attempt.object) === undefined) {
            throw refuse('not-found', `Nothing was ever made in ${attempt.object}`);
          }
          apply(this.#store.versions(attempt.object), at);
          return { at };
        },
      });
    });
  }

  /** One transaction for fence, change and ledger row; then, before it returns, what verifiers are served. */
  #change<T extends Receipt>(change: Change<T>): T {
    const { attempt, effect } = change;
    const outcome = this.#store.transaction((): Outcome<T> => {
      this.#requireOwner(attempt);
      if (effect !== 'contain') this.#passFence(attempt.object, attempt.fence, attempt.attemptId);
      const known = this.#repeat(
        attempt,
        effect,
        effect === 'generate' ? undefined : change.versions,
        change.result,
      );
      if (known !== undefined) return { kind: 'repeated', result: known };
      requireNotAborted(attempt.signal);
      this.#requireInTime(effect, change.began);
      const at = new Date(this.#clock.now()).toISOString();
      let result: T;
      try {
        result = change.apply(at);
      } catch (error) {
        // Committed, not rolled back: the attempt was seen, so that an older one stays out.
        if (error instanceof BackendError) return { kind: 'refused', error };
        throw error;
      }
      this.#store.addEntry({
        key: attempt.key,
        object: attempt.object,
        attemptId: attempt.attemptId,
        effect,
        versions: change.versions,
        at,
        result: JSON.stringify(result),
      });
      failpoint('local.effect:before-commit');
      return { kind: 'done', result };
    });
    if (outcome.kind === 'refused') throw outcome.error;
    if (outcome.kind === 'done') failpoint('local.effect:committed');
    // After a repeat too: the first time may have died before, or failed in, writing the document.
    const written = this.#syncDocument(attempt.object);
    if (written && outcome.kind === 'done') failpoint('local.document:renamed');
    return outcome.result;
  }

  #syncDocument(object: string): boolean {
    const owner = this.#store.object(object);
    if (owner === undefined) return false;
    try {
      return this.#documents.sync(owner);
    } catch (error) {
      throw refuse(
        'unknown',
        `The effect is stored, but the JWKS document of family ${owner.familyId} could not be written: ${errorCode(error)}`,
      );
    }
  }

  #requireOwner(attempt: Attempt): void {
    const owner = this.#store.object(attempt.object);
    if (owner !== undefined && owner.familyId !== attempt.familyId) {
      throw refuse(
        'config',
        `${attempt.object} belongs to family ${owner.familyId}, not to ${attempt.familyId}`,
      );
    }
  }

  /** MUST run in a transaction: refuses what is older than the newest seen, remembers what is newer. */
  #passFence(object: string, fence: Fence, attemptId: string): void {
    const newest = this.#store.fence(object);
    requireNotOlder(object, newest, fence, attemptId);
    this.#store.raiseFence(object, fence, attemptId);
  }

  #requireCurrent(attempt: Attempt): void {
    requireNotOlder(attempt.object, this.#store.fence(attempt.object), attempt.fence, attempt.attemptId);
  }

  #requireInTime(effect: Effect, began: number): void {
    const longest = this.declaration.effects[effect].longestRequestMs;
    if (this.#clock.monotonic() - began > longest) {
      throw refuse(
        'transient',
        `${effect} took longer than the ${longest} ms declared for it; nothing was changed`,
      );
    }
  }

  #repeat<T extends Receipt>(
    attempt: Attempt,
    effect: Effect,
    versions: readonly string[] | undefined,
    result: z.ZodType<T>,
  ): T | undefined {
    const entry = this.#store.entry(attempt.key);
    if (entry === undefined) return undefined;
    const same =
      entry.object === attempt.object &&
      entry.effect === effect &&
      (versions === undefined || sameSet(versions, entry.versions));
    // Answering with the receipt of something else would claim what was never done.
    if (!same) throw refuse('config', `The key ${attempt.key} was used for another effect (${entry.effect})`);
    return result.parse(JSON.parse(entry.result));
  }

  #servedKids(familyId: string): readonly string[] {
    const served = this.#documents.served(familyId);
    if (served === undefined) return [];
    return documentSchema.parse(JSON.parse(served.body.toString('utf8'))).keys.map(({ kid }) => kid);
  }

  async #tryCanary(object: string, versionId: string): Promise<Verdict> {
    const owner = this.#store.object(object);
    const version = this.#store.versions(object).find((version) => version.versionId === versionId);
    if (owner === undefined || version === undefined) return { accepted: false, how: 'no such version here' };
    if (version.algorithm === 'HS256') {
      if (version.destroyed)
        return { accepted: false, how: 'its key is destroyed, nothing can be verified with it' };
      const token = await this.#signWith(object, version, canaryClaims(this.#clock.now()));
      const { valid, reason } = await this.verify(object, token, this.acceptedKids(object));
      return {
        accepted: valid,
        how: `a canary made with it was ${valid ? 'accepted' : `refused: ${reason ?? ''}`}`,
      };
    }
    const document = this.#documents.served(owner.familyId)?.body.toString('utf8');
    const sign = version.destroyed
      ? undefined
      : (kid: string) => this.#signWith(object, version, canaryClaims(this.#clock.now()), kid);
    return isAcceptedByDocument({
      document,
      versionId,
      algorithm: version.algorithm,
      sign,
      now: this.#clock.now(),
    });
  }

  #signWith(
    object: string,
    version: StoredVersion,
    claims: Record<string, unknown>,
    kid = version.versionId,
  ): Promise<string> {
    return new SignJWT(claims)
      .setProtectedHeader({ alg: version.algorithm, kid, typ: 'JWT' })
      .sign(this.#key(object, version));
  }

  #key(object: string, version: StoredVersion): KeyObject {
    const sealed = this.#store.material(object, version.versionId);
    if (sealed === undefined) throw refuse('config', `Version ${version.versionId} is destroyed`);
    return importKey(version.algorithm, this.#sealer.open(sealed, object, version.versionId));
  }
}

type Outcome<T> =
  | { readonly kind: 'done' | 'repeated'; readonly result: T }
  | { readonly kind: 'refused'; readonly error: BackendError };

const documentSchema = z.object({ keys: z.array(z.looseObject({ kid: z.string() })) });

function declare(instance: string): BackendDeclaration {
  const absolute = { class: 'absolute', longestRequestMs: LONGEST_CHANGE_MS } as const;
  return {
    instance,
    kind: 'local',
    effects: {
      generate: { class: 'named-create', longestRequestMs: LONGEST_GENERATE_MS },
      publish: absolute,
      'switch-emission': absolute,
      withdraw: absolute,
      're-accept': absolute,
      'cut-over': absolute,
      contain: absolute,
      lift: absolute,
      destroy: absolute,
    },
    algorithms: KEY_ALGORITHMS,
    // Commit and rename are calls of this process, and the lock lets no second one in.
    requestsOutliveProcess: false,
    pointOfNoReturn: 'destroy',
    capabilities: { overlap: true, cohorts: true, performs: true, readsValues: false, publishesJwks: true },
  };
}

/**
 * Which version somebody's artefact is made with while emission is split. A cohort's name (a user, a tenant) always falls on the
 * same side of a share, and stays with the newer version as its share grows; without one it falls by chance.
 */
function ofCohort(versions: readonly StoredVersion[], cohort: string | undefined): StoredVersion | undefined {
  const emitting = versions.filter((version) => version.emittingShare > 0);
  const newest = emitting.at(-1);
  if (newest === undefined || emitting.length === 1) return newest;
  const place =
    cohort === undefined
      ? randomInt(100)
      : createHash('sha256').update(cohort).digest().readUInt32BE(0) % 100;
  return place < newest.emittingShare ? newest : emitting[0];
}

function requireMaxAge(maxAgeSeconds: number): void {
  if (!Number.isSafeInteger(maxAgeSeconds) || maxAgeSeconds < 0) {
    throw refuse('config', 'maxAgeSeconds is not a whole number of seconds');
  }
}

function sameSet(one: readonly string[], other: readonly string[]): boolean {
  return one.every((value) => other.includes(value)) && other.every((value) => one.includes(value));
}

function observed(version: StoredVersion): ObservedVersion {
  const { versionId, algorithm, strengthBits, fingerprint, createdAt } = version;
  const { accepted, emittingShare, contained, destroyed } = version;
  return {
    versionId,
    algorithm,
    strengthBits,
    fingerprint,
    createdAt,
    accepted,
    emittingShare,
    contained,
    destroyed,
  };
}

function ledgerEntry({ key, attemptId, effect, versions, at }: StoredEntry): Observation['entry'] & object {
  return { key, attemptId, effect, versions, at };
}

/** Inert: addressed to nobody and dead in a minute. It never leaves the process. */
function canaryClaims(now: number): Record<string, unknown> {
  const issuedAt = Math.floor(now / 1000);
  return { aud: 'keyturn-probe', iat: issuedAt, exp: issuedAt + 60 };
}

function readHeader(token: string): { readonly kid?: string; readonly alg?: string } | undefined {
  try {
    const { kid, alg } = decodeProtectedHeader(token);
    return { ...(typeof kid === 'string' ? { kid } : {}), ...(alg === undefined ? {} : { alg }) };
  } catch {
    return undefined;
  }
}
