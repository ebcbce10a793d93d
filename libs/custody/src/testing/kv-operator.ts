import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import { SecretValue } from '#platform';
import { BackendError } from '../key-backend.js';
import type { Served } from './openbao.js';

export interface KvShown {
  readonly data: Readonly<Record<string, unknown>>;
  readonly metadata: { readonly version: number };
}

/** Who runs the server, for specs: reads what applications read, and writes behind Keyturn's back. */
export class KvOperator {
  constructor(private readonly bao: Served) {}

  /** As applications read it; `undefined`: they get a 404. */
  async read(object: string, version?: number): Promise<KvShown | undefined> {
    const query = version === undefined ? '' : `?version=${version}`;
    const answer = await this.bao.api<{ data: KvShown }>('GET', `${object}${query}`).catch(() => undefined);
    return answer?.data;
  }

  /** Without a compare-and-set, as people and scripts do. */
  async write(object: string, data: Readonly<Record<string, unknown>>): Promise<void> {
    await this.bao.api('POST', object, { data });
  }

  async patch(object: string, data: Readonly<Record<string, unknown>>): Promise<void> {
    const { data: old } = (await this.read(object)) ?? { data: {} };
    await this.write(object, { ...old, ...data });
  }

  async set(object: string, metadata: Readonly<Record<string, unknown>>): Promise<void> {
    await this.bao.api('POST', object.replace('/data/', '/metadata/'), metadata);
  }

  async deleteNewest(object: string): Promise<void> {
    await this.bao.api('DELETE', object);
  }

  async undelete(object: string, version: number): Promise<void> {
    await this.bao.api('POST', object.replace('/data/', '/undelete/'), { versions: [version] });
  }

  /** KV version and whether it was destroyed. */
  async versions(object: string): Promise<readonly (readonly [number, boolean])[]> {
    const { data } = await this.bao.api<{
      data: { versions: Readonly<Record<string, { readonly destroyed: boolean }>> };
    }>('GET', object.replace('/data/', '/metadata/'));
    return Object.entries(data.versions).map(([number, { destroyed }]) => [Number(number), destroyed]);
  }

  /** Every value that any KV version of these secrets still shows. Those made by Keyturn are 43 characters of base64url. */
  async values(...objects: readonly string[]): Promise<readonly SecretValue[]> {
    const found = new Set<string>();
    for (const object of objects) {
      for (const [version] of await this.versions(object).catch(() => []))
        collect((await this.read(object, version))?.data, found);
    }
    return [...found].map((text) => new SecretValue(text));
  }

  /** A token with these policies of deploy/vault and no other right; `mount` and `folder` stand in the place of the examples'. */
  async tokenOf(
    files: readonly string[],
    { mount, folder }: { readonly mount: string; readonly folder: string },
  ): Promise<SecretValue> {
    const policies: string[] = [];
    for (const file of files) {
      const name = `${file}-${randomUUID().slice(0, 8)}`;
      const policy = readFileSync(`deploy/vault/${file}.hcl`, 'utf8')
        .replaceAll('"secret/', `"${mount}/`)
        .replaceAll('/app/', `/${folder}/`);
      await this.bao.api('POST', `sys/policies/acl/${name}`, { policy });
      policies.push(name);
    }
    const made = await this.bao.api<{ auth: { client_token: string } }>('POST', 'auth/token/create', {
      policies,
      no_default_policy: true,
    });
    return new SecretValue(made.auth.client_token);
  }

  /** The status of one request with a token. */
  async statusAs(token: SecretValue, method: string, path: string, body?: unknown): Promise<number> {
    const answer = await fetch(new URL(`/v1/${path}`, this.bao.address), {
      method,
      headers: {
        'X-Vault-Token': token.reveal().toString('utf8'),
        ...(method === 'PATCH' ? { 'Content-Type': 'application/merge-patch+json' } : {}),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    await answer.arrayBuffer();
    return answer.status;
  }
}

function collect(data: unknown, into: Set<string>): void {
  if (typeof data === 'string' && /^[\w-]{43}$/.test(data)) into.add(data);
  else if (typeof data === 'object' && data !== null)
    for (const value of Object.values(data)) collect(value, into);
}

/** What a call was refused with. */
export async function refusal(call: Promise<unknown>): Promise<BackendError> {
  const outcome = await call.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(outcome instanceof BackendError)) throw new Error(`no refusal: ${inspect(outcome)}`);
  return outcome;
}

/** What no driver of KV may do. */
export function refusedOfDrivers(
  mount: string,
  object: string,
): readonly (readonly [string, string, unknown?])[] {
  const named = (face: string): string => object.replace('/data/', `/${face}/`);
  return [
    ['DELETE', object],
    ['POST', named('delete'), { versions: [1] }],
    ['POST', named('undelete'), { versions: [1] }],
    ['POST', named('destroy'), { versions: [1] }],
    ['DELETE', named('metadata')],
    ['POST', named('metadata'), { max_versions: 1 }],
    ['PATCH', named('metadata'), { max_versions: 1 }],
    ['LIST', `${mount}/metadata/app`],
    ['POST', `${mount}/config`, { max_versions: 1 }],
    ['GET', `${mount}/data/other/x`],
    ['GET', `${mount}/subkeys/other/x`],
    ['GET', `${mount}/metadata/other/x`],
    ['POST', `${mount}/data/other/x`, { options: { cas: 0 }, data: {} }],
    ['DELETE', `${mount}/data/keyturn/${object}`],
    ['DELETE', `${mount}/metadata/keyturn/${object}`],
    ['POST', 'auth/token/create', {}],
    ['GET', 'sys/mounts'],
    ['GET', 'sys/policies/acl'],
    ['POST', `sys/mounts/${mount}/tune`, { description: 'x' }],
  ];
}
