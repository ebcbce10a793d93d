import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SecretValue } from '#platform';
import type { Algorithm, KeyBackend } from '../key-backend.js';
import { KeptDocuments } from '../vault/kept-documents.js';
import { ObjectStore } from '../vault/object-store.js';
import { VaultClient } from '../vault/vault-client.js';
import { VaultKeyBackend } from '../vault/vault-key-backend.js';
import type { EngineState, Identity, VaultEngine } from '../vault/vault-engine.js';
import { formsOf } from './local-harness.js';
import type { KeyBackendHarness } from './key-backend.contract.js';
import type { OpenBao } from './openbao.js';

export interface VaultHarnessOptions<State extends EngineState, Wanted> {
  readonly bao: OpenBao;
  readonly algorithm: Algorithm;
  /** KV v2 mount of the documents. */
  readonly documents: string;
  readonly engine: (client: VaultClient) => VaultEngine<State, Wanted>;
  /** A new object's name, of nobody yet. */
  readonly object: () => string;
  /** Where it is not the server's own: a proxy before it. */
  readonly address?: URL;
  /** What is asked of somebody else, or otherwise, than of root. */
  readonly identity?: (root: Identity) => Partial<Identity>;
  /** The secret values of an object as they are now, in clear; absent: the engine keeps them to itself. */
  readonly values?: (object: string) => Promise<readonly string[]>;
}

/** A back end of one engine on a real server, for specs: as root, with fences of one use. */
export class VaultHarness<State extends EngineState, Wanted> implements KeyBackendHarness {
  readonly algorithm: Algorithm;
  readonly directory = mkdtempSync(join(tmpdir(), 'keyturn-vault-'));
  readonly identity: Identity;
  client: VaultClient;
  backend: VaultKeyBackend<State, Wanted>;

  constructor(private readonly options: VaultHarnessOptions<State, Wanted>) {
    this.algorithm = options.algorithm;
    const { bao } = options;
    const token = async (): Promise<SecretValue> => bao.rootToken;
    const root: Identity = {
      token,
      probe: token,
      destroyer: token,
      once: async (seconds) => {
        const made: { auth: { client_token: string } } = await bao.api('POST', 'auth/token/create', {
          num_uses: 1,
          ttl: `${seconds}s`,
        });
        return new SecretValue(made.auth.client_token);
      },
    };
    this.identity = { ...root, ...options.identity?.(root) };
    this.client = this.#connect();
    this.backend = this.#open();
  }

  fresh(): { readonly object: string; readonly familyId: string } {
    return { object: this.options.object(), familyId: randomUUID() };
  }

  async reopen(): Promise<VaultKeyBackend<State, Wanted>> {
    await this.client.close();
    this.client = this.#connect();
    this.backend = this.#open();
    return this.backend;
  }

  async close(): Promise<void> {
    await this.client.close();
    rmSync(this.directory, { recursive: true, force: true });
  }

  async servedKids(_backend: KeyBackend, familyId: string): Promise<readonly string[] | undefined> {
    const served = this.backend.servedDocument(familyId);
    if (served === undefined) return undefined;
    const { keys }: { keys: { kid: string }[] } = JSON.parse(served.body.toString('utf8'));
    return keys.map(({ kid }) => kid);
  }

  /** The token, and what the engine lets out. */
  async secrets(_backend: KeyBackend, object: string): Promise<readonly string[]> {
    const values = (await this.options.values?.(object)) ?? [];
    const token = this.options.bao.rootToken.reveal().toString('utf8');
    return [token, ...values].flatMap((value) => [
      value,
      encodeURIComponent(value),
      ...formsOf(Buffer.from(value, 'utf8')),
    ]);
  }

  #connect(): VaultClient {
    const { bao, address = bao.address } = this.options;
    return new VaultClient({ instance: 'vault.test', address });
  }

  #open(): VaultKeyBackend<State, Wanted> {
    const { client, identity, options } = this;
    return new VaultKeyBackend(options.engine(client), {
      instance: 'vault.test',
      identity,
      store: new ObjectStore({
        client,
        mount: options.documents,
        folder: 'keyturn',
        token: () => identity.token(),
      }),
      kept: new KeptDocuments(join(this.directory, 'documents')),
      clock: async () => Date.now(),
    });
  }
}
