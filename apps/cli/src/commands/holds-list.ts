import type { Command } from 'commander';
import { restoreHoldSchema, type RestoreHold } from '../api.js';
import { defineCommand } from '../define-command.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { dayAndDistance } from '../words.js';

export function registerHoldsList(holds: Command, around: Surroundings): void {
  defineCommand(holds, {
    usage: 'list',
    summary: 'What holds every rotation now',
    examples: ['keyturn holds list'],
  }).action(async (options: CommonOptions) => {
    const session = new Session(around, options);
    const restore = await session.client.get('/holds/restore', restoreHoldSchema);
    session.answer({ restore }, () => {
      session.lines(restore.open ? restoreHoldLines(session, restore) : ['Nothing holds every rotation.']);
    });
  });
}

/** Said wherever all rotations are looked at. */
export function restoreHoldLines(session: Session, hold: RestoreHold): readonly string[] {
  const since = hold.since === null ? '' : ` since ${dayAndDistance(hold.since, session.now())}`;
  return [
    `${session.paint('Every rotation is held', 'bold', 'red')}${since}: ${hold.reason ?? ''}`,
    'Forward steps wait; rollbacks and emergencies do not. Compare the back ends with what is recorded, then:',
    `  ${session.paint('keyturn holds confirm restore --reason "…"', 'cyan')}`,
  ];
}
