import { BackendError, type Attempt, type KeyBackend, type Observation } from '#custody';

/** The calls a saga's steps make; each may be told to fail. */
export type FaultyCall =
  | 'generate'
  | 'publish'
  | 'switchEmission'
  | 'withdraw'
  | 'reAccept'
  | 'cutOver'
  | 'contain'
  | 'lift'
  | 'destroy'
  | 'probe';

/**
 * `passes`: nothing happens to this one. `refused`: it says so and does nothing (a busy server). `answer-lost`: it does it, and whoever asked cannot tell
 * (a connection that broke).
 */
export type Fault = 'passes' | 'refused' | 'answer-lost';

/** A back end whose next calls fail as planned; otherwise the one it stands before. */
export class FaultyBackEnd implements KeyBackend {
  /** Nobody reaches it, not even to look. */
  away = false;
  /** Where a test gives it one, it wants what deletes supplied. */
  supplyDestroyer?: NonNullable<KeyBackend['supplyDestroyer']>;
  dismissDestroyer?: NonNullable<KeyBackend['dismissDestroyer']>;
  readonly #real: KeyBackend;
  readonly #planned = new Map<FaultyCall, Fault[]>();

  constructor(real: KeyBackend) {
    this.#real = real;
  }

  get declaration(): KeyBackend['declaration'] {
    return this.#real.declaration;
  }

  /** The next `times` calls of this kind fail so, after those already planned. */
  plan(call: FaultyCall, fault: Fault, times = 1): void {
    const planned = this.#planned.get(call) ?? [];
    this.#planned.set(call, [...planned, ...Array.from({ length: times }, () => fault)]);
  }

  /** Faults that did not happen yet: a run that leaves some did not go where it was sent. */
  get outstanding(): number {
    return [...this.#planned.values()].reduce((sum, faults) => sum + faults.length, 0);
  }

  generate(
    attempt: Attempt,
    input: Parameters<KeyBackend['generate']>[1],
  ): ReturnType<KeyBackend['generate']> {
    return this.#through('generate', () => this.#real.generate(attempt, input));
  }

  publish(attempt: Attempt, input: Parameters<KeyBackend['publish']>[1]): ReturnType<KeyBackend['publish']> {
    return this.#through('publish', () => this.#real.publish(attempt, input));
  }

  switchEmission(
    attempt: Attempt,
    input: Parameters<KeyBackend['switchEmission']>[1],
  ): ReturnType<KeyBackend['switchEmission']> {
    return this.#through('switchEmission', () => this.#real.switchEmission(attempt, input));
  }

  withdraw(
    attempt: Attempt,
    input: { readonly versions: readonly string[] },
  ): ReturnType<KeyBackend['withdraw']> {
    return this.#through('withdraw', () => this.#real.withdraw(attempt, input));
  }

  reAccept(
    attempt: Attempt,
    input: { readonly versions: readonly string[] },
  ): ReturnType<KeyBackend['reAccept']> {
    return this.#through('reAccept', () => this.#real.reAccept(attempt, input));
  }

  cutOver(attempt: Attempt, input: Parameters<KeyBackend['cutOver']>[1]): ReturnType<KeyBackend['cutOver']> {
    return this.#through('cutOver', () => this.#real.cutOver(attempt, input));
  }

  contain(
    attempt: Attempt,
    input: { readonly versions: readonly string[] },
  ): ReturnType<KeyBackend['contain']> {
    return this.#through('contain', () => this.#real.contain(attempt, input));
  }

  lift(attempt: Attempt, input: Parameters<KeyBackend['lift']>[1]): ReturnType<KeyBackend['lift']> {
    return this.#through('lift', () => this.#real.lift(attempt, input));
  }

  destroy(
    attempt: Attempt,
    input: { readonly versions: readonly string[] },
  ): ReturnType<KeyBackend['destroy']> {
    return this.#through('destroy', () => this.#real.destroy(attempt, input));
  }

  async observe(object: string, options?: Parameters<KeyBackend['observe']>[1]): Promise<Observation> {
    this.#reach('observe');
    return this.#real.observe(object, options);
  }

  probe(object: string, input: Parameters<KeyBackend['probe']>[1]): ReturnType<KeyBackend['probe']> {
    return this.#through('probe', () => this.#real.probe(object, input));
  }

  #reach(call: string): void {
    if (this.away) throw new BackendError('transient', `${call}: it cannot be reached, as the test planned`);
  }

  async #through<T>(call: FaultyCall, work: () => Promise<T>): Promise<T> {
    this.#reach(call);
    const fault = this.#planned.get(call)?.shift();
    if (fault === 'refused') throw new BackendError('transient', `${call}: busy, as the test planned`);
    const done = await work();
    if (fault === 'answer-lost')
      throw new BackendError('unknown', `${call}: the answer was lost, as planned`);
    return done;
  }
}
