import { Option, type Command } from 'commander';
import { formatInstant, parseInstant } from '#eventlog';
import { milliseconds } from '#rotation';
import { policySchema } from '../api.js';
import { defineCommand, listedBy } from '../define-command.js';
import { findPolicy } from '../find.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { durationArgument } from '../words.js';

interface GrantOptions extends CommonOptions {
  readonly until: string;
  readonly reason: string;
  readonly strategy?: readonly string[];
}

export function registerStandingGrant(standing: Command, around: Surroundings): void {
  defineCommand(standing, {
    usage: 'grant',
    summary: 'Approve planned rotations under a policy in advance',
    about:
      'Counts as one approval, by whoever grants it. Never for a rotation they ask for themselves, for one that departs from the\npolicy, or for an emergency; at most a year, and not past the policy’s next review. An amendment of the policy ends it.',
    examples: [
      'keyturn standing grant "PCI production" --until 90d --reason "CAB-1182"',
      'keyturn standing grant "PCI production" --until 2026-12-31T00:00:00Z --strategy graceful --reason "CAB-1182"',
    ],
    changes: true,
  })
    .argument('<policy>', 'a policy: its id, the beginning of one, or its name')
    .requiredOption('--until <time>', 'when it ends, or for how long, such as 90d')
    .requiredOption('--reason <text>', 'why, and who decided; for the record')
    .addOption(
      new Option('--strategy <name>', 'only these; repeat it (graceful, rolling, cutover)').argParser(
        listedBy,
      ),
    )
    .action(async (text: string, options: GrantOptions) => {
      const session = new Session(around, options);
      const { id } = await findPolicy(session, text);
      const { reason, strategy } = options;
      const at = parseInstant(options.until);
      const until = formatInstant(at ?? session.now() + milliseconds(durationArgument(options.until)));
      const body = { until, reason, ...(strategy === undefined ? {} : { strategies: strategy }) };
      const policy = await session.client.post(`/policies/${id}/standing-approvals`, policySchema, { body });
      session.answer(policy, () => {
        session.line(
          session.paint(`Granted: planned rotations under ${policy.name} until ${until}.`, 'green'),
        );
      });
    });
}
