import { z } from 'zod';
import type { ApplyChain, ApplyObject, ApplyPlan, ApplyRequest } from '#rotation';
import { CliFailure, ProblemError, UnavailableError, type Problem } from './failures.js';
import type { Session } from './session.js';

export interface Outcome {
  readonly object: ApplyObject;
  readonly result: 'done' | 'refused' | 'not tried';
  /** Of what was refused. */
  readonly problem?: Problem;
}

export interface Sent {
  readonly outcomes: readonly Outcome[];
  /** What ended it before its end: the service is away, the token is not taken, somebody pressed Ctrl-C. */
  readonly ended?: CliFailure;
}

/** Chains under way at once: enough that the service's appends share their writes, few enough that people come through. */
const AT_ONCE = 8;

/** Waits before a request that got no answer is sent again, under its own key. */
const AGAIN_AFTER_MS = [250, 1_000, 4_000];
const PASSING = [429, 502, 503, 504];

/** Sends what is planned: policies first, then families side by side. What is refused holds up what depends on it alone. */
export async function sendPlan(
  session: Session,
  plan: ApplyPlan,
  onOutcome: (outcome: Outcome) => void,
): Promise<Sent> {
  const run = new ApplyRun(session, onOutcome);
  await run.all(plan.policies);
  await run.all(plan.families);
  return { outcomes: run.outcomes, ...(run.ended === undefined ? {} : { ended: run.ended }) };
}

const placedSchema = z.looseObject({ revision: z.number() });

class ApplyRun {
  readonly outcomes: Outcome[] = [];
  ended: CliFailure | undefined;

  constructor(
    private readonly session: Session,
    private readonly onOutcome: (outcome: Outcome) => void,
  ) {}

  async all(chains: readonly ApplyChain[]): Promise<void> {
    const waiting = chains.filter(({ objects }) => objects.some(({ requests }) => requests.length > 0));
    const next = waiting.values();
    const worker = async (): Promise<void> => {
      for (const chain of next) await this.#chain(chain);
    };
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, waiting.length) }, worker));
  }

  async #chain({ revision, objects }: ApplyChain): Promise<void> {
    let at = revision;
    let created = true;
    for (const object of objects) {
      if (object.requests.length === 0) continue;
      if (!created || this.ended !== undefined) {
        this.#settle({ object, result: 'not tried' });
        continue;
      }
      try {
        for (const request of object.requests) at = await this.#send(request, at);
        this.#settle({ object, result: 'done' });
      } catch (error) {
        if (!(error instanceof CliFailure)) throw error;
        if (error instanceof ProblemError && error.status < 500 && error.status !== 401) {
          // Its consumers have nowhere to go.
          created = !(object.what === 'family' && object.action === 'create');
          this.#settle({ object, result: 'refused', problem: error.problem });
        } else {
          this.ended ??= error;
          this.#settle({ object, result: 'not tried' });
        }
      }
    }
  }

  #settle(outcome: Outcome): void {
    this.outcomes.push(outcome);
    this.onOutcome(outcome);
  }

  /** Answers the revision it left. A change is made of what the plan saw: what moved since is refused, not overwritten. */
  async #send(request: ApplyRequest, revision: number | undefined): Promise<number> {
    const { method, path, body, idempotencyKey } = request;
    const { client, around } = this.session;
    const options = { body, idempotencyKey, ifMatch: revision };
    for (const wait of AGAIN_AFTER_MS) {
      try {
        return (await client.send(method, path, placedSchema, options)).revision;
      } catch (error) {
        const passing =
          (error instanceof ProblemError && PASSING.includes(error.status)) ||
          (error instanceof UnavailableError && error.kind !== 'refused');
        if (!passing) throw error;
        await around.sleep(wait, around.interrupted);
      }
    }
    return (await client.send(method, path, placedSchema, options)).revision;
  }
}
