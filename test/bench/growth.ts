import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sealEvent, openEventStore, openReadModel, rebuildReadModel, type EventStore } from '#eventlog/kit';
import { LOG_FILE, openDatabase, openSqliteEventLog } from '#eventlog/sqlite';
import { systemClock, systemIds } from '#platform';
import { Waker, wakeupsProjection, type RotationRunner } from '#rotation';
import { DEFINITIONS, PROJECTIONS } from '#service';
import { grow, makeTemplate, someRotations, Stamp } from './history.js';
import { median, paired, percentile, type Row } from './rounds.js';
import type { Scale } from './scale.js';
import { latenciesOf, serveKeyturn, signIn } from './served.js';

/** A log with its read model, and what is known of it. */
interface Ground {
  readonly directory: string;
  readonly treeSize: number;
  readonly token: string;
  /** The rotations whose timelines are asked for. */
  readonly rotations: readonly string[];
}

/** Beside a log that is kept: its {@link Ground}. */
const GROUND_FILE = 'ground.json';

type Tell = (text: string) => void;

async function openedStore(directory: string): Promise<EventStore> {
  const log = await openSqliteEventLog({ directory });
  return openEventStore({ log, definitions: DEFINITIONS, clock: systemClock, ids: systemIds });
}

/** Grows a log, folds its read models, and signs somebody in; a log that an earlier run kept is taken as it is. */
async function prepare(directory: string, stamp: Stamp, size: number, tell: Tell): Promise<Ground> {
  const file = join(directory, GROUND_FILE);
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8'));
  const store = await openedStore(directory);
  let told = 0;
  const grown = await grow(store.log, stamp, size, (done) => {
    if (done - told >= 1_000_000) tell(`${done} of ${size} events`);
    if (done - told >= 1_000_000) told = done;
  });
  tell(`${grown.treeSize} events of ${grown.families} families; folding the read models`);
  await rebuildReadModel({ store, path: join(directory, 'read-model.1.sqlite'), projections: PROJECTIONS });
  await store.log.close();
  const served = await serveKeyturn(directory);
  const token = await signIn(served);
  await served.stop();
  const rotations = someRotations(stamp, grown, 200);
  const ground: Ground = { directory, treeSize: grown.treeSize, token, rotations };
  writeFileSync(file, JSON.stringify(ground));
  return ground;
}

/** Milliseconds a look takes at each size. */
interface Looks {
  readonly start: number;
  readonly timeline: readonly number[];
  readonly overdue: number;
}

async function look({ directory, token, rotations }: Ground, rounds: number): Promise<Looks> {
  const starts: number[] = [];
  const overdue: number[] = [];
  const timeline: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const served = await serveKeyturn(directory);
    starts.push(served.startMs);
    const paths = rotations.map((id) => `/api/v1/rotations/${id}/timeline`);
    // The first requests of a process warm it.
    await latenciesOf(served.port, token, paths.slice(0, 50));
    timeline.push(...(await latenciesOf(served.port, token, paths)));
    const late = Array.from({ length: 50 }, () => '/api/v1/schedule/overdue?limit=500');
    overdue.push(...(await latenciesOf(served.port, token, late)).slice(10));
    await served.stop();
  }
  return { start: median(starts), timeline, overdue: median(overdue) };
}

export async function measureGrowth(
  scale: Scale,
  directory: (name: string) => string,
  tell: Tell,
): Promise<Row[]> {
  const stamp = new Stamp(await makeTemplate());
  const grounds: Ground[] = [];
  for (const size of scale.sizes) {
    tell(`growing a log of ${size} events`);
    grounds.push(await prepare(directory(`log-${size}`), stamp, size, tell));
  }
  const looks: Looks[] = [];
  for (const ground of grounds) looks.push(await look(ground, scale.rounds));
  const rows = grew(scale, looks);
  const largest = grounds.at(-1);
  if (largest !== undefined) rows.push(await measureRebuild(scale, largest, tell));
  return rows;
}

function grew(scale: Scale, looks: readonly Looks[]): Row[] {
  const [small, large] = [looks[0], looks.at(-1)];
  const [from, to] = [scale.sizes[0] ?? 0, scale.sizes.at(-1) ?? 0];
  if (small === undefined || large === undefined || small === large) return [];
  const all = (pick: (each: Looks) => number): string =>
    looks.map((each, index) => `${short(scale.sizes[index] ?? 0)}: ${pick(each).toFixed(1)} ms`).join(', ');
  const row = (name: string, pick: (each: Looks) => number): Row => ({
    name: `${name}, ${short(to)} events; the same with ${short(from)}`,
    ours: pick(large),
    baseline: pick(small),
    ratio: pick(large) / pick(small),
    unit: 'ms',
    better: 'less',
    // A logarithm of a hundredfold of 10 k grows by half; what is flat does not grow.
    goal: 1.5,
    note: all(pick),
  });
  return [
    row('start to ready', ({ start }) => start),
    row('timeline of a rotation', ({ timeline }) => median(timeline)),
    row('overdue, 20 of them', ({ overdue }) => overdue),
  ];
}

export function short(size: number): string {
  if (size >= 1_000_000) return `${size / 1_000_000} M`;
  return size >= 1_000 ? `${size / 1_000} k` : String(size);
}

/** Every read model from the log, against reading the same rows and parsing both JSON texts of each. */
async function measureRebuild(scale: Scale, { directory, treeSize }: Ground, tell: Tell): Promise<Row> {
  tell('rebuilding');
  const store = await openedStore(directory);
  const total = await store.log.treeSize();
  const reader = openDatabase(join(directory, LOG_FILE), { readOnly: true });
  const select = reader.prepare('SELECT record, body FROM events ORDER BY tree_size');
  const rounds = Math.min(3, scale.rounds);
  let turn = 0;
  const result = await paired(
    rounds,
    async () => {
      turn += 1;
      const path = join(directory, `bench-rebuilt-${turn}.sqlite`);
      const start = performance.now();
      await rebuildReadModel({ store, path, projections: PROJECTIONS });
      return total / ((performance.now() - start) / 1_000);
    },
    () => {
      const start = performance.now();
      let seen = 0;
      for (const row of select.iterate()) {
        const record: unknown = JSON.parse(String(row['record']));
        const body: unknown = JSON.parse(String(row['body']));
        if (record !== null && body !== null) seen += 1;
      }
      if (seen !== total) throw new Error(`${seen} of ${total} events were read`);
      return Promise.resolve(total / ((performance.now() - start) / 1_000));
    },
  );
  await store.log.close();
  return {
    name: `rebuild of every read model from ${short(scale.sizes.at(-1) ?? treeSize)} events; scan + JSON.parse`,
    ...result,
    unit: 'events/s',
    better: 'more',
    goal: 0.5,
  };
}

/** How many rotations are due at once in a sweep. */
const DUE = 100;

/**
 * What the waker itself costs for a hundred due rotations, among few and among many that wait. What a look then costs is
 * the rotation's own and left out: the runner here answers at once that there is a day to wait.
 */
export async function measureSweep(scale: Scale, directory: (name: string) => string): Promise<Row[]> {
  const times: number[] = [];
  const looked: number[] = [];
  for (const open of scale.open) {
    const place = directory(`sweep-${open}`);
    const store = await openedStore(place);
    await openSlots(store, open);
    const readModel = await openReadModel({
      store,
      path: join(place, 'read-model.sqlite'),
      projections: [wakeupsProjection],
    });
    await readModel.caughtUp();
    const rounds: number[] = [];
    let looks = 0;
    for (let round = 0; round < Math.max(3, scale.rounds); round += 1) {
      const now = Date.now();
      const later = now + 86_400_000;
      readModel.annotate((db) => {
        db.prepare('UPDATE wakeups SET wake_at = ?').run(later);
        db.prepare(
          'UPDATE wakeups SET wake_at = ? WHERE id IN (SELECT id FROM wakeups ORDER BY id LIMIT ?)',
        ).run(now, Math.min(DUE, open));
      });
      rounds.push(
        await new Promise<number>((resolve, reject) => {
          let left = Math.min(DUE, open);
          const advance: RotationRunner['advance'] = () => {
            looks += 1;
            left -= 1;
            return Promise.resolve({ finished: false, until: later, waitsFor: 'a window' });
          };
          const runner: Pick<
            RotationRunner,
            'advance' | 'advanceContainment' | 'advanceDestruction' | 'stop'
          > = {
            advance,
            advanceContainment: advance,
            advanceDestruction: advance,
            stop: () => Promise.resolve(),
          };
          const waker = new Waker({
            runner,
            readModel,
            clock: systemClock,
            onError: (_id, error) => reject(error),
          });
          const due = readModel.db.prepare(
            'SELECT count(*) AS n FROM wakeups WHERE wake_at <= ? OR wake_at IS NULL',
          );
          const start = performance.now();
          waker.start();
          const look = (): void => {
            if (left > 0 || Number(due.get(now)?.['n']) > 0) {
              setImmediate(look);
              return;
            }
            const took = performance.now() - start;
            void waker.stop().then(() => {
              resolve(took);
            });
          };
          setImmediate(look);
        }),
      );
    }
    times.push(median(rounds));
    looked.push(looks / rounds.length);
    await readModel.close();
    await store.log.close();
  }
  const [from, to] = [scale.open[0] ?? 0, scale.open.at(-1) ?? 0];
  const [small, large] = [times[0] ?? Number.NaN, times.at(-1) ?? Number.NaN];
  return [
    {
      name: `a sweep with ${short(to)} open rotations, ${Math.min(DUE, from)} due; the same with ${short(from)}`,
      ours: large,
      baseline: small,
      ratio: large / small,
      unit: 'ms',
      better: 'less',
      goal: 1.5,
      note: `looked at ${looked.map((each) => String(each)).join(', ')} rotations`,
    },
  ];
}

/** Rotations that hold the slot of a family each: one event is what the waker knows them by. */
async function openSlots(store: EventStore, count: number): Promise<void> {
  const request = { strategy: 'graceful', trigger: 'manual', reason: 'a sweep', requestedBy: randomUUID() };
  const ABREAST = 512;
  for (let from = 0; from < count; from += ABREAST) {
    await Promise.all(
      Array.from({ length: Math.min(ABREAST, count - from) }, () => {
        const stream = `family-${randomUUID()}`;
        const id = randomUUID();
        const event = sealEvent({
          stream,
          revision: 0,
          id,
          type: 'RotationOpened',
          schemaVersion: 1,
          recordedAt: Date.now(),
          actor: request.requestedBy,
          correlationId: id,
          causationId: id,
          provenance: 'performed',
          data: { rotation: randomUUID(), request },
          origin: { via: 'saga' },
          salt: systemIds.salt(),
        });
        return store.log.append(stream, -1, [event]);
      }),
    );
  }
}

/** The largest log: start and timeline as numbers of their own. */
export async function measureTenMillion(scale: Scale, directory: string, tell: Tell): Promise<Row[]> {
  const size = scale.sizes[0] ?? 0;
  const ground = await prepare(directory, new Stamp(await makeTemplate()), size, tell);
  const { start, timeline, overdue } = await look(ground, scale.rounds);
  const row = (name: string, ours: number, goal: number): Row => ({
    name: `${name}, ${short(size)} events`,
    ours,
    baseline: null,
    ratio: null,
    unit: 'ms',
    better: 'less',
    goal,
  });
  return [
    row('start to ready', start, 2_000),
    row('timeline of a rotation, 99th percentile', percentile(timeline, 0.99), 20),
    { ...row('overdue, 20 of them', overdue, 20), goal: null },
  ];
}
