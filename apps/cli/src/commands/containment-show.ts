import type { Command } from 'commander';
import { defineCommand, CONTAINMENT_ARGUMENT } from '../define-command.js';
import { findContainment } from '../find-process.js';
import { containmentLines } from '../process-text.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

export function registerContainmentShow(containment: Command, around: Surroundings): void {
  defineCommand(containment, {
    usage: 'show',
    summary: 'One containment: where it stands, what it waits for, and the exact next command',
    examples: ['keyturn containment show 3f2a91c0', 'keyturn containment show production/session-jwt'],
  })
    .argument('<containment>', CONTAINMENT_ARGUMENT)
    .action(async (text: string, options: CommonOptions) => {
      const session = new Session(around, options);
      const shown = await findContainment(session, text);
      session.answer(shown, () => {
        session.lines(containmentLines(session, shown));
      });
    });
}
