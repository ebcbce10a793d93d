import { join } from 'node:path';
import { openEventStore, openReadModel } from '#eventlog/kit';
import { openSqliteEventLog } from '#eventlog/sqlite';
import { armFailpoint, SecretValue, systemClock, systemIds } from '#platform';
import { HookDispatcher, type CausedAlarm } from '../application/hook-dispatcher.js';
import { PostChannel } from '../channels/post-channel.js';
import { hookSecret } from '../channels/signature.js';
import { deliveryEvents } from '../domain/delivery.events.js';
import { deliveriesProjection } from '../infrastructure/deliveries.projection.js';

/**
 * One process of the hook's crash spec: opens a directory, looks once, and may be told to die at a failpoint. What it knows
 * of an earlier one stands on the disk.
 */

const [directory = '', url = '', secret = '', failpoint = ''] = process.argv.slice(2);

const ALARM: CausedAlarm = {
  alarm: {
    type: 'rotation.suspended',
    key: 'the one alarm of this spec',
    at: '2026-01-31T02:10:00.000Z',
    text: 'the back end refused the key',
  },
};

const log = await openSqliteEventLog({ directory }, { inline: true });
const store = await openEventStore({
  log,
  definitions: [deliveryEvents],
  clock: systemClock,
  ids: systemIds,
});
const readModel = await openReadModel({
  store,
  path: join(directory, `read-model-${process.pid}.sqlite`),
  projections: [deliveriesProjection],
});
await readModel.caughtUp();
const key = hookSecret(secret);
if (key === undefined) throw new Error('no secret');
const worker = `hook#${process.pid}`;
const dispatcher = new HookDispatcher({
  store,
  readModel,
  channel: new PostChannel({ url: new SecretValue(url), secret: key }),
  alarms: () => [ALARM],
  sudden: [],
  worker,
  isDead: (other) => other !== worker,
  onError: (error) => {
    throw error;
  },
});
if (failpoint !== '') armFailpoint(failpoint);
await dispatcher.sweep();
await readModel.caughtUp();
const events: unknown[] = [];
for await (const logged of log.readAll()) {
  const { type, data } = store.decode(logged);
  events.push({ type, data });
}
process.stdout.write(JSON.stringify(events));
await readModel.close();
await log.close();
