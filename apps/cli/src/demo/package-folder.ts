import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where package.json lies, wherever this was built to. */
export function packageFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error('the folder of package.json was not found');
    folder = parent;
  }
  return folder;
}

/** A file of `examples/`. */
export function exampleFile(name: string): string {
  return join(packageFolder(), 'examples', name);
}
