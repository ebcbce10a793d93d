import { spawn } from 'node:child_process';
import { basename } from 'node:path';
import type { Outcome } from '../domain/delivery.js';
import type { Channel, Message } from './channel.js';

const LIMIT_MS = 10_000;

/**
 * A command with its arguments, no shell; the alarm as JSON on its standard input, the delivery's id in KEYTURN_ALARM_ID. Exit
 * code 0 is delivered. What it prints goes nowhere: it could hold anything, and nobody reads it.
 */
export class CommandChannel implements Channel {
  readonly target: string;
  readonly limitMs: number;
  readonly #argv: readonly [string, ...string[]];
  readonly #environment: Readonly<Record<string, string | undefined>>;

  constructor({
    argv,
    environment = {},
    limitMs = LIMIT_MS,
  }: {
    readonly argv: readonly [string, ...string[]];
    readonly environment?: Readonly<Record<string, string | undefined>>;
    readonly limitMs?: number;
  }) {
    this.#argv = argv;
    this.#environment = environment;
    this.limitMs = limitMs;
    // Arguments may be what opens a door; the program's name is enough to find it.
    this.target = `command ${basename(argv[0])}`;
  }

  send({ id, body }: Message): Promise<Outcome> {
    const [program, ...rest] = this.#argv;
    return new Promise((resolve) => {
      // A group of its own, so that what it started ends with it.
      const child = spawn(program, rest, {
        stdio: ['pipe', 'ignore', 'ignore'],
        shell: false,
        detached: process.platform !== 'win32',
        // All it is given: what the configuration passed on, and the id.
        env: {
          ...Object.fromEntries(Object.entries(this.#environment).filter(([, value]) => value !== undefined)),
          KEYTURN_ALARM_ID: id,
        },
      });
      const late = setTimeout(() => {
        kill(child.pid);
        settle({ kind: 'unknown', reason: `still running after ${this.limitMs / 1_000} s: stopped` });
      }, this.limitMs);
      const settle = (outcome: Outcome): void => {
        clearTimeout(late);
        resolve(outcome);
      };
      child.on('error', (error: NodeJS.ErrnoException) => {
        settle({ kind: 'unreachable', reason: `it could not be started: ${error.code ?? 'unknown error'}` });
      });
      child.on('exit', (code, signal) => {
        if (code === 0) settle({ kind: 'delivered', answer: 'exit code 0' });
        else
          settle({
            kind: 'refused',
            reason: code === null ? `ended by ${signal ?? 'a signal'}` : `exit code ${code}`,
          });
      });
      // One that does not read its input is judged by its exit code.
      child.stdin.on('error', () => undefined);
      child.stdin.end(body);
    });
  }
}

function kill(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(process.platform === 'win32' ? pid : -pid, 'SIGKILL');
  } catch {
    // It has ended in the meantime.
  }
}
