import { createReadStream, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { formatOf, type DeclarationFormat, type DeclarationSource } from '#rotation';
import { codeOf } from './error-code.js';
import { UsageError } from './failures.js';
import type { Surroundings } from './surroundings.js';

/** The files that `-f` names: files, folders of files, and `-` for the input. */
export function sourcesOf(
  names: readonly string[],
  format: DeclarationFormat | undefined,
  input: Surroundings['input'],
): readonly DeclarationSource[] {
  if (names.filter((name) => name === '-').length > 1) throw new UsageError('-f - can be given only once');
  const sources = names.flatMap((name) => {
    if (name === '-') {
      if (format === undefined) throw new UsageError('-f - says no format: add --format yaml, csv or ndjson');
      return [{ name: 'standard input', format, chunks: input.chunks() }];
    }
    return found(name, () => statSync(name)).isDirectory()
      ? inFolder(name, format)
      : [sourceAt(name, format)];
  });
  // Given twice, everything in it would be declared twice.
  return sources.filter(({ name }, index) => sources.findIndex((each) => each.name === name) === index);
}

function inFolder(folder: string, format: DeclarationFormat | undefined): readonly DeclarationSource[] {
  const files = found(folder, () => readdirSync(folder, { withFileTypes: true }))
    .filter((entry) => !entry.isDirectory() && formatOf(entry.name) !== undefined)
    .map(({ name }) => join(folder, name))
    .sort();
  if (files.length === 0) throw new UsageError(`${folder} has no .yaml, .json, .csv or .ndjson file`);
  return files.map((file) => sourceAt(file, format));
}

function sourceAt(file: string, given: DeclarationFormat | undefined): DeclarationSource {
  const format = given ?? formatOf(file);
  if (format === undefined) {
    throw new UsageError(`${file} does not say its format by its name: add --format yaml, csv or ndjson`);
  }
  return { name: file, format, chunks: chunksOf(file) };
}

/** Opened only when it is read: thousands of files are not open at once. */
async function* chunksOf(file: string): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of createReadStream(file)) if (chunk instanceof Uint8Array) yield chunk;
  } catch (error) {
    throw unreadable(file, error);
  }
}

function found<Value>(path: string, look: () => Value): Value {
  try {
    return look();
  } catch (error) {
    throw unreadable(path, error);
  }
}

function unreadable(path: string, error: unknown): UsageError {
  return new UsageError(`${path} cannot be read (${codeOf(error) ?? 'unknown error'})`);
}
