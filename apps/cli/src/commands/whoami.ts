import type { Command } from 'commander';
import { z } from 'zod';
import { defineCommand } from '../define-command.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

const scopeSchema = z.union([z.literal('all'), z.array(z.string())]);
const meSchema = z.looseObject({
  subject: z.string(),
  name: z.string(),
  roles: z.array(z.string()),
  scope: z.looseObject({ environments: scopeSchema, teams: scopeSchema }),
  permissions: z.array(z.string()),
});

export function registerWhoami(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'whoami',
    summary: 'Whose token this is, what it may do, and how far it reaches',
    examples: ['keyturn whoami'],
  }).action(async (options: CommonOptions) => {
    const session = new Session(around, options);
    const me = await session.client.get('/me', meSchema);
    session.answer(me, () => {
      const row = (name: string, text: string): void => {
        session.line(`  ${session.paint(name.padEnd(12), 'dim')} ${text}`);
      };
      const reach = (names: z.output<typeof scopeSchema>): string =>
        names === 'all' ? 'all' : names.join(', ');
      session.line(`${session.paint(me.name, 'bold')}  ${me.subject}`);
      row('service', session.config.url);
      row('roles', me.roles.join(', '));
      row('environments', reach(me.scope.environments));
      row('teams', reach(me.scope.teams));
      row('may', me.permissions.join(', '));
    });
  });
}
