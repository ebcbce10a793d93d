import { EndedOtherwise, UsageError } from './failures.js';
import type { CommonOptions } from './session.js';
import type { Surroundings } from './surroundings.js';

export interface ConfirmedOptions extends CommonOptions {
  readonly yes?: boolean;
}

/** Before anything is sent: where nobody can be asked, `--yes` must have been given. */
export function requireAskable(around: Surroundings, { yes, json }: ConfirmedOptions, what: string): void {
  if (yes === true) return;
  if (json === true || !around.input.isTTY || !around.err.isTTY) {
    throw new UsageError(`nobody can be asked here: add --yes to ${what}`);
  }
}

/** Anything but a yes changes nothing, and ends with the exit code of what ended otherwise. */
export async function requireYes(
  around: Surroundings,
  { yes }: ConfirmedOptions,
  question: string,
): Promise<void> {
  if (yes === true) return;
  const answer = await around.input.ask(`\n${question} [y/N] `, around.interrupted);
  if (!/^y(es)?$/i.test(answer.trim())) throw new EndedOtherwise('Nothing was changed.');
}
