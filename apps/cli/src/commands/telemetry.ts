import type { Command } from 'commander';
import { z } from 'zod';
import { defineCommand, ROTATION_ARGUMENT } from '../define-command.js';
import { UsageError } from '../failures.js';
import { findRotation } from '../find.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { instantArgument, waitsForText } from '../words.js';

interface TelemetryOptions extends CommonOptions {
  readonly from: string;
  readonly to: string;
  readonly current: string;
  readonly previous: string;
  readonly invalid: string;
  readonly previousLastSeen?: string;
  readonly note?: string;
}

export function registerTelemetry(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'telemetry',
    summary: 'Say what was counted of the old and the new version in a span',
    about:
      'A gate of the policy may wait for it before the old version is revoked. It never shortens a window; zero traffic holds.',
    examples: [
      'keyturn telemetry production/session-jwt --from "24h ago" --to now --current 2847 --previous 52 --invalid 2',
    ],
    changes: true,
  })
    .argument('<rotation>', ROTATION_ARGUMENT)
    .requiredOption('--from <instant>', 'when counting began')
    .requiredOption('--to <instant>', 'when it ended')
    .requiredOption('--current <count>', 'uses of the new version')
    .requiredOption('--previous <count>', 'uses of the old ones')
    .option('--invalid <count>', 'what verified with neither', '0')
    .option('--previous-last-seen <instant>', 'when an old one was last used')
    .option('--note <text>', 'where it was counted')
    .action(async (text: string, options: TelemetryOptions) => {
      const session = new Session(around, options);
      const now = session.now();
      const { previousLastSeen, note } = options;
      const body = {
        from: instantArgument(options.from, now),
        to: instantArgument(options.to, now),
        current: countOf(options.current),
        previous: countOf(options.previous),
        invalid: countOf(options.invalid),
        ...(previousLastSeen === undefined
          ? {}
          : { previousLastSeen: instantArgument(previousLastSeen, now) }),
        ...(note === undefined ? {} : { note }),
      };
      const { id } = await findRotation(session, text, { orLast: true });
      const rotation = await session.client.post(
        `/rotations/${id}/telemetry`,
        z.looseObject({ waitsFor: z.string().nullable() }),
        { body },
      );
      session.answer(rotation, () => {
        session.line(session.paint('Recorded.', 'green'));
        if (rotation.waitsFor !== null) session.line(`It waits for ${waitsForText(rotation.waitsFor)}.`);
      });
    });
}

function countOf(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new UsageError(`"${text}" is no count: a whole number from 0 on`);
  return Number(text);
}
