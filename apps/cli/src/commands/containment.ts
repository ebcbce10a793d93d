import type { Command } from 'commander';
import type { Surroundings } from '../surroundings.js';
import { registerContainmentAttest } from './containment-attest.js';
import { registerContainmentList } from './containment-list.js';
import { registerContainmentRetry } from './containment-retry.js';
import { registerContainmentShow } from './containment-show.js';

export function registerContainment(program: Command, around: Surroundings): void {
  const containment = program
    .command('containment')
    .summary('What is denied: list, show, retry, attest')
    .description(
      'What is denied before there is a new key. "keyturn contain" applies one, "keyturn lift" takes it back.',
    )
    .addHelpText('after', '\nExample:\n  $ keyturn containment list\n\nExit codes: see keyturn --help');
  registerContainmentList(containment, around);
  registerContainmentShow(containment, around);
  registerContainmentRetry(containment, around);
  registerContainmentAttest(containment, around);
}
