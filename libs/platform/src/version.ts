import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

const manifest = z.object({ name: z.literal('keyturn'), version: z.string() });

/** Of the package this file lies in: sources and built files lie at different depths. */
export function packageVersion(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const path = join(folder, 'package.json');
    if (existsSync(path)) {
      const parsed = manifest.safeParse(JSON.parse(readFileSync(path, 'utf8')));
      if (parsed.success) return parsed.data.version;
    }
    if (folder === dirname(folder)) return 'unknown';
  }
}
