import type { Command } from 'commander';
import { destructionSchema } from '../api.js';
import { defineCommand, FAMILY_ARGUMENT, listedBy } from '../define-command.js';
import { findFamily } from '../find.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { instantArgument } from '../words.js';

interface DestroyOptions extends CommonOptions {
  readonly version: readonly string[];
  readonly reason: string;
  readonly notBefore?: string;
}

export function registerDestroy(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'destroy',
    summary: 'Ask for the key material of old versions to be deleted for good',
    about:
      'Nothing happens before somebody else approves it. Only what is neither accepted nor emitting; nothing can roll back to it\nafterwards. The record of the key is kept.',
    examples: [
      'keyturn destroy production/session-jwt --version k1 --reason "its retention is over"',
      'keyturn destroy production/session-jwt --version k1 --reason "archived for a year" --not-before 2026-11-13T00:00:00Z',
    ],
    changes: true,
  })
    .argument('<family>', FAMILY_ARGUMENT)
    .requiredOption<readonly string[]>('--version <version>', 'a version to destroy; repeat it', listedBy)
    .requiredOption('--reason <text>', 'why')
    .option('--not-before <instant>', 'the end of its retention')
    .action(async (text: string, { version: versions, reason, notBefore, ...options }: DestroyOptions) => {
      const session = new Session(around, options);
      const family = await findFamily(session, text);
      const body = {
        versions,
        reason,
        ...(notBefore === undefined ? {} : { notBefore: instantArgument(notBefore, around.clock.now()) }),
      };
      const path = `/families/${family.id}/destructions`;
      const shown = await session.client.post(path, destructionSchema, { body });
      session.answer(shown, () => {
        session.line(
          `${session.paint(family.qualifiedName, 'bold')}  destruction ${shown.id}: ${shown.status}`,
        );
        session.line(`  versions    ${shown.versions.join(', ')}`);
        session.line(
          `  ${session.paint('next', 'dim')}        ${session.paint(`keyturn approve ${shown.id}`, 'cyan')}`,
        );
      });
    });
}
