import type { Command } from 'commander';
import { familySchema } from '../api.js';
import { defineCommand, FAMILY_ARGUMENT } from '../define-command.js';
import { findFamily } from '../find.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

interface ClassifyOptions extends CommonOptions {
  readonly kind: string;
  readonly protects: string;
  readonly usage: string;
  readonly team: string;
  readonly description?: string;
}

export function registerClassify(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'classify',
    summary: 'Say what a secret is that an emergency registered in haste',
    about:
      'Policies are selected by it. Part of what such a family owes: keyturn families NAME shows what else is missing.',
    examples: [
      'keyturn classify "production/unregistered etc app stripe.key" --kind provider-key --protects pan-in-transit --usage authenticate --team payments',
    ],
    changes: true,
  })
    .argument('<family>', FAMILY_ARGUMENT)
    .requiredOption('--kind <kind>', 'such as provider-key, shared-secret, database-credential')
    .requiredOption('--protects <what>', 'such as application-account, pan-in-transit, ephi, other')
    .requiredOption('--usage <usage>', 'sign, mac or authenticate')
    .requiredOption('--team <name>', 'whose it is')
    .option('--description <text>', 'in the place of what the emergency wrote')
    .action(async (text: string, options: ClassifyOptions) => {
      const session = new Session(around, options);
      const { kind, protects, usage, team, description } = options;
      const { id } = await findFamily(session, text);
      const body = { kind, protects, usage, team, ...(description === undefined ? {} : { description }) };
      const family = await session.client.send('PUT', `/families/${id}/classification`, familySchema, {
        body,
      });
      session.answer(family, () => {
        const missing = family.registrationOwed?.missing ?? [];
        session.line(session.paint('Classified.', 'green'));
        session.line(
          missing.length === 0
            ? 'Nothing of its registration is owed any more.'
            : `Still owed: ${missing.join(', ')}`,
        );
      });
    });
}
