import { sendProblem } from './problem-details.filter.js';
import { answerTo } from './problems.js';
import { contextOf, type HttpReply } from './request-context.js';
import { DomainError } from '#eventlog';

/** The requests that have no answer yet. */
export class InFlight {
  readonly #replies = new Map<object, HttpReply>();

  #closing = false;

  /** From now on each answer is the last one on its connection: an idle one would hold up the end. */
  beginClosing(): void {
    this.#closing = true;
  }

  get closing(): boolean {
    return this.#closing;
  }

  enter(request: object, reply: HttpReply): void {
    this.#replies.set(request, reply);
  }

  leave(request: object): void {
    this.#replies.delete(request);
  }

  /** Gives up on all of them. What they were about to record they may still record; a repeat with the same key finds it. */
  refuseAll(): void {
    for (const [raw, reply] of this.#replies) {
      if (reply.sent) continue;
      const error = new DomainError(
        'service.stopping',
        'The service is stopping; repeat the request with the same Idempotency-Key',
      );
      const correlationId = contextOf({ raw })?.correlationId ?? '';
      reply.header('connection', 'close');
      sendProblem(reply, answerTo(error, { correlationId, ifMatch: false }));
    }
  }
}
