import type { Clock, Config, Ids } from '#platform';
import type { Terminal } from './terminal.js';

/** All that a command touches besides the service; a spec hands in its own. */
export interface Surroundings {
  readonly out: Terminal;
  readonly err: Terminal;
  readonly input: Input;
  /** Throws `ConfigError`; called by the commands that need it, so that `--help` works with a broken environment. */
  readonly config: () => Config;
  readonly clock: Clock;
  readonly ids: Ids;
  /** Aborted by Ctrl-C. */
  readonly interrupted: AbortSignal;
  readonly sleep: (milliseconds: number, signal: AbortSignal) => Promise<void>;
}

interface Input {
  readonly isTTY: boolean;
  /** One line, asked for on the error stream: what is on the output stays clean. */
  ask(question: string, signal: AbortSignal): Promise<string>;
  readAll(): Promise<string>;
  /** As it comes. */
  chunks(): AsyncIterable<Uint8Array>;
}
