import type { Command } from 'commander';
import { z } from 'zod';
import { familySchema } from '../api.js';
import { defineCommand, FAMILY_ARGUMENT } from '../define-command.js';
import { findFamily } from '../find.js';
import { Session, type CommonOptions } from '../session.js';
import { findPerson, PERSON_ARGUMENT } from '../find-person.js';
import type { Surroundings } from '../surroundings.js';

export function registerCustodian(program: Command, around: Surroundings): void {
  const custodian = program
    .command('custodian')
    .summary('Who knows a secret: assign and acknowledge')
    .description('Who knows a secret. When one of them leaves, say so with "keyturn left".');
  defineCommand(custodian, {
    usage: 'assign',
    summary: 'Write down that somebody is entrusted with a secret, or knows it',
    examples: [
      'keyturn custodian assign payments/api-key 6fa459ea-ee8a-4ca4-894e-db77e160355e --knows "entered it in the console"',
    ],
    changes: true,
  })
    .argument('<family>', FAMILY_ARGUMENT)
    .argument('<subject>', PERSON_ARGUMENT)
    .requiredOption('--knows <text>', 'what they know, or how they came to know it')
    .action(
      async (text: string, person: string, { knows, ...options }: CommonOptions & { knows: string }) => {
        const session = new Session(around, options);
        const family = await findFamily(session, text);
        const subject = await findPerson(session, person);
        const path = `/families/${family.id}/custodians/${subject}`;
        const shown = await session.client.send('PUT', path, familySchema, { body: { knows } });
        session.answer(shown, () => {
          session.line(session.paint(`${shown.qualifiedName}: custodian ${subject}.`, 'green'));
        });
      },
    );
  defineCommand(custodian, {
    usage: 'acknowledge',
    summary: 'Acknowledge your own duties as a custodian',
    examples: [
      'keyturn custodian acknowledge payments/api-key --statement "I keep it out of mail and tickets"',
    ],
    changes: true,
  })
    .argument('<family>', FAMILY_ARGUMENT)
    .requiredOption('--statement <text>', 'what you acknowledge')
    .action(async (text: string, { statement, ...options }: CommonOptions & { statement: string }) => {
      const session = new Session(around, options);
      const family = await findFamily(session, text);
      const path = `/families/${family.id}/custodians/acknowledge`;
      const shown = await session.client.post(path, z.unknown(), { body: { statement } });
      session.answer(shown ?? {}, () => {
        session.line(session.paint(`Acknowledged for ${family.qualifiedName}.`, 'green'));
      });
    });
}
