import type { Command } from 'commander';
import { timelineSchema, type Rotation, type Timeline } from '../api.js';
import { defineCommand, parsedBy, ROTATION_ARGUMENT } from '../define-command.js';
import { findRotation } from '../find.js';
import { rhythmOf, speedArgument } from '../replay-rhythm.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import type { Style } from '../terminal.js';
import { entryLines, offset } from '../timeline-text.js';
import { coarse, instantArgument, lengthOf, treeSizeArgument } from '../words.js';

interface ReplayOptions extends CommonOptions {
  readonly at?: string;
  readonly known?: number;
  readonly speed: string;
  readonly full?: boolean;
}

export function registerReplay(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'replay',
    summary: "A rotation's timeline in its own rhythm, and an emergency against its T+ targets",
    about:
      'Long silences are cut to two seconds. Into a pipe it is printed at once. What was not recorded reads "not recorded".\n--at shows what was so then; --known shows what was known then: the first so many events of the log.',
    examples: [
      'keyturn replay production/session-jwt',
      'keyturn replay 3f2a91c0 --speed 600x',
      'keyturn replay 3f2a91c0 --at 2026-01-31T02:30:00Z --speed max',
      'keyturn replay 3f2a91c0 --known 4711',
    ],
  })
    .argument('<rotation>', ROTATION_ARGUMENT)
    .option('--at <instant>', 'only what was so then: RFC 3339, or "2h ago"')
    .option(
      '--known <treesize>',
      'only what the first so many events of the log tell',
      parsedBy(treeSizeArgument),
    )
    .option('--speed <factor>', 'times faster than it happened; max or 0 for all at once', '60x')
    .option('--full', 'with the intents and other lines a short view leaves out, and the ids of the events')
    .action(async (text: string, options: ReplayOptions) => {
      const speed = speedArgument(options.speed);
      const at = options.at === undefined ? undefined : instantArgument(options.at, around.clock.now());
      const session = new Session(around, options);
      const rotation = await findRotation(session, text, { orLast: true });
      const timeline = await session.client.get(`/rotations/${rotation.id}/timeline`, timelineSchema, {
        at,
        known: options.known,
      });
      if (session.json) session.answer(timeline, () => undefined);
      else {
        const played = {
          rotation,
          timeline,
          speed: around.out.isTTY ? speed : undefined,
          full: options.full === true,
        };
        await play(session, played);
      }
    });
}

interface Played {
  readonly rotation: Rotation;
  readonly timeline: Timeline;
  readonly speed: number | undefined;
  readonly full: boolean;
}

async function play(session: Session, { rotation, timeline, speed, full }: Played): Promise<void> {
  const { paint, around } = session;
  const { treeSize, known, targets } = timeline;
  const entries = timeline.entries.filter((entry) => full || entry.minor !== true);
  session.line(
    `${paint(rotation.family.qualifiedName, 'bold')}  ${rotation.strategy} rotation ${rotation.id}${
      rotation.illustrative ? '  EXAMPLE DATA' : ''
    }`,
  );
  session.line(
    paint(
      `${known === null || known === undefined ? '' : 'as known at '}tree size ${treeSize}, times in UTC`,
      'dim',
    ),
  );
  session.line();
  const zero =
    rotation.emergency?.discoveredAt ?? entries.find((entry) => !entry.instantNotRecorded)?.at ?? '';
  const rhythm = rhythmOf(entries, speed);
  for (const [index, entry] of entries.entries()) {
    const pause = rhythm[index] ?? 0;
    if (pause > 0) await around.sleep(pause, around.interrupted);
    session.lines(entryLines(session, entry, zero, full));
  }
  if (entries.length === 0) session.line('Nothing was recorded until then.');
  if (targets.length > 0) {
    session.line();
    session.table(targets, [
      { title: 'TARGET', cell: (target) => target.name, shrinks: true },
      { title: 'WITHIN', cell: (target) => spanOf(target.within) },
      {
        title: 'ACTUAL',
        cell: ({ actualAt }) =>
          actualAt === null || actualAt === undefined ? 'not recorded' : offset(zero, instantOf(actualAt)),
      },
      { title: 'VERDICT', cell: (target) => target.verdict, style: ({ verdict }) => verdictStyle(verdict) },
    ]);
  }
}

function instantOf(at: string | number): string {
  return typeof at === 'number' ? new Date(at).toISOString() : at;
}

function spanOf(within: string | number): string {
  return typeof within === 'number' ? coarse(within) : lengthOf(within);
}

function verdictStyle(verdict: string): readonly Style[] {
  if (verdict === 'met') return ['green'];
  return verdict === 'late' ? ['red'] : ['yellow'];
}
