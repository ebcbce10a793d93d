import type { Command } from 'commander';
import { z } from 'zod';
import { defineCommand, FAMILY_ARGUMENT } from '../define-command.js';
import { findFamily } from '../find.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { lengthOf } from '../words.js';

const windowSchema = z.looseObject({ required: z.string(), binding: z.string() });
const windowsSchema = z.looseObject({ accept: windowSchema, drain: windowSchema });

export function registerWindows(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'windows',
    summary: 'The two windows a graceful rotation would get now, and what binds each of them',
    about:
      'Accept: before the first emitter may use the new version. Drain: before the old one may be revoked.',
    examples: ['keyturn windows production/session-jwt'],
  })
    .argument('<family>', FAMILY_ARGUMENT)
    .action(async (text: string, options: CommonOptions) => {
      const session = new Session(around, options);
      const family = await findFamily(session, text);
      const windows = await session.client.get(`/families/${family.id}/windows`, windowsSchema.nullish());
      session.answer(windows ?? null, () => {
        session.line(session.paint(family.qualifiedName, 'bold'));
        if (windows === null || windows === undefined) {
          session.line('  No window: this family cannot overlap; a rotation is a cutover with an outage.');
          return;
        }
        for (const [name, { required, binding }] of [
          ['accept', windows.accept],
          ['drain', windows.drain],
        ] as const) {
          session.line(
            `  ${session.paint(name.padEnd(11), 'dim')} ${lengthOf(required)}${binding === '' ? '' : `, ${binding}`}`,
          );
        }
      });
    });
}
