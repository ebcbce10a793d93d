import type { Command } from 'commander';
import type { Surroundings } from '../surroundings.js';
import { registerStandingGrant } from './standing-grant.js';
import { registerStandingList } from './standing-list.js';
import { registerStandingRevoke } from './standing-revoke.js';

export function registerStanding(program: Command, around: Surroundings): void {
  const standing = program
    .command('standing')
    .summary('Standing approvals: planned rotations of a policy approved in advance')
    .description(
      'Standing approvals: planned rotations of a policy approved in advance. Whoever granted it is the approver.',
    )
    .addHelpText('after', '\nExample:\n  $ keyturn standing list\n\nExit codes: see keyturn --help');
  registerStandingGrant(standing, around);
  registerStandingRevoke(standing, around);
  registerStandingList(standing, around);
}
