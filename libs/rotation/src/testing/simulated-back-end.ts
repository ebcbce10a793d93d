import { formatInstant } from '#eventlog';
import type { VersionSnapshot } from '../domain/vocabulary.js';

/** A back end as plain data, with the rules the port asks of every adapter (libs/custody, key-backend.ts). */

export type SimulatedEffect =
  | 'generate'
  | 'publish'
  | 'switch-emission'
  | 'withdraw'
  | 're-accept'
  | 'cut-over'
  | 'contain'
  | 'lift'
  | 'destroy';

export interface SimulatedFence {
  readonly slot: number;
  readonly step: number;
}

export interface EffectCall {
  readonly effect: SimulatedEffect;
  readonly versions: readonly string[];
  /** Of a switch: per cent, 100 where it is absent. */
  readonly share?: number;
  /** Idempotency key: `<stream>/<step>`. */
  readonly key: string;
  readonly attemptId: string;
  readonly fence: SimulatedFence;
  readonly begunAt: number;
  /** Of a lift: the key of the containment it takes back. */
  readonly containedBy?: string;
}

export interface SimulatedVersion {
  readonly versionId: string;
  readonly createdAt: string;
  readonly accepted: boolean;
  readonly emittingShare: number;
  readonly destroyed?: boolean;
}

export interface LedgerRow {
  readonly key: string;
  readonly effect: SimulatedEffect;
  readonly versions: readonly string[];
  readonly at: number;
}

/** What an effect changed: what the laws look at. */
export interface BackEndChange {
  readonly call: EffectCall;
  readonly at: number;
  /** It took effect after its caller had stopped waiting for it. */
  readonly late: boolean;
  readonly acceptedBefore: readonly string[];
  readonly acceptedAfter: readonly string[];
  readonly emitting: readonly string[];
}

export class BackEndFault extends Error {
  constructor(
    readonly errorClass: 'transient' | 'auth' | 'config' | 'quota' | 'not-found' | 'unknown' | 'fenced',
    message: string,
  ) {
    super(message);
  }
}

export class SimulatedBackEnd {
  versions: readonly SimulatedVersion[] = [];
  denies: readonly { readonly versionId: string; readonly by: string }[] = [];
  ledger: readonly LedgerRow[] = [];
  readonly changes: BackEndChange[] = [];
  /** Calls that came although the effect was durable already. */
  readonly repeats: EffectCall[] = [];
  #fence: (SimulatedFence & { readonly attemptId: string }) | undefined;
  #pending: readonly { readonly call: EffectCall; readonly landsAt: number }[] = [];

  constructor(
    readonly onChange: (change: BackEndChange) => void,
    before: readonly string[],
    now: number,
  ) {
    this.versions = before.map((versionId, index) => ({
      versionId,
      createdAt: formatInstant(now),
      accepted: true,
      emittingShare: index === before.length - 1 ? 100 : 0,
    }));
  }

  get denied(): readonly string[] {
    return [...new Set(this.denies.map((deny) => deny.versionId))];
  }

  /** What verifiers accept: denied versions are left out, whatever is accepted. */
  accepted(): readonly string[] {
    return this.versions
      .filter((version) => version.accepted && !this.denied.includes(version.versionId))
      .map((version) => version.versionId);
  }

  /** What is signed with now; what is denied is not signed with any more. */
  emitting(): readonly string[] {
    return this.versions
      .filter((version) => version.emittingShare > 0 && !this.denied.includes(version.versionId))
      .map((version) => version.versionId);
  }

  snapshots(): readonly VersionSnapshot[] {
    return this.versions.map((version) => ({
      ...version,
      algorithm: 'ES256',
      compromised: false,
      destroyed: version.destroyed === true,
    }));
  }

  find(versionId: string): SimulatedVersion | undefined {
    return this.versions.find((version) => version.versionId === versionId);
  }

  entry(key: string): LedgerRow | undefined {
    return this.ledger.find((row) => row.key === key);
  }

  raise(fence: SimulatedFence, attemptId: string): void {
    const newest = this.#fence;
    if (newest !== undefined) {
      const order = fence.slot - newest.slot || fence.step - newest.step;
      if (order < 0 || (order === 0 && attemptId !== newest.attemptId)) {
        throw new BackEndFault('fenced', 'a newer attempt was seen');
      }
    }
    this.#fence = { ...fence, attemptId };
  }

  apply(call: EffectCall, now: number, late = false): void {
    if (call.effect !== 'contain') this.raise(call.fence, call.attemptId);
    if (this.entry(call.key) !== undefined) {
      this.repeats.push(call);
      return;
    }
    const acceptedBefore = this.accepted();
    this.#change(call, now);
    this.ledger = [...this.ledger, { key: call.key, effect: call.effect, versions: call.versions, at: now }];
    const change = {
      call,
      at: now,
      late,
      acceptedBefore,
      acceptedAfter: this.accepted(),
      emitting: this.emitting(),
    };
    this.changes.push(change);
    this.onChange(change);
  }

  /** The request is on its way and takes effect later, unless it is refused then. */
  applyLater(call: EffectCall, landsAt: number): void {
    this.#pending = [...this.#pending, { call, landsAt }];
  }

  nextLanding(): number | undefined {
    return this.#pending.length === 0 ? undefined : Math.min(...this.#pending.map((each) => each.landsAt));
  }

  land(now: number): void {
    const due = this.#pending.filter((each) => each.landsAt <= now);
    this.#pending = this.#pending.filter((each) => each.landsAt > now);
    for (const { call } of due) {
      try {
        this.apply(call, now, true);
      } catch (error) {
        if (!(error instanceof BackEndFault)) throw error;
      }
    }
  }

  #change(call: EffectCall, now: number): void {
    const known = this.versions.filter((version) => call.versions.includes(version.versionId));
    const change = (of: (version: SimulatedVersion) => Partial<SimulatedVersion>): void => {
      this.versions = this.versions.map((version) => ({ ...version, ...of(version) }));
    };
    switch (call.effect) {
      case 'generate':
        if (known.length > 0) throw new BackEndFault('config', 'it exists already');
        this.versions = [
          ...this.versions,
          ...call.versions.map((versionId) => ({
            versionId,
            createdAt: formatInstant(now),
            accepted: false,
            emittingShare: 0,
          })),
        ];
        return;
      case 'publish':
        this.#acceptable(call, known.length);
        change((version) => (call.versions.includes(version.versionId) ? { accepted: true } : {}));
        return;
      case 'switch-emission':
        this.#acceptable(call, known.length);
        if (known.some((version) => !version.accepted)) {
          throw new BackEndFault('config', 'it is not accepted: publish it first');
        }
        this.#emitWith(call.versions, call.share ?? 100);
        return;
      case 're-accept':
        this.#acceptable(call, known.length);
        change((version) => (call.versions.includes(version.versionId) ? { accepted: true } : {}));
        return;
      case 'cut-over':
        this.#acceptable(call, known.length);
        change((version) => {
          const stays = call.versions.includes(version.versionId);
          return { accepted: stays, emittingShare: stays ? 100 : 0 };
        });
        return;
      case 'withdraw':
        if (known.length === 0) throw new BackEndFault('not-found', 'no such version');
        if (known.some((version) => version.emittingShare > 0 && !this.denied.includes(version.versionId))) {
          throw new BackEndFault('config', 'it is emitting: switch emission first, or contain it');
        }
        change((version) =>
          call.versions.includes(version.versionId) ? { accepted: false, emittingShare: 0 } : {},
        );
        return;
      case 'contain':
        this.denies = [...this.denies, ...call.versions.map((versionId) => ({ versionId, by: call.key }))];
        return;
      case 'lift':
        this.denies = this.denies.filter(
          (deny) => deny.by !== call.containedBy || !call.versions.includes(deny.versionId),
        );
        return;
      case 'destroy':
        if (known.length < call.versions.length) throw new BackEndFault('not-found', 'no such version');
        if (known.some((version) => version.accepted || version.emittingShare > 0)) {
          throw new BackEndFault('config', 'it is accepted: withdraw it first');
        }
        change((version) => (call.versions.includes(version.versionId) ? { destroyed: true } : {}));
    }
  }

  #emitWith(versions: readonly string[], share: number): void {
    const rest = [...this.versions]
      .filter((version) => !versions.includes(version.versionId) && version.emittingShare > 0)
      .sort((left, right) => right.emittingShare - left.emittingShare)[0];
    if (share < 100 && rest === undefined) throw new BackEndFault('config', 'nothing else emits');
    this.versions = this.versions.map((version) => ({
      ...version,
      emittingShare: versions.includes(version.versionId)
        ? share
        : version.versionId === rest?.versionId
          ? 100 - share
          : 0,
    }));
  }

  #acceptable(call: EffectCall, known: number): void {
    if (known < call.versions.length || known === 0) throw new BackEndFault('not-found', 'no such version');
    if (call.versions.some((versionId) => this.denied.includes(versionId))) {
      throw new BackEndFault('config', 'it is contained and is never accepted again');
    }
    if (this.versions.some((version) => call.versions.includes(version.versionId) && version.destroyed)) {
      throw new BackEndFault('config', 'it is destroyed');
    }
  }
}
