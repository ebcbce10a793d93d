import type { Command } from 'commander';
import type { Surroundings } from '../surroundings.js';
import { registerFreezeDeclare } from './freeze-declare.js';
import { registerFreezeLift } from './freeze-lift.js';
import { registerFreezeList } from './freeze-list.js';

export function registerFreeze(program: Command, around: Surroundings): void {
  const freeze = program
    .command('freeze')
    .summary('Let rotations stand still for a while: declare, lift, list')
    .description(
      'Let rotations stand still for a while. A freeze holds forward steps; emergencies and rollbacks go on.',
    )
    .addHelpText('after', '\nExample:\n  $ keyturn freeze list\n\nExit codes: see keyturn --help');
  registerFreezeDeclare(freeze, around);
  registerFreezeLift(freeze, around);
  registerFreezeList(freeze, around);
}
