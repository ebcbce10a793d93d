import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { existsSync } from 'node:fs';

/** The kernel ends a server with the process that started it, however that one ended; util-linux, where there is one. */
const SETPRIV = '/usr/bin/setpriv';

/** A server of the demo's own, ended by its process id. */
export class ChildServer {
  readonly #child: ChildProcess;

  constructor(
    private readonly name: string,
    program: readonly string[],
    options: SpawnOptions,
  ) {
    const [command = '', ...rest] = existsSync(SETPRIV)
      ? [SETPRIV, '--pdeathsig', 'KILL', ...program]
      : program;
    this.#child = spawn(command, rest, { ...options, stdio: 'ignore' });
    this.#child.on('error', () => undefined);
  }

  get running(): boolean {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Asks again until it answers, and no longer than it lives. */
  async until(answers: () => Promise<boolean>, withinMs: number): Promise<void> {
    const end = Date.now() + withinMs;
    while (!(await answers().catch(() => false))) {
      if (!this.running)
        throw new Error(`${this.name} ended by itself (${this.#child.exitCode ?? 'never started'})`);
      if (Date.now() > end) throw new Error(`${this.name} did not come up within ${withinMs / 1_000} s`);
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    if (!this.running) return;
    const ended = new Promise((done) => this.#child.once('exit', done));
    this.#child.kill(signal);
    await ended;
  }
}
