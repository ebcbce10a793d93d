import type { Command } from 'commander';
import { defineCommand, DESTRUCTION_ARGUMENT } from '../define-command.js';
import { findDestruction } from '../find-process.js';
import { destructionLines } from '../process-text.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

export function registerDestructionShow(destruction: Command, around: Surroundings): void {
  defineCommand(destruction, {
    usage: 'show',
    summary: 'One destruction: where it stands, what it waits for, and the exact next command',
    examples: ['keyturn destruction show 3f2a91c0', 'keyturn destruction show production/session-jwt'],
  })
    .argument('<destruction>', DESTRUCTION_ARGUMENT)
    .action(async (text: string, options: CommonOptions) => {
      const session = new Session(around, options);
      const shown = await findDestruction(session, text);
      session.answer(shown, () => {
        session.lines(destructionLines(session, shown));
      });
    });
}
