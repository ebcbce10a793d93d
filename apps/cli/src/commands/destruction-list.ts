import type { Command } from 'commander';
import { destructionSchema } from '../api.js';
import { defineCommand } from '../define-command.js';
import { listProcesses, type ListOptions } from '../list-processes.js';
import { Session } from '../session.js';
import type { Surroundings } from '../surroundings.js';

export function registerDestructionList(destruction: Command, around: Surroundings): void {
  defineCommand(destruction, {
    usage: 'list',
    summary:
      'The destructions that are open: those that wait for an approval, for their date or for a person',
    examples: ['keyturn destruction list', 'keyturn destruction list --family production/session-jwt --all'],
  })
    .option('--family <family>', 'only of this family: environment/name or id')
    .option('--all', 'also those that were rejected or done')
    .action(async (options: ListOptions) => {
      await listProcesses(new Session(around, options), 'destruction', destructionSchema, options);
    });
}
