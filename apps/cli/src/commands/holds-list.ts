import type { Command } from 'commander';
import { holdsSchema, type Holds } from '../api.js';
import { defineCommand } from '../define-command.js';
import { freezeScope } from '../freeze-text.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { day, dayAndDistance } from '../words.js';

export function registerHoldsList(holds: Command, around: Surroundings): void {
  defineCommand(holds, {
    usage: 'list',
    summary: 'What holds rotations now: the clock, the log, a restore, freezes',
    examples: ['keyturn holds list'],
  }).action(async (options: CommonOptions) => {
    const session = new Session(around, options);
    const view = await session.client.get('/holds', holdsSchema);
    session.answer(view, () => {
      session.lines(holdLines(session, view));
    });
  });
}

export function holdLines(session: Session, { open, freezes }: Holds): readonly string[] {
  if (open.length === 0 && freezes.length === 0) return ['Nothing holds rotations.'];
  return [
    ...open.flatMap(({ hold, reason, since, holds, next }) => [
      `${session.paint(`Held by the ${hold === 'integrity' ? 'log' : hold}`, 'bold', 'red')} since ${dayAndDistance(since, session.now())}: ${reason}`,
      `  what waits  ${holds}; emergencies and the way back of a rollback do not`,
      `  ${session.paint('once you have looked', 'dim')}  ${session.paint(next, 'cyan')}`,
    ]),
    ...freezes.map(
      (freeze) =>
        `${session.paint(`Freeze ${freeze.name}`, 'yellow')} over ${freezeScope(freeze)}, ${freeze.until === null ? 'until it is lifted' : `until ${day(freeze.until)}`}: ${freeze.reason}`,
    ),
  ];
}
