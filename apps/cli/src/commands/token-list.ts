import type { Command } from 'commander';
import { tokenSchema } from '../api.js';
import { defineCommand } from '../define-command.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { day } from '../words.js';

export function registerTokenList(token: Command, around: Surroundings): void {
  defineCommand(token, {
    usage: 'list',
    summary: 'The tokens there are; never their text',
    examples: ['keyturn token list'],
  }).action(async (options: CommonOptions) => {
    const session = new Session(around, options);
    const { items, treeSize } = await session.client.all('/tokens', tokenSchema);
    session.answer({ items, treeSize }, () => {
      session.table(items, [
        { title: 'TOKEN', cell: (token) => token.id },
        { title: 'NAME', cell: ({ name }) => name ?? '', shrinks: true },
        { title: 'SUBJECT', cell: ({ subject }) => subject },
        { title: 'LABEL', cell: (token) => token.label, shrinks: true },
        { title: 'ROLES', cell: (token) => token.roles.join(', '), shrinks: true },
        {
          title: 'STATUS',
          cell: (token) => token.status,
          style: ({ status }) => (status === 'active' ? [] : ['dim']),
        },
        {
          title: 'EXPIRES',
          cell: ({ expiresAt }) => (expiresAt === null || expiresAt === undefined ? 'never' : day(expiresAt)),
        },
      ]);
    });
  });
}
