import { join } from 'node:path';
import { Readable } from 'node:stream';
import { loadConfig, systemIds } from '#platform';
import { ownFolder } from './own-folder.js';
import type { ExitCode } from '../exit-codes.js';
import { runCli } from '../program.js';
import type { Surroundings } from '../surroundings.js';

const NOW = Date.parse('2026-03-01T12:00:00.000Z');
export const TOKEN = 'kt_canary-of-the-command-line';

/** Nobody listens there. Not one of the low ports: fetch refuses those itself. */
const NOBODY = 'http://127.0.0.1:61999';

export interface Ran {
  readonly code: ExitCode;
  readonly out: string;
  readonly err: string;
  /** What was slept, in order. */
  readonly slept: readonly number[];
  readonly questions: readonly string[];
}

export interface RunOptions {
  readonly url?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** A terminal at all three streams, with this answer to every question. */
  readonly terminal?: { readonly answer?: string; readonly columns?: number };
  readonly input?: string;
  readonly now?: number;
  /** Presses Ctrl-C when the command has slept this often. */
  readonly interruptAfter?: number;
}

interface TestSurroundings {
  readonly around: Surroundings;
  readonly said: { readonly out: string; readonly err: string };
  readonly slept: readonly number[];
  readonly questions: readonly string[];
}

/** Surroundings of its own, in which nothing really sleeps. */
function surroundingsOf(options: RunOptions = {}): TestSurroundings {
  const said = { out: '', err: '' };
  const slept: number[] = [];
  const questions: string[] = [];
  const interrupt = new AbortController();
  const { terminal, url = NOBODY, interruptAfter } = options;
  const env = {
    KEYTURN_URL: url,
    KEYTURN_TOKEN: TOKEN,
    KEYTURN_DATA_DIR: join(ownFolder(), 'data'),
    ...options.env,
  };
  const stream = (name: 'out' | 'err') => ({
    isTTY: terminal !== undefined,
    columns: terminal?.columns,
    colours: false,
    write: (text: string) => {
      said[name] += text;
    },
  });
  const around: Surroundings = {
    out: stream('out'),
    err: stream('err'),
    input: {
      isTTY: terminal !== undefined,
      ask: (question) => {
        questions.push(question);
        return Promise.resolve(terminal?.answer ?? '');
      },
      readAll: () => Promise.resolve(options.input ?? ''),
      chunks: () => Readable.from([Buffer.from(options.input ?? '')]),
    },
    config: () => loadConfig(env),
    clock: { now: () => options.now ?? NOW, monotonic: () => 0 },
    ids: systemIds,
    interrupted: interrupt.signal,
    sleep: (milliseconds) => {
      slept.push(milliseconds);
      if (interruptAfter !== undefined && slept.length >= interruptAfter) {
        interrupt.abort();
        return Promise.reject(new DOMException('aborted', 'AbortError'));
      }
      return Promise.resolve();
    },
  };
  return { around, said, slept, questions };
}

/** One run of the command line. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { around, said, slept, questions } = surroundingsOf(options);
  const code = await runCli(argv, around);
  return { code, ...said, slept, questions };
}
