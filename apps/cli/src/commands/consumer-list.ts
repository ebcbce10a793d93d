import type { Command } from 'commander';
import { z } from 'zod';
import { defineCommand } from '../define-command.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { lengthOf } from '../words.js';

const entrySchema = z.looseObject({
  consumerId: z.string(),
  name: z.string(),
  roles: z.array(z.string()),
  cacheTtl: z.string().nullish(),
  neverRefreshes: z.boolean(),
  instances: z.number(),
  environment: z.string(),
  family: z.looseObject({ name: z.string() }),
});

interface ListOptions extends CommonOptions {
  readonly name?: string;
}

export function registerConsumerList(consumer: Command, around: Surroundings): void {
  defineCommand(consumer, {
    usage: 'list',
    summary: 'Every consumer of every family: what a service verifies or emits with',
    examples: ['keyturn consumer list', 'keyturn consumer list --name mobile-app'],
  })
    .option('--name <name>', 'only the consumers of this name')
    .action(async ({ name, ...options }: ListOptions) => {
      const session = new Session(around, options);
      const { items: all, treeSize } = await session.client.all('/consumers', entrySchema);
      const items = name === undefined ? all : all.filter((entry) => entry.name === name);
      session.answer({ items, treeSize }, () => {
        if (items.length === 0) {
          session.line(name === undefined ? 'No consumer is registered.' : `No consumer is named ${name}.`);
          return;
        }
        session.table(items, [
          { title: 'CONSUMER', cell: (entry) => entry.name, shrinks: true },
          { title: 'FAMILY', cell: (entry) => `${entry.environment}/${entry.family.name}`, shrinks: true },
          { title: 'ROLE', cell: (entry) => entry.roles.join(', ') },
          {
            title: 'CACHES',
            cell: ({ neverRefreshes, cacheTtl }) =>
              neverRefreshes
                ? 'for ever'
                : cacheTtl === null || cacheTtl === undefined
                  ? 'not recorded'
                  : lengthOf(cacheTtl),
          },
          { title: 'INSTANCES', cell: (entry) => String(entry.instances), align: 'right' },
        ]);
      });
    });
}
