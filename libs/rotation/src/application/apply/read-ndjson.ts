import { NOT_DECLARED } from './declared-things.js';
import type { Problems } from '../files/file-problems.js';
import { JsonReader, JsonSyntaxError, lineAt, type JsonNode } from '../files/json-with-lines.js';
import { findSecrets } from '../files/secret-shapes.js';
import type { DeclarationReader, Item } from './declaration-reader.js';
import { linesOf, type Chunks } from './lines.js';

const KINDS = ['family', 'consumer', 'policy'] as const;

/**
 * One JSON object a line, `{"family": {…}}`, `{"consumer": {…}}` or `{"policy": {…}}`, with what the YAML file has in
 * its lists. Read as it comes, line by line; lines that are empty are passed over.
 */
export async function readNdjson(
  chunks: Chunks,
  file: string,
  reader: DeclarationReader,
  problems: Problems,
): Promise<void> {
  for await (const { line, text, problem } of linesOf(chunks)) {
    if (problem !== undefined) problems.add(line, [], problem);
    else if (text.trim() !== '') readLine(text, { file, line }, reader, problems);
  }
}

function readLine(text: string, place: Item['place'], reader: DeclarationReader, problems: Problems): void {
  let node: JsonNode;
  try {
    node = new JsonReader(text, {
      line: place.line,
      noObject: 'must be one JSON object a line, such as {"family": {…}}',
      problem: (line, path, message) => {
        problems.add(line, path, message);
      },
    }).read();
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    problems.add(place.line, [], error.message);
    return;
  }
  findSecrets(node.value, (path, message) => {
    problems.add(lineAt(node, path), path, message);
  });
  const undeclared = [...(node.fields?.keys() ?? [])].find((name) => Object.hasOwn(NOT_DECLARED, name));
  if (undeclared !== undefined) {
    problems.add(place.line, [undeclared], NOT_DECLARED[undeclared] ?? '');
    return;
  }
  const kinds = KINDS.filter((each) => node.fields?.has(each) === true);
  const [kind] = kinds;
  if (kind === undefined || kinds.length > 1) {
    problems.add(place.line, [], 'must hold one of family, consumer and policy');
    return;
  }
  for (const name of node.fields?.keys() ?? []) {
    if (name !== kind) problems.add(place.line, [name], `is not known here: it belongs inside ${kind}`);
  }
  reader[kind]({
    place,
    value: node.fields?.get(kind)?.value,
    problem: (path, message) => {
      problems.add(place.line, [kind, ...path], message);
    },
  });
}
