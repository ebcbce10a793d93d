import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ManualClock } from '#platform/testing';
import {
  createMasterKeyFile,
  loadMasterKey,
  openLocalKeyBackend,
  settleMasterKeyFile,
} from '../local/index.js';
import type { Attempt } from '../key-backend.js';
import { materialIn } from './local-harness.js';

/** A store with keys of every kind beside a master key file, for the specs of a change of that key. */
export interface RekeyFixture {
  readonly base: string;
  readonly directory: string;
  readonly file: string;
  /** Every sealed key in the clear, in one text: what must never change. */
  readonly keys: string;
}

const OBJECTS = ['keys/a', 'keys/b'];
const FAMILIES = ['11111111-1111-4111-8111-111111111111', '22222222-2222-4222-8222-222222222222'];

/**
 * Two objects: one with an ES256, an EdDSA and a destroyed version, one with an HS256 key. Copied while it is open, so that it always
 * has a write-ahead log: whether a closed one has depends on the garbage collector, and with it how many calls a change of the key makes.
 */
export async function rekeyFixture(): Promise<RekeyFixture> {
  const made = mkdtempSync(join(tmpdir(), 'keyturn-rekey-'));
  const base = mkdtempSync(join(tmpdir(), 'keyturn-rekey-'));
  await openFilled(made, () => {
    cpSync(made, base, { recursive: true });
  });
  rmSync(made, { recursive: true, force: true });
  const [directory, file] = [join(base, 'custody'), join(base, 'master.key')];
  return { base, directory, file, keys: keysUnder(directory, file) };
}

async function openFilled(base: string, whileOpen: () => void): Promise<void> {
  const [directory, file] = [join(base, 'custody'), join(base, 'master.key')];
  createMasterKeyFile(file);
  const backend = openLocalKeyBackend({
    directory,
    masterKey: loadMasterKey({ file }),
    clock: new ManualClock('2026-01-31T09:00:00Z'),
  });
  let step = 0;
  const attempt = (object: number): Attempt => {
    step += 1;
    return {
      object: OBJECTS[object] ?? '',
      familyId: FAMILIES[object] ?? '',
      key: `rotation-${step}/step`,
      attemptId: `attempt-${step}`,
      fence: { slot: 1, step },
      signal: new AbortController().signal,
    };
  };
  await backend.generate(attempt(0), { versionId: 'gone', algorithm: 'ES256' });
  await backend.destroy(attempt(0), { versions: ['gone'] });
  await backend.generate(attempt(0), { versionId: 'es', algorithm: 'ES256' });
  await backend.generate(attempt(0), { versionId: 'ed', algorithm: 'EdDSA' });
  await backend.publish(attempt(0), { versions: ['es'], maxAgeSeconds: 60 });
  await backend.switchEmission(attempt(0), { to: 'es' });
  await backend.generate(attempt(1), { versionId: 'hs', algorithm: 'HS256' });
  whileOpen();
  backend.close();
}

/** Every sealed key, opened with the key in that file; throws where one does not open. */
export function keysUnder(directory: string, file: string): string {
  const masterKey = loadMasterKey({ file });
  return OBJECTS.flatMap((object) =>
    materialIn(directory, masterKey, object).map(
      ({ algorithm, bytes }) => `${algorithm}:${bytes.toString('hex')}`,
    ),
  ).join('\n');
}

/** Goes on as the next start would: what was left is settled, then everything opens and signs. */
export async function startOver({ directory, file, keys }: RekeyFixture): Promise<void> {
  settleMasterKeyFile({ directory, file });
  const backend = openLocalKeyBackend({
    directory,
    masterKey: loadMasterKey({ file }),
    clock: new ManualClock('2026-01-31T09:00:00Z'),
  });
  try {
    await backend.sign('keys/a', { sub: 'someone' });
  } finally {
    backend.close();
  }
  if (keysUnder(directory, file) !== keys) throw new Error('the keys are not what they were');
}

export function removeFixture({ base }: RekeyFixture): void {
  rmSync(base, { recursive: true, force: true });
}
