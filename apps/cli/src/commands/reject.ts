import type { Command } from 'commander';
import { destructionSchema } from '../api.js';
import { askRotation } from '../ask.js';
import { defineCommand, ROTATION_ARGUMENT } from '../define-command.js';
import { findWaiting } from '../find.js';
import { destructionLines } from '../process-text.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

interface RejectOptions extends CommonOptions {
  readonly reason: string;
}

export function registerReject(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'reject',
    summary: 'Refuse a rotation that waits for approval',
    about:
      'A planned rotation ends here. Refusing an emergency afterwards is recorded as an exception; it undoes nothing. By environment/name it is what waits for a decision there, a rotation before a destruction.',
    examples: ['keyturn reject 3f2a91c0 --reason "release freeze until Monday"'],
    changes: true,
  })
    .argument('<rotation>', ROTATION_ARGUMENT)
    .requiredOption('--reason <text>', 'why')
    .action(async (text: string, options: RejectOptions) => {
      const { reason } = options;
      const session = new Session(around, options);
      const waiting = text.includes('/') ? await findWaiting(session, text) : undefined;
      if (waiting?.kind === 'destruction') {
        const path = `/destructions/${waiting.destruction.id}/reject`;
        const shown = await session.client.post(path, destructionSchema, { body: { reason } });
        session.answer(shown, () => {
          session.line(session.paint('Rejected: the destruction.', 'green'));
          session.lines(destructionLines(session, shown));
        });
        return;
      }
      await askRotation(around, options, waiting?.rotation.id ?? text, {
        action: 'reject',
        body: { reason },
        done: 'Rejected.',
        orLast: true,
      });
    });
}
