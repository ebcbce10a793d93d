import type { Socket } from 'node:net';
import { Logger } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import 'reflect-metadata';
import { AppModule } from './app.module.js';
import type { Keyturn } from './composition.js';
import { readJson } from './http/json-body.js';
import { loggerOf } from './http/logger.js';
import type { ApiDocument } from './http/openapi.js';
import { sendProblem } from './http/problem-details.filter.js';
import { answerTo } from './http/problems.js';
import { contextOf, openContext, within, type HttpReply, type HttpRequest } from './http/request-context.js';
import { RouteTable, type Route } from './http/route-table.js';
import { InFlight } from './http/in-flight.js';
import { OPENAPI_DOCUMENT } from './injection-tokens.js';
import { DomainError } from '#eventlog';

/** What one client may cost. Node and Fastify leave most of these open. */
export const LIMITS = {
  bodyBytes: 1024 * 1024,
  headerBytes: 16 * 1024,
  headersTimeoutMs: 15_000,
  /** From the first byte to the last one of a request. */
  requestTimeoutMs: 30_000,
  /** A socket on which nothing moves. Whoever streams sends something more often. */
  connectionTimeoutMs: 60_000,
  keepAliveTimeoutMs: 10_000,
  connections: 1_000,
  pathPartLength: 200,
} as const;

/** Answered where no request could be made of what was sent: there is no route, no context and no correlation id. */
const UNREADABLE = JSON.stringify({
  type: 'urn:keyturn:problem:request.malformed',
  title: 'Bad Request',
  status: 400,
  detail: 'What was sent is no HTTP request that could be read here, or came too slowly',
  code: 'request.malformed',
});

export interface CreatedApp {
  readonly app: NestFastifyApplication;
  readonly routes: readonly Route[];
  readonly inFlight: InFlight;
}

/** The HTTP application over an opened Keyturn, ready to listen. */
export async function createApp(keyturn: Keyturn): Promise<NestFastifyApplication> {
  return (await assembleApp(keyturn)).app;
}

/** `createApp`, with what its tests and its end need to know. */
export async function assembleApp(keyturn: Keyturn): Promise<CreatedApp> {
  const { trustedProxies, log } = keyturn.config;
  const adapter = new FastifyAdapter({
    bodyLimit: LIMITS.bodyBytes,
    requestTimeout: LIMITS.requestTimeoutMs,
    connectionTimeout: LIMITS.connectionTimeoutMs,
    keepAliveTimeout: LIMITS.keepAliveTimeoutMs,
    http: {
      maxHeaderSize: LIMITS.headerBytes,
      headersTimeout: LIMITS.headersTimeoutMs,
      connectionsCheckingInterval: 5_000,
    },
    routerOptions: { maxParamLength: LIMITS.pathPartLength },
    trustProxy: trustedProxies.length === 0 ? false : [...trustedProxies],
    multipart: false,
    // No route has a schema of Fastify's: zod validates. Its own compilers would be read at every start.
    schemaController: { compilersFactory: { buildValidator: noSchemas, buildSerializer: noSchemas } },
    skipMiddie: true,
    clientErrorHandler: (_error: Error, socket: Socket) => {
      if (!socket.writable) return;
      const length = Buffer.byteLength(UNREADABLE);
      socket.end(
        `HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n${UNREADABLE}`,
      );
    },
    frameworkErrors: (_error: unknown, request: HttpRequest, reply: HttpReply) => {
      const error = new DomainError('request.malformed', 'The address is not well-formed');
      const correlationId = keyturn.ids.random();
      reply.header('x-correlation-id', correlationId);
      sendProblem(
        reply,
        answerTo(error, { correlationId, ifMatch: request.headers['if-match'] !== undefined }),
      );
    },
  });
  const table = new RouteTable();
  const inFlight = new InFlight();
  const fastify = adapter.getInstance();
  fastify.addHook('onRoute', (route) => {
    table.note(route);
  });
  fastify.removeAllContentTypeParsers();
  const parse = fastify.getDefaultJsonParser('error', 'error');
  fastify.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    try {
      const bytes = typeof body === 'string' ? Buffer.from(body) : body;
      done(
        null,
        readJson(bytes, (text) => parsed((said) => parse(request, text, said))),
      );
    } catch (error) {
      done(error instanceof Error ? error : new Error('the body could not be read'), undefined);
    }
  });
  fastify.addHook('onRequest', (request, reply, done) => {
    openContext(request, keyturn.ids.random());
    inFlight.enter(request.raw, reply);
    within(request, done);
  });
  // The body arrives in the socket's own async context, so the request's is entered again.
  fastify.addHook('preHandler', (request, _reply, done) => {
    within(request, done);
  });
  fastify.addHook('onSend', (request, reply, _payload, done) => {
    const context = contextOf(request);
    if (context !== undefined) void reply.header('x-correlation-id', context.correlationId);
    if (inFlight.closing) void reply.header('connection', 'close');
    void reply.header('x-content-type-options', 'nosniff');
    // Answers hold tokens and what only some may see; what may be kept says so itself.
    if (!reply.hasHeader('cache-control')) void reply.header('cache-control', 'no-store');
    done();
  });
  const logger = new Logger('Http');
  fastify.addHook('onResponse', (request, reply, done) => {
    inFlight.leave(request.raw);
    const { url: route = 'none' } = request.routeOptions;
    if (!route.startsWith('/health') && !route.startsWith('/jwks')) {
      within(request, () => {
        logger.log('request', {
          method: request.method,
          route,
          status: reply.statusCode,
          milliseconds: Math.round(reply.elapsedTime),
          subject: contextOf(request)?.principal?.subject,
        });
      });
    }
    done();
  });
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.for(keyturn), adapter, {
    bodyParser: false,
    logger: loggerOf(log),
    abortOnError: false,
  });
  await app.init();
  table.assertDeclared();
  app.get<ApiDocument>(OPENAPI_DOCUMENT).of(app);
  app.getHttpServer().maxConnections = LIMITS.connections;
  return { app, routes: table.routes(), inFlight };
}

function noSchemas(): never {
  throw new Error('a route has a Fastify schema: validate with zod');
}

/** What Fastify's parser calls back with; it does so at once. */
function parsed(parse: (done: (error: Error | null, body?: unknown) => void) => unknown): unknown {
  const outcome: { error: Error | null; body?: unknown } = { error: null };
  void parse((error, body) => {
    outcome.error = error;
    outcome.body = body;
  });
  if (outcome.error !== null) throw outcome.error;
  return outcome.body;
}
