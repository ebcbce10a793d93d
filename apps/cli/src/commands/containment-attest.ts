import { Option, type Command } from 'commander';
import { containmentSchema } from '../api.js';
import { CONTAINMENT_ARGUMENT, defineCommand } from '../define-command.js';
import { attestationOf, takesEvidence, type EvidenceOptions } from '../evidence.js';
import { findContainment } from '../find-process.js';
import { containmentLines } from '../process-text.js';
import { Session } from '../session.js';
import type { Surroundings } from '../surroundings.js';

interface AttestOptions extends EvidenceOptions {
  readonly step: 'contain' | 'lift';
}

export function registerContainmentAttest(containment: Command, around: Surroundings): void {
  const command = defineCommand(containment, {
    usage: 'attest',
    summary: 'Say that the versions were denied by hand, or are no longer',
    about:
      'For a back end that cannot be reached: deny them there yourself, at the gateway or in a deny list, and record it. A note is\nenough to contain; the evidence can be named later. What people applied, people also lift: --step lift.',
    examples: [
      'keyturn containment attest production/session-jwt --note "kid k1 blocked at the gateway" --at "5m ago"',
      'keyturn containment attest 3f2a91c0 --step lift --evidence https://ci.example/runs/811',
    ],
    changes: true,
  })
    .argument('<containment>', CONTAINMENT_ARGUMENT)
    .addOption(new Option('--step <step>', 'what was done').choices(['contain', 'lift']).default('contain'));
  takesEvidence(command).action(async (text: string, { step, ...options }: AttestOptions) => {
    const session = new Session(around, options);
    const { id } = await findContainment(session, text);
    const body = { step, ...attestationOf(options, around.clock.now()) };
    const shown = await session.client.post(`/containments/${id}/attest`, containmentSchema, { body });
    session.answer(shown, () => {
      session.line(session.paint(`Attested: ${step}.`, 'green'));
      session.lines(containmentLines(session, shown));
    });
  });
}
