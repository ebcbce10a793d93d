import type { SecretValue } from '#platform';

/**
 * The back-end port: where key material lives and is switched. The saga knows only this; every adapter passes the
 * suite in `testing/key-backend.contract.ts`.
 */

export const EFFECTS = [
  'generate',
  'publish',
  'switch-emission',
  'withdraw',
  're-accept',
  'cut-over',
  'contain',
  'lift',
  'destroy',
] as const;

/**
 * generate: make a new version (not accepted, not emitting) · publish: accept it everywhere, emit nothing with it ·
 * switch-emission: emit with it from now on · withdraw: stop accepting (revokes an old version, withdraws a new one) ·
 * re-accept: accept a withdrawn version again · cut-over: one version accepted and emitting, every other one out, in one
 * change · contain: deny versions at once, before anything else is possible · lift: take back what one containment denied ·
 * destroy: delete key material for good.
 */
export type Effect = (typeof EFFECTS)[number];

/** What a repeat of an effect may do (contracts.md, Steps). All but the first are fenced by their attempt. */
export type EffectClass = 'compare-and-swap' | 'absolute' | 'named-create' | 'increment';

/** Of keys that sign or make MACs, by their JOSE names. */
export const KEY_ALGORITHMS = ['RS256', 'ES256', 'EdDSA', 'HS256'] as const;
/** What a version is: a key of one of these, or the password of a login. */
export const ALGORITHMS = [...KEY_ALGORITHMS, 'password'] as const;
export type Algorithm = (typeof ALGORITHMS)[number];
export type KeyAlgorithm = (typeof KEY_ALGORITHMS)[number];

export interface EffectDeclaration {
  readonly class: EffectClass;
  /** After this long no request of the effect can still take effect: milliseconds. Takeover waits for it. */
  readonly longestRequestMs: number;
}

export interface BackendDeclaration {
  /** Instance name as families name it: `local`, `vault.prod-eu`. */
  readonly instance: string;
  readonly kind: 'local' | 'attested' | 'vault-transit' | 'vault-kv' | 'vault-database';
  readonly effects: Readonly<Record<Effect, EffectDeclaration>>;
  readonly algorithms: readonly Algorithm[];
  /**
   * A request may still take effect after the process that sent it is dead (a remote server). False only where effect
   * and process die together: then a takeover need not wait once the process is proved dead.
   */
  readonly requestsOutliveProcess: boolean;
  /** The first effect that cannot be undone. */
  readonly pointOfNoReturn: Effect;
  readonly capabilities: {
    /** Old and new can be accepted at once. */
    readonly overlap: boolean;
    /** Emission can move cohort by cohort. */
    readonly cohorts: boolean;
    /** Keyturn performs the effects; where false, people do, and attest it. */
    readonly performs: boolean;
    /** It must read secret values into our process. */
    readonly readsValues: boolean;
    /** It publishes a JWKS document for asymmetric keys. */
    readonly publishesJwks: boolean;
  };
}

/** Orders attempts on one object: first by the slot that allowed them, then by the step's place in its rotation. */
export interface Fence {
  /** Revision of the `RotationOpened` or `SlotTaken` on the family's stream. */
  readonly slot: number;
  /** Revision of the `StepStarted` in its own stream. */
  readonly step: number;
}

/** What an effect belongs to: handed to the back end with every call. */
export interface Attempt {
  /** Path inside the back end; belongs to exactly one family. */
  readonly object: string;
  readonly familyId: string;
  /** Idempotency key: the same for every attempt of one step of one rotation (`<process id>/<step>`). */
  readonly key: string;
  /** Random per attempt: the id of its `StepStarted`. */
  readonly attemptId: string;
  readonly fence: Fence;
  /** Aborted when the lease ends or the worker is told to stop. MUST be honoured before an effect is begun. */
  readonly signal: AbortSignal;
}

export interface GeneratedVersion {
  readonly versionId: string;
  readonly algorithm: Algorithm;
  /** Of a key its length; of a password what its generator draws from, as far as that is known. */
  readonly strengthBits: number;
  /**
   * Never the value: SHA-256 (hex) of the public key's SPKI, for a symmetric key a random tag made with it, for a password SHA-256
   * of the name that the back end gives to this generation of it.
   */
  readonly fingerprint: string;
  /** RFC 3339, by the back end's own clock. */
  readonly createdAt: string;
}

export interface ObservedVersion extends GeneratedVersion {
  readonly accepted: boolean;
  /** 0–100 %. */
  readonly emittingShare: number;
  /** In the deny set: left out of every document, whatever is accepted. */
  readonly contained: boolean;
  readonly destroyed: boolean;
}

/** An effect the back end knows to have happened, found by its idempotency key. */
export interface LedgerEntry {
  readonly key: string;
  readonly attemptId: string;
  readonly effect: Effect;
  readonly versions: readonly string[];
  /** RFC 3339, by the back end's own clock. */
  readonly at: string;
}

export interface Observation {
  readonly object: string;
  /** `false`: nothing was ever made there. */
  readonly exists: boolean;
  readonly versions: readonly ObservedVersion[];
  /** What verifiers are really served; `undefined` where the back end publishes nothing. */
  readonly served?: { readonly kids: readonly string[]; readonly agrees: boolean };
  /** The ledger entry of the asked key, where there is one: "done by us". */
  readonly entry?: LedgerEntry;
  /** What the back end itself finds wrong with the object, a short sentence each: somebody else has changed it. */
  readonly told?: readonly string[];
  /** The back end's clock, milliseconds, where it has one of its own. */
  readonly clock?: number;
}

export interface Receipt {
  /** RFC 3339, by the back end's own clock: when the effect was durable there. */
  readonly at: string;
}

export type BackendErrorClass =
  | 'transient'
  | 'auth'
  | 'config'
  | 'quota'
  | 'not-found'
  | 'unknown'
  /** A newer attempt was seen for this object: this worker is out of date and did nothing. */
  | 'fenced';

/** Carries class and path only: MUST NOT carry a request, a header, a value or a cause that does. */
export class BackendError extends Error {
  constructor(
    readonly errorClass: BackendErrorClass,
    message: string,
  ) {
    super(message);
    this.name = 'BackendError';
  }
}

/** What may delete, taken. */
export interface SuppliedDestroyer {
  /** For how many seconds it is good. */
  readonly seconds: number;
  /** Ends this one: nobody will find on record that it was supplied. */
  drop(): Promise<void>;
}

export interface KeyBackend {
  readonly declaration: BackendDeclaration;

  /**
   * Why this effect should not begin here now (sealed, unreachable, a token that is missing), as it was last seen; asks nobody.
   * `undefined`: nothing is known against it. Whoever drives waits then, and records no attempt.
   */
  unavailable?(wanted: {
    readonly object: string;
    readonly effect: Effect | 'probe';
    readonly versions: readonly string[];
    /** Its idempotency key. */
    readonly key: string;
  }): string | undefined;

  /**
   * Takes what deletes key material of this object, for the one effect of this idempotency key, from whoever approved it: a token for one
   * response that holds the token (wrapped), so that somebody who saw it on its way is found out. Held in memory until it was used or is
   * over, never written down. `config`: it is not such a token, or may do more than it should. Absent: the back end needs none.
   */
  supplyDestroyer?(
    of: { readonly object: string; readonly key: string },
    wrapped: SecretValue,
  ): Promise<SuppliedDestroyer | undefined>;
  /** Ends what was supplied for the effect of this key, where anything was: it will not be needed. */
  dismissDestroyer?(key: string): Promise<void>;

  /**
   * First thing of every attempt to contain: takes the versions out of what this machine itself serves, durably and with no server asked.
   * Absent: what it serves is changed by `contain` itself, which asks nobody.
   */
  leaveOut?(attempt: Attempt, input: { readonly versions: readonly string[] }): void;

  /**
   * What an object is made of that no second family may have, each part with where it lies: the same `place` for the same thing,
   * whichever back end and whichever object it is a part of. Asks nobody; throws `config` where no object is named like that. Absent: an
   * object is one thing of its back end's own.
   */
  claims?(object: string): readonly { readonly part: string; readonly place: string }[];

  /**
   * Every effect below
   * MUST refuse an attempt whose fence is older than the newest seen for the object (`fenced`), before it changes anything;
   * MUST find a repeat by `attempt.key` and answer with the first receipt, changing nothing;
   * MUST write its ledger row in the same transaction as what it changes;
   * MUST be durable, and seen by verifiers where it publishes, before it resolves;
   * MUST NOT begin once `attempt.signal` is aborted (`BackendError` of class `transient`);
   * MUST reject with class `unknown` where it cannot tell whether it happened.
   */
  generate(
    attempt: Attempt,
    input: { readonly versionId: string; readonly algorithm: Algorithm },
  ): Promise<GeneratedVersion & Receipt>;
  publish(
    attempt: Attempt,
    input: { readonly versions: readonly string[]; readonly maxAgeSeconds: number },
  ): Promise<Receipt>;
  /** Brings the share of `to` to `share` per cent (absent: 100); the rest stays with what emitted before. Below 100 only with `cohorts`. */
  switchEmission(attempt: Attempt, input: { readonly to: string; readonly share?: number }): Promise<Receipt>;
  withdraw(attempt: Attempt, input: { readonly versions: readonly string[] }): Promise<Receipt>;
  reAccept(attempt: Attempt, input: { readonly versions: readonly string[] }): Promise<Receipt>;
  /** `to` is accepted and emits, and nothing else is accepted any more: there is no moment with both, and none with neither. */
  cutOver(attempt: Attempt, input: { readonly to: string; readonly maxAgeSeconds: number }): Promise<Receipt>;
  /** Not fenced by slot: it only adds to the deny set, so a late repeat does no harm. */
  contain(attempt: Attempt, input: { readonly versions: readonly string[] }): Promise<Receipt>;
  /**
   * Takes out of the deny set what *one* containment put in: `containedBy` is the key of its `contain`. A version that another
   * containment denies too MUST stay denied. It changes neither what is accepted nor who emits.
   */
  lift(
    attempt: Attempt,
    input: { readonly versions: readonly string[]; readonly containedBy: string },
  ): Promise<Receipt>;
  destroy(attempt: Attempt, input: { readonly versions: readonly string[] }): Promise<Receipt>;

  /**
   * What is so now. With `raise`, the fence is raised *first*: from then on an older attempt is refused, so that what is
   * observed cannot be changed behind the observer's back by a frozen worker.
   */
  observe(
    object: string,
    options?: {
      readonly key?: string;
      readonly raise?: { readonly fence: Fence; readonly attemptId: string };
      /** Only whether it answers, and its clock, are asked for: nothing else of what comes back is known. */
      readonly clockOnly?: boolean;
    },
  ): Promise<Observation>;

  /** A negative and a positive test in one: is an artefact of `refused` refused, and one of `accepted` accepted, where the back end can tell? */
  probe(
    object: string,
    input: { readonly refused: readonly string[]; readonly accepted: readonly string[] },
  ): Promise<{
    readonly refused: readonly {
      readonly versionId: string;
      readonly refused: boolean;
      readonly how: string;
    }[];
    readonly accepted: readonly {
      readonly versionId: string;
      readonly accepted: boolean;
      readonly how: string;
    }[];
  }>;
}
