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
import type { Served } from './openbao.js';

export interface VaultHarnessOptions<State extends EngineState, Wanted> {
  readonly bao: Served;
  readonly algorithm: Algorithm;
  /** KV v2 mount of the documents. */
  readonly documents: string;
  readonly engine: (client: VaultClient) => VaultEngine<State, Wanted>;
  /** A new object's name, of nobody yet. */
  readonly object: () => string;
  /** Where it is not the server's own: a proxy before it. */
  readonly address?: URL;
  /** Whom the back end is to the server; absent: root. */
  readonly token?: SecretValue;
  /** What an approver supplied to destroy with; absent: root. */
  readonly destroyer?: SecretValue;
  /** The values that an object's applications are given, where the server would show them. */
  readonly values?: (object: string) => Promise<readonly SecretValue[]>;
  /** Folder of the documents in their mount: `keyturn` unless told. */
  readonly folder?: string;
  /** Whom the back end is to the server: root unless told. */
  readonly identity?: (client: VaultClient, root: Identity) => Identity;
}

/** Gives one request of its own up sooner than the others: what a delay longer than the limit of time is met with. */
class HurriedClient extends VaultClient {
  #left = -1;
  #withinMs = 0;

  hurry(request: number, withinMs: number): void {
    this.#left = request;
    this.#withinMs = withinMs;
  }

  override async read(...[path, ask]: Parameters<VaultClient['read']>): ReturnType<VaultClient['read']> {
    return super.read(path, { ...ask, ...this.#limit() });
  }

  override async effect(
    ...[path, effect]: Parameters<VaultClient['effect']>
  ): ReturnType<VaultClient['effect']> {
    return super.effect(path, { ...effect, ...this.#limit() });
  }

  #limit(): { readonly withinMs?: number } {
    this.#left -= 1;
    return this.#left === -1 ? { withinMs: this.#withinMs } : {};
  }
}

/** Whom set-ups are made as: root, and nothing fences it. */
export function asRoot(_client: VaultClient, root: Identity): Identity {
  return { ...root, once: () => root.token() };
}

/** A back end of one engine on a server, for specs: as root, with fences of one use, unless told. */
export class VaultHarness<State extends EngineState, Wanted> implements KeyBackendHarness {
  readonly algorithm: Algorithm;
  readonly directory = mkdtempSync(join(tmpdir(), 'keyturn-vault-'));
  identity: Identity;
  client: HurriedClient;
  backend: VaultKeyBackend<State, Wanted>;

  constructor(private readonly options: VaultHarnessOptions<State, Wanted>) {
    this.algorithm = options.algorithm;
    this.client = this.#connect();
    this.identity = this.#identity();
    this.backend = this.#open();
  }

  /** The request that comes after so many others is given up after so many milliseconds. */
  hurry(request: number, withinMs: number): void {
    this.client.hurry(request, withinMs);
  }

  fresh(): { readonly object: string; readonly familyId: string } {
    return { object: this.options.object(), familyId: randomUUID() };
  }

  async reopen(): Promise<VaultKeyBackend<State, Wanted>> {
    await this.client.close();
    this.client = this.#connect();
    this.identity = this.#identity();
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

  /** What we hold is the token; the keys, where the engine does not keep them to itself. */
  async secrets(_backend: KeyBackend, object: string): Promise<readonly string[]> {
    const values = (await this.options.values?.(object)) ?? [];
    return [this.options.bao.rootToken, ...values].flatMap((secret) => {
      const text = secret.reveal();
      return [
        text.toString('utf8'),
        encodeURIComponent(text.toString('utf8')),
        ...formsOf(text),
        ...formsOf(Buffer.from(text.toString(), 'base64url')),
      ];
    });
  }

  #identity(): Identity {
    const { bao, identity } = this.options;
    const root = async (): Promise<SecretValue> => bao.rootToken;
    const token = async (): Promise<SecretValue> => this.options.token ?? bao.rootToken;
    const destroyer = async (): Promise<SecretValue> => this.options.destroyer ?? bao.rootToken;
    const once = async (seconds: number): Promise<SecretValue> => {
      const made: { auth: { client_token: string } } = await bao.api('POST', 'auth/token/create', {
        num_uses: 1,
        ttl: `${seconds}s`,
      });
      return new SecretValue(made.auth.client_token);
    };
    const asRoot = { token, probe: root, destroyer, once };
    return identity?.(this.client, asRoot) ?? asRoot;
  }

  #connect(): HurriedClient {
    const { bao, address = bao.address } = this.options;
    return new HurriedClient({ instance: 'vault.test', address });
  }

  #open(): VaultKeyBackend<State, Wanted> {
    const { client, options, identity } = this;
    return new VaultKeyBackend(options.engine(client), {
      instance: 'vault.test',
      identity,
      store: new ObjectStore({
        client,
        mount: options.documents,
        folder: options.folder ?? 'keyturn',
        token: () => identity.token(),
      }),
      kept: new KeptDocuments(join(this.directory, 'documents')),
      clock: async () => Date.now(),
    });
  }
}
