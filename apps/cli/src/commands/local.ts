import type { Command } from 'commander';
import type { Surroundings } from '../surroundings.js';
import { registerLocalRekey } from './local-rekey.js';

export function registerLocal(program: Command, around: Surroundings): void {
  const local = program
    .command('local')
    .summary('The local back end: a new master key')
    .description('The local back end: a new master key.')
    .addHelpText('after', '\nExample:\n  $ keyturn local rekey\n\nExit codes: see keyturn --help');
  registerLocalRekey(local, around);
}
