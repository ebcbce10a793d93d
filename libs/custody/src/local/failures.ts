import { sqlFailure, type SqlFailure } from '#eventlog/sqlite';
import { BackendError } from '../key-backend.js';
import { errorCode } from '../error-code.js';
import { refuse } from '../requirements.js';

/** Whatever is not one of ours leaves as `unknown` or better, with a code and without its cause. */
export async function guarded<T>(effect: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof BackendError) throw error;
    throw refuse(...classify(effect, error));
  }
}

function classify(effect: string, error: unknown): [BackendError['errorClass'], string] {
  const failure = sqlFailure(error);
  const [errorClass, text] = FAILURES[failure];
  return [errorClass, `${effect}: ${text} (${failure}, ${errorCode(error)})`];
}

const FAILURES: Readonly<Record<SqlFailure, readonly [BackendError['errorClass'], string]>> = {
  busy: ['transient', 'the store is busy; nothing was changed'],
  full: ['transient', 'the disk is full; nothing was changed'],
  refused: ['config', 'the store cannot be written; nothing was changed'],
  corrupt: ['unknown', 'the store failed'],
  io: ['unknown', 'the store failed'],
  logic: ['unknown', 'the store failed'],
  other: ['unknown', 'the back end failed'],
};
