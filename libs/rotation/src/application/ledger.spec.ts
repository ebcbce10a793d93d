import { openEventStore, type EventStore } from '#eventlog/kit';
import { openSqliteEventLog } from '#eventlog/sqlite';
import type { EventLog } from '#eventlog';
import { systemIds } from '#platform';
import { ManualClock } from '#platform/testing';
import { personEvents } from '../domain/person.events.js';
import { Ledger } from './ledger.js';
import { departureStream } from './streams.js';

/** What a ledger keeps must never be told from what a new one reads. */

let log: EventLog;
let store: EventStore;

beforeEach(async () => {
  log = await openSqliteEventLog({ memory: true });
  store = await openEventStore({
    log,
    definitions: [personEvents],
    clock: new ManualClock('2026-03-01T09:00:00.000Z'),
    ids: systemIds,
  });
});
afterEach(() => log.close());

const SUBJECT = '6a1d6a56-3c6e-4c6a-8f5e-0a6c7c1f2d33';
const id = systemIds.random();
const cause = { actor: SUBJECT, correlationId: id, causationId: id, origin: { via: 'http' } } as const;
const left = { type: 'PersonLeft', data: { subject: SUBJECT, leftAt: '2026-02-28T00:00:00.000Z' } };

describe('a ledger', () => {
  it('sees what it appended itself, and what others appended to the same log', async () => {
    const mine = new Ledger(store);
    const others = new Ledger(store);
    const at = (await mine.person(SUBJECT)).history;
    expect(at.revision).toBe(-1);
    await others.append(at, [left], cause);
    const seen = await mine.person(SUBJECT);
    expect(seen).toEqual(await new Ledger(store).person(SUBJECT));
    expect(seen.history.revision).toBe(0);
    await mine.append(seen.history, [left], cause);
    expect(await mine.person(SUBJECT)).toEqual(await new Ledger(store).person(SUBJECT));
    expect(await others.person(SUBJECT)).toEqual(await new Ledger(store).person(SUBJECT));
  });

  it('reads a stream once, then only what came after', async () => {
    const ledger = new Ledger(store);
    await ledger.append((await ledger.person(SUBJECT)).history, [left], cause);
    await ledger.person(SUBJECT);
    const asked: (number | undefined)[] = [];
    const read = log.readStream.bind(log);
    log.readStream = (stream, options) => {
      asked.push(options?.from);
      return read(stream, options);
    };
    await ledger.person(SUBJECT);
    ledger.forget(departureStream(store.logId, SUBJECT));
    await ledger.person(SUBJECT);
    expect(asked).toEqual([1, 0]);
  });
});
