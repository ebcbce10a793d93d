import { SingleBar } from 'cli-progress';
import type { Surroundings } from '../../surroundings.js';
import { tableOf, type Column } from '../../table.js';
import { paintFor, type Paint } from '../../terminal.js';

/** What the demo shows while it runs: lines on the output, and a bar below them for people at a terminal. Nothing where JSON is asked for. */
export class DemoPage {
  readonly paint: Paint;
  readonly #bar: SingleBar | undefined;
  #drawn = false;

  constructor(
    private readonly around: Surroundings,
    private readonly json: boolean,
  ) {
    this.paint = paintFor(around.out);
    this.#bar =
      !json && around.err.isTTY
        ? new SingleBar({
            format: '{bar} {percentage} %  {what}',
            barCompleteChar: '█',
            barIncompleteChar: '░',
            barsize: 24,
            hideCursor: true,
            clearOnComplete: true,
            // Lines are written over it.
            forceRedraw: true,
          })
        : undefined;
  }

  line(text = ''): void {
    if (this.json) return;
    if (this.#drawn) this.around.err.write('\r\u001B[K');
    this.around.out.write(`${text}\n`);
  }

  title(text: string): void {
    this.line();
    this.line(this.paint(text, 'bold'));
  }

  table<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): void {
    const lines = tableOf(rows, columns, { columns: this.around.out.columns, paint: this.paint });
    for (const line of lines) this.line(`  ${line}`);
  }

  progress(done: number, total: number, what: string): void {
    if (this.#bar === undefined) return;
    if (this.#drawn) this.#bar.update(done, { what });
    else this.#bar.start(total, done, { what });
    this.#drawn = true;
  }

  /** Also gives the cursor back. */
  progressEnded(): void {
    if (this.#drawn) this.#bar?.stop();
    this.#drawn = false;
  }

  answer(value: unknown): void {
    if (this.json) this.around.out.write(`${JSON.stringify(value, undefined, 2)}\n`);
  }
}
