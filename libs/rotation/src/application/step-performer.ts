import { BackendError, type Attempt, type BackendErrorClass, type KeyBackend } from '#custody';
import {
  formatInstant,
  SYSTEM_ACTOR,
  WrongExpectedRevisionError,
  type NewEvent,
  type RecordedEvent,
} from '#eventlog';
import type { Cause, StreamPosition } from '#eventlog/kit';
import { failpoint } from '#platform';
import { LEASE_MS } from '../domain/saga/attempts.js';
import type { Perform } from '../domain/saga/view.js';
import type { NewStepEvent, StepName } from '../domain/step.events.js';
import { shareOf } from '../domain/steps.state.js';
import { alreadySo, outcomeOf, type StepDone, type StepVersions } from '../domain/step-effects.js';
import { stepTable } from '../domain/step-table.js';
import type { Ledger } from './ledger.js';

/** What one step acts on, resolved from the plan before its intent is written. */
export interface StepTarget {
  readonly stream: string;
  /** Position the decision was made at. */
  readonly history: StreamPosition;
  readonly correlationId: string;
  readonly familyId: string;
  readonly backEnd: KeyBackend;
  readonly object: string;
  /** Revision of the `RotationOpened` or `SlotTaken` that allows it. */
  readonly slot: number;
  readonly versions: StepVersions;
  /** Of a cohort: the share it brings emission to. */
  readonly share?: number;
  readonly maxAgeSeconds: number;
  readonly trustTerm?: string;
  /** An earlier bound, where a containment set one. */
  readonly trustEndsAt?: number;
  /** Streams the decision read, with their revisions; read again between intent and effect. */
  readonly view: Readonly<Record<string, number>>;
}

/** The back end is known to be away: nothing was begun, and nothing recorded. */
export class BackEndAwayError extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'BackEndAwayError';
  }
}

/** Between two looks at a back end that is away; each asks it nothing and records nothing. */
export const AWAY_MS = 30_000;

/** What an effect or an observation found out. */
type Done = Omit<StepDone, 'attemptId' | 'backEndAt'> & {
  readonly at: string;
  readonly probe?: Awaited<ReturnType<KeyBackend['probe']>>;
};

/**
 * Performs one attempt of one step: intent on disk, the view read once more, the effect under a lease with the step's
 * idempotency key and the attempt's fence, then the outcome, re-read past unrelated events. After an earlier attempt the
 * back end is observed first, with the fence raised, so that a frozen worker changes nothing behind the observer's back.
 */
export class StepPerformer {
  constructor(
    private readonly ledger: Ledger,
    private readonly worker: string,
  ) {}

  /**
   * `signal` tells the worker to stop: an effect that has not begun does not begin. Throws `BackEndAwayError`, before any intent, while
   * the back end is known to be away: an attempt that can only fail is not worth an event.
   */
  async perform(target: StepTarget, decision: Perform, signal: AbortSignal): Promise<void> {
    const { step, attempt } = decision;
    const away = target.backEnd.unavailable?.({
      object: target.object,
      key: effectKey(target.stream, step, target.share),
      effect: stepTable[step].effect,
      versions: target.versions.subject,
    });
    if (away !== undefined) throw new BackEndAwayError(away);
    const { clock, ids } = this.ledger.store;
    const attemptId = ids.random();
    const leaseUntil = clock.now() + LEASE_MS;
    const started: NewStepEvent = {
      type: 'StepStarted',
      data: {
        step,
        attempt,
        worker: this.worker,
        leaseUntil: formatInstant(leaseUntil),
        view: { ...target.view },
        observesFirst: decision.observesFirst,
        ...(decision.passed.length === 0 ? {} : { passed: [...decision.passed] }),
        ...(target.share === undefined ? {} : { share: target.share }),
      },
    };
    failpoint(`step:${step}:before-intent`);
    const events: readonly NewEvent[] = [...decision.gates, started];
    const eventIds = [...decision.gates.map(() => ids.random()), attemptId];
    const intent = await this.ledger.store.append(
      target.history,
      events,
      this.#cause(target, decision.dueTo),
      {
        eventIds,
      },
    );
    const revision = intent.revision;

    const moved = await this.#moved(target, revision);
    if (moved !== undefined && !decision.settleOnly) {
      await this.#fail(target, step, attempt, attemptId, 'no', 'view-moved', `${moved} has moved`);
      return;
    }

    const fence = { slot: target.slot, step: revision };
    const lease = new AbortController();
    const stop = (): void => {
      lease.abort();
    };
    signal.addEventListener('abort', stop, { once: true });
    const timer = setTimeout(stop, LEASE_MS);
    timer.unref();
    try {
      if (signal.aborted) stop();
      const call: Attempt = {
        object: target.object,
        familyId: target.familyId,
        key: effectKey(target.stream, step, target.share),
        attemptId,
        fence,
        signal: lease.signal,
      };
      // Whatever became of an earlier attempt, and whether anybody answers: nobody is served the key any longer.
      if (step === 'contain') target.backEnd.leaveOut?.(call, { versions: target.versions.subject });
      const observed = decision.observesFirst ? await this.#observe(target, step, call) : undefined;
      if (observed === undefined && decision.settleOnly) {
        await this.#fail(target, step, attempt, attemptId, 'no', 'not-done', 'observed: it had not happened');
        return;
      }
      failpoint(`step:${step}:before-effect`);
      const done = observed ?? (await this.#effect(target, step, call));
      failpoint(`step:${step}:after-effect`);
      await this.#conclude(target, step, attempt, attemptId, done);
      failpoint(`step:${step}:after-outcome`);
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      await this.#failed(target, step, attempt, attemptId, error);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
      // Whatever is still on its way after an unanswered call must not begin any more.
      stop();
    }
  }

  #cause(target: StepTarget, causationId: string): Cause {
    return {
      actor: SYSTEM_ACTOR,
      correlationId: target.correlationId,
      causationId,
      origin: { via: 'saga' },
    };
  }

  /** Reads the view's streams once more; the name of one that moved past the revision in the intent. */
  async #moved(target: StepTarget, intentRevision: number): Promise<string | undefined> {
    for (const [stream, revision] of Object.entries(target.view)) {
      const now = await this.ledger.store.read(stream);
      if (now.revision !== (stream === target.stream ? intentRevision : revision)) return stream;
    }
    return undefined;
  }

  /** Done by us, done by somebody else, or not done. */
  async #observe(target: StepTarget, step: StepName, call: Attempt): Promise<Done | undefined> {
    if (stepTable[step].effect === 'probe') return undefined;
    const seen = await target.backEnd.observe(target.object, {
      key: call.key,
      // A containment needs no slot, so it has no place among the fences; its deny set only grows.
      ...(step === 'contain' ? {} : { raise: { fence: call.fence, attemptId: call.attemptId } }),
    });
    if (seen.served !== undefined && !seen.served.agrees) return undefined;
    const made = seen.versions.find((version) => version.versionId === target.versions.incoming);
    const generated =
      step === 'generate' && made !== undefined
        ? {
            generated: {
              algorithm: made.algorithm,
              strengthBits: made.strengthBits,
              fingerprint: made.fingerprint,
            },
          }
        : {};
    if (seen.entry !== undefined) {
      return { at: seen.entry.at, settledBy: 'observation', provenance: 'performed', ...generated };
    }
    if (!alreadySo(step, target.versions, seen.versions, target.share)) return undefined;
    // It is so, and nothing says that we did it: recorded as observed, not claimed as performed.
    return {
      at: formatInstant(this.ledger.store.clock.now()),
      settledBy: 'observation',
      provenance: 'observed',
      ...generated,
    };
  }

  async #effect(target: StepTarget, step: StepName, call: Attempt): Promise<Done> {
    const { backEnd, versions } = target;
    const answered = { settledBy: 'answer', provenance: 'performed' } as const;
    const { effect } = stepTable[step];
    switch (effect) {
      case 'generate': {
        const { algorithm } = versions;
        if (algorithm === undefined) throw new BackendError('config', 'the plan names no algorithm');
        const made = await this.#bounded(target, effect, () =>
          backEnd.generate(call, { versionId: first(versions.subject), algorithm }),
        );
        const { strengthBits, fingerprint } = made;
        return {
          ...answered,
          at: made.at,
          generated: { algorithm: made.algorithm, strengthBits, fingerprint },
        };
      }
      case 'publish': {
        const { at } = await this.#bounded(target, effect, () =>
          backEnd.publish(call, { versions: versions.subject, maxAgeSeconds: target.maxAgeSeconds }),
        );
        return { ...answered, at };
      }
      case 'switch-emission': {
        const { at } = await this.#bounded(target, effect, () =>
          backEnd.switchEmission(call, {
            to: first(versions.subject),
            ...(target.share === undefined ? {} : { share: target.share }),
          }),
        );
        return { ...answered, at };
      }
      case 'withdraw':
        try {
          const { at } = await this.#bounded(target, effect, () =>
            backEnd.withdraw(call, { versions: versions.subject }),
          );
          return { ...answered, at };
        } catch (error) {
          // What the back end does not know it does not accept: on revoke "not found" is success.
          if (!(error instanceof BackendError) || error.errorClass !== 'not-found') throw error;
          return {
            at: formatInstant(this.ledger.store.clock.now()),
            settledBy: 'observation',
            provenance: 'observed',
          };
        }
      case 're-accept': {
        const { at } = await this.#bounded(target, effect, () =>
          backEnd.reAccept(call, { versions: versions.subject }),
        );
        return { ...answered, at };
      }
      case 'cut-over': {
        const { at } = await this.#bounded(target, effect, () =>
          backEnd.cutOver(call, { to: first(versions.subject), maxAgeSeconds: target.maxAgeSeconds }),
        );
        return { ...answered, at };
      }
      case 'contain': {
        const { at } = await this.#bounded(target, effect, () =>
          backEnd.contain(call, { versions: versions.subject }),
        );
        return { ...answered, at };
      }
      case 'lift': {
        // Each containment takes back what it denied itself: that is how the two keys belong together.
        const containedBy = effectKey(target.stream, 'contain', undefined);
        const { at } = await this.#bounded(target, effect, () =>
          backEnd.lift(call, { versions: versions.subject, containedBy }),
        );
        return { ...answered, at };
      }
      case 'destroy': {
        const { at } = await this.#bounded(target, effect, () =>
          backEnd.destroy(call, { versions: versions.subject }),
        );
        return { ...answered, at };
      }
      case 'probe': {
        const probe = await backEnd.probe(target.object, {
          refused: versions.subject,
          accepted: versions.accepted,
        });
        return {
          settledBy: 'answer',
          provenance: 'observed',
          at: formatInstant(this.ledger.store.clock.now()),
          probe,
          refused: probe.refused.map(({ versionId, how }) => ({ versionId, how: oneLine(how) })),
          accepted: probe.accepted.map(({ versionId, how }) => ({ versionId, how: oneLine(how) })),
        };
      }
    }
  }

  /** An answer later than the back end's declared longest request is no answer: the outcome is unknown. */
  async #bounded<T>(
    target: StepTarget,
    effect: Exclude<(typeof stepTable)[StepName]['effect'], 'probe'>,
    call: () => Promise<T>,
  ): Promise<T> {
    const { longestRequestMs } = target.backEnd.declaration.effects[effect];
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        reject(new BackendError('unknown', `${effect} was not answered within ${longestRequestMs} ms`));
      }, longestRequestMs);
    });
    try {
      return await Promise.race([call(), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #conclude(
    target: StepTarget,
    step: StepName,
    attempt: number,
    attemptId: string,
    done: Done,
  ): Promise<void> {
    const refuted = done.probe === undefined ? undefined : refutation(done.probe);
    if (refuted !== undefined) {
      await this.#fail(target, step, attempt, attemptId, 'no', 'refuted', refuted);
      return;
    }
    const now = this.ledger.store.clock.now();
    const outcome = outcomeOf({
      step,
      versions: target.versions,
      share: target.share,
      trustTerm: target.trustTerm,
      trustEndsAt: target.trustEndsAt,
      done: { ...done, attemptId, backEndAt: done.at },
      now,
    });
    await this.#appendPastOthers(target, outcome, attemptId, (since) =>
      since.some((event) => event.type === outcome.type && shareOf(event) === shareOf(outcome)),
    );
  }

  async #failed(
    target: StepTarget,
    step: StepName,
    attempt: number,
    attemptId: string,
    error: BackendError,
  ): Promise<void> {
    const performed = error.errorClass === 'unknown' ? 'unknown' : 'no';
    await this.#fail(target, step, attempt, attemptId, performed, error.errorClass, error.message);
  }

  async #fail(
    target: StepTarget,
    step: StepName,
    attempt: number,
    attemptId: string,
    performed: 'no' | 'unknown',
    errorClass: BackendErrorClass | 'view-moved' | 'not-done' | 'refuted',
    reason: string,
  ): Promise<void> {
    const failed: NewStepEvent = {
      type: 'StepFailed',
      data: { step, attempt, performed, errorClass, reason: oneLine(reason) },
    };
    await this.#appendPastOthers(target, failed, attemptId);
  }

  /**
   * An outcome is always recordable: requests that arrived meanwhile are read past, never overwritten. What whoever took
   * over recorded since our intent is not said twice.
   */
  async #appendPastOthers(
    target: StepTarget,
    event: NewEvent,
    attemptId: string,
    said: (since: readonly RecordedEvent[]) => boolean = () => false,
  ): Promise<void> {
    for (;;) {
      const at = await this.ledger.store.read(target.stream);
      const intent = at.events.findIndex((each) => each.id === attemptId);
      if (said(at.events.slice(intent + 1))) return;
      try {
        await this.ledger.store.append(at, [event], this.#cause(target, attemptId));
        return;
      } catch (error) {
        if (!(error instanceof WrongExpectedRevisionError)) throw error;
      }
    }
  }
}

/** The same for every attempt of one step; a cohort is a step of its own. */
export function effectKey(stream: string, step: StepName, share: number | undefined): string {
  return share === undefined ? `${stream}/${step}` : `${stream}/${step}/${share}`;
}

function first(versions: readonly string[]): string {
  const [version] = versions;
  if (version === undefined) throw new BackendError('config', 'the plan names no version for this step');
  return version;
}

function oneLine(text: string): string {
  return (
    text
      .replace(/\p{Cc}+/gu, ' ')
      .trim()
      .slice(0, 500) || 'no reason was given'
  );
}

function refutation(probe: Awaited<ReturnType<KeyBackend['probe']>>): string | undefined {
  const stillAccepted = probe.refused.find((entry) => !entry.refused);
  if (stillAccepted !== undefined) {
    return `version ${stillAccepted.versionId} is still accepted: ${stillAccepted.how}`;
  }
  const refused = probe.accepted.find((entry) => !entry.accepted);
  return refused === undefined ? undefined : `version ${refused.versionId} is not accepted: ${refused.how}`;
}
