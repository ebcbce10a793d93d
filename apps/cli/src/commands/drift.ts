import type { Command } from 'commander';
import { familySchema } from '../api.js';
import { defineCommand, FAMILY_ARGUMENT } from '../define-command.js';
import { driftLines } from '../drift-text.js';
import { findFamily } from '../find.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

interface AcceptOptions extends CommonOptions {
  readonly reason: string;
  readonly drift?: string;
}

export function registerDrift(program: Command, around: Surroundings): void {
  const drift = program
    .command('drift')
    .summary('Where a back end is not as the record has it: show, accept')
    .description(
      'Where a back end is not as the record has it, though nobody recorded why. It holds the next revocation, never an emergency.',
    )
    .addHelpText(
      'after',
      '\nExample:\n  $ keyturn drift accept production/session-jwt --reason "turned by hand in the drill of May 4"\n\nExit codes: see keyturn --help',
    );
  registerShow(drift, around);
  registerAccept(drift, around);
}

function registerShow(drift: Command, around: Surroundings): void {
  defineCommand(drift, {
    usage: 'show',
    summary: 'What differs now, of one family or of all',
    examples: ['keyturn drift show', 'keyturn drift show production/session-jwt --json'],
  })
    .argument('[family]', FAMILY_ARGUMENT)
    .action(async (text: string | undefined, options: CommonOptions) => {
      const session = new Session(around, options);
      const families =
        text === undefined
          ? (await session.client.all('/families', familySchema, { drift: 'open' })).items
          : [await findFamily(session, text)];
      const items = families.map(({ id, qualifiedName, drift: found = null }) => ({
        family: { id, qualifiedName },
        drift: found,
      }));
      session.answer({ items }, () => {
        const open = families.filter((family) => driftLines(session, family).length > 0);
        for (const family of open) for (const line of driftLines(session, family)) session.line(line);
        // Nothing is said of what was never looked at.
        if (open.length === 0) session.line('No difference is on record.');
      });
    });
}

function registerAccept(drift: Command, around: Surroundings): void {
  defineCommand(drift, {
    usage: 'accept',
    summary: 'Say that what differs is known: the record has it so from now on, and what it held goes on',
    about:
      'Refused where what differs has changed since it was looked at: --drift names what you looked at, else it is what the\nfamily shows now.',
    examples: ['keyturn drift accept production/session-jwt --reason "turned by hand in the drill of May 4"'],
    changes: true,
  })
    .argument('<family>', FAMILY_ARGUMENT)
    .requiredOption('--reason <text>', 'who did it, and why it is right')
    .option('--drift <id>', 'the drift you looked at, as keyturn drift show --json has it')
    .action(async (text: string, { reason, drift: named, ...options }: AcceptOptions) => {
      const session = new Session(around, options);
      const family = await findFamily(session, text);
      const body = { drift: named ?? family.drift?.id ?? NONE, reason };
      const shown = await session.client.post(`/families/${family.id}/drift/accept`, familySchema, { body });
      session.answer(shown, () => {
        session.line(session.paint(`${shown.qualifiedName}: accepted; the record has it so.`, 'green'));
      });
    });
}

/** Where a family shows none, the service says so better than we do. */
const NONE = '00000000-0000-0000-0000-000000000000';
