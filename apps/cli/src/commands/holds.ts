import type { Command } from 'commander';
import type { Surroundings } from '../surroundings.js';
import { registerHoldsConfirm } from './holds-confirm.js';
import { registerHoldsList } from './holds-list.js';

export function registerHolds(program: Command, around: Surroundings): void {
  const holds = program
    .command('holds')
    .summary('What holds forward steps of every rotation, and letting them go on')
    .description(
      'What holds forward steps of every rotation, and letting them go on. Emergencies, and the way back of a rollback, are never held.',
    )
    .addHelpText('after', '\nExample:\n  $ keyturn holds list\n\nExit codes: see keyturn --help');
  registerHoldsList(holds, around);
  registerHoldsConfirm(holds, around);
}
