import type { Command } from 'commander';
import { formatInstant, parseInstant } from '#eventlog';
import { milliseconds, shellWord } from '#rotation';
import { familySchema } from '../api.js';
import { defineCommand, FAMILY_ARGUMENT } from '../define-command.js';
import { UsageError } from '../failures.js';
import { findFamily } from '../find.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { durationArgument } from '../words.js';

interface RequestOptions extends CommonOptions {
  readonly reason: string;
  readonly until: string;
  readonly stopEmitting?: string;
  readonly stopAccepting?: string;
  readonly approvals?: string;
  readonly settle?: string;
  readonly watch?: string;
}

interface ApproveOptions extends CommonOptions {
  readonly note?: string;
}

interface CloseOptions extends CommonOptions {
  readonly reason: string;
}

const DEVIATION_ARGUMENT = 'its id, or the beginning of one, as keyturn families NAME --json shows it';

export function registerDeviation(program: Command, around: Surroundings): void {
  const deviation = program
    .command('deviation')
    .summary('Let a family depart from its policy for a while: request, approve, close')
    .description(
      'Let a family depart from its policy for a while. It binds once somebody else approved it; past its end the policy binds again.',
    )
    .addHelpText(
      'after',
      '\nExample:\n  $ keyturn deviation request production/session-jwt --stop-emitting 180d --stop-accepting 200d --until 180d --reason "RA-12"\n\nExit codes: see keyturn --help',
    );
  registerRequest(deviation, around);
  registerApprove(deviation, around);
  registerClose(deviation, around);
}

function registerRequest(deviation: Command, around: Surroundings): void {
  defineCommand(deviation, {
    usage: 'request',
    summary: 'Ask that a family may depart from its policy',
    about: 'At most a year. Until somebody else approves it, nothing changes.',
    examples: [
      'keyturn deviation request production/partner-key --stop-emitting 180d --stop-accepting 200d --until 180d --reason "RA-12"',
    ],
    changes: true,
  })
    .argument('<family>', FAMILY_ARGUMENT)
    .requiredOption('--reason <text>', 'why, and by what analysis')
    .requiredOption('--until <time>', 'when it ends, or for how long, such as 90d')
    .option('--stop-emitting <length>', 'in the place of the policy’s')
    .option('--stop-accepting <length>', 'in the place of the policy’s')
    .option('--approvals <count>', 'in the place of the policy’s')
    .option('--settle <length>', 'in the place of the policy’s')
    .option('--watch <length>', 'in the place of the policy’s')
    .action(async (text: string, options: RequestOptions) => {
      const session = new Session(around, options);
      const { stopEmitting, stopAccepting, approvals, settle, watch, reason } = options;
      if (approvals !== undefined && !/^\d{1,2}$/.test(approvals)) {
        throw new UsageError('--approvals is a whole number');
      }
      const departs = {
        ...(stopEmitting === undefined ? {} : { stopEmitting: durationArgument(stopEmitting) }),
        ...(stopAccepting === undefined ? {} : { stopAccepting: durationArgument(stopAccepting) }),
        ...(approvals === undefined ? {} : { approvals: Number(approvals) }),
        ...(settle === undefined ? {} : { settle: durationArgument(settle) }),
        ...(watch === undefined ? {} : { watch: durationArgument(watch) }),
      };
      if (Object.keys(departs).length === 0) {
        throw new UsageError('name what it departs from, such as --stop-emitting 180d');
      }
      const ends =
        parseInstant(options.until) ?? session.now() + milliseconds(durationArgument(options.until));
      const { id, qualifiedName } = await findFamily(session, text);
      const family = await session.client.post(`/families/${id}/deviations`, familySchema, {
        body: { departs, reason, until: formatInstant(ends) },
      });
      const asked = family.deviations?.at(-1);
      session.answer(family, () => {
        session.line(session.paint(`Asked for, until ${formatInstant(ends)}.`, 'green'));
        session.line(
          `  ${session.paint('next', 'dim')}  ${session.paint(`keyturn deviation approve ${shellWord(qualifiedName)} ${asked?.id ?? ''}`, 'cyan')}  (by somebody else)`,
        );
      });
    });
}

function registerApprove(deviation: Command, around: Surroundings): void {
  defineCommand(deviation, {
    usage: 'approve',
    summary: 'Approve a departure somebody else asked for',
    examples: ['keyturn deviation approve production/partner-key 5b0d7d9e --note "CISO, 2026-03-02"'],
    changes: true,
  })
    .argument('<family>', FAMILY_ARGUMENT)
    .argument('<deviation>', DEVIATION_ARGUMENT)
    .option('--note <text>', 'what was checked')
    .action(async (text: string, deviationId: string, options: ApproveOptions) => {
      const body = options.note === undefined ? {} : { note: options.note };
      await ask(around, options, text, deviationId, 'approve', body, 'Approved: it binds until it ends.');
    });
}

function registerClose(deviation: Command, around: Surroundings): void {
  defineCommand(deviation, {
    usage: 'close',
    summary: 'Withdraw a departure, end it, or say that its end was looked at',
    examples: [
      'keyturn deviation close production/partner-key 5b0d7d9e --reason "the partner has an endpoint"',
    ],
    changes: true,
  })
    .argument('<family>', FAMILY_ARGUMENT)
    .argument('<deviation>', DEVIATION_ARGUMENT)
    .requiredOption('--reason <text>', 'why')
    .action(async (text: string, deviationId: string, options: CloseOptions) => {
      const body = { reason: options.reason };
      await ask(around, options, text, deviationId, 'close', body, 'Closed: the policy binds.');
    });
}

async function ask(
  around: Surroundings,
  options: CommonOptions,
  text: string,
  beginning: string,
  action: 'approve' | 'close',
  body: Readonly<Record<string, string>>,
  done: string,
): Promise<void> {
  const session = new Session(around, options);
  const found = await findFamily(session, text);
  const [only, ...others] = (found.deviations ?? []).filter(({ id }) => id.startsWith(beginning));
  if (only === undefined || others.length > 0) {
    throw new UsageError(
      `"${beginning}" names ${only === undefined ? 'no' : 'more than one'} deviation of it`,
    );
  }
  const path = `/families/${found.id}/deviations/${only.id}/${action}`;
  const family = await session.client.post(path, familySchema, { body });
  session.answer(family, () => {
    session.line(session.paint(done, 'green'));
  });
}
