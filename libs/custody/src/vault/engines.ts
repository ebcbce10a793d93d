import { z } from 'zod';
import type { ServedDocument } from '../jwks-document.js';
import type { KeyBackend } from '../key-backend.js';
import { TransitEngine } from './transit-engine.js';
import type { VaultClient } from './vault-client.js';
import { VaultKeyBackend, type VaultBackendOptions } from './vault-key-backend.js';

/** What every back end says of itself: the name families call it by, and which of the servers it lies on. */
const common = {
  instance: z.string().regex(/^vault\.[a-z0-9][a-z0-9.-]{0,63}$/, {
    error: 'must be "vault." and a name of small letters, digits, dots and hyphens, such as vault.prod-eu',
  }),
  server: z.string(),
};

const transit = z.strictObject({ ...common, engine: z.literal('transit') });

/** The engines that work: each has its settings here and its constructor in {@link openEngine}. */
export const backEndSchema = z.discriminatedUnion('engine', [transit]);
export type BackEndSettings = z.output<typeof backEndSchema>;
export const ENGINES = ['transit'] as const satisfies readonly BackEndSettings['engine'][];

/** The port, and what verifiers are served of it, from memory. */
export interface VaultBackEnd extends KeyBackend {
  servedDocument(familyId: string): ServedDocument | undefined;
}

/** What each of Keyturn's tokens must be allowed for one object: path, and capabilities. */
export interface Needs {
  readonly driver: Readonly<Record<string, readonly string[]>>;
  readonly fence: Readonly<Record<string, readonly string[]>>;
  readonly probe: Readonly<Record<string, readonly string[]>>;
}

export function needsOf({ engine }: BackEndSettings, object: string): Needs {
  switch (engine) {
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
  }
}
