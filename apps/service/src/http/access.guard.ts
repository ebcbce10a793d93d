import {
  applyDecorators,
  Inject,
  Injectable,
  Logger,
  SetMetadata,
  type CanActivate,
  type ExecutionContext,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { RouteConfig } from '@nestjs/platform-fastify';
import { allows, authenticate, type Permission, type Principal, type Target } from '#access';
import { DomainError } from '#eventlog';
import { ApiBearerAuth, ApiExtension } from './api-description.js';
import type { Keyturn } from '../composition.js';
import { KEYTURN } from '../injection-tokens.js';
import { contextOf, header, type HttpReply, type HttpRequest } from './request-context.js';

const ACCESS = 'keyturn:access';

/** What a route asks of whoever calls it: a permission, any token that is good, or nothing. */
export type RouteAccess = Permission | 'any-token' | 'public';

/** The route is for whoever has this permission. Scope is asked by the use case, once it knows its target (`requireAllowed`). */
export function RequiresPermission(permission: Permission): MethodDecorator {
  return applyDecorators(
    SetMetadata(ACCESS, permission),
    RouteConfig({ access: permission }),
    ApiBearerAuth(),
    ApiExtension('x-permission', permission),
  );
}

/** Any good token will do: for what tells people about themselves, and for nothing else. */
export function AnyToken(): MethodDecorator {
  return applyDecorators(
    SetMetadata(ACCESS, 'any-token'),
    RouteConfig({ access: 'any-token' }),
    ApiBearerAuth(),
  );
}

/** The route is for everybody: no token is looked at. */
export function Public(): MethodDecorator {
  return applyDecorators(SetMetadata(ACCESS, 'public'), RouteConfig({ access: 'public' }));
}

/** Refuses what a principal may not do on a target. */
export function requireAllowed(
  principal: Principal,
  permission: Permission,
  target: Target | 'everything',
): void {
  if (allows(principal, permission, target)) return;
  if (!allows({ roles: principal.roles, scope: { environments: 'all', teams: 'all' } }, permission)) {
    throw new DomainError('access.forbidden', `This needs the permission ${permission}`, { permission });
  }
  throw new DomainError('access.out-of-scope', `Your token's scope does not reach this (${permission})`, {
    permission,
  });
}

/** Lets nobody in whom no table lets in: a route that declares nothing is closed. */
@Injectable()
export class AccessGuard implements CanActivate {
  readonly #logger = new Logger('Access');

  constructor(
    @Inject(Reflector) private readonly reflector: Reflector,
    @Inject(KEYTURN) private readonly keyturn: Keyturn,
  ) {}

  canActivate(execution: ExecutionContext): boolean {
    const access = this.reflector.get<RouteAccess | undefined>(ACCESS, execution.getHandler());
    if (access === 'public') return true;
    const http = execution.switchToHttp();
    const request = http.getRequest<HttpRequest>();
    const route = `${request.method} ${request.routeOptions.url ?? ''}`;
    const { tokens, clock } = this.keyturn;
    const answer = authenticate(tokens, clock, header(request, 'authorization'));
    if (answer.kind === 'refused') {
      this.#logger.warn('authentication refused', { reason: answer.reason, route, address: request.ip });
      const challenge = answer.reason === 'missing' ? '' : ', error="invalid_token"';
      http.getResponse<HttpReply>().header('www-authenticate', `Bearer realm="keyturn"${challenge}`);
      throw new DomainError('access.unauthenticated', UNAUTHENTICATED[answer.reason]);
    }
    const { principal } = answer;
    const context = contextOf(request);
    if (context !== undefined) context.principal = principal;
    if (access === 'any-token') return true;
    if (access !== undefined && allows(principal, access)) return true;
    this.#logger.warn('permission refused', {
      subject: principal.subject,
      token: principal.tokenId,
      permission: access ?? 'none declared',
      route,
      address: request.ip,
    });
    if (access === undefined) throw new DomainError('access.forbidden', 'Nobody may use this route');
    return refuse(principal, access);
  }
}

function refuse(principal: Principal, permission: Permission): never {
  requireAllowed(principal, permission, 'everything');
  throw new Error('refused by one rule and allowed by another');
}

const UNAUTHENTICATED = {
  missing: 'Send a token: Authorization: Bearer kt_…',
  malformed: 'The Authorization header holds no token of ours',
  unknown: 'This token is not known here',
  expired: 'This token has expired',
  revoked: 'This token was revoked',
} as const;
