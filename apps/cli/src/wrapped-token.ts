import { UsageError } from './failures.js';
import { readFileOr } from './read-file.js';
import type { Surroundings } from './surroundings.js';

/** Out of a file or standard input, never an argument: those stand in the shell's history and in the list of processes. */
export async function wrappedTokenIn(file: string, { input }: Surroundings): Promise<string> {
  const text = (file === '-' ? await input.readAll() : readFileOr(file).toString('utf8')).trim();
  if (!/^[\x21-\x7e]{1,4096}$/.test(text))
    throw new UsageError(
      `${file === '-' ? 'standard input' : file} should hold a wrapping token, and nothing else`,
    );
  return text;
}
