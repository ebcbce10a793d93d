import { bodyOf, secondsOf } from './face.js';

/** How a secret of KV v2 is kept. */

export interface KvVersion {
  readonly created_time: string;
  /** Empty: it is not deleted and never will be by itself. */
  readonly deletion_time: string;
  readonly destroyed: boolean;
}

export interface KvMetadata {
  readonly versions: Readonly<Record<string, KvVersion>>;
  readonly current_version: number;
  readonly oldest_version: number;
  readonly created_time: string;
  readonly updated_time: string;
  readonly max_versions: number;
  readonly cas_required: boolean;
  readonly delete_version_after: string;
  readonly custom_metadata: Readonly<Record<string, string>> | null;
  readonly current_metadata_version: number;
}

export const metadataKey = (path: string): string => `metadata/${path}`;
export const versionKey = (path: string, version: number | string): string => `version/${version}/${path}`;

/** As the server shows a duration. */
export function durationOf(value: unknown): string | undefined {
  const seconds = secondsOf(value);
  if (seconds === undefined) return undefined;
  const [h, m, s] = [Math.floor(seconds / 3_600), Math.floor((seconds % 3_600) / 60), seconds % 60];
  return h > 0 ? `${h}h${m}m${s}s` : m > 0 ? `${m}m${s}s` : `${s}s`;
}

/** RFC 7396. */
export function merged(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const left = new Map(Object.entries(bodyOf(target)));
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) left.delete(name);
    else left.set(name, merged(left.get(name), value));
  }
  return Object.fromEntries(left);
}

export function emptyMetadata(at: string): KvMetadata {
  return {
    versions: {},
    current_version: 0,
    oldest_version: 0,
    created_time: at,
    updated_time: at,
    max_versions: 0,
    cas_required: false,
    delete_version_after: '0s',
    custom_metadata: null,
    current_metadata_version: 0,
  };
}
