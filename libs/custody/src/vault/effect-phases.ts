import { BackendError } from '../key-backend.js';

/** What an error of one request means for the effect it is a part of. */

/**
 * Until its engine, or its entry, is asked for, nothing of an effect has happened: a token that was made and nobody has, a fence that
 * was raised. An answer lost so far leaves nothing to be found out.
 */
export async function beforeBegun<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof BackendError && error.errorClass === 'unknown'
      ? new BackendError('transient', error.message)
      : error;
  }
}

/** Once a part of it has happened, what fails after it says nothing about that part: not "not executed", not "fenced". */
export async function onceBegun<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof BackendError ? new BackendError('unknown', error.message) : error;
  }
}
