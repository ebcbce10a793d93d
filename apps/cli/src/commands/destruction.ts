import type { Command } from 'commander';
import type { Surroundings } from '../surroundings.js';
import { registerDestructionAttest } from './destruction-attest.js';
import { registerDestructionList } from './destruction-list.js';
import { registerDestructionReject } from './destruction-reject.js';
import { registerDestructionRetry } from './destruction-retry.js';
import { registerDestructionShow } from './destruction-show.js';
import { registerDestructionToken } from './destruction-token.js';

export function registerDestruction(program: Command, around: Surroundings): void {
  const destruction = program
    .command('destruction')
    .summary('What is to be deleted for good: list, show, token, reject, retry, attest')
    .description(
      'Key material that is to be deleted for good. "keyturn destroy" asks for it, "keyturn approve" lets it happen.',
    )
    .addHelpText('after', '\nExample:\n  $ keyturn destruction list\n\nExit codes: see keyturn --help');
  registerDestructionList(destruction, around);
  registerDestructionShow(destruction, around);
  registerDestructionToken(destruction, around);
  registerDestructionReject(destruction, around);
  registerDestructionRetry(destruction, around);
  registerDestructionAttest(destruction, around);
}
