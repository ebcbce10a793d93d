import { isAlias, isMap, isScalar, isSeq, LineCounter, parseAllDocuments, visit, type Document } from 'yaml';
import { z } from 'zod';
import type { Problems } from '../files/file-problems.js';
import type { Path } from '../files/path.js';
import { NOT_DECLARED } from './declared-things.js';
import { checkShape } from '../files/schema-check.js';
import { findSecrets } from '../files/secret-shapes.js';
import { HISTORY_FORMAT } from '../import-file.js';
import type { DeclarationReader } from './declaration-reader.js';
import type { Chunks } from './lines.js';

/** A YAML file is read as a whole, with the place of every value: a larger one is CSV, NDJSON, or several files. */
export const MAX_YAML_BYTES = 4 * 1024 * 1024;

const documentSchema = z.object({
  families: z.array(z.unknown()).optional(),
  consumers: z.array(z.unknown()).optional(),
  policies: z.array(z.unknown()).optional(),
});

/** Lies in the same folder, and is no declaration. */
const historySchema = z.looseObject({ format: z.literal(HISTORY_FORMAT) });

/**
 * YAML 1.2, one or several documents (JSON is YAML), each with any of
 *
 *     families:
 *       - name: Session JWT
 *         environment: production
 *         …                          # as POST /families; `illustrative: false` unless said
 *         runbook: { scope: … }
 *     consumers:
 *       - family: production/Session JWT
 *         name: api-server
 *         roles: [emitter, verifier]
 *         …                          # `neverRefreshes: false`, `thirdParty: false`, `instances: 1` unless said
 *     policies:
 *       - name: …
 *         selector: { environment: production }
 *         …                          # as POST /policies; without `effectiveFrom` it is effective when it is applied
 */
export async function readYaml(
  chunks: Chunks,
  file: string,
  reader: DeclarationReader,
  problems: Problems,
): Promise<void> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    length += chunk.length;
    if (length > MAX_YAML_BYTES) {
      const most = MAX_YAML_BYTES / 1024 / 1024;
      problems.add(
        0,
        [],
        `must not be larger than ${most} MiB as YAML: write it as NDJSON or CSV, or split it`,
      );
      return;
    }
    parts.push(chunk);
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(parts));
  } catch {
    problems.add(0, [], 'must be UTF-8 text');
    return;
  }
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, {
    lineCounter: lines,
    // Errors that quote the text would quote a secret that stands in it.
    prettyErrors: false,
    version: '1.2',
  });
  for (const document of documents) new YamlDocument(document, lines, file, problems).read(reader);
}

class YamlDocument {
  constructor(
    private readonly document: Document,
    private readonly lines: LineCounter,
    private readonly file: string,
    private readonly problems: Problems,
  ) {}

  read(reader: DeclarationReader): void {
    const { document } = this;
    for (const { code, pos } of [...document.errors, ...document.warnings]) {
      const message =
        code === 'DUPLICATE_KEY'
          ? 'must not hold a name twice'
          : `is not YAML that is read here (${code.toLowerCase().replaceAll('_', ' ')})`;
      this.problems.add(this.#lineAt(pos[0]), [], message);
    }
    visit(document, {
      Alias: (_key, node) => {
        this.problems.add(this.#lineAt(node.range?.[0]), [], 'must not use aliases: write it out');
      },
    });
    // What is broken, or holds aliases, has no value worth checking.
    if (document.errors.some(({ code }) => code !== 'DUPLICATE_KEY') || holdsAliases(document)) return;
    const value: unknown = document.toJS();
    if (value === null) return;
    findSecrets(value, (path, message) => {
      this.#problem(path, message);
    });
    if (historySchema.safeParse(value).success) {
      this.#problem(['format'], 'is a history, and taken over by keyturn import');
      return;
    }
    const { issues } = checkShape(documentSchema, value, NOT_DECLARED);
    for (const { path, message } of issues) this.#problem(path, message);
    // What is wrong with one list does not hide what is wrong with another.
    for (const item of this.#items(value, 'families')) reader.family(item);
    for (const item of this.#items(value, 'consumers')) reader.consumer(item);
    for (const item of this.#items(value, 'policies')) reader.policy(item);
  }

  *#items(value: unknown, list: string): Generator<Parameters<DeclarationReader['family']>[0]> {
    for (const [index, item] of listIn(value, list).entries()) {
      yield {
        place: { file: this.file, line: this.#line([list, index]) },
        value: item,
        problem: (path, message) => {
          this.#problem([list, index, ...path], message);
        },
      };
    }
  }

  #problem(path: Path, message: string): void {
    this.problems.add(this.#line(path), path, message);
  }

  /** Where a value stands: the line of its name, or of the nearest thing around it that is there. */
  #line(path: Path): number {
    let node: unknown = this.document.contents;
    let offset = this.document.contents?.range?.[0];
    for (const part of path) {
      if (isMap(node)) {
        const pair = node.items.find(({ key }) => isScalar(key) && key.value === part);
        if (pair === undefined) break;
        offset = isScalar(pair.key) ? pair.key.range?.[0] : offset;
        node = pair.value;
      } else if (isSeq(node) && typeof part === 'number') {
        node = node.items[part];
        if (isMap(node) || isSeq(node) || isScalar(node)) offset = node.range?.[0];
      } else break;
    }
    return this.#lineAt(offset ?? undefined);
  }

  #lineAt(offset: number | undefined): number {
    return offset === undefined ? 1 : this.lines.linePos(offset).line;
  }
}

function listIn(value: unknown, name: string): readonly unknown[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [];
  const list: unknown = Object.entries(value).find(([field]) => field === name)?.[1];
  return Array.isArray(list) ? list : [];
}

function holdsAliases(document: Document): boolean {
  let found = false;
  visit(document, (_key, node) => {
    found ||= isAlias(node);
  });
  return found;
}
