import type { Command } from 'commander';
import { z } from 'zod';
import { containmentSchema } from '../api.js';
import { shellWord } from '#rotation';
import { defineCommand, FAMILY_ARGUMENT, listedBy } from '../define-command.js';
import { findFamily } from '../find.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { day } from '../words.js';

interface ContainOptions extends CommonOptions {
  readonly version: readonly string[];
  readonly reason: string;
  readonly incident?: string;
}

const placedSchema = z.looseObject({ id: z.string() });

export function registerContain(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'contain',
    summary: 'Deny suspected versions at once, before there is a new key',
    about:
      'Whoever still emits with them is refused. Contained is not rotated: follow it with emergency, or lift it when the\nsuspicion is cleared.',
    examples: [
      'keyturn contain production/session-jwt --version k1 --reason "seen in a build log" --incident INC-2041',
    ],
    changes: true,
  })
    .argument('<family>', FAMILY_ARGUMENT)
    .requiredOption<readonly string[]>('--version <version>', 'a suspected version; repeat it', listedBy)
    .requiredOption('--reason <text>', 'why')
    .option('--incident <reference>', 'where the incident is worked on')
    .action(async (text: string, options: ContainOptions) => {
      const session = new Session(around, options);
      const family = await findFamily(session, text);
      const { version: versions, reason, incident } = options;
      const body = { versions, reason, ...(incident === undefined ? {} : { incident }) };
      const { id } = await session.client.post(`/families/${family.id}/containments`, placedSchema, { body });
      const shown = await session.client.get(`/containments/${id}`, containmentSchema);
      session.answer(shown, () => {
        session.line(
          `${session.paint(family.qualifiedName, 'bold')}  containment ${shown.id}: ${shown.status}`,
        );
        session.line(`  versions    ${shown.versions.join(', ')}`);
        if (shown.trustEndsAt !== null) {
          session.line(`  trust ends  ${day(shown.trustEndsAt)} at the latest (computed, not observed)`);
        }
        if (shown.suspendedFor !== null) {
          session.line(`  needs       ${shown.suspendedFor}`);
          session.line(
            `  ${session.paint('next', 'dim')}        ${session.paint(`keyturn containment retry ${shown.id}`, 'cyan')}`,
          );
        }
        session.line(
          `  ${session.paint('next', 'dim')}        ${session.paint(
            `keyturn emergency ${shellWord(family.qualifiedName)} --compromised ${shown.versions.map(shellWord).join(' ')}`,
            'cyan',
          )}`,
        );
      });
    });
}
