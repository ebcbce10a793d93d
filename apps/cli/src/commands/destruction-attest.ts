import type { Command } from 'commander';
import { destructionSchema } from '../api.js';
import { defineCommand, DESTRUCTION_ARGUMENT } from '../define-command.js';
import { attestationOf, takesEvidence, type EvidenceOptions } from '../evidence.js';
import { findDestruction } from '../find-process.js';
import { destructionLines } from '../process-text.js';
import { Session } from '../session.js';
import type { Surroundings } from '../surroundings.js';

export function registerDestructionAttest(destruction: Command, around: Surroundings): void {
  const command = defineCommand(destruction, {
    usage: 'attest',
    summary: 'Say, with evidence, that people destroyed the key material where they keep it',
    about: 'Only once it is approved and its retention is over; before that nobody may have destroyed it.',
    examples: [
      'keyturn destruction attest 3f2a91c0 --evidence https://hsm.example/ceremony/17 --by "key custodians"',
    ],
    changes: true,
  }).argument('<destruction>', DESTRUCTION_ARGUMENT);
  takesEvidence(command).action(async (text: string, options: EvidenceOptions) => {
    const session = new Session(around, options);
    const { id } = await findDestruction(session, text);
    const body = attestationOf(options, around.clock.now());
    const shown = await session.client.post(`/destructions/${id}/attest`, destructionSchema, { body });
    session.answer(shown, () => {
      session.line(session.paint('Attested.', 'green'));
      session.lines(destructionLines(session, shown));
    });
  });
}
