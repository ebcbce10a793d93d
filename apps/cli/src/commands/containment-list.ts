import type { Command } from 'commander';
import { containmentSchema } from '../api.js';
import { defineCommand } from '../define-command.js';
import { listProcesses, type ListOptions } from '../list-processes.js';
import { Session } from '../session.js';
import type { Surroundings } from '../surroundings.js';

export function registerContainmentList(containment: Command, around: Surroundings): void {
  defineCommand(containment, {
    usage: 'list',
    summary: 'The containments that are open: those that deny something or wait for somebody',
    examples: ['keyturn containment list', 'keyturn containment list --family production/session-jwt --all'],
  })
    .option('--family <family>', 'only of this family: environment/name or id')
    .option('--all', 'also those that were lifted')
    .action(async (options: ListOptions) => {
      await listProcesses(new Session(around, options), 'containment', containmentSchema, options);
    });
}
