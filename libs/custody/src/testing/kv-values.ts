import { SecretValue } from '#platform';
import type { OpenBao } from './openbao.js';

interface KvMetadata {
  readonly data: { readonly current_version: number; readonly versions: Readonly<Record<string, unknown>> };
}

/** Every text that any KV version of these secrets still shows to an operator, as applications would read it. */
export async function kvValues(bao: OpenBao, objects: readonly string[]): Promise<readonly SecretValue[]> {
  const found = new Set<string>();
  for (const object of objects) {
    const metadata = await bao
      .api<KvMetadata>('GET', object.replace('/data/', '/metadata/'))
      .catch(() => undefined);
    for (const version of Object.keys(metadata?.data.versions ?? {})) {
      const read = await bao
        .api<{ data: { data: unknown } }>('GET', `${object}?version=${version}`)
        .catch(() => undefined);
      collect(read?.data.data, found);
    }
  }
  return [...found].map((text) => new SecretValue(text));
}

/** Values made here are 43 characters of base64url; names of versions are no secret. */
function collect(data: unknown, into: Set<string>): void {
  if (typeof data === 'string' && /^[\w-]{43}$/.test(data)) into.add(data);
  else if (typeof data === 'object' && data !== null)
    for (const value of Object.values(data)) collect(value, into);
}
