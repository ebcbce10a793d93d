import { readFileSync } from 'node:fs';
import { codeOf } from './error-code.js';
import { UsageError } from './failures.js';

/** A file named on the command line. */
export function readFileOr(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new UsageError(`${path} cannot be read (${codeOf(error) ?? 'unknown error'})`);
  }
}
