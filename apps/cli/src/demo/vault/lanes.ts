import { milliseconds, type FamilyView } from '#rotation';
import type { BaoServer } from './bao-server.js';
import type { Consumers } from './consumers.js';
import { DatabaseConsumers } from './database-consumers.js';
import { KvConsumers } from './kv-consumers.js';
import { pointerPath } from './pointer.js';
import type { PostgresServer } from './postgres-server.js';
import { emitterPolicy, PAIR } from './set-up.js';
import { TransitConsumers } from './transit-consumers.js';

/** One engine, and its family of examples/vault.yaml. */
export interface Lane {
  readonly engine: 'transit' | 'kv' | 'database';
  readonly family: string;
}

export const LANES: readonly Lane[] = [
  { engine: 'transit', family: 'demo/session-jwt' },
  { engine: 'kv', family: 'demo/payments-hmac' },
  { engine: 'database', family: 'demo/orders-database' },
];

/** How often the application of the pair reads which role it is to use. */
const POOL_READS_MS = 1_500;

export interface Servers {
  readonly bao: BaoServer;
  readonly postgres: PostgresServer;
}

export function objectOf(family: FamilyView): string {
  return family.backEnd?.object ?? '';
}

/** The applications that use a family, each with a token that may do no more than it needs. */
export async function consumersOf(
  { engine }: Lane,
  family: FamilyView,
  { bao, postgres }: Servers,
  serviceUrl: string,
): Promise<Consumers> {
  const object = objectOf(family);
  const lifeMs = milliseconds(family.artefactLife ?? undefined);
  const named = family.consumers.map(({ name, roles, cacheTtl }) => ({
    name,
    roles,
    cacheMs: milliseconds(cacheTtl ?? undefined),
  }));
  const emitter = named.find(({ roles }) => roles.includes('emitter'));
  switch (engine) {
    case 'transit':
      return new TransitConsumers({
        bao,
        object,
        lifeMs,
        // Transit's numbers of the version that is used now and of the next one.
        issuerToken: await bao.tokenWith('demo-issuer', emitterPolicy(['1', '2'])),
        jwksUrl: `${serviceUrl}/jwks/${family.id}`,
        verifiers: named.filter(({ roles }) => roles.includes('verifier')),
      });
    case 'kv':
      return new KvConsumers({
        bao,
        object,
        lifeMs,
        readerToken: await bao.tokenWith('demo-payments', readPolicy(object)),
        applications: named,
      });
    case 'database':
      return new DatabaseConsumers({
        bao,
        postgres,
        object,
        readerToken: await bao.tokenWith(
          'demo-orders',
          readPolicy(pointerPath(object), ...PAIR.map((role) => `database/static-creds/${role}`)),
        ),
        application: { name: emitter?.name ?? '', cacheMs: POOL_READS_MS },
      });
  }
}

function readPolicy(...paths: readonly string[]): string {
  return paths.map((path) => `path "${path}" { capabilities = ["read"] }`).join('\n');
}
