import { Catch, Inject, Logger, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { Keyturn } from '../composition.js';
import { KEYTURN } from '../injection-tokens.js';
import { answerTo, OF_BACK_ENDS, type Answer } from './problems.js';
import { contextOf, type HttpReply, type HttpRequest } from './request-context.js';

/** Answers every error as a problem (RFC 9457), and writes down what was nobody's fault but ours. */
@Catch()
export class ProblemDetailsFilter implements ExceptionFilter {
  readonly #logger = new Logger('Http');

  constructor(@Inject(KEYTURN) private readonly keyturn: Keyturn) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<HttpRequest>();
    const reply = http.getResponse<HttpReply>();
    const correlationId = contextOf(request)?.correlationId ?? this.keyturn.ids.random();
    const answer = answerTo(error, { correlationId, ifMatch: request.headers['if-match'] !== undefined });
    const { status, code } = answer.problem;
    if (status >= 500 && !OF_BACK_ENDS.includes(code)) {
      const stack = error instanceof Error ? error.stack : undefined;
      this.#logger.error('request failed', { code, correlationId, route: request.routeOptions.url, stack });
    }
    // A stream that broke in the middle: its end is cut off, which is all that can still be said.
    if (!reply.sent) sendProblem(reply, answer);
  }
}

export function sendProblem(reply: Omit<HttpReply, 'sent'>, { problem, retryAfterSeconds }: Answer): void {
  reply
    .code(problem.status)
    .header('content-type', 'application/problem+json')
    .header('cache-control', 'no-store');
  if (retryAfterSeconds !== undefined) reply.header('retry-after', String(retryAfterSeconds));
  // As bytes: to a text Fastify would add a charset, which JSON does not have.
  reply.send(Buffer.from(JSON.stringify(problem)));
}
