import { isLoopback, type Config } from '#platform';
import { ApiClient } from './api-client.js';
import { UsageError } from './failures.js';
import type { Surroundings } from './surroundings.js';
import { tableOf, type Column } from './table.js';
import { paintFor, printable, type Paint } from './terminal.js';
import { tokenFor } from './token-file.js';

/** What every command takes. */
export interface CommonOptions {
  readonly json?: boolean;
  readonly idempotencyKey?: string;
}

/** To the beginning of the line, and nothing on it. */
const ERASE_LINE = '\r\u001B[K';

/** One run of a command against a service: the client and the page it writes on. */
export class Session {
  readonly client: ApiClient;
  readonly json: boolean;
  readonly paint: Paint;
  readonly config: Config;

  constructor(
    readonly around: Surroundings,
    options: CommonOptions,
    signedIn = true,
  ) {
    this.json = options.json === true;
    this.paint = paintFor(around.out);
    this.config = around.config();
    const { idempotencyKey = around.ids.random() } = options;
    // The token's own alphabet rule of the service, said before anything is sent.
    if (!/^[\x20-\x7E]{1,200}$/.test(idempotencyKey)) {
      throw new UsageError('--idempotency-key is 1 to 200 printable ASCII characters');
    }
    const { protocol, hostname } = new URL(this.config.url);
    const token = signedIn ? tokenFor(this.config) : undefined;
    if (token !== undefined && protocol === 'http:' && !isLoopback(hostname.replaceAll(/[[\]]/g, ''))) {
      this.aside(
        'warning: KEYTURN_URL is plain HTTP to another machine; the token crosses the network in the clear',
      );
    }
    this.client = new ApiClient({
      url: this.config.url,
      token,
      idempotencyKey,
      interrupted: around.interrupted,
      sleep: around.sleep,
      forPeople: !this.json,
      onItems: (count) => {
        if (this.json || !around.err.isTTY) return;
        around.err.write(
          count === undefined ? ERASE_LINE : `${ERASE_LINE}${count.toLocaleString('en')} read …`,
        );
      },
    });
  }

  now(): number {
    return this.around.clock.now();
  }

  /** The one machine-readable answer, or else the same for people. */
  answer(value: unknown, forPeople: () => void): void {
    if (this.json) this.around.out.write(`${JSON.stringify(value, undefined, 2)}\n`);
    else forPeople();
  }

  /** One JSON value a line, for what comes in pieces. */
  jsonLine(value: unknown): void {
    if (this.json) this.around.out.write(`${JSON.stringify(value)}\n`);
  }

  line(text = ''): void {
    if (!this.json) this.around.out.write(`${text}\n`);
  }

  lines(texts: readonly string[]): void {
    for (const text of texts) this.line(text);
  }

  /** Beside the result: on the error stream, and only for people. */
  aside(text: string): void {
    if (!this.json) this.around.err.write(`${printable(text)}\n`);
  }

  /** Said on every page that shows what was made for a demonstration. */
  examples(items: readonly { readonly illustrative?: boolean | undefined }[]): void {
    this.lines(exampleLines(items));
  }

  table<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): void {
    this.lines(this.tableLines(rows, columns));
  }

  tableLines<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): readonly string[] {
    return tableOf(rows, columns, { columns: this.around.out.columns, paint: this.paint });
  }
}

export function exampleLines(
  items: readonly { readonly illustrative?: boolean | undefined }[],
): readonly string[] {
  const count = items.filter((item) => item.illustrative === true).length;
  return count === 0 ? [] : [`EXAMPLE DATA: ${count} of ${items.length} made for a demonstration.`];
}
