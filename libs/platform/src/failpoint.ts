import { writeSync } from 'node:fs';

let observer: ((name: string) => void) | undefined;
let armed: { name: string; remaining: number; act: (name: string) => void } | undefined;

/**
 * A named place where a crash test may end this process. In production nothing is ever armed and a call costs
 * two comparisons. Every name in the source must have a case in test/crash, or the run fails.
 */
export function failpoint(name: string): void {
  observer?.(name);
  if (armed === undefined || armed.name !== name) return;
  armed.remaining -= 1;
  if (armed.remaining === 0) armed.act(name);
}

/** Arms one failpoint; at its `hit`-th passing (1-based) the process kills itself with SIGKILL, after saying so on fd 2. */
export function armFailpoint(name: string, hit = 1): void {
  armed = {
    name,
    remaining: hit,
    act: (reached) => {
      writeSync(2, `failpoint reached: ${reached}\n`);
      process.kill(process.pid, 'SIGKILL');
    },
  };
}

/** For tests inside one process: arms a failpoint that calls `act` instead of dying. Returns the disarming call. */
export function interceptFailpoint(name: string, act: (name: string) => void, hit = 1): () => void {
  armed = { name, remaining: hit, act };
  return () => {
    armed = undefined;
  };
}

/** For crash tests: told of every failpoint passed, so that the matrix is made from what a run really goes through. */
export function observeFailpoints(told: ((name: string) => void) | undefined): void {
  observer = told;
}
