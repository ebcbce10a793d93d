import type { Command } from 'commander';
import { freezeSchema, type Freeze } from '../api.js';
import { defineCommand } from '../define-command.js';
import { RefusedError } from '../failures.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { day } from '../words.js';

interface LiftOptions extends CommonOptions {
  readonly reason: string;
}

export function registerFreezeLift(freeze: Command, around: Surroundings): void {
  defineCommand(freeze, {
    usage: 'lift',
    summary: 'End a freeze before its time, or one that had none',
    examples: ['keyturn freeze lift 8d0f1f7e --reason "the season is over"'],
    changes: true,
  })
    .argument('<freeze>', 'its id, the beginning of one, or its name, as keyturn freeze list shows it')
    .requiredOption('--reason <text>', 'why')
    .action(async (text: string, options: LiftOptions) => {
      const session = new Session(around, options);
      const { id } = await findFreeze(session, text);
      const body = { reason: options.reason };
      const lifted = await session.client.post(`/freezes/${id}/lift`, freezeSchema, { body });
      session.answer(lifted, () => {
        session.line(session.paint(`Lifted: ${lifted.name}. What it held goes on.`, 'green'));
      });
    });
}

async function findFreeze({ client }: Session, text: string): Promise<Freeze> {
  const { items } = await client.all('/freezes', freezeSchema);
  const byId = items.filter(
    (freeze) => freeze.id === text || (text.length >= 4 && freeze.id.startsWith(text)),
  );
  const found =
    byId.length > 0
      ? byId
      : items.filter(({ name, status }) => name === text && (status === 'in force' || status === 'to come'));
  const [only, ...others] = found;
  if (only === undefined) {
    const before = items.find(({ name }) => name === text);
    if (before !== undefined) throw notHolding(before);
    throw new RefusedError('freeze.not-found', `there is no freeze "${text}": see keyturn freeze list`);
  }
  if (others.length > 0) {
    throw new RefusedError('freeze.ambiguous', `more than one freeze is meant by "${text}": write its id`);
  }
  if (only.status === 'lifted' || only.status === 'over') throw notHolding(only);
  return only;
}

/** It is there, and holds nothing any more: saying that there is none would send people looking for it. */
function notHolding({ name, id, status, liftedAt, until }: Freeze): RefusedError {
  return new RefusedError(
    'freeze.not-in-force',
    status === 'lifted'
      ? `the freeze "${name}" (${id}) was lifted already, at ${day(liftedAt)}`
      : `the freeze "${name}" (${id}) is over since ${day(until)}`,
  );
}
