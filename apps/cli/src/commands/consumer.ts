import type { Command } from 'commander';
import type { Surroundings } from '../surroundings.js';
import { registerConsumerList } from './consumer-list.js';
import { registerConsumerRemove } from './consumer-remove.js';

export function registerConsumer(program: Command, around: Surroundings): void {
  const consumer = program
    .command('consumer')
    .summary('Who verifies or emits with secrets: list, remove')
    .description(
      'Who verifies or emits with secrets. They are registered and revised with "keyturn apply", which removes nothing.',
    )
    .addHelpText('after', '\nExample:\n  $ keyturn consumer list\n\nExit codes: see keyturn --help');
  registerConsumerList(consumer, around);
  registerConsumerRemove(consumer, around);
}
