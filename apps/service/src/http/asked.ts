import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { CommandContext } from './command-context.js';
import { ifMatchOf } from './etag.js';
import { commandOf, header, type HttpReply, type HttpRequest } from './request-context.js';

/** What every request that changes something comes with, beside its path and its body. */
export interface Asked {
  readonly command: CommandContext;
  /** The revision its caller has seen (`If-Match`); `undefined`: whichever there is. */
  readonly expected: number | undefined;
  /** For what the answer says in its head: the revision, where the log stands. */
  readonly reply: HttpReply;
}

/** Only on routes that require a permission and are not read only. */
export const Asked = createParamDecorator((_: unknown, execution: ExecutionContext): Asked => {
  const http = execution.switchToHttp();
  const request = http.getRequest<HttpRequest>();
  return {
    command: commandOf(request),
    expected: ifMatchOf(header(request, 'if-match')),
    reply: http.getResponse<HttpReply>(),
  };
});
