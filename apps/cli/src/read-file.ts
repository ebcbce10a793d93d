import { readFileSync } from 'node:fs';
import { UsageError } from './failures.js';

/** A file named on the command line. */
export function readFileOr(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    throw new UsageError(`${path} cannot be read (${code})`);
  }
}
