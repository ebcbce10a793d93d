import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '#platform';
import type { VaultClient } from '../vault/vault-client.js';
import type { Identity } from '../vault/vault-engine.js';
import { VaultIdentity } from '../vault/vault-identity.js';
import type { Served } from './openbao.js';

const POLICY = 'path "*" { capabilities = ["create", "read", "update", "patch", "delete", "list", "sudo"] }';

/**
 * Keyturn's own identity on a test server, as it is in use: a driver's token out of a file, and tokens of one request from a token role.
 * Its token can be revoked, and another one put in its place.
 */
export class VaultDriver {
  readonly #folder = mkdtempSync(join(tmpdir(), 'keyturn-driver-'));

  private constructor(
    private readonly bao: Served,
    private readonly role: string,
  ) {}

  static async on(bao: Served): Promise<VaultDriver> {
    const role = `keyturn-${randomUUID().slice(0, 8)}`;
    await bao.api('PUT', `sys/policies/acl/${role}`, { policy: POLICY });
    await bao.api('POST', `auth/token/roles/${role}`, {
      token_type: 'service',
      token_num_uses: 1,
      orphan: true,
      token_no_default_policy: true,
      allowed_policies: [role],
    });
    const driver = new VaultDriver(bao, role);
    await driver.renew();
    return driver;
  }

  /** As the file of KEYTURN_BACK_ENDS says it. */
  get settings(): {
    readonly login: { readonly kind: 'token-file'; readonly file: string };
    readonly fence: { readonly role: string; readonly policies: readonly string[] };
  } {
    return {
      login: { kind: 'token-file', file: this.#file },
      fence: { role: this.role, policies: [this.role] },
    };
  }

  /** Whom a client is to the server. */
  identity(client: VaultClient): Identity {
    const own = new VaultIdentity({
      client,
      ...this.settings,
      clock: systemClock,
    });
    return {
      token: () => own.token(),
      once: (seconds) => own.once(seconds),
      probe: () => own.token(),
      destroyer: () => own.once(20),
    };
  }

  /** Another token in the file: the login takes it once the server does not know the one before. */
  async renew(): Promise<void> {
    const made: { auth: { client_token: string } } = await this.bao.api('POST', 'auth/token/create', {
      policies: [this.role],
      no_parent: true,
      ttl: '1h',
    });
    writeFileSync(this.#file, made.auth.client_token, { mode: 0o600 });
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  get #file(): string {
    return join(this.#folder, 'token');
  }
}
