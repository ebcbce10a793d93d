import { NO_CONTENT, NOT_THERE, bodyOf, found, instant, secondsOf, unsupported } from './face.js';
import { Refusal } from './refusal.js';
import type { Answer, Ask, Body, Engine } from './face.js';
import { answerMetadata } from './kv-metadata.js';
import {
  durationOf,
  emptyMetadata,
  merged,
  metadataKey,
  versionKey,
  type KvMetadata,
  type KvVersion,
} from './kv-state.js';

/** KV v2: versions under compare-and-set, as measured. */

interface KvConfig {
  readonly max_versions: number;
  readonly cas_required: boolean;
  readonly delete_version_after: string;
}

const KEPT_BY_DEFAULT = 10;
const CONFIG: KvConfig = { max_versions: 0, cas_required: false, delete_version_after: '0s' };

export class KvEngine implements Engine {
  exists({ path, storage }: Ask): boolean {
    const [, face, name] = /^(data|metadata)\/(.+)$/.exec(path) ?? [];
    return face === undefined || storage.read(metadataKey(name ?? '')) !== undefined;
  }

  answer(ask: Ask): Answer {
    const [face = '', ...rest] = ask.path.split('/');
    const name = rest.join('/');
    if (face === 'config') return config(ask);
    if (face === 'metadata') return answerMetadata(ask, name);
    if (name === '') throw unsupported(ask);
    switch (`${ask.method} ${face}`) {
      case 'GET data':
        return shown(ask, name, 'data', (data) => data);
      case 'GET subkeys':
        return shown(ask, name, 'subkeys', namesOf);
      case 'POST data':
        return written(ask, name);
      case 'PATCH data':
        return patched(ask, name);
      case 'DELETE data':
        return deleted(ask, name, (current) => [current]);
      case 'POST delete':
        return deleted(ask, name, () => numbered(ask, 'No version number provided'));
      case 'POST undelete':
        return changed(ask, name, numbered(ask, 'No version number provided'), undelete);
      case 'POST destroy':
        return changed(ask, name, numbered(ask, 'no version number provided'), destroy);
      default:
        throw unsupported(ask);
    }
  }
}

function config({ method, body, storage, ...rest }: Ask): Answer {
  const now = storage.read<KvConfig>('config') ?? CONFIG;
  if (method === 'GET') return found({ ...now, metadata_cas_required: false });
  if (method !== 'POST') throw unsupported({ method, ...rest });
  storage.put('config', {
    max_versions: Number(body['max_versions'] ?? now.max_versions),
    cas_required: body['cas_required'] ?? now.cas_required,
    delete_version_after: durationOf(body['delete_version_after']) ?? now.delete_version_after,
  });
  return NO_CONTENT;
}

const isGone = ({ destroyed, deletion_time }: KvVersion): boolean =>
  destroyed || (deletion_time !== '' && Date.parse(deletion_time) <= Date.now());

/** Of one version: `undefined` where it was never there, or is cut off. */
function frameOf(metadata: KvMetadata | undefined, number: number): (KvVersion & Body) | undefined {
  const version = metadata?.versions[number];
  return version === undefined
    ? undefined
    : { ...version, version: number, custom_metadata: metadata?.custom_metadata ?? null };
}

function shown(
  { query, storage }: Ask,
  name: string,
  face: 'data' | 'subkeys',
  show: (data: unknown) => unknown,
): Answer {
  const metadata = storage.read<KvMetadata>(metadataKey(name));
  const number = Number(query.get('version') ?? 0) || (metadata?.current_version ?? 0);
  const frame = frameOf(metadata, number);
  if (frame === undefined) throw NOT_THERE;
  if (isGone(frame)) return { status: 404, data: { [face]: null, metadata: frame } };
  return found({ [face]: show(storage.read(versionKey(name, number))), metadata: frame });
}

function namesOf(data: unknown): unknown {
  return Object.fromEntries(
    Object.entries(bodyOf(data)).map(([name, value]) => {
      const below = Object.keys(bodyOf(value)).length > 0;
      return [name, below ? namesOf(value) : null];
    }),
  );
}

function requireCas({ body, storage }: Ask, metadata: KvMetadata | undefined): void {
  const config = storage.read<KvConfig>('config') ?? CONFIG;
  const options = bodyOf(body['options']);
  if (!Object.hasOwn(options, 'cas')) {
    if (config.cas_required || metadata?.cas_required === true)
      throw Refusal.of(400, 'check-and-set parameter required for this call');
    return;
  }
  const cas = Number(options['cas'] ?? 0);
  if (!Number.isInteger(cas)) throw Refusal.of(400, 'error parsing check-and-set parameter');
  if (cas !== (metadata?.current_version ?? 0))
    throw Refusal.of(400, 'check-and-set parameter did not match the current version');
}

function written(ask: Ask, name: string): Answer {
  if (name.endsWith('/')) throw Refusal.of(400, "cannot write to a path ending in '/'");
  if (!Object.hasOwn(ask.body, 'data')) throw Refusal.of(400, 'no data provided');
  const metadata = ask.storage.read<KvMetadata>(metadataKey(name));
  requireCas(ask, metadata);
  return added(ask, name, metadata, ask.body['data']);
}

function patched(ask: Ask, name: string): Answer {
  if (!Object.hasOwn(ask.body, 'data')) throw Refusal.of(400, 'no data provided');
  const metadata = ask.storage.read<KvMetadata>(metadataKey(name));
  const frame = frameOf(metadata, metadata?.current_version ?? 0);
  if (metadata === undefined || frame === undefined) return { status: 404, plain: '' };
  if (isGone(frame)) return { status: 404, data: frame };
  requireCas(ask, metadata);
  const now = ask.storage.read(versionKey(name, metadata.current_version));
  return added(ask, name, metadata, merged(now, ask.body['data']));
}

/** The newest; what is more than is kept vanishes, without a mark. */
function added({ storage }: Ask, name: string, before: KvMetadata | undefined, data: unknown): Answer {
  const at = instant();
  const metadata = before ?? emptyMetadata(at);
  const config = storage.read<KvConfig>('config') ?? CONFIG;
  const number = metadata.current_version + 1;
  const after = [metadata, config]
    .map(({ delete_version_after }) => secondsOf(delete_version_after) ?? 0)
    .find((seconds) => seconds > 0);
  const deletion_time = after === undefined ? '' : new Date(Date.parse(at) + after * 1_000).toISOString();
  const made: KvVersion = { created_time: at, deletion_time, destroyed: false };
  const keeps = Math.max(metadata.max_versions, config.max_versions) || KEPT_BY_DEFAULT;
  const oldest = Math.max(number - keeps + 1, 1);
  const all = Object.entries<KvVersion>({ ...metadata.versions, [number]: made });
  for (const [old] of all) if (Number(old) < oldest) storage.remove(versionKey(name, old));
  storage.put(versionKey(name, number), data);
  storage.put(metadataKey(name), {
    ...metadata,
    versions: Object.fromEntries(all.filter(([old]) => Number(old) >= oldest)),
    current_version: number,
    oldest_version: oldest > 1 ? oldest : metadata.oldest_version,
    updated_time: at,
  } satisfies KvMetadata);
  return found({ ...made, version: number, custom_metadata: metadata.custom_metadata });
}

function numbered({ body }: Ask, otherwise: string): readonly number[] {
  const versions = [body['versions'] ?? []].flat().map(Number);
  if (versions.length === 0) throw Refusal.of(400, otherwise);
  return versions;
}

type Change = (version: KvVersion, ask: Ask, key: string) => KvVersion;

/** Answers 204 whatever it found: what is not there is skipped. */
function changed(ask: Ask, name: string, numbers: readonly number[], change: Change): Answer {
  const metadata = ask.storage.read<KvMetadata>(metadataKey(name));
  if (metadata === undefined) return NO_CONTENT;
  const versions: Record<string, KvVersion> = { ...metadata.versions };
  for (const [number, version] of Object.entries(versions))
    if (numbers.includes(Number(number))) versions[number] = change(version, ask, versionKey(name, number));
  ask.storage.put(metadataKey(name), { ...metadata, versions } satisfies KvMetadata);
  return NO_CONTENT;
}

function deleted(ask: Ask, name: string, numbers: (current: number) => readonly number[]): Answer {
  const metadata = ask.storage.read<KvMetadata>(metadataKey(name));
  return changed(ask, name, numbers(metadata?.current_version ?? 0), (version) =>
    isGone(version) ? version : { ...version, deletion_time: instant() },
  );
}

const undelete: Change = (version) => (version.destroyed ? version : { ...version, deletion_time: '' });
const destroy: Change = (version, { storage }, key) => {
  storage.remove(key);
  return { ...version, destroyed: true };
};
