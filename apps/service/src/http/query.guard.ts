import { Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { pointer } from './field-error.js';
import { contextOf, type HttpRequest } from './request-context.js';
import { InvalidRequestError, READS_QUERY } from './validation.js';

/**
 * Refuses a query where nobody reads one: a filter that filters nothing must not look as if it did. What is public is fetched by
 * programs of others, which may add what they like (to pass a cache).
 */
@Injectable()
export class QueryGuard implements CanActivate {
  constructor(@Inject(Reflector) private readonly reflector: Reflector) {}

  canActivate(execution: ExecutionContext): boolean {
    const request = execution.switchToHttp().getRequest<HttpRequest>();
    const names = Object.keys(Object(request.query));
    if (names.length === 0 || contextOf(request)?.principal === undefined) return true;
    if (this.reflector.get(READS_QUERY, execution.getHandler()) === true) return true;
    throw new InvalidRequestError(
      'query.invalid',
      names
        .slice(0, 50)
        .map((name) => ({ field: pointer([name]), message: 'is not known here; this takes no query' })),
    );
  }
}
