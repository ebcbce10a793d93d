import { SingleBar } from 'cli-progress';
import type { Session } from './session.js';

/** A bar on the error stream, for people at a terminal only. */
export interface Progress {
  at(done: number, total: number): void;
  total(): number;
  /** Also gives the cursor back. */
  stop(): void;
}

export function progressBar(session: Session, unit: string): Progress {
  const bar = new SingleBar({
    format: `{bar} {percentage} %  {value} of {total} ${unit}  {eta_formatted} left`,
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
    at: (done, total) => {
      all = total;
      if (!shown) return;
      if (!started) bar.start(total, done);
      else bar.update(done);
      started = true;
    },
    total: () => all,
    stop: () => {
      if (started) bar.stop();
      started = false;
    },
  };
}
