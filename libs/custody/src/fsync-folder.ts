import { closeSync, fsyncSync, openSync } from 'node:fs';

/** Makes the names in a folder durable: what was created, renamed or removed there. */
export function fsyncFolder(path: string): void {
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
