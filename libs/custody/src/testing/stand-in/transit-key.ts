import { Refusal } from './refusal.js';
import type { KeyType, Made } from './transit-crypto.js';

export interface Version extends Made {
  readonly creation_time: string;
}

/** A key. Changed in memory before it is written down, as in the real one: a write that fails leaves memory ahead of what lasts. */
export interface Key {
  readonly name: string;
  readonly type: KeyType;
  versions: Record<number, Version>;
  latest: number;
  minDecryption: number;
  minEncryption: number;
  minAvailable: number;
  deletionAllowed: boolean;
  autoRotate: number;
  softDeleted: boolean;
}

export function requireLimits(
  { latest, minAvailable }: Key,
  minDecryption: number,
  minEncryption: number,
): void {
  const no = (what: string): Refusal => Refusal.of(400, what);
  if (minDecryption > latest)
    throw no(`cannot set min decryption version of ${minDecryption}, latest key version is ${latest}`);
  if (minEncryption > latest)
    throw no(`cannot set min encryption version of ${minEncryption}, latest key version is ${latest}`);
  if (minEncryption > 0 && minEncryption < minDecryption)
    throw no(
      `cannot set min encryption/decryption values; min encryption version of ${minEncryption} must be greater than or equal to min decryption version of ${minDecryption}`,
    );
  if (minAvailable > 0 && minEncryption < minAvailable)
    throw no('min encryption version should not be less than min available version');
  if (minAvailable > 0 && minDecryption < minAvailable)
    throw no('min decryption version should not be less then min available version');
}

export function requireTrim({ minAvailable, minEncryption, minDecryption }: Key, least: number): void {
  const no = (what: string): Refusal => Refusal.of(400, `minimum available version ${what}`);
  if (least < minAvailable) throw no('cannot be decremented');
  if (minEncryption === 0) throw no('cannot be set when minimum encryption version is not set');
  if (least <= 0) throw no('should be positive');
  if (least > minEncryption) throw no('cannot be greater than minmum encryption version');
  if (least > minDecryption) throw no('cannot be greater than minimum decryption version');
}
