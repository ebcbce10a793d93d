import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A file of `examples/`, which lies beside package.json, wherever this was built to. */
export function exampleFile(name: string): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error(`examples/${name} was not found`);
    folder = parent;
  }
  return join(folder, 'examples', name);
}
