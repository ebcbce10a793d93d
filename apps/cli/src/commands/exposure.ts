import type { Command } from 'commander';
import { familySchema } from '../api.js';
import { defineCommand, FAMILY_ARGUMENT, listedBy } from '../define-command.js';
import { findFamily } from '../find.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { instantArgument } from '../words.js';

interface ExposureOptions extends CommonOptions {
  readonly version: readonly string[];
  readonly scope: string;
  readonly from?: string;
  readonly until?: string;
  readonly incident?: string;
}

export function registerExposure(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'exposure',
    summary: 'Record what an exposure reached: which versions, since when, until when, and where',
    about:
      'For the record of an incident; it rotates and denies nothing. What is not known is left out, and reads "not recorded".',
    examples: [
      'keyturn exposure production/session-jwt --version k1 --scope "build logs of 14 jobs, readable by contractors" --from 2026-01-30T22:00:00Z --until "20m ago" --incident INC-2041',
    ],
    changes: true,
  })
    .argument('<family>', FAMILY_ARGUMENT)
    .requiredOption<readonly string[]>(
      '--version <version>',
      'a version that was exposed; repeat it',
      listedBy,
    )
    .requiredOption('--scope <text>', 'where it could be seen, and by whom')
    .option('--from <instant>', 'since when')
    .option('--until <instant>', 'until when')
    .option('--incident <reference>', 'where the incident is worked on')
    .action(async (text: string, options: ExposureOptions) => {
      const { version: versions, scope, from, until, incident } = options;
      const now = around.clock.now();
      const body = {
        versions,
        scope,
        ...(from === undefined ? {} : { exposedFrom: instantArgument(from, now) }),
        ...(until === undefined ? {} : { exposedUntil: instantArgument(until, now) }),
        ...(incident === undefined ? {} : { incident }),
      };
      const session = new Session(around, options);
      const family = await findFamily(session, text);
      const shown = await session.client.post(`/families/${family.id}/exposures`, familySchema, { body });
      session.answer(shown, () => {
        session.line(
          session.paint(`${shown.qualifiedName}: exposure of ${versions.join(', ')} recorded.`, 'green'),
        );
      });
    });
}
