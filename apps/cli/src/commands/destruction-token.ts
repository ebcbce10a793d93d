import type { Command } from 'commander';
import { destructionSchema } from '../api.js';
import { defineCommand, DESTRUCTION_ARGUMENT } from '../define-command.js';
import { findDestruction } from '../find-process.js';
import { destructionLines } from '../process-text.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { wrappedTokenIn } from '../wrapped-token.js';

interface TokenOptions extends CommonOptions {
  readonly tokenFile: string;
}

export function registerDestructionToken(destruction: Command, around: Surroundings): void {
  defineCommand(destruction, {
    usage: 'token',
    summary: 'Supply what may delete the key material in its Vault: a wrapped token',
    about:
      'Keyturn’s own logins delete nothing there. The wrapping is opened at once, and the token is held in memory until it was used, is over or\nthe service ends; whoever asked for the destruction cannot supply it.',
    examples: [
      'keyturn destruction token 3f2a91c0 --token-file wrapped',
      'bao token create -policy=keyturn-destroyer -no-default-policy -ttl=1h -wrap-ttl=15m -field=wrapping_token | keyturn destruction token 3f2a91c0 --token-file -',
    ],
    changes: true,
  })
    .argument('<destruction>', DESTRUCTION_ARGUMENT)
    .requiredOption('--token-file <file>', 'a file with the wrapping token; - is standard input')
    .action(async (text: string, { tokenFile, ...options }: TokenOptions) => {
      const session = new Session(around, options);
      const wrappedToken = await wrappedTokenIn(tokenFile, around);
      const { id } = await findDestruction(session, text);
      const path = `/destructions/${id}/token`;
      const shown = await session.client.send('PUT', path, destructionSchema, { body: { wrappedToken } });
      session.answer(shown, () => {
        session.line(session.paint('Taken.', 'green'));
        session.lines(destructionLines(session, shown));
      });
    });
}
