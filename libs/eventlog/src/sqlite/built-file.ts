import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Where a worker thread or a child process finds a compiled file: beside the caller in `dist`; for a caller that runs
 * from the sources (jest), the same place in `dist`, which must not be older than what it was compiled from.
 * `sources` are the files and folders it depends on, relative to the caller's.
 */
export function builtFile(callerUrl: string, file: string, sources: readonly string[]): string {
  const caller = fileURLToPath(callerUrl);
  const here = dirname(caller);
  if (!caller.endsWith('.ts')) return join(here, file);
  const root = here.slice(0, here.search(/[\\/](?:libs|apps|test)[\\/]/));
  const built = (source: string): string => join(root, 'dist', relative(root, source));
  const texts = readBuildInfo(join(root, 'dist'));
  for (const source of sources.flatMap((each) => typescriptIn(join(here, each)))) {
    const output = built(source).replace(/\.ts$/, '.js');
    if (!existsSync(output)) throw new Error(`${output} is missing: run npm run build`);
    const isOlder = statSync(output).mtimeMs < statSync(source).mtimeMs;
    // An incremental build leaves alone what was only touched; it knows by the hash of the text.
    if (isOlder && texts.get(relative(root, source)) !== sha256(readFileSync(source))) {
      throw new Error(`${output} is older than its source: run npm run build`);
    }
  }
  return built(join(here, file));
}

/** The hashes of the texts the last build compiled, by path from the root. */
function readBuildInfo(dist: string): ReadonlyMap<string, string> {
  const path = join(dist, '.tsbuildinfo');
  if (!existsSync(path)) return new Map();
  const info: unknown = JSON.parse(readFileSync(path, 'utf8'));
  if (!isRecord(info) || !Array.isArray(info['fileNames']) || !Array.isArray(info['fileInfos']))
    return new Map();
  const infos: readonly unknown[] = info['fileInfos'];
  return new Map(
    info['fileNames'].map((name: unknown, index): [string, string] => {
      const one = infos[index];
      const version = isRecord(one) ? one['version'] : one;
      return [String(name).replace(/^\.\.\//, ''), String(version)];
    }),
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function typescriptIn(path: string): string[] {
  if (path.endsWith('.ts')) return [path];
  return readdirSync(path)
    .filter((name) => name.endsWith('.ts') && !/\.(?:spec|contract)\.ts$/.test(name))
    .map((name) => join(path, name));
}

function sha256(text: Buffer): string {
  return createHash('sha256').update(text).digest('hex');
}
