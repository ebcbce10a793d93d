import { Logger } from '@nestjs/common';
import {
  ClockWatch,
  holdIntegrity,
  InventoryReconciler,
  InventoryWatch,
  RotationRunner,
  sweepClaims,
  sweepDepartures,
  Waker,
} from '#rotation';
import { ObligationWatch } from '#schedule';
import type { Keyturn } from '../composition.js';
import { hookOf } from '../notify/hook.js';
import { Timetable } from './schedule-rows.js';
import { inventoryDirectory } from './inventory-directory.js';

/** How often is looked for what a crash left between two streams, and for what was owed by a date that has passed. */
const SWEEP_MS = 30_000;

/**
 * Starts what drives rotations: the runner, its waker, the watch of the clock, the sweep. On the embedded log this process holds the log's lock, so
 * every other incarnation of a worker is dead.
 */
export function startWorkers(keyturn: Keyturn): { stop(): Promise<void> } {
  const logger = new Logger('Workers');
  const worker = `keyturn#${keyturn.ids.random()}`;
  const runner = new RotationRunner({
    ledger: keyturn.ledger,
    backEnds: keyturn.backEnds,
    worker,
    othersAreDead: (other) => other !== worker,
  });
  const clockWatch = new ClockWatch({
    ledger: keyturn.ledger,
    onError: (error) => {
      logger.error('the clock could not be checked; it is tried again', {
        reason: error instanceof Error ? error.message : 'unknown',
      });
    },
  });
  const waker = new Waker({
    runner,
    readModel: keyturn.readModel,
    clock: keyturn.clock,
    beforeLook: () => clockWatch.check(),
    onError: (id, error) => {
      logger.error('a rotation could not be advanced; it is tried again', {
        id,
        reason: error instanceof Error ? error.message : 'unknown',
      });
    },
  });
  const timetable = new Timetable(keyturn.readModel);
  const obligations = new ObligationWatch({
    ledger: keyturn.ledger,
    readModel: keyturn.readModel,
    overdue: () => timetable.owedLate(keyturn.clock.now()),
  });
  const inventory = new InventoryWatch({
    reconciler: new InventoryReconciler(keyturn.ledger, keyturn.backEnds),
    directory: inventoryDirectory(keyturn),
    clock: keyturn.clock,
    onError: (error) => {
      logger.error('back ends could not be compared with the record; it is tried again', {
        reason: error instanceof Error ? error.message : 'unknown',
      });
    },
  });
  let watching: Promise<unknown> = Promise.resolve();
  const watch = async (): Promise<void> => {
    // A leap of the clock is a hold before it is a date that has passed.
    await clockWatch.check();
    await obligations.sweep();
  };
  const sweep = (): void => {
    const { ledger, readModel } = keyturn;
    watching = watching.then(watch).catch((error: unknown) => {
      logger.error('what is owed could not be looked at; it is tried again', {
        reason: error instanceof Error ? error.message : 'unknown',
      });
    });
    Promise.all([sweepClaims(ledger, readModel), sweepDepartures(ledger, readModel)]).catch(
      (error: unknown) => {
        logger.error('claims and departures could not be swept; it is tried again', {
          reason: error instanceof Error ? error.message : 'unknown',
        });
      },
    );
  };
  const unlisten = keyturn.integrity.onFailure((failure) => {
    holdIntegrity(keyturn.ledger, failure).catch((error: unknown) => {
      logger.error('an integrity finding could not be recorded as a hold', {
        reason: error instanceof Error ? error.message : 'unknown',
      });
    });
  });
  const timer = setInterval(sweep, SWEEP_MS);
  timer.unref();
  clockWatch.start();
  waker.start();
  inventory.start();
  // Alarms go out beside everything else; nothing waits for them.
  const hook = hookOf(keyturn);
  hook?.start();
  sweep();
  const stop = async (): Promise<void> => {
    clearInterval(timer);
    unlisten();
    obligations.stop();
    await watching;
    await inventory.stop();
    await clockWatch.stop();
    await waker.stop();
    await hook?.stop();
  };
  keyturn.beforeClose(stop);
  return { stop };
}
