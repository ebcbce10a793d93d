import type { Command } from 'commander';
import { registerTokenBootstrap } from './token-bootstrap.js';
import { registerTokenCreate } from './token-create.js';
import { registerTokenList } from './token-list.js';
import { registerTokenRevoke } from './token-revoke.js';
import type { Surroundings } from '../surroundings.js';

export function registerToken(program: Command, around: Surroundings): void {
  const token = program
    .command('token')
    .summary('Access tokens: create, list, revoke, and the first sign-in')
    .description('Access tokens: create, list, revoke, and the first sign-in.')
    .addHelpText('after', '\nExample:\n  $ keyturn token list\n\nExit codes: see keyturn --help');
  registerTokenBootstrap(token, around);
  registerTokenCreate(token, around);
  registerTokenList(token, around);
  registerTokenRevoke(token, around);
}
