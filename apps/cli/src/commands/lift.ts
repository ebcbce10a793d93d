import type { Command } from 'commander';
import { containmentSchema, familySchema } from '../api.js';
import { defineCommand, listedBy } from '../define-command.js';
import { UsageError } from '../failures.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { waitsForText } from '../words.js';

interface LiftOptions extends CommonOptions {
  readonly reason: string;
  readonly family?: string;
  readonly clear?: readonly string[];
}

export function registerLift(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'lift',
    summary: 'Take a containment back, once its suspicion is cleared',
    about:
      'Only for versions that were suspected: --clear says that a suspicion came to nothing. What is confirmed as compromised\nstays out for ever. It waits for a rotation that runs.',
    examples: [
      'keyturn lift 3f2a91c0-0000-4000-8000-000000000000 --family production/session-jwt --clear k1 --reason "it was a test key"',
    ],
    changes: true,
  })
    .argument('<containment>', 'the id of a containment')
    .requiredOption('--reason <text>', 'why')
    .option('--family <family>', 'its family, environment/name or id; needed with --clear')
    .option<readonly string[]>(
      '--clear <version>',
      'clear the suspicion of this version first; repeat it',
      listedBy,
    )
    .action(async (id: string, { reason, family, clear = [], ...options }: LiftOptions) => {
      const session = new Session(around, options);
      if (clear.length > 0) {
        if (family === undefined) throw new UsageError('--clear needs --family');
        const path = `/families/${encodeURIComponent(family)}/compromises/clear`;
        await session.client.post(path, familySchema, { body: { versions: clear, reason } });
      }
      const shown = await session.client.post(`/containments/${id}/lift`, containmentSchema, {
        body: { reason },
      });
      session.answer(shown, () => {
        session.line(session.paint(`Containment ${shown.id}: ${shown.status}`, 'bold'));
        if (typeof shown.waitsFor === 'string') session.line(`  waits for   ${waitsForText(shown.waitsFor)}`);
      });
    });
}
