import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SecretValue } from '#platform';
import { ChildServer } from './child-server.js';
import { freePort } from './parts.js';

const READY_MS = 30_000;

export interface BaoOptions {
  readonly program: string;
  /** A folder of its own. */
  readonly home: string;
}

/** What the audit log says of one request. */
export interface AuditedRequest {
  readonly path: string;
  readonly rotation: string | undefined;
  readonly policies: readonly string[];
}

/** A real OpenBao on loopback: one raft node with an audit log, initialised and unsealed, as docs/vault.md starts one. */
export class BaoServer {
  private constructor(
    readonly address: string,
    readonly program: string,
    private readonly home: string,
    private readonly server: ChildServer,
    /** Who may do everything there: sets it up, and is the demo's own. */
    readonly rootToken: SecretValue,
  ) {}

  static async start({ program, home }: BaoOptions): Promise<BaoServer> {
    mkdirSync(join(home, 'raft'), { recursive: true, mode: 0o700 });
    const [port, cluster] = [await freePort(), await freePort()];
    const file = join(home, 'bao.hcl');
    writeFileSync(file, configOf({ home, port, cluster }));
    const server = new ChildServer('OpenBao', [program, 'server', '-config', file], { env: { HOME: home } });
    const address = `http://127.0.0.1:${port}`;
    try {
      await server.until(async () => [501, 503].includes(await health(address)), READY_MS);
      const asked = new BaoServer(address, program, home, server, new SecretValue(''));
      const opened = await asked.ask<{ keys: readonly string[]; root_token: string }>('PUT', 'sys/init', {
        secret_shares: 1,
        secret_threshold: 1,
      });
      for (const key of opened.keys) await asked.ask('PUT', 'sys/unseal', { key });
      await server.until(async () => (await health(address)) === 200, READY_MS);
      return new BaoServer(address, program, home, server, new SecretValue(opened.root_token));
    } catch (error) {
      await server.stop('SIGKILL');
      throw error;
    }
  }

  /** As its operator. */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- what the server answers is JSON, read as what it is documented to be
  async ask<T>(method: string, path: string, body?: unknown): Promise<T> {
    return this.askAs<T>(this.rootToken, method, path, body);
  }

  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- as above
  async askAs<T>(token: SecretValue, method: string, path: string, body?: unknown): Promise<T> {
    const given = token.reveal().toString('utf8');
    const answer = await fetch(`${this.address}/v1/${path}`, {
      method,
      headers: given === '' ? {} : { 'X-Vault-Token': given },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(10_000),
    });
    const text = await answer.text();
    if (!answer.ok) throw new BaoRefusal(answer.status, `${method} ${path}: ${answer.status} ${text.trim()}`);
    const parsed: T = text === '' ? undefined : JSON.parse(text);
    return parsed;
  }

  /** A token that may do what this policy says and nothing else, as an application has one. */
  async tokenWith(name: string, policy: string): Promise<SecretValue> {
    await this.ask('POST', `sys/policies/acl/${name}`, { policy });
    const made = await this.ask<{ auth: { client_token: string } }>('POST', 'auth/token/create', {
      policies: [name],
      no_default_policy: true,
      display_name: name,
    });
    return new SecretValue(made.auth.client_token);
  }

  /** Every request since its start, in the server's own words. */
  audited(): readonly AuditedRequest[] {
    return readFileSync(join(this.home, 'audit.log'), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .flatMap((line) => {
        const entry: AuditLine = JSON.parse(line);
        if (entry.type !== 'request' || entry.request?.path === undefined) return [];
        return [
          {
            path: entry.request.path,
            rotation: entry.request.headers?.['x-keyturn-rotation']?.[0],
            policies: entry.auth?.policies ?? [],
          },
        ];
      });
  }

  async stop(): Promise<void> {
    await this.server.stop('SIGTERM');
  }
}

interface AuditLine {
  readonly type?: string;
  readonly auth?: { readonly policies?: readonly string[] };
  readonly request?: {
    readonly path?: string;
    readonly headers?: Readonly<Record<string, readonly string[]>>;
  };
}

/** The server's own no. Never with what was sent. */
export class BaoRefusal extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
    this.name = 'BaoRefusal';
  }
}

async function health(address: string): Promise<number> {
  return (await fetch(`${address}/v1/sys/health`)).status;
}

function configOf({
  home,
  port,
  cluster,
}: {
  readonly home: string;
  readonly port: number;
  readonly cluster: number;
}): string {
  return `disable_mlock = true
api_addr = "http://127.0.0.1:${port}"
cluster_addr = "https://127.0.0.1:${cluster}"
listener "tcp" {
  address = "127.0.0.1:${port}"
  cluster_address = "127.0.0.1:${cluster}"
  tls_disable = true
}
storage "raft" {
  path = "${join(home, 'raft')}"
  node_id = "demo"
  performance_multiplier = 1
}
audit "file" "file" {
  options { file_path = "${join(home, 'audit.log')}" }
}
`;
}
