import { NOT_DECLARED } from './declared-things.js';
import { CsvError, parse } from 'csv-parse/sync';
import type { Problems } from '../files/file-problems.js';
import type { Path } from '../files/path.js';
import { findSecrets } from '../files/secret-shapes.js';
import { cellValue, columnName, columnsOf, place, plain, type Column } from './csv-columns.js';
import type { DeclarationReader } from './declaration-reader.js';
import { consumerSchema, familySchema } from './declared-things.js';
import { linesOf, MAX_LINE_BYTES, type Chunks, type Line } from './lines.js';

const FAMILY_COLUMNS = columnsOf(familySchema);
const CONSUMER_COLUMNS = columnsOf(consumerSchema);
/** Only a consumer has it: it says which of the two a file declares. */
const BELONGS_TO = 'family';

/**
 * CSV (RFC 4180, UTF-8): a header of column names, then one declaration a row. With a column `family` the rows are
 * consumers, without it families; policies are declared in YAML or NDJSON.
 *
 *     environment,name,kind,protects,usage,overlap,mode,authority.kind,owner.role,team,runbook.scope
 *     family,name,roles,cacheTtl
 *     production/Session JWT,api-server,emitter|verifier,PT10M
 *
 * Columns are the fields of the YAML file, those of objects inside by a dot (`owner.role`). An empty cell says nothing.
 * Lists are written with `|`, what is no plain value as JSON. Values may be separated by `;` or a tab as well, as
 * spreadsheets do; the header shows which.
 */
export async function readCsv(
  chunks: Chunks,
  file: string,
  reader: DeclarationReader,
  problems: Problems,
): Promise<void> {
  let table: CsvTable | undefined;
  for await (const record of recordsOf(linesOf(chunks), problems)) {
    if (record.cells.every((cell) => cell === '')) continue;
    if (table === undefined) {
      table = new CsvTable(record, file, problems);
      // Rows under columns nobody knows would be wrong a thousand times for one reason.
      if (!table.usable) return;
    } else table.read(record, reader);
  }
}

interface CsvRecord {
  /** Where it starts: a quoted value may hold line breaks. */
  readonly line: number;
  readonly cells: readonly string[];
}

class CsvTable {
  readonly usable: boolean;
  readonly #kind: 'family' | 'consumer';
  /** By position; undefined where nobody knows the column. */
  readonly #columns: readonly (Column | undefined)[];
  /** Columns that are not there: said once, not on every row. */
  readonly #missing: ReadonlySet<string>;

  constructor(
    header: CsvRecord,
    private readonly file: string,
    private readonly problems: Problems,
  ) {
    const { line, cells } = header;
    this.#kind = cells.includes(BELONGS_TO) ? 'consumer' : 'family';
    const known = new Map(
      (this.#kind === 'family' ? FAMILY_COLUMNS : CONSUMER_COLUMNS).map((column) => [column.name, column]),
    );
    const names = [...known.keys()].join(', ');
    this.usable = cells.some((cell) => known.has(cell));
    if (!this.usable) {
      problems.add(line, [], `must be a header that names columns; known are ${names}`);
    }
    this.#columns = cells.map((cell, index) => {
      const column = known.get(cell);
      if (column === undefined && this.usable) {
        const message =
          cell === ''
            ? `must name column ${index + 1}`
            : (NOT_DECLARED[cell.split('.', 1)[0] ?? ''] ?? `is no column here; known are ${names}`);
        problems.add(line, [cell === '' ? `column ${index + 1}` : cell], message);
      }
      if (column !== undefined && cells.indexOf(cell) < index) {
        problems.add(line, [cell], 'must not be the name of two columns');
        return undefined;
      }
      return column;
    });
    const given = new Set(cells);
    const missing = [...known.values()].filter(
      ({ name, optional, inside }) =>
        !optional &&
        !given.has(name) &&
        (inside === undefined || cells.some((cell) => cell.startsWith(`${inside}.`))),
    );
    if (this.usable) {
      for (const { name } of missing) problems.add(line, [name], `is missing: every ${this.#kind} has it`);
    }
    this.#missing = new Set(
      missing.flatMap(({ path }) => path.map((_part, at) => path.slice(0, at + 1).join('.'))),
    );
  }

  read({ line, cells }: CsvRecord, reader: DeclarationReader): void {
    if (cells.length !== this.#columns.length) {
      const message = `must have ${this.#columns.length} values, as the header has; it has ${cells.length}`;
      this.problems.add(line, [], message);
      return;
    }
    const fields = new Map<string, unknown>();
    for (const [index, cell] of cells.entries()) {
      const column = this.#columns[index];
      if (column !== undefined && cell !== '') place(fields, column.path, cellValue(column, cell));
    }
    const value = plain(fields);
    const problem = (path: Path, message: string): void => {
      for (const name of this.#names(columnName(path), message)) this.problems.add(line, name, message);
    };
    findSecrets(value, problem);
    reader[this.#kind]({ place: { file: this.file, line }, value, problem });
  }

  /** The columns a problem is about: an object that is missing is the columns in it that must be there. */
  #names(name: string, message: string): readonly Path[] {
    if (name === '' || message !== 'is missing') return [name === '' ? [] : [name]];
    const inside = this.#columns.flatMap((column) =>
      column !== undefined && !column.optional && column.name.startsWith(`${name}.`) ? [column.name] : [],
    );
    if (inside.length > 0) return inside.map((each) => [each]);
    return this.#missing.has(name) ? [] : [[name]];
  }
}

/**
 * The records of a CSV file, each with the line it starts on. A quote opens what the next one closes, so a record is
 * whole where its quotes are even; each is then parsed by itself. Where that fails, the lines after its first are read
 * again: a quote too many spoils one row, and not all that follow.
 */
async function* recordsOf(lines: AsyncIterable<Line>, problems: Problems): AsyncGenerator<CsvRecord> {
  const framing = new CsvFraming(problems);
  for await (const line of lines) {
    if (line.problem === undefined) yield* framing.take(line);
    else problems.add(line.line, [], line.problem);
  }
  yield* framing.end();
}

class CsvFraming {
  #delimiter: string | undefined;
  /** A record that is not whole yet. */
  #open: Line[] = [];
  #openLength = 0;
  #quotes = 0;

  constructor(private readonly problems: Problems) {}

  *take(line: Line): Generator<CsvRecord> {
    // Read in this order; what is read again comes first.
    const waiting = [line];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      this.#open.push(next);
      this.#openLength += next.text.length;
      this.#quotes += quotesIn(next.text);
      if (this.#quotes % 2 === 0) {
        const held = this.#closed();
        const record = this.#parsed(held);
        if (record === 'wrong') waiting.push(...held.slice(1).reverse());
        else if (record !== undefined) yield record;
      } else if (this.#openLength > MAX_LINE_BYTES) {
        waiting.push(...this.#givenUp().reverse());
      }
    }
  }

  *end(): Generator<CsvRecord> {
    while (this.#open.length > 0) for (const line of this.#givenUp()) yield* this.take(line);
  }

  #closed(): readonly Line[] {
    const held = this.#open;
    this.#open = [];
    this.#openLength = 0;
    this.#quotes = 0;
    return held;
  }

  #givenUp(): Line[] {
    const [first, ...rest] = this.#closed();
    if (first !== undefined) this.problems.add(first.line, [], NOT_CLOSED);
    return rest;
  }

  #parsed(held: readonly Line[]): CsvRecord | 'wrong' | undefined {
    const text = held.map((each) => each.text).join('\n');
    const line = held[0]?.line ?? 1;
    if (text.trim() === '') return undefined;
    this.#delimiter ??= delimiterOf(text);
    try {
      const [cells] = parse(text, { delimiter: this.#delimiter, relax_column_count: true, trim: true });
      return cells === undefined ? undefined : { line, cells };
    } catch (error) {
      if (!(error instanceof CsvError)) throw error;
      // Its own message quotes the value.
      this.problems.add(line, [], error.code === 'CSV_QUOTE_NOT_CLOSED' ? NOT_CLOSED : QUOTED_PARTLY);
      return 'wrong';
    }
  }
}

const NOT_CLOSED = 'must close the quote that opens on this line';
const QUOTED_PARTLY =
  'must quote a value as a whole: "…" from one separator to the next, a quote inside written twice';

function quotesIn(text: string): number {
  let count = 0;
  for (let at = text.indexOf('"'); at >= 0; at = text.indexOf('"', at + 1)) count += 1;
  return count;
}

/** Names of columns hold none of the separators, so the header tells which one is used. */
function delimiterOf(header: string): string {
  return [',', ';', '\t'].find((each) => header.includes(each)) ?? ',';
}
