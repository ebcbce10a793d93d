import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { openDatabase } from '#eventlog/sqlite';
import { SecretValue } from '#platform';
import { ManualClock } from '#platform/testing';
import type { Algorithm } from '../key-backend.js';
import { openLocalKeyBackend, type LocalKeyBackend } from '../local/index.js';
import { importKey, KeySealer } from '../local/key-material.js';
import type { KeyBackendHarness } from './key-backend.contract.js';

/** A local back end in a folder of its own, for specs. */
export class LocalHarness implements KeyBackendHarness {
  readonly directory = mkdtempSync(join(tmpdir(), 'keyturn-custody-'));
  readonly masterKey = new SecretValue(randomBytes(32));
  readonly clock = new ManualClock('2026-01-31T09:00:00Z');
  readonly algorithm: Algorithm;
  backend: LocalKeyBackend;

  constructor(algorithm: Algorithm = 'ES256') {
    this.algorithm = algorithm;
    this.backend = this.open();
  }

  open(masterKey = this.masterKey): LocalKeyBackend {
    return openLocalKeyBackend({ directory: this.directory, masterKey, clock: this.clock });
  }

  fresh(): { readonly object: string; readonly familyId: string } {
    const familyId = randomUUID();
    return { object: `keys/${familyId}`, familyId };
  }

  async reopen(): Promise<LocalKeyBackend> {
    this.backend.close();
    this.backend = this.open();
    return this.backend;
  }

  async close(): Promise<void> {
    this.backend.close();
    rmSync(this.directory, { recursive: true });
  }

  async servedKids(_backend: unknown, familyId: string): Promise<readonly string[] | undefined> {
    const served = this.backend.servedDocument(familyId);
    if (served === undefined) return undefined;
    const document = z.object({ keys: z.array(z.object({ kid: z.string() })) });
    return document.parse(JSON.parse(served.body.toString('utf8'))).keys.map(({ kid }) => kid);
  }

  /** The private bytes themselves, opened with the master key as nobody else can. */
  material(object: string): ReturnType<typeof materialIn> {
    return materialIn(this.directory, this.masterKey, object);
  }

  async secrets(_backend: unknown, object: string): Promise<readonly string[]> {
    return this.material(object).flatMap(({ bytes }) => formsOf(bytes));
  }
}

/** The private bytes of an object's versions in a store, opened with its master key. */
export function materialIn(
  directory: string,
  masterKey: SecretValue,
  object: string,
): readonly { readonly algorithm: string; readonly bytes: Buffer }[] {
  const db = openDatabase(join(directory, 'custody.sqlite'), { readOnly: true });
  try {
    const sealer = new KeySealer(masterKey);
    const row = z.object({
      version_id: z.string(),
      algorithm: z.enum(['RS256', 'ES256', 'EdDSA', 'HS256']),
      material: z.custom<Uint8Array>((value) => ArrayBuffer.isView(value)),
    });
    return z
      .array(row)
      .parse(db.prepare('SELECT * FROM versions WHERE object = ? AND material IS NOT NULL').all(object))
      .map(({ version_id, algorithm, material }) => {
        const opened = sealer.open(material, object, version_id);
        if (algorithm === 'HS256') return { algorithm, bytes: opened };
        const { d } = importKey(algorithm, opened).export({ format: 'jwk' });
        return { algorithm, bytes: Buffer.from(d ?? '', 'base64url') };
      });
  } finally {
    db.close();
  }
}

/** How bytes may look where they leak; each cut short, so that a part is found too. */
export function formsOf(bytes: Buffer): readonly string[] {
  const part = bytes.subarray(0, 24);
  return [
    part.toString('hex'),
    part.toString('base64'),
    part.toString('base64url'),
    part.toString('latin1'),
    [...part].join(','),
    [...part].join(', '),
    part.toString('hex').match(/../g)?.join(' ') ?? '',
  ];
}
