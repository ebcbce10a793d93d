import type { SecretValue } from '#platform';
import type { Algorithm, BackendDeclaration, Effect, EffectClass } from '../key-backend.js';
import type { DestroyerTokens } from './destroyer-tokens.js';
import type { DocumentVersion, ObjectDocument, PendingEffect } from './object-document.js';

/** Whom Keyturn is to the server. */
export interface Identity {
  /** The driver's own token, as good as it is now. */
  token(): Promise<SecretValue>;
  /** Good for one request, and dead after so many seconds: neither a frozen worker nor a re-sent request acts with it twice. */
  once(seconds: number): Promise<SecretValue>;
  /** May sign and verify canaries, log in with a pair's credentials, and nothing that changes anything. */
  probe(): Promise<SecretValue>;
  /** May delete this object's key material: what the approver of this destruction supplied. `auth` where nobody did. */
  destroyer(of: { readonly object: string; readonly rotation: string }): Promise<SecretValue>;
  /** Where {@link destroyer} comes from; absent: there is always one. */
  readonly destroyers?: Pick<DestroyerTokens, 'supply' | 'of' | 'dismiss'>;
}

/** What each of Keyturn's tokens must be allowed for one object: path, and capabilities. */
export interface Needs {
  readonly driver: Readonly<Record<string, readonly string[]>>;
  readonly fence: Readonly<Record<string, readonly string[]>>;
  readonly probe: Readonly<Record<string, readonly string[]>>;
}

/** What the requests of one effect are sent with. */
export interface EngineCall {
  readonly object: string;
  /** `X-Keyturn-Rotation`: the idempotency key of the step. */
  readonly rotation: string;
  readonly attemptId: string;
  readonly identity: Identity;
  /** An effect MUST NOT be begun once it is aborted. */
  readonly signal: AbortSignal;
}

/**
 * What a version is, as its engine shows it once it is sure to last. `broken`: it was tried and is good for nothing; it is written down,
 * and one more is made in its place.
 */
export type MadeVersion = Pick<
  DocumentVersion,
  'engine' | 'algorithm' | 'strengthBits' | 'fingerprint' | 'createdAt' | 'publicJwk' | 'canary' | 'broken'
>;

/** What an engine shows of an object, as far as everything above it needs to know. */
export interface EngineState {
  /** The newest version's own name, `0` before the first. */
  readonly newest: string;
}

export interface ProbeAnswer {
  /** `undefined`: the engine cannot tell, and the document alone decides. */
  readonly accepted: boolean | undefined;
  /** A short sentence for the record. */
  readonly how: string;
  /** What was tried is what consumers use, so that it is accepted or refused whatever the record says. */
  readonly final?: true;
}

/**
 * One kind of secrets engine: how its objects are read, turned and held to what their document says. Everything else (fence, ledger,
 * repeats, pending effects, what is served) is `VaultKeyBackend`'s. Every request is sent once; an answer that is lost is looked for.
 */
export interface VaultEngine<State extends EngineState, Wanted> {
  readonly kind: BackendDeclaration['kind'];
  readonly algorithms: readonly Algorithm[];
  readonly capabilities: BackendDeclaration['capabilities'];
  readonly classes: Readonly<Record<Effect, EffectClass>>;
  readonly pointOfNoReturn: Effect;
  /** Nothing is deleted but what its own effects make useless: no approver has to supply a token for it. */
  readonly destroysItself?: true;
  /** After so long no request of an effect can still take effect: milliseconds. */
  readonly longestRequestMs: number;
  /**
   * For so long after an effect was begun nothing else is sent where its end is not known: milliseconds. 0 where what came of a lost
   * request can be told from what came of the next one.
   */
  readonly settlesAfterMs: number;

  /** Throws `config` where the object is not named as this engine's objects are. */
  requireNamed(object: string): void;
  /** The paths in the server that the object is made of, in their order; a second family MUST NOT have one of them. Pure. */
  parts(object: string): readonly string[];
  /** What is there now, by the driver's own token; `undefined`: nothing. */
  look(object: string, identity: Identity): Promise<State | undefined>;
  /**
   * Throws `config`, with what would be right, where Keyturn must not turn what is there: also what somebody else wrote since, by what the
   * document knows. Sends nothing.
   */
  requireDrivable(
    object: string,
    state: State | undefined,
    algorithm: Algorithm,
    document: ObjectDocument,
  ): void;
  /** The document with what the engine has and nobody wrote down: in use before Keyturn came, or surplus. Pure. */
  seen(document: ObjectDocument, state: State | undefined): ObjectDocument;

  /** What the next version will come after: `config` where none can be made now. Written down before it is asked for. Pure. */
  before(object: string, document: ObjectDocument, state: State | undefined): string;
  /** Asks for one version more; one request that takes effect, by a token of its own unless it is a compare-and-swap. */
  generate(
    call: EngineCall,
    state: State | undefined,
    input: { readonly versionId: string; readonly algorithm: Algorithm; readonly before: string },
  ): Promise<void>;
  /** Whether a version that an earlier attempt asked for (its answer was lost) is there now. Pure. */
  happened(pending: PendingEffect, state: State | undefined): boolean;
  /**
   * What was made after `before`, once it is sure to outlive the server. `unknown` where it is not shown, or somebody else made another
   * meanwhile.
   */
  made(
    call: EngineCall,
    before: string,
    input: { readonly versionId: string; readonly algorithm: Algorithm },
  ): Promise<MadeVersion>;

  /** Tries what is about to be accepted, or to be emitted with: `config` where it would be refused to its consumers. */
  requireGood(call: EngineCall, versions: readonly DocumentVersion[]): Promise<void>;

  /** What the engine must be told so that it refuses what the document does not accept; `undefined`: it is so. Pure. */
  wanted(document: ObjectDocument, state: State | undefined): Wanted | undefined;
  /** What is wrong with the object itself, a short sentence each: somebody set what only Keyturn should. Pure. */
  wrong?(state: State): readonly string[];
  /** Tells it. Absolute or compare-and-swap, so that the same again changes nothing. */
  hold(call: EngineCall, wanted: Wanted): Promise<void>;
  /** Deletes key material for good; the document allows it. */
  destroy(call: EngineCall, document: ObjectDocument, versions: readonly DocumentVersion[]): Promise<void>;
  /** Asks the engine itself whether an artefact of the version would be accepted. */
  probe(object: string, version: DocumentVersion, identity: Identity): Promise<ProbeAnswer>;
}
