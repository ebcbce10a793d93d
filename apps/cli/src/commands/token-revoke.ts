import type { Command } from 'commander';
import { z } from 'zod';
import { defineCommand } from '../define-command.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

export function registerTokenRevoke(token: Command, around: Surroundings): void {
  defineCommand(token, {
    usage: 'revoke',
    summary: 'Let a token open nothing any more',
    examples: ['keyturn token revoke 8d0f1f7e-6a51-4a6f-9d0e-0a6f2b7c1d11'],
    changes: true,
  })
    .argument('<id>', 'as keyturn token list shows it')
    .action(async (id: string, options: CommonOptions) => {
      const session = new Session(around, options);
      await session.client.send('DELETE', `/tokens/${encodeURIComponent(id)}`, z.unknown());
      session.answer({ id, status: 'revoked' }, () => {
        session.line(`Revoked: ${id}`);
      });
    });
}
