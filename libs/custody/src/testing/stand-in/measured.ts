import { randomUUID } from 'node:crypto';
import { SecretValue } from '#platform';
import type { Operated } from '../openbao.js';

/** A line of what was measured on OpenBao: the same is asked of the real server and of the stand-in. */
export type Line = readonly [says: string, prove: (ground: Measured) => Promise<void>];

export interface Said {
  readonly status: number;
  readonly errors: readonly string[];
  readonly data: Readonly<Record<string, unknown>>;
  readonly body: Readonly<Record<string, unknown>>;
  readonly header: (name: string) => string | null;
}

export interface Asking {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly token?: SecretValue;
  readonly at?: URL;
}

export class Measured {
  constructor(
    readonly server: Operated,
    readonly kv: string,
    readonly transit: string,
  ) {}

  static async on(server: Operated): Promise<Measured> {
    const kv = await server.mount('kv', { options: { version: '2' } });
    return new Measured(server, kv, await server.mount('transit'));
  }

  async ask(method: string, path: string, body?: unknown, more: Omit<Asking, 'body'> = {}): Promise<Said> {
    const { headers = {}, token = this.server.rootToken, at = this.server.address } = more;
    const answer = await fetch(new URL(`/v1/${path}`, at), {
      method,
      redirect: 'manual',
      headers: {
        'X-Vault-Token': token.reveal().toString('utf8'),
        ...(method === 'PATCH' ? { 'Content-Type': 'application/merge-patch+json' } : {}),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await answer.text();
    const parsed: { errors?: string[]; data?: Record<string, unknown> | null } & Record<string, unknown> =
      text === '' ? {} : JSON.parse(text);
    return {
      status: answer.status,
      errors: parsed.errors ?? [],
      data: parsed.data ?? {},
      body: parsed,
      header: (name) => answer.headers.get(name),
    };
  }

  /** Its status and its words, which is what most lines are about. */
  async told(...asked: Parameters<Measured['ask']>): Promise<readonly [number, string]> {
    const { status, errors } = await this.ask(...asked);
    return [status, errors.join('\n')];
  }

  /** Below the KV mount, of nobody yet. */
  secret(): {
    readonly [face in 'data' | 'metadata' | 'subkeys' | 'delete' | 'undelete' | 'destroy']: string;
  } {
    const name = randomUUID();
    const at = (face: string): string => `${this.kv}/${face}/${name}`;
    return {
      data: at('data'),
      metadata: at('metadata'),
      subkeys: at('subkeys'),
      delete: at('delete'),
      undelete: at('undelete'),
      destroy: at('destroy'),
    };
  }

  async key(type = 'ed25519'): Promise<string> {
    const name = randomUUID();
    await this.ask('POST', `${this.transit}/keys/${name}`, { type });
    return name;
  }

  async tokenWith(policy: string, more: Readonly<Record<string, unknown>> = {}): Promise<SecretValue> {
    const name = randomUUID();
    await this.ask('PUT', `sys/policies/acl/${name}`, { policy });
    return this.token({ policies: [name], no_default_policy: true, ...more });
  }

  async token(wanted: Readonly<Record<string, unknown>>, role = ''): Promise<SecretValue> {
    const path = `auth/token/create${role === '' ? '' : `/${role}`}`;
    const { auth } = await this.server.api<{ auth: { client_token: string } }>('POST', path, wanted);
    return new SecretValue(auth.client_token);
  }
}

export const several = (error: string): string => `1 error occurred:\n\t* ${error}\n\n`;
