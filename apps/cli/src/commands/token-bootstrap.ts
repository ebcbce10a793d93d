import type { Command } from 'commander';
import { tokenSchema } from '../api.js';
import { defineCommand } from '../define-command.js';
import { UnavailableError } from '../failures.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { saveToken } from '../token-file.js';

interface BootstrapOptions extends CommonOptions {
  readonly name: string;
  readonly save?: boolean;
}

export function registerTokenBootstrap(token: Command, around: Surroundings): void {
  defineCommand(token, {
    usage: 'bootstrap',
    summary: 'Exchange the one-time sign-in of the first start for a token of your own',
    about: 'The code works once. With --save the token is kept in the data directory, readable by you alone.',
    examples: [
      'keyturn token bootstrap CODE --name "Ada Lovelace" --save',
      'keyturn token bootstrap - --name "Ada Lovelace" --save < code.txt',
    ],
    changes: true,
  })
    .argument('<code>', 'what the first start printed; - reads it from the input')
    .requiredOption('--name <name>', 'who you are, as the record shows it')
    .option('--save', 'keep the token in <data dir>/cli-token (0600) instead of printing it')
    .action(async (given: string, options: BootstrapOptions) => {
      const code = given === '-' ? (await around.input.readAll()).trim() : given;
      const session = new Session(around, options, false);
      const body = { code, name: options.name };
      const { token: secret, ...rest } = await session.client.post('/tokens/bootstrap', tokenSchema, {
        body,
      });
      if (secret === undefined) {
        throw new UnavailableError(
          'broken',
          'The answer held no token; start the service anew for another code',
        );
      }
      if (options.save !== true) {
        session.answer({ ...rest, token: secret }, () => {
          session.line(secret);
          session.aside('This is shown once. Put it into KEYTURN_TOKEN.');
        });
        return;
      }
      const file = saveToken(session.config, secret);
      session.answer({ ...rest, savedTo: file }, () => {
        session.line(`Signed in as ${options.name}. The token is in ${file}.`);
      });
    });
}
