import type { Command } from 'commander';
import { z } from 'zod';
import { familySchema } from '../api.js';
import { shellWord } from '#rotation';
import { defineCommand } from '../define-command.js';
import { Session, type CommonOptions } from '../session.js';
import { findPerson, PERSON_ARGUMENT } from '../find-person.js';
import type { Surroundings } from '../surroundings.js';
import { instantArgument } from '../words.js';

const answerSchema = z.looseObject({ families: z.array(familySchema) });

export function registerLeft(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'left',
    summary: 'Somebody left: every secret they knew is to be rotated',
    about:
      'Each family they were a custodian of owes a rotation, within the time its policy says (departureWithin). Their tokens are\nrevoked with token revoke.',
    examples: [
      'keyturn left 6fa459ea-ee8a-4ca4-894e-db77e160355e --at 2026-03-31T17:00:00Z',
      'keyturn left "Ada Lovelace"',
    ],
    changes: true,
  })
    .argument('<subject>', PERSON_ARGUMENT)
    .option('--at <instant>', 'when; left out: now')
    .action(async (text: string, { at, ...options }: CommonOptions & { at?: string }) => {
      const leftAt = at === undefined ? undefined : instantArgument(at, around.clock.now());
      const session = new Session(around, options);
      const subject = await findPerson(session, text);
      const answer = await session.client.post(`/people/${subject}/departure`, answerSchema, {
        body: leftAt === undefined ? {} : { leftAt },
      });
      session.answer(answer, () => {
        session.line(
          answer.families.length === 0
            ? 'They were a custodian of no family: nothing is owed.'
            : `To be rotated: ${answer.families.length}`,
        );
        for (const family of answer.families) {
          session.line(
            `  ${session.paint(`keyturn rotate ${shellWord(family.qualifiedName)} --trigger personnel-departure --reason "…"`, 'cyan')}`,
          );
        }
      });
    });
}
