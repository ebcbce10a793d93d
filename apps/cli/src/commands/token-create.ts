import { Option, type Command } from 'commander';
import { tokenSchema } from '../api.js';
import { defineCommand, listedBy } from '../define-command.js';
import { UsageError } from '../failures.js';
import { milliseconds } from '#rotation';
import { formatInstant, parseInstant } from '#eventlog';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { durationArgument } from '../words.js';

interface CreateOptions extends CommonOptions {
  readonly name?: string;
  readonly kind: string;
  readonly subject?: string;
  readonly role: readonly string[];
  readonly environment?: readonly string[];
  readonly team?: readonly string[];
  readonly label?: string;
  readonly expires?: string;
}

/** The roles of #access, named here so that `--help` starts without loading it. */
const ROLES = ['viewer', 'auditor', 'operator', 'approver', 'responder', 'admin', 'agent'];

export function registerTokenCreate(token: Command, around: Surroundings): void {
  defineCommand(token, {
    usage: 'create',
    summary: 'Give a person or a workload a token',
    about: `Roles: ${ROLES.join(', ')}. Without --environment and --team it reaches everywhere. The token is shown once.`,
    examples: [
      'keyturn token create --name "Grace Hopper" --role approver',
      'keyturn token create --name ci --kind workload --role agent --environment production --expires 90d',
    ],
    changes: true,
  })
    .option('--name <name>', 'somebody new, as the record shows them')
    .addOption(
      new Option('--kind <kind>', 'of somebody new').choices(['person', 'workload']).default('person'),
    )
    .option('--subject <id>', 'somebody known: another token for the same subject')
    .requiredOption<readonly string[]>('--role <role>', 'what it may do; repeat it', listedBy)
    .option<readonly string[]>('--environment <name>', 'where it reaches; repeat it', listedBy)
    .option<readonly string[]>('--team <name>', 'whose families it reaches; repeat it', listedBy)
    .option('--label <text>', 'what the token is for')
    .option('--expires <time>', 'a length of time such as 90d, or an instant')
    .action(async (options: CreateOptions) => {
      const body = bodyOf(options, around.clock.now());
      const session = new Session(around, options);
      const made = await session.client.post('/tokens', tokenSchema, { body });
      session.answer(made, () => {
        session.aside(`Token ${made.id} of ${made.name ?? made.subject}: ${made.roles.join(', ')}`);
        if (made.token === undefined)
          session.aside('It was made before by the same request; its text is kept nowhere.');
        else {
          session.line(made.token);
          session.aside('This is shown once.');
        }
      });
    });
}

function bodyOf(options: CreateOptions, now: number): Readonly<Record<string, unknown>> {
  const { name, kind, subject, role, environment, team, expires } = options;
  if ((name === undefined) === (subject === undefined)) {
    throw new UsageError('either --name for somebody new, or --subject for somebody known');
  }
  const unknown = role.find((each) => !ROLES.includes(each));
  if (unknown !== undefined)
    throw new UsageError(`there is no role "${unknown}"; roles are: ${ROLES.join(', ')}`);
  return {
    subject: name === undefined ? { id: subject } : { name, kind },
    roles: role,
    scope: { environments: environment ?? 'all', teams: team ?? 'all' },
    label: options.label ?? `made from the command line for ${name ?? subject ?? ''}`.slice(0, 120),
    ...(expires === undefined ? {} : { expiresAt: expiryOf(expires, now) }),
  };
}

function expiryOf(text: string, now: number): string {
  const at = parseInstant(text);
  if (at !== undefined && at <= now) {
    throw new UsageError(`--expires ${text} is over already: a token ends in the time to come`);
  }
  return formatInstant(at ?? now + milliseconds(durationArgument(text)));
}
