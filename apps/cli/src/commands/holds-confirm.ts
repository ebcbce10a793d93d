import { Argument, type Command } from 'commander';
import { restoreHoldSchema } from '../api.js';
import { defineCommand } from '../define-command.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

interface ConfirmOptions extends CommonOptions {
  readonly reason: string;
}

export function registerHoldsConfirm(holds: Command, around: Surroundings): void {
  defineCommand(holds, {
    usage: 'confirm',
    summary: 'Let rotations go on after you have looked',
    about:
      'restore: the log was restored, or is older than its back ends. Compare the versions the back ends have with what is\nrecorded (keyturn doctor, keyturn families NAME) first: what was done in between is not on this record.',
    examples: ['keyturn holds confirm restore --reason "compared with the back ends, INC-2077"'],
    changes: true,
  })
    .addArgument(new Argument('<hold>', 'which one').choices(['restore']))
    .requiredOption('--reason <text>', 'what was compared, and what was found; for the record')
    .action(async (hold: string, options: ConfirmOptions) => {
      const session = new Session(around, options);
      const body = { reason: options.reason };
      const confirmed = await session.client.post(`/holds/${hold}/confirm`, restoreHoldSchema, { body });
      session.answer(confirmed, () => {
        session.line('Confirmed: rotations go on from what the back ends really hold.');
      });
    });
}
