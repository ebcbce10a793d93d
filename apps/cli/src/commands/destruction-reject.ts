import type { Command } from 'commander';
import { destructionSchema } from '../api.js';
import { defineCommand, DESTRUCTION_ARGUMENT } from '../define-command.js';
import { findDestruction } from '../find-process.js';
import { destructionLines } from '../process-text.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

interface RejectOptions extends CommonOptions {
  readonly reason: string;
}

export function registerDestructionReject(destruction: Command, around: Surroundings): void {
  defineCommand(destruction, {
    usage: 'reject',
    summary: 'Refuse a destruction: the key material stays where it is',
    about: 'Before anything was deleted. Whoever wants it destroyed after all asks anew.',
    examples: ['keyturn destruction reject 3f2a91c0 --reason "legal hold until the audit is over"'],
    changes: true,
  })
    .argument('<destruction>', DESTRUCTION_ARGUMENT)
    .requiredOption('--reason <text>', 'why')
    .action(async (text: string, { reason, ...options }: RejectOptions) => {
      const session = new Session(around, options);
      const { id } = await findDestruction(session, text);
      const path = `/destructions/${id}/reject`;
      const shown = await session.client.post(path, destructionSchema, { body: { reason } });
      session.answer(shown, () => {
        session.line(session.paint('Rejected.', 'green'));
        session.lines(destructionLines(session, shown));
      });
    });
}
