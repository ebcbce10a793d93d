import type { Command } from 'commander';
import { formatInstant, parseInstant } from '#eventlog';
import { milliseconds } from '#rotation';
import { freezeSchema } from '../api.js';
import { defineCommand, listedBy } from '../define-command.js';
import { freezeScope } from '../freeze-text.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { day, durationArgument, instantArgument } from '../words.js';

interface DeclareOptions extends CommonOptions {
  readonly reason: string;
  readonly from?: string;
  readonly until?: string;
  readonly environment?: readonly string[];
  readonly team?: readonly string[];
  readonly kind?: readonly string[];
  readonly family?: readonly string[];
}

export function registerFreezeDeclare(freeze: Command, around: Surroundings): void {
  defineCommand(freeze, {
    usage: 'declare',
    summary: 'Hold forward steps of what the freeze covers',
    about:
      'Every part that is named must hold: --environment and --team together cover only what is in both. Without any of them\nit covers everything. Windows keep running, and so do due dates; emergencies and rollbacks go on.',
    examples: [
      'keyturn freeze declare "year end" --reason "no changes to payments" --environment production --until 2027-01-04T06:00:00Z',
      'keyturn freeze declare "load test" --reason "measuring" --family production/session-jwt --until 4h',
    ],
    changes: true,
  })
    .argument('<name>', 'what people call it')
    .requiredOption('--reason <text>', 'why')
    .option('--from <instant>', 'when it begins; left out: now')
    .option('--until <time>', 'when it ends, or for how long, such as 4h; left out: until it is lifted')
    .option<readonly string[]>('--environment <name>', 'only there; repeat it', listedBy)
    .option<readonly string[]>('--team <name>', 'only families of this team; repeat it', listedBy)
    .option<readonly string[]>('--kind <kind>', 'only families of this kind; repeat it', listedBy)
    .option<readonly string[]>('--family <family>', 'only this one, environment/name; repeat it', listedBy)
    .action(async (name: string, options: DeclareOptions) => {
      const { reason, environment, team, kind, family } = options;
      const now = around.clock.now();
      const from = options.from === undefined ? undefined : instantArgument(options.from, now);
      const body = {
        name,
        reason,
        ...(from === undefined ? {} : { from }),
        ...(options.until === undefined ? {} : { until: endOf(options.until, from, now) }),
        scope: {
          ...(environment === undefined ? {} : { environments: environment }),
          ...(team === undefined ? {} : { teams: team }),
          ...(kind === undefined ? {} : { kinds: kind }),
          ...(family === undefined ? {} : { families: family }),
        },
      };
      const session = new Session(around, options);
      const declared = await session.client.post('/freezes', freezeSchema, { body });
      session.answer(declared, () => {
        const until = declared.until === null ? 'until it is lifted' : `until ${day(declared.until)}`;
        session.line(
          session.paint(`Declared: ${declared.name}, from ${day(declared.from)} ${until}.`, 'green'),
        );
        session.line(`Covers ${freezeScope(declared, family)}. Emergencies and rollbacks go on.`);
        session.line(
          `  ${session.paint('to end it', 'dim')}  ${session.paint(`keyturn freeze lift ${declared.id} --reason "…"`, 'cyan')}`,
        );
      });
    });
}

function endOf(text: string, from: string | undefined, now: number): string {
  const at = parseInstant(text);
  if (at !== undefined) return formatInstant(at);
  const begins = from === undefined ? now : (parseInstant(from) ?? now);
  return formatInstant(begins + milliseconds(durationArgument(text)));
}
