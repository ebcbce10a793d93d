import { SingleBar } from 'cli-progress';
import type { Session } from './session.js';

/** How far something long is: on the error stream, and only for people at a terminal. */
export interface ProgressBar {
  readonly shown: boolean;
  at(done: number, total: number): void;
  /** As it was told last. */
  total(): number;
  stop(): void;
}

export function progressBar(session: Session, what: string): ProgressBar {
  const bar = new SingleBar({
    format: `{bar} {percentage} %  {value} of {total} ${what}  {eta_formatted} left`,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    hideCursor: true,
    clearOnComplete: true,
    stopOnComplete: false,
  });
  const shown = !session.json && session.around.err.isTTY;
  let started = false;
  let all = 0;
  return {
    shown,
    at: (done, total) => {
      all = total;
      if (!shown) return;
      if (started) bar.update(done);
      else bar.start(total, done);
      started = true;
    },
    total: () => all,
    // Also gives the cursor back.
    stop: () => {
      if (started) bar.stop();
      started = false;
    },
  };
}
