import type { Command } from 'commander';
import { destructionSchema } from '../api.js';
import { defineCommand, DESTRUCTION_ARGUMENT } from '../define-command.js';
import { findDestruction } from '../find-process.js';
import { destructionLines } from '../process-text.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

interface RetryOptions extends CommonOptions {
  readonly reason?: string;
}

export function registerDestructionRetry(destruction: Command, around: Surroundings): void {
  defineCommand(destruction, {
    usage: 'retry',
    summary: 'Try a suspended destruction again, once its cause is gone',
    about: 'What became of the try before is observed first; nothing is done twice on a guess.',
    examples: ['keyturn destruction retry 3f2a91c0', 'keyturn destruction retry production/session-jwt'],
    changes: true,
  })
    .argument('<destruction>', DESTRUCTION_ARGUMENT)
    .option('--reason <text>', 'why')
    .action(async (text: string, { reason, ...options }: RetryOptions) => {
      const session = new Session(around, options);
      const { id } = await findDestruction(session, text);
      const body = reason === undefined ? {} : { reason };
      const shown = await session.client.post(`/destructions/${id}/retry`, destructionSchema, { body });
      session.answer(shown, () => {
        session.line(session.paint('Retry requested.', 'green'));
        session.lines(destructionLines(session, shown));
      });
    });
}
