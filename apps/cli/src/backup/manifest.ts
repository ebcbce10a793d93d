import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { RefusedError } from '../failures.js';

/** What a backup says of itself, in `manifest.json`. */

export const MANIFEST = 'manifest.json';
export const FORMAT_VERSION = 1;

const hex = z.string().regex(/^[0-9a-f]{64}$/);

const fileSchema = z.strictObject({
  /** Inside the backup, with `/`. */
  path: z.enum(['log.sqlite', 'custody/custody.sqlite']),
  bytes: z.int().nonnegative(),
  sha256: hex,
});

export const manifestSchema = z.strictObject({
  format: z.literal('keyturn-backup'),
  formatVersion: z.literal(FORMAT_VERSION),
  /** Of the Keyturn that took it. */
  keyturn: z.string(),
  takenAt: z.string(),
  log: z.strictObject({
    logId: z.uuid(),
    schema: z.int(),
    treeSize: z.int().positive(),
    newestRecordedAt: z.string(),
  }),
  /** The local back end; `null` where there was none. */
  custody: z
    .strictObject({
      schema: z.int(),
      storeId: z.string(),
      versions: z.int(),
      sealedKeys: z.int(),
      effects: z.int(),
      newestEffectAt: z.string().nullable(),
    })
    .nullable(),
  /** Nothing was recorded between the two moments: the pair is what a power cut then would have left. */
  oneMoment: z.boolean(),
  holds: z.strictObject({
    log: z.literal('every event, with the names of people and systems in them; no secret value'),
    keys: z.string(),
    masterKey: z.literal(false),
    readModel: z.literal(false),
    servedDocuments: z.literal(false),
  }),
  files: z.array(fileSchema).min(1),
});
export type Manifest = z.output<typeof manifestSchema>;

/** As far as any version of the format says it. */
const anyVersion = z.looseObject({
  format: z.string(),
  formatVersion: z.number(),
  keyturn: z.string().default('unknown'),
});

export interface ReadManifest {
  readonly manifest: Manifest;
  readonly sha256: string;
}

/** Reads a backup's manifest; refuses what is no backup, one that was never finished, and one of a newer format. */
export function readManifest(folder: string, ourVersion: string): ReadManifest {
  const path = join(folder, MANIFEST);
  if (!existsSync(folder)) throw new RefusedError('backup.not-one', `there is no ${folder}`);
  if (!existsSync(path) || !statSync(path).isFile()) {
    throw new RefusedError(
      'backup.not-one',
      `there is no finished backup in ${folder}: it holds no ${MANIFEST}, which is written last`,
    );
  }
  const text = readFileSync(path);
  let value: unknown;
  try {
    value = JSON.parse(text.toString('utf8'));
  } catch {
    throw damaged(MANIFEST, 'it is no JSON');
  }
  const known = anyVersion.safeParse(value);
  if (!known.success || known.data.format !== 'keyturn-backup') {
    throw damaged(MANIFEST, 'it is not the manifest of a Keyturn backup');
  }
  const { formatVersion, keyturn } = known.data;
  if (formatVersion > FORMAT_VERSION) {
    throw tooNew(
      `its format is ${formatVersion}, this Keyturn (${ourVersion}) knows ${FORMAT_VERSION}`,
      keyturn,
    );
  }
  const parsed = manifestSchema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw damaged(MANIFEST, `${issue?.path.map(String).join('.') ?? ''}: ${issue?.message ?? ''}`);
  }
  return { manifest: parsed.data, sha256: createHash('sha256').update(text).digest('hex') };
}

export function tooNew(why: string, keyturn: string): RefusedError {
  return new RefusedError(
    'backup.too-new',
    `the backup was taken by a newer Keyturn (${keyturn}): ${why}. Restore it with that version; nothing was changed`,
  );
}

export function damaged(file: string, why: string): RefusedError {
  return new RefusedError(
    'backup.damaged',
    `${file} of the backup is damaged: ${why}. Nothing was changed; take another copy of this backup, or an earlier one`,
  );
}

/** SHA-256 of a file's bytes, lower-case hex. */
export async function hashOf(
  path: string,
  onBytes: (count: number) => void = () => undefined,
): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) {
    const bytes: unknown = chunk;
    if (!(bytes instanceof Uint8Array)) throw new Error('a file is read as bytes');
    hash.update(bytes);
    onBytes(bytes.length);
  }
  return hash.digest('hex');
}
