import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '#platform';

/** Where the parts of a Keyturn lie in its data directory. */
export interface Places {
  /** The log and its lock stand here. */
  readonly log: string;
  readonly custody: string;
  /** What verifiers are served of keys that lie in servers, a folder for each back end. */
  readonly kept: string;
  readonly readModel: string;
  readonly masterKey: string;
}

export function placesOf(config: Pick<Config, 'dataDir' | 'masterKeyFile'>): Places {
  const { dataDir, masterKeyFile } = config;
  return {
    log: dataDir,
    custody: join(dataDir, 'custody'),
    kept: join(dataDir, 'back-ends'),
    readModel: readModelPath(dataDir),
    masterKey: masterKeyFile,
  };
}

/**
 * Read models are rebuilt beside the one that serves, in a file of the next generation: SQLite lets go of a closed file
 * only when its statements are collected, so a path is never used twice in one process (docs/adr/0006).
 */
const GENERATION = /^read-model\.(\d+)\.sqlite$/;

export function generations(directory: string): readonly number[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .flatMap((name) => GENERATION.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((left, right) => left - right);
}

export function pathOf(directory: string, generation: number): string {
  return join(directory, `read-model.${generation}.sqlite`);
}

/** The file of the newest generation. */
export function readModelPath(directory: string): string {
  return pathOf(directory, generations(directory).at(-1) ?? 1);
}
