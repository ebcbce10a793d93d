import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KeyBackend, Observation } from '#custody';
import { VaultBackEnds, type BackEndsSettings } from '#custody/vault';
import { systemClock, type Clock } from '#platform';
import type { Operated } from '../../libs/custody/src/testing/openbao.js';
import { VaultDriver } from '../../libs/custody/src/testing/vault-driver.js';
import { transitKeyOf } from '../../libs/custody/src/testing/vault-transit.js';
import {
  emptyDocument,
  objectDocumentSchema,
  type ObjectDocument,
} from '../../libs/custody/src/vault/object-document.js';
import type { Custody } from './script-stage.js';
import { SCRIPTS, type Script } from './scripts.js';

/** A script's keys on a real server, as the service has them: its settings, its logins, one-use tokens, and what it keeps. */

export const VAULT_ENGINES = ['transit', 'kv'] as const;
export type VaultEngineName = (typeof VAULT_ENGINES)[number];

/** What both engines need on a server, made once. */
export interface VaultGround {
  readonly bao: Operated;
  readonly driver: VaultDriver;
  readonly transit: string;
  readonly kv: string;
  readonly documents: string;
}

export async function vaultGround(bao: Operated): Promise<VaultGround> {
  const versioned = { options: { version: '2' } };
  return {
    bao,
    driver: await VaultDriver.on(bao),
    transit: await bao.mount('transit'),
    kv: await bao.mount('kv', versioned),
    documents: await bao.mount('kv', versioned),
  };
}

/** As a file of KEYTURN_BACK_ENDS would say it. */
export function vaultSettings(
  { bao, driver, documents }: VaultGround,
  address: URL = bao.address,
): BackEndsSettings {
  const server = 'saga';
  return {
    servers: [
      { name: server, address, documents: { mount: documents, folder: 'keyturn' }, ...driver.settings },
    ],
    backEnds: [
      { instance: 'vault.saga', server, engine: 'transit' },
      { instance: 'vault.saga-kv', server, engine: 'kv', layout: 'document' },
    ],
  };
}

/** One process's back ends on a server, and what it keeps on its machine. */
export class VaultProcess {
  readonly directory: string;
  readonly vault: VaultBackEnds;
  readonly backEnds: Readonly<Record<VaultEngineName, KeyBackend>>;
  readonly #own: boolean;

  constructor(settings: BackEndsSettings, clock: Clock, directory?: string) {
    this.#own = directory === undefined;
    this.directory = directory ?? mkdtempSync(join(tmpdir(), 'keyturn-vault-kept-'));
    // Tokens live by the real clock; what the saga is told of the server's follows the test's.
    this.vault = new VaultBackEnds({ settings, directory: this.directory, clock: systemClock });
    const [transit, kv] = this.vault.all.map((backEnd) => following(backEnd, clock, this.vault));
    if (transit === undefined || kv === undefined) throw new Error('the settings open no back end');
    this.backEnds = { transit, kv };
  }

  /** What a verifier of the family is served now; `undefined`: nothing was ever published. */
  served(familyId: string): readonly string[] | undefined {
    const document = this.vault.servedDocument(familyId);
    if (document === undefined) return undefined;
    const { keys }: { keys: { kid: string }[] } = JSON.parse(document.body.toString('utf8'));
    return keys.map(({ kid }) => kid);
  }

  async close(): Promise<void> {
    await this.vault.close();
    if (this.#own) rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Between two looks at a server that is away, as whoever looks in the background makes them. */
const AWAY_MS = 100;

/** Why nothing is begun there now. */
export function awayText(backEnd: KeyBackend): string | undefined {
  return backEnd.unavailable?.({ object: '', effect: 'probe', versions: [], key: '' });
}

/** As if the server's clock leapt with the test's; one that is away is looked at, in real time. */
export function following(
  backEnd: KeyBackend,
  clock: Clock,
  vault?: Pick<VaultBackEnds, 'look'>,
): KeyBackend {
  return new Proxy(backEnd, {
    get: (target, property) => {
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== 'function') return value;
      if (property !== 'observe') return value.bind(target);
      return async (...given: Parameters<KeyBackend['observe']>): Promise<Observation> => {
        if (awayText(target) !== undefined && vault !== undefined) {
          await new Promise((done) => setTimeout(done, AWAY_MS));
          await vault.look();
        }
        return { ...(await target.observe(...given)), clock: clock.now() };
      };
    },
  });
}

export function vaultCustody(ground: VaultGround, engine: VaultEngineName, backEnd: KeyBackend): Custody {
  return {
    backEnd,
    details:
      engine === 'transit'
        ? { algorithm: 'ES256' }
        : { algorithm: 'HS256', kind: 'shared-secret', usage: 'mac' },
    object: (name) => objectOf(ground, engine, name),
    effects: async (object) =>
      (await documentOf(ground, object)).ledger.map(({ key, effect, versions }) => ({
        key,
        effect,
        versions: JSON.stringify(versions),
      })),
    fence: async (object) => {
      const { fence } = await documentOf(ground, object);
      if (fence === undefined) throw new Error(`no attempt was ever seen for ${object}`);
      const { attemptId, ...numbers } = fence;
      return { fence: numbers, attemptId };
    },
  };
}

export function objectOf(
  { transit, kv }: Pick<VaultGround, 'transit' | 'kv'>,
  engine: VaultEngineName,
  name: string,
): string {
  return engine === 'transit' ? `${transit}/keys/${name}` : `${kv}/data/app/${name}`;
}

/** Read past Keyturn, as an operator does. */
export async function documentOf(
  { bao, documents }: Pick<VaultGround, 'bao' | 'documents'>,
  object: string,
): Promise<ObjectDocument> {
  try {
    const { data } = await bao.api<{ data: { data: unknown } }>('GET', `${documents}/data/keyturn/${object}`);
    return objectDocumentSchema.parse(data.data);
  } catch (error) {
    if (error instanceof Error && error.message.includes(': 404 ')) return emptyDocument;
    throw error;
  }
}

/** What the server itself has of an object, whatever any record says. */
export interface ServerFacts {
  /** How many versions were ever made. */
  readonly made: number;
  /** Transit: the oldest version that is not refused. */
  readonly minDecryption?: number;
  /** KV v2: how many times the secret was written. */
  readonly written?: number;
}

export async function serverFacts({ bao }: Pick<VaultGround, 'bao'>, object: string): Promise<ServerFacts> {
  if (object.includes('/keys/')) {
    const { latest_version: made, min_decryption_version: least } = await transitKeyOf(bao, object);
    return { made: Number(made ?? 0), minDecryption: Number(least ?? 1) };
  }
  const { data } = await bao.api<{
    data: { subkeys: { keys?: Record<string, null> } | null; metadata: { version: number } };
  }>('GET', object.replace('/data/', '/subkeys/'));
  return { made: Object.keys(data.subkeys?.keys ?? {}).length, written: data.metadata.version };
}

/** What no engine here can do: it moves emission as a whole. */
const IN_COHORTS: readonly string[] = [
  'rolling',
  'rehearsal-rolling',
  'rollback-between-cohorts',
  'emergency-over-rolling',
  'emergency-over-rolling-both',
];
export const VAULT_SCRIPTS: readonly Script[] = SCRIPTS.filter(({ name }) => !IN_COHORTS.includes(name));
