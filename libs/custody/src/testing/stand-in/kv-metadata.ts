import { NO_CONTENT, NOT_THERE, bodyOf, found, instant, unsupported } from './face.js';
import { Refusal } from './refusal.js';
import type { Answer, Ask, Body } from './face.js';
import { durationOf, emptyMetadata, merged, metadataKey, versionKey, type KvMetadata } from './kv-state.js';

/** `metadata/…` of KV v2: limits, custom metadata, lists, and the end of a secret with all of its history. */
export function answerMetadata(ask: Ask, name: string): Answer {
  switch (ask.method) {
    case 'GET':
      return shown(ask, name);
    case 'LIST':
      return listed(ask, name);
    case 'POST':
      return set(ask, name);
    case 'PATCH':
      return patch(ask, name);
    case 'DELETE':
      return removed(ask, name);
  }
}

function shown({ storage }: Ask, name: string): Answer {
  const metadata = storage.read<KvMetadata>(metadataKey(name));
  if (metadata === undefined) throw NOT_THERE;
  return found({ ...metadata, metadata_cas_required: false });
}

function listed({ storage }: Ask, name: string): Answer {
  const folder = metadataKey(name === '' || name.endsWith('/') ? name : `${name}/`);
  const keys = storage.list(folder).map((key) => key.replace(/\/.*$/, '/'));
  if (keys.length === 0) throw NOT_THERE;
  return found({ keys: [...new Set(keys)].sort() });
}

function set(ask: Ask, name: string): Answer {
  if (name === '') throw unsupported(ask);
  const { body, storage } = ask;
  if (setsNothing(body)) return NO_CONTENT;
  const before = storage.read<KvMetadata>(metadataKey(name));
  requireMetadataCas(body, before);
  const metadata = before ?? emptyMetadata(instant());
  // Whole: what is left out of it is gone.
  put(
    ask,
    name,
    metadata,
    body,
    Object.hasOwn(body, 'custom_metadata') ? body['custom_metadata'] : undefined,
  );
  return NO_CONTENT;
}

function patch(ask: Ask, name: string): Answer {
  const { body, storage } = ask;
  if (setsNothing(body)) return NO_CONTENT;
  const before = storage.read<KvMetadata>(metadataKey(name));
  if (before === undefined) return { status: 404, plain: '' };
  requireMetadataCas(body, before);
  const custom = bodyOf(body['custom_metadata']);
  if (Object.values(custom).some((value) => typeof value === 'number'))
    throw Refusal.several(500, "'custom_metadata' expected type 'string', got unconvertible type");
  put(ask, name, before, body, merged(before.custom_metadata ?? {}, custom));
  return NO_CONTENT;
}

const SETTINGS = ['max_versions', 'cas_required', 'delete_version_after', 'custom_metadata'] as const;

function setsNothing(body: Body): boolean {
  return !SETTINGS.some((name) => Object.hasOwn(body, name));
}

function requireMetadataCas(body: Body, before: KvMetadata | undefined): void {
  if (!Object.hasOwn(body, 'metadata_cas')) return;
  const cas = Number(body['metadata_cas']);
  if (before === undefined && cas !== 0)
    throw Refusal.of(400, 'metadata_cas must be 0 when creating new metadata');
  if (before !== undefined && cas !== before.current_metadata_version)
    throw Refusal.of(400, 'metadata check-and-set parameter does not match the current version');
}

function put({ storage }: Ask, name: string, metadata: KvMetadata, body: Body, custom: unknown): void {
  storage.put(metadataKey(name), {
    ...metadata,
    max_versions: Number(body['max_versions'] ?? metadata.max_versions),
    cas_required: body['cas_required'] === undefined ? metadata.cas_required : body['cas_required'] === true,
    delete_version_after: durationOf(body['delete_version_after']) ?? metadata.delete_version_after,
    custom_metadata: custom === undefined ? metadata.custom_metadata : textsOf(custom),
    current_metadata_version: metadata.current_metadata_version + 1,
  } satisfies KvMetadata);
}

function textsOf(custom: unknown): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(bodyOf(custom)).map(([name, value]) => [name, String(value)]));
}

function removed({ storage }: Ask, name: string): Answer {
  const metadata = storage.read<KvMetadata>(metadataKey(name));
  for (const number of Object.keys(metadata?.versions ?? {})) storage.remove(versionKey(name, number));
  if (metadata !== undefined) storage.remove(metadataKey(name));
  return NO_CONTENT;
}
