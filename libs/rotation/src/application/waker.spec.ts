import type { RecordedEvent } from '#eventlog';
import { openDatabase, type SqlDatabase } from '#eventlog/sqlite';
import { ManualClock } from '#platform/testing';
import { wakeupsProjection } from '../index.js';
import { someUuid } from '../testing/index.js';
import type { Wake } from './process-runner.js';
import { Waker } from './waker.js';

const ORDINARY = 2_000;

let treeSize = 0;

function event(stream: string, type: string, data: unknown): RecordedEvent {
  treeSize += 1;
  return {
    type,
    data,
    schemaVersion: 1,
    id: someUuid(treeSize),
    stream,
    revision: 1,
    treeSize,
    recordedAt: 0,
    actor: 'system',
    correlationId: someUuid(1),
    causationId: someUuid(1),
    provenance: 'performed',
    origin: { via: 'saga' },
  };
}

const rotationOf = (number: number): string => someUuid(100_000 + number);
const familyOf = (number: number): string => someUuid(200_000 + number);

function opened(number: number, strategy: 'graceful' | 'emergency'): RecordedEvent {
  return event(`family-${familyOf(number)}`, 'RotationOpened', {
    rotation: rotationOf(number),
    request: { strategy, trigger: 'schedule', reason: 'due', requestedBy: someUuid(3) },
  });
}

function fold(db: SqlDatabase, events: readonly RecordedEvent[]): void {
  db.transaction(() => {
    for (const each of events) {
      if ('apply' in wakeupsProjection) wakeupsProjection.apply(db, each);
    }
  });
}

/** Whom a waker looks at, in order, until it looked at `most`; no look ends before. */
async function looked(db: SqlDatabase, most: number): Promise<readonly string[]> {
  const order: string[] = [];
  let enough: () => void = () => undefined;
  let finish: (wake: Wake) => void = () => undefined;
  const seen = new Promise<void>((resolve) => (enough = resolve));
  const end = new Promise<Wake>((resolve) => (finish = resolve));
  const look = (id: string): Promise<Wake> => {
    order.push(id);
    if (order.length === most) enough();
    return end;
  };
  const waker = new Waker({
    runner: {
      advance: look,
      advanceContainment: look,
      advanceDestruction: look,
      stop: () => {
        finish({ finished: false, waitsFor: 'a window' });
        return Promise.resolve();
      },
    },
    readModel: {
      db,
      annotate: (work) => work(db),
      onApplied: () => () => undefined,
      failed: new Promise(() => undefined),
      trouble: () => undefined,
      treeSize: () => 0,
      waitFor: () => Promise.resolve(),
      caughtUp: () => Promise.resolve(),
      close: () => Promise.resolve(),
    },
    clock: new ManualClock('2026-03-02T09:00:00.000Z'),
    onError: (_id, error) => {
      throw error;
    },
  });
  waker.start();
  await seen;
  await waker.stop();
  return order;
}

describe('whom the waker looks at first', () => {
  let db: SqlDatabase;

  beforeEach(() => {
    db = openDatabase(':memory:');
    for (const statement of wakeupsProjection.schema) db.exec(statement);
  });

  afterEach(() => {
    db.close();
  });

  const ordinary = (): readonly RecordedEvent[] =>
    Array.from({ length: ORDINARY }, (_, number) => opened(number, 'graceful'));

  it('an emergency declared while everything is due', async () => {
    fold(db, [...ordinary(), opened(ORDINARY, 'emergency')]);
    expect((await looked(db, 3))[0]).toBe(rotationOf(ORDINARY));
  });

  it('an emergency and a containment after the clock was confirmed, which makes everything due', async () => {
    const containment = someUuid(300_000);
    fold(db, [
      ...ordinary(),
      event(`containment-${containment}`, 'ContainmentRequested', { family: familyOf(ORDINARY + 1) }),
      opened(ORDINARY, 'emergency'),
      event('holds-1', 'ClockConfirmed', {}),
    ]);
    expect([...(await looked(db, 3))].slice(0, 2).sort()).toEqual([rotationOf(ORDINARY), containment].sort());
  });

  it('what an emergency waits for: the rotation of its family that it supersedes', async () => {
    fold(db, [
      ...ordinary(),
      event(`family-${familyOf(ORDINARY - 1)}`, 'RotationOpened', {
        rotation: rotationOf(ORDINARY),
        request: { strategy: 'emergency', trigger: 'compromise', reason: 'leaked', requestedBy: someUuid(3) },
        supersedes: rotationOf(ORDINARY - 1),
      }),
    ]);
    expect([...(await looked(db, 3))].slice(0, 2).sort()).toEqual(
      [rotationOf(ORDINARY), rotationOf(ORDINARY - 1)].sort(),
    );
  });

  it('an emergency waits for no ordinary look: a hundred back ends that do not answer leave it a place', async () => {
    fold(db, [...ordinary(), opened(ORDINARY, 'emergency')]);
    const order = await looked(db, 101);
    expect(order).toContain(rotationOf(ORDINARY));
    expect(new Set(order).size).toBe(101);
  });

  it('the control: without an emergency the ordinary are looked at, the one that is due longest first', async () => {
    fold(db, ordinary());
    db.prepare('UPDATE wakeups SET wake_at = -1 WHERE id = ?').run(rotationOf(ORDINARY - 1));
    expect((await looked(db, 3))[0]).toBe(rotationOf(ORDINARY - 1));
  });
});
