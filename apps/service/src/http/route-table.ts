import type { RouteAccess } from './access.guard.js';

/** A route as the router knows it. */
export interface Route {
  readonly method: string;
  readonly url: string;
  /** `undefined`: declared nothing, so nobody may use it. */
  readonly access: RouteAccess | undefined;
}

interface RegisteredRoute {
  readonly method: string | string[];
  readonly url: string;
  readonly config?: unknown;
}

/** Notes every route as it enters the router, so that none can be forgotten. */
export class RouteTable {
  readonly #routes: Route[] = [];

  note({ method, url, config }: RegisteredRoute): void {
    for (const each of typeof method === 'string' ? [method] : method) {
      // Fastify adds a HEAD for each GET; it runs the same guard.
      if (each !== 'HEAD') this.#routes.push({ method: each, url, access: accessIn(config) });
    }
  }

  routes(): readonly Route[] {
    return this.#routes;
  }

  /** Fails where a route has declared nothing: it would be closed, which nobody can have meant. */
  assertDeclared(): void {
    const silent = this.#routes.filter(({ access }) => access === undefined);
    if (silent.length === 0) return;
    const names = silent.map(({ method, url }) => `${method} ${url}`).join(', ');
    throw new Error(`routes without @RequiresPermission, @AnyToken or @Public: ${names}`);
  }
}

function accessIn(config: unknown): RouteAccess | undefined {
  return hasAccess(config) ? config.access : undefined;
}

function hasAccess(config: unknown): config is { readonly access: RouteAccess } {
  return (
    typeof config === 'object' && config !== null && 'access' in config && typeof config.access === 'string'
  );
}
