import { AsyncLocalStorage } from 'node:async_hooks';
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Principal } from '#access';
import type { CommandContext } from './command-context.js';

/** What of Fastify's request is used here. */
export interface HttpRequest {
  readonly raw: object;
  readonly method: string;
  /** As it was sent, with its query. */
  readonly url: string;
  readonly ip: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly query?: unknown;
  readonly body?: unknown;
  readonly routeOptions: { readonly url?: string | undefined };
}

/** What of Fastify's reply is used here. */
export interface HttpReply {
  readonly sent: boolean;
  code(status: number): this;
  header(name: string, value: string): this;
  send(payload?: unknown): this;
}

/** What is known of the request under way. */
export interface RequestContext {
  /** The command id for a command, so that log lines and events meet; else random. */
  correlationId: string;
  principal?: Principal;
  command?: CommandContext;
}

const contexts = new WeakMap<object, RequestContext>();
const current = new AsyncLocalStorage<RequestContext>();

export function openContext(request: Pick<HttpRequest, 'raw'>, correlationId: string): RequestContext {
  const context = { correlationId };
  contexts.set(request.raw, context);
  return context;
}

/** Every request has one from its first hook on; what fails before that has none. */
export function contextOf(request: Pick<HttpRequest, 'raw'>): RequestContext | undefined {
  return contexts.get(request.raw);
}

/** Runs `next` so that `currentContext` finds the request's. */
export function within(request: Pick<HttpRequest, 'raw'>, next: () => void): void {
  const context = contextOf(request);
  if (context === undefined) next();
  else current.run(context, next);
}

export function currentContext(): RequestContext | undefined {
  return current.getStore();
}

export function header(request: Pick<HttpRequest, 'headers'>, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}

/** Whoever the request comes from; only on routes that require a permission. */
export const Caller = createParamDecorator((_: unknown, execution: ExecutionContext): Principal => {
  const principal = contextOf(execution.switchToHttp().getRequest<HttpRequest>())?.principal;
  if (principal === undefined) throw new Error('@Caller on a route without a permission');
  return principal;
});

/** The command this request is; only on routes that require a permission and are not read only. */
export function commandOf(request: Pick<HttpRequest, 'raw'>): CommandContext {
  const command = contextOf(request)?.command;
  if (command === undefined) throw new Error('a command was asked for on a route that is none');
  return command;
}

export const RequestCommand = createParamDecorator(
  (_: unknown, execution: ExecutionContext): CommandContext =>
    commandOf(execution.switchToHttp().getRequest<HttpRequest>()),
);
