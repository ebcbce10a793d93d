import { randomUUID } from 'node:crypto';
import { TransitEngine } from '../vault/transit-engine.js';
import type { VaultClient } from '../vault/vault-client.js';
import type { EngineFacts } from './fault-matrix.js';
import type { Served } from './openbao.js';
import type { VaultDriver } from './vault-driver.js';
import { asRoot, VaultHarness } from './vault-harness.js';

/** Transit on a test server: where its keys and their documents lie, and back ends on it. */
export interface TransitMount {
  readonly transit: string;
  /** KV v2. */
  readonly documents: string;
}

export async function transitOn(bao: Served): Promise<TransitMount> {
  return {
    transit: await bao.mount('transit'),
    documents: await bao.mount('kv', { options: { version: '2' } }),
  };
}

/** A back end as a process of its own has it: its own client, its own index, its own token. */
export function openTransit(
  { transit, documents }: TransitMount,
  {
    bao,
    driver,
    address,
    engine = (client) => new TransitEngine(client),
  }: {
    readonly bao: Served;
    /** Absent: root, and nothing fences it. */
    readonly driver?: VaultDriver;
    readonly address: URL;
    readonly engine?: (client: VaultClient) => TransitEngine;
  },
) {
  return new VaultHarness({
    bao,
    algorithm: 'EdDSA',
    documents,
    engine,
    object: () => `${transit}/keys/${randomUUID()}`,
    address,
    identity: (client, root) => driver?.identity(client) ?? asRoot(client, root),
  });
}

const NO_KEY: Readonly<Record<string, unknown>> = {};

/** A key as the server shows it; empty where there is none. */
export async function transitKeyOf(bao: Served, object: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    const { data } = await bao.api<{ data: Record<string, unknown> }>('GET', object);
    return data;
  } catch (error) {
    if (error instanceof Error && error.message.includes(': 404 ')) return NO_KEY;
    throw error;
  }
}

/** What an effect leaves in the engine. Where `min_encryption_version` is does not matter: it lets nobody sign who could not. */
export async function transitFacts(bao: Served, object: string): Promise<EngineFacts> {
  const { latest_version, min_decryption_version, min_available_version } = await transitKeyOf(bao, object);
  return { made: Number(latest_version ?? 0), limits: { min_decryption_version, min_available_version } };
}
