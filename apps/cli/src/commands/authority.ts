import { Option, type Command } from 'commander';
import { familySchema } from '../api.js';
import { defineCommand, FAMILY_ARGUMENT } from '../define-command.js';
import { UsageError } from '../failures.js';
import { findFamily } from '../find.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

interface AuthorityOptions extends CommonOptions {
  readonly to: 'keyturn' | 'back-end' | 'pipeline' | 'nobody';
  readonly name?: string;
  readonly reason: string;
}

export function registerAuthority(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'authority',
    summary: 'Write down who rotates a family from now on: Keyturn, its back end, a pipeline, or nobody',
    about:
      'A version made by somebody else counts as observed only where that is the declared authority; else it is drift.',
    examples: [
      'keyturn authority payments/api-key --to pipeline --name "deploy-prod" --reason "the pipeline rotates it since March"',
      'keyturn authority production/session-jwt --to keyturn --reason "taken over from the wiki runbook"',
    ],
    changes: true,
  })
    .argument('<family>', FAMILY_ARGUMENT)
    .addOption(
      new Option('--to <authority>', 'who rotates it')
        .choices(['keyturn', 'back-end', 'pipeline', 'nobody'])
        .makeOptionMandatory(),
    )
    .option('--name <name>', 'of the pipeline')
    .requiredOption('--reason <text>', 'why')
    .action(async (text: string, { to: kind, name, reason, ...options }: AuthorityOptions) => {
      if (kind === 'pipeline' && name === undefined) throw new UsageError('a pipeline needs its --name');
      const session = new Session(around, options);
      const family = await findFamily(session, text);
      const body = { kind, ...(name === undefined ? {} : { name }), reason };
      const path = `/families/${family.id}/authority`;
      const shown = await session.client.send('PUT', path, familySchema, { body });
      session.answer(shown, () => {
        const who = name === undefined ? kind : `${kind} ${name}`;
        session.line(session.paint(`${shown.qualifiedName}: rotated by ${who} from now on.`, 'green'));
      });
    });
}
