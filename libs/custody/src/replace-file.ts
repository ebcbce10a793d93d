import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { errorCode } from './error-code.js';
import { fsyncFolder } from './fsync-folder.js';

/** What a crash may leave of a file that was being replaced ends with this. */
export const TEMPORARY = '.tmp';

/** The file is the old one or the new one, whole, whatever happens; durable when this returns. */
export function replaceFile(path: string, body: Buffer): void {
  const temporary = `${path}${TEMPORARY}`;
  const file = openSync(temporary, 'w', 0o600);
  try {
    writeFileSync(file, body);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
  fsyncFolder(dirname(path));
}

/** `undefined` where there is none; what cannot be read agrees with nothing. */
export function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    return errorCode(error) === 'ENOENT' ? undefined : Buffer.alloc(0);
  }
}
