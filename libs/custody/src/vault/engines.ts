import { z } from 'zod';
import type { ServedDocument } from '../jwks-document.js';
import type { KeyBackend } from '../key-backend.js';
import { DatabaseEngine } from './database-engine.js';
import { databaseNeeds } from './database-pair.js';
import { PostgresProbe } from './database-postgres.js';
import { databaseFields, type DatabaseSettings } from './database-settings.js';
import { KvDocumentEngine } from './kv-document-engine.js';
import { KvFieldsEngine } from './kv-fields-engine.js';
import { currentAndPrevious, singleValue } from './kv-fields-layout.js';
import { KvPathsEngine } from './kv-paths-engine.js';
import { TransitEngine } from './transit-engine.js';
import type { VaultClient } from './vault-client.js';
import type { Needs } from './vault-engine.js';
import { VaultKeyBackend, type VaultBackendOptions } from './vault-key-backend.js';

/** What every back end says of itself: the name families call it by, and which of the servers it lies on. */
const common = {
  instance: z.string().regex(/^vault\.[a-z0-9][a-z0-9.-]{0,63}$/, {
    error: 'must be "vault." and a name of small letters, digits, dots and hyphens, such as vault.prod-eu',
  }),
  server: z.string(),
};

const transit = z.strictObject({ ...common, engine: z.literal('transit') });

/** How applications read their secrets today (docs/back-ends.md). */
export const KV_LAYOUTS = ['document', 'paths', 'fields', 'single'] as const;

const kv = z.strictObject({ ...common, engine: z.literal('kv'), layout: z.enum(KV_LAYOUTS) });

const database = z.strictObject({ ...common, ...databaseFields });

/** The engines that work: each has its settings here and its constructor in {@link openEngine}. */
export const backEndSchema = z.discriminatedUnion('engine', [transit, kv, database]);
/** As the file has them, and with the certificates that it names. */
export type BackEndSettings = z.output<typeof transit> | z.output<typeof kv> | DatabaseSettings;
export const ENGINES = ['transit', 'kv', 'database'] as const satisfies readonly BackEndSettings['engine'][];

/** The port, and what verifiers are served of it, from memory. */
export interface VaultBackEnd extends KeyBackend {
  servedDocument(familyId: string): ServedDocument | undefined;
}

export function needsOf(settings: BackEndSettings, object: string): Needs {
  switch (settings.engine) {
    case 'kv':
      return kvNeeds(settings.layout, object);
    case 'database':
      return databaseNeeds(object);
    case 'transit': {
      const under = (verb: string): string => object.replace(/\/keys\/(?=[^/]+$)/, `/${verb}/`);
      return {
        driver: { [object]: ['read'] },
        fence: { [`${object}/rotate`]: ['update'], [`${object}/config`]: ['update'] },
        probe: { [under('sign')]: ['update'], [under('verify')]: ['update'] },
      };
    }
  }
}

export function openEngine(
  settings: BackEndSettings,
  client: VaultClient,
  options: VaultBackendOptions,
): VaultBackEnd {
  switch (settings.engine) {
    case 'transit':
      return new VaultKeyBackend(new TransitEngine(client), options);
    case 'kv':
      return openKv(settings.layout, client, options);
    case 'database':
      return new VaultKeyBackend(databaseEngine(settings, client), options);
  }
}

export function databaseEngine(
  { connections, cadenceDays, strengthBits }: DatabaseSettings,
  client: VaultClient,
): DatabaseEngine {
  const probes = new Map(
    Object.entries(connections).map(([name, connection]) => [name, new PostgresProbe(connection)]),
  );
  return new DatabaseEngine(client, {
    probes,
    ...(cadenceDays === undefined ? {} : { cadenceDays }),
    ...(strengthBits === undefined ? {} : { strengthBits }),
  });
}

function openKv(
  layout: (typeof KV_LAYOUTS)[number],
  client: VaultClient,
  options: VaultBackendOptions,
): VaultBackEnd {
  switch (layout) {
    case 'document':
      return new VaultKeyBackend(new KvDocumentEngine(client), options);
    case 'paths':
      return new VaultKeyBackend(new KvPathsEngine(client), options);
    case 'fields':
      return new VaultKeyBackend(new KvFieldsEngine(client, currentAndPrevious()), options);
    case 'single':
      return new VaultKeyBackend(new KvFieldsEngine(client, singleValue()), options);
  }
}

/** Every write is by check-and-set, so that it needs no fence; what withdrawn values are worth is for their consumers to say. */
function kvNeeds(layout: (typeof KV_LAYOUTS)[number], object: string): Needs {
  const secrets = layout === 'paths' ? [object, `${object}/blue`, `${object}/green`] : [object];
  // Moving a value from one field to another means reading it.
  const data = ['create', 'update', 'patch', ...(layout === 'fields' || layout === 'single' ? ['read'] : [])];
  const under = (secret: string, part: string): string => secret.replace('/data/', `/${part}/`);
  return {
    driver: Object.fromEntries([
      [object.replace(/\/data\/.*$/, '/config'), ['read']],
      ...secrets.flatMap((secret) => [
        [secret, data],
        [under(secret, 'metadata'), ['read']],
        [under(secret, 'subkeys'), ['read']],
      ]),
    ]),
    fence: {},
    probe: {},
  };
}
