import type { Command } from 'commander';
import { familySchema } from '../api.js';
import { requireAskable, requireYes, type ConfirmedOptions } from '../confirmed.js';
import { defineCommand, FAMILY_ARGUMENT } from '../define-command.js';
import { RefusedError } from '../failures.js';
import { findFamily } from '../find.js';
import { Session } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { lengthOf } from '../words.js';

export function registerConsumerRemove(consumer: Command, around: Surroundings): void {
  defineCommand(consumer, {
    usage: 'remove',
    summary: 'Take a consumer out of a family: nobody waits for it any more',
    about:
      'The windows of later rotations are computed without it; a window that runs is never shortened. Whatever still verifies with\nan old version there breaks once that is revoked.',
    examples: ['keyturn consumer remove production/session-jwt mobile-app'],
    changes: true,
  })
    .argument('<family>', FAMILY_ARGUMENT)
    .argument('<consumer>', 'its name or id')
    .option('--yes', 'do not ask')
    .action(async (text: string, name: string, options: ConfirmedOptions) => {
      requireAskable(around, options, 'remove the consumer');
      const session = new Session(around, options);
      const family = await findFamily(session, text);
      const found = family.consumers.find((each) => each.id === name || each.name === name);
      if (found === undefined) {
        const known = family.consumers.map((each) => each.name).join(', ');
        throw new RefusedError(
          'consumer.not-found',
          `${family.qualifiedName} has no consumer "${name}"; it has ${known === '' ? 'none' : known}`,
        );
      }
      const caches = found.neverRefreshes
        ? 'never refreshes its cache'
        : found.cacheTtl === null
          ? 'cache not recorded'
          : `caches for ${lengthOf(found.cacheTtl)}`;
      session.line(
        `${session.paint(family.qualifiedName, 'bold')}  ${found.name}: ${found.roles.join(', ')}, ${found.instances} instances, ${caches}`,
      );
      await requireYes(around, options, `Remove ${found.name} from ${family.qualifiedName}?`);
      const path = `/families/${family.id}/consumers/${found.id}`;
      const shown = await session.client.send('DELETE', path, familySchema);
      session.answer(shown, () => {
        session.line(session.paint(`Removed: ${found.name}.`, 'green'));
      });
    });
}
