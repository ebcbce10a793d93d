import type { Command } from 'commander';
import { z } from 'zod';
import { defineCommand } from '../define-command.js';
import { UsageError } from '../failures.js';
import { findApprovable, rotationAfter } from '../find.js';
import { rotationPage } from '../rotation-text.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { wrappedTokenIn } from '../wrapped-token.js';

interface ApproveOptions extends CommonOptions {
  readonly note?: string;
  readonly tokenFile?: string;
}

export function registerApprove(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'approve',
    summary: 'Approve a rotation, a policy or a destruction',
    about:
      'Whoever asked for it, or wrote it, cannot approve it. An emergency is approved in retrospect, also after it ended.',
    examples: [
      'keyturn approve 3f2a91c0 --note "checked with the on-call"',
      'keyturn approve production/session-jwt',
      'keyturn approve "PCI production"',
      'keyturn approve 7c01be55 --token-file wrapped',
    ],
    changes: true,
  })
    .argument(
      '<id>',
      'a rotation, policy or destruction: its id, the beginning of one, environment/name, or a policy name',
    )
    .option('--note <text>', 'what was checked')
    .option(
      '--token-file <file>',
      'of a destruction in a Vault: a file with a wrapped token that may delete there; - is standard input',
    )
    .action(async (text: string, options: ApproveOptions) => {
      const session = new Session(around, options);
      const found = await findApprovable(session, text);
      const body = options.note === undefined ? {} : { note: options.note };
      const { tokenFile } = options;
      if (tokenFile !== undefined && found.kind !== 'destruction')
        throw new UsageError(`--token-file is for a destruction, and this is a ${found.kind}: leave it out`);
      if (found.kind === 'destruction') {
        const { id } = found.destruction;
        // First: where it is refused, nothing is approved yet.
        if (tokenFile !== undefined) {
          const wrappedToken = await wrappedTokenIn(tokenFile, around);
          await session.client.send('PUT', `/destructions/${id}/token`, z.unknown(), {
            body: { wrappedToken },
          });
        }
        const answer = await session.client.post(`/destructions/${id}/approve`, z.unknown(), { body });
        session.answer(answer ?? { id }, () => {
          session.line(session.paint(`Approved: destruction ${id}.`, 'green'));
        });
        return;
      }
      if (found.kind === 'policy') {
        const { id, name, termsRevision: revision } = found.policy;
        // What was looked up is what is approved: an amendment in between is refused, not approved unseen.
        const answer = await session.client.post(`/policies/${id}/approve`, z.unknown(), {
          body: { ...body, ...(revision === undefined ? {} : { revision }) },
        });
        session.answer(answer ?? { id }, () => {
          session.line(session.paint(`Approved: policy ${name}.`, 'green'));
        });
        return;
      }
      const { id } = found.rotation;
      const answer = await session.client.post(`/rotations/${id}/approve`, z.unknown(), { body });
      const rotation = await rotationAfter(session, answer, id);
      session.answer(rotation, () => {
        session.line(session.paint('Approved.', 'green'));
        session.lines(rotationPage(session, rotation));
      });
    });
}
