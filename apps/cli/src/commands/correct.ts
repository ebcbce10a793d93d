import type { Command } from 'commander';
import { z } from 'zod';
import { familySchema } from '../api.js';
import { defineCommand } from '../define-command.js';
import { UsageError } from '../failures.js';
import { findFamily, findRotation, rotationAfter } from '../find.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

interface CorrectOptions extends CommonOptions {
  readonly rotation?: string;
  readonly family?: string;
  readonly reason: string;
  readonly correction: string;
}

export function registerCorrect(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'correct',
    summary: 'Say that a fact was recorded wrongly, and what is right',
    about:
      'Both stay visible for ever, and nothing is undone: a confirmed compromise stays confirmed. A wrong confirmation is taken back\nwith "keyturn confirm --withdraw" instead. Event ids stand in "keyturn replay --full" and in every --json timeline.',
    examples: [
      'keyturn correct 0d6b4c3e-6a51-4a6f-9d0e-0a6f2b7c1d11 --rotation production/session-jwt --reason "wrong time zone" --correction "revoked at 02:10 UTC, not 03:10"',
      'keyturn correct 0d6b4c3e-6a51-4a6f-9d0e-0a6f2b7c1d11 --family payments/api-key --reason "wrong ticket" --correction "RA-12, not RA-21"',
    ],
    changes: true,
  })
    .argument('<event>', 'the id of the event that is wrong')
    .option('--rotation <rotation>', 'where it is a fact of a rotation')
    .option('--family <family>', 'where it is a fact of a family')
    .requiredOption('--reason <text>', 'why it is wrong')
    .requiredOption('--correction <text>', 'what is right')
    .action(async (of: string, { rotation, family, reason, correction, ...options }: CorrectOptions) => {
      const session = new Session(around, options);
      const body = { of, reason, correction };
      if (rotation !== undefined && family === undefined) {
        const { id } = await findRotation(session, rotation, { orLast: true });
        const answer = await session.client.post(`/rotations/${id}/corrections`, z.unknown(), { body });
        const shown = await rotationAfter(session, answer, id);
        session.answer(shown, () => {
          session.line(session.paint(`Corrected, in the record of rotation ${shown.id}.`, 'green'));
        });
      } else if (family !== undefined && rotation === undefined) {
        const { id } = await findFamily(session, family);
        const shown = await session.client.post(`/families/${id}/corrections`, familySchema, { body });
        session.answer(shown, () => {
          session.line(session.paint(`Corrected, in the record of ${shown.qualifiedName}.`, 'green'));
        });
      } else throw new UsageError('say whose fact it is: either --rotation or --family');
    });
}
