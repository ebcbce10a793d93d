import { Option, type Command } from 'commander';
import { rotationSchema } from '../api.js';
import { defineCommand } from '../define-command.js';
import { findFamily } from '../find.js';
import { rotationColumns } from '../rotation-text.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { day } from '../words.js';

interface RotationsOptions extends CommonOptions {
  readonly family?: string;
  readonly state: string;
}

export function registerRotations(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'rotations',
    summary: 'The rotations on record, those that run first: their ids for replay and report',
    examples: ['keyturn rotations --family production/session-jwt', 'keyturn rotations --state ended --json'],
  })
    .option('--family <family>', 'only of this family: environment/name or id')
    .addOption(new Option('--state <state>', 'only these').choices(['open', 'ended', 'all']).default('all'))
    .action(async ({ family, state, ...options }: RotationsOptions) => {
      const session = new Session(around, options);
      const { items, treeSize } = await session.client.all('/rotations', rotationSchema, {
        family: family === undefined ? undefined : (await findFamily(session, family)).id,
        state,
      });
      session.answer({ items, treeSize }, () => {
        if (items.length === 0) session.line('No such rotation is on record.');
        else {
          session.table(items, [
            ...rotationColumns(session.now()),
            { title: 'REQUESTED', cell: ({ requestedAt }) => day(requestedAt) },
          ]);
        }
        session.examples(items);
      });
    });
}
