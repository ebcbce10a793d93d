import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { codeOf } from './error-code.js';
import { RefusedError, UsageError } from './failures.js';

/** Said before anything is asked of the service. */
export function refuseExisting(output: string, force: boolean | undefined): void {
  if (force !== true && existsSync(output)) {
    throw new RefusedError('file.exists', `${output} is there already: use --force to replace it`);
  }
}

/** Whole or not at all: half a document must not lie where somebody sends it from. */
export function saveWhole(output: string, content: Buffer): void {
  const fresh = `${output}.${process.pid}.part`;
  try {
    writeFileSync(fresh, content, { flag: 'wx' });
    renameSync(fresh, output);
  } catch (error) {
    rmSync(fresh, { force: true });
    throw new UsageError(`${output} cannot be written (${codeOf(error) ?? 'unknown error'})`);
  }
}
