import { Argument, type Command } from 'commander';
import { holdsSchema } from '../api.js';
import { defineCommand } from '../define-command.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { holdLines } from './holds-list.js';

interface ConfirmOptions extends CommonOptions {
  readonly reason: string;
}

export function registerHoldsConfirm(holds: Command, around: Surroundings): void {
  defineCommand(holds, {
    usage: 'confirm',
    summary: 'Let rotations go on after you have looked',
    about:
      'clock: compare the clock of the machine that runs Keyturn with one you trust first.\nintegrity: a hash or proof of the log did not match; find out why first.\nrestore: the log is older than its back ends; compare the versions they have with what is recorded first.',
    examples: [
      'keyturn holds confirm clock --reason "the machine slept; its clock agrees with the time service"',
      'keyturn holds confirm restore --reason "compared with the back ends, INC-2077"',
    ],
    changes: true,
  })
    .addArgument(new Argument('<hold>', 'which one').choices(['clock', 'integrity', 'restore']))
    .requiredOption('--reason <text>', 'what was looked at, and what was found; for the record')
    .action(async (hold: string, options: ConfirmOptions) => {
      const session = new Session(around, options);
      const body = { reason: options.reason };
      const left = await session.client.post(`/holds/${hold}/confirm`, holdsSchema, { body });
      session.answer(left, () => {
        session.line(session.paint('Confirmed.', 'green'));
        session.lines(holdLines(session, left));
      });
    });
}
