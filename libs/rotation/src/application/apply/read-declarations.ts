import { Problems, type FileError } from '../files/file-problems.js';
import { DeclarationReader, MAX_DECLARATIONS } from './declaration-reader.js';
import type { Declarations } from './declared-things.js';
import type { Chunks } from './lines.js';

/** Each is read with the first file of its format: whoever applies nothing does not wait for the parsers. */
const READERS = {
  yaml: async () => (await import('./read-yaml.js')).readYaml,
  csv: async () => (await import('./read-csv.js')).readCsv,
  ndjson: async () => (await import('./read-ndjson.js')).readNdjson,
} as const;
export type DeclarationFormat = keyof typeof READERS;
export const DECLARATION_FORMATS: readonly DeclarationFormat[] = ['yaml', 'csv', 'ndjson'];

const ENDINGS: Readonly<Record<string, DeclarationFormat>> = {
  yaml: 'yaml',
  yml: 'yaml',
  json: 'yaml',
  csv: 'csv',
  ndjson: 'ndjson',
  jsonl: 'ndjson',
};

/** What a file's name says of its format. */
export function formatOf(fileName: string): DeclarationFormat | undefined {
  return ENDINGS[/\.([a-z]+)$/i.exec(fileName)?.[1]?.toLowerCase() ?? ''];
}

export interface DeclarationSource {
  readonly name: string;
  readonly format: DeclarationFormat;
  readonly chunks: Chunks;
}

export interface DeclarationReading {
  /** Whole only where `errors` is empty. */
  readonly declared: Declarations;
  readonly errors: readonly FileError[];
  /** How many errors there are beside those named. */
  readonly moreErrors: number;
}

/** Errors a file is told at most; more are counted. */
const MOST_ERRORS = 20_000;

/**
 * Reads families, consumers and policies declared as code, from one file or several, and checks them as a whole: what is
 * wrong is told all at once, by file, line and field. CSV and NDJSON are read as they come.
 */
export async function readDeclarations(sources: readonly DeclarationSource[]): Promise<DeclarationReading> {
  const reader = new DeclarationReader();
  const errors: FileError[] = [];
  let moreErrors = 0;
  for (const { name, format, chunks } of sources) {
    const problems = new Problems(MOST_ERRORS, name);
    const read = await READERS[format]();
    await read(limited(chunks, reader, problems), name, reader, problems);
    errors.push(...problems.sorted());
    moreErrors += problems.leftOut();
  }
  if (reader.count === 0 && errors.length === 0) {
    const names = sources.map(({ name }) => name).join(', ');
    const message = `must declare something: ${names} has no families, consumers or policies`;
    errors.push({ file: sources[0]?.name ?? '', line: 1, field: '', message });
  }
  return { declared: reader, errors, moreErrors };
}

/** Ends the file where it declares more than is held in memory. */
async function* limited(
  chunks: Chunks,
  reader: DeclarationReader,
  problems: Problems,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    if (reader.count > MAX_DECLARATIONS) {
      problems.add(0, [], `must not declare more than ${MAX_DECLARATIONS} things at once: apply it in parts`);
      return;
    }
    yield chunk;
  }
}
