import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import { z } from 'zod';
import { UNLIMITED } from '#access';
import { packageVersion } from '#platform';
import type { RotationPhase } from '#rotation';
import type { Keyturn } from './composition.js';
import { Timetable, type ScheduleItem } from './rotation/schedule-rows.js';

/** What is counted row by row is kept for this many times as long as it took: a fiftieth of the process's time. */
const FOLD_SHARE = 50;
/** And never made anew more often than this. */
const FOLD_MS = 60_000;

const OUTCOMES: Readonly<Record<string, string>> = {
  RotationCompleted: 'completed',
  RotationRolledBack: 'rolled-back',
  RotationAbandoned: 'abandoned',
  RotationRejected: 'rejected',
  RotationSuperseded: 'superseded',
};

/** Of an emergency, which it does not end. */
const refusedInRetrospect = z.object({ inRetrospect: z.literal(true) });

const lastBackup = z.object({ takenAt: z.string() });

/** What is looked at row by row, and so not at every scrape. */
interface Folded {
  readonly rows: readonly ScheduleItem[];
  readonly suspended: number;
  readonly paused: number;
  readonly at: number;
  /** Monotonic. */
  readonly until: number;
}

/** Of the process: one for all, since its observers end with the process only. */
let ofProcess: Registry | undefined;

function processMetrics(): Registry {
  if (ofProcess === undefined) {
    ofProcess = new Registry();
    collectDefaultMetrics({ register: ofProcess });
  }
  return ofProcess;
}

/**
 * What operators watch, in Prometheus' text format. Counts and times only: no name of a family, person, consumer or
 * object is a label, so that whoever may scrape learns none; a back end's is, as operators named it. Asks the read model by index, and never the back end.
 */
export class Metrics {
  readonly #registry = new Registry();
  readonly #timetable: Timetable;
  readonly #ended: Counter<'outcome'>;
  readonly #suspensions: Counter;
  /** Events up to here are counted, or came before this process began to count. */
  #countedTo: number;
  #folded: Folded | undefined;

  constructor(private readonly keyturn: Keyturn) {
    this.#timetable = new Timetable(keyturn.readModel);
    this.#countedTo = keyturn.readModel.treeSize();
    const registers = [this.#registry];
    this.#ended = new Counter({
      name: 'keyturn_rotations_ended_total',
      help: 'Rotations that ended since this process started, by outcome.',
      labelNames: ['outcome'],
      registers,
    });
    for (const outcome of Object.values(OUTCOMES)) this.#ended.inc({ outcome }, 0);
    this.#suspensions = new Counter({
      name: 'keyturn_rotations_suspended_total',
      help: 'Times a rotation was suspended since this process started.',
      registers,
    });
    this.#gauges(registers);
    keyturn.readModel.onApplied((events) => {
      for (const { type, treeSize, provenance, data } of events) {
        if (treeSize <= this.#countedTo) continue;
        this.#countedTo = treeSize;
        const outcome = refusedInRetrospect.safeParse(data).success ? undefined : OUTCOMES[type];
        if (outcome !== undefined && provenance !== 'imported') this.#ended.inc({ outcome });
        if (type === 'RotationSuspended') this.#suspensions.inc();
      }
    });
  }

  /** The answer to a scrape, and what it is. */
  async scrape(): Promise<{ readonly contentType: string; readonly text: string }> {
    const all = Registry.merge([this.#registry, processMetrics()]);
    return { contentType: all.contentType, text: await all.metrics() };
  }

  #gauges(registers: Registry[]): void {
    const { keyturn } = this;
    const { readModel, log, clock, places } = keyturn;
    const now = (): number => clock.now();
    const number = (sql: string, ...values: number[]): number | undefined => {
      const value = Object.values(readModel.db.prepare(sql).get(...values) ?? {})[0];
      return typeof value === 'number' ? value : undefined;
    };
    const gauge = (name: string, help: string, value: () => number | undefined | Promise<number>): void => {
      const made: Gauge = new Gauge({
        name,
        help,
        registers,
        collect: async () => {
          const is = await value();
          // Absent, not zero, where it is not known.
          if (is === undefined) made.remove();
          else made.set(is);
        },
      });
    };

    const info = new Gauge({
      name: 'keyturn_build_info',
      help: 'Always 1; the version is its label.',
      labelNames: ['version'],
      registers,
    });
    info.set({ version: packageVersion() }, 1);

    const open = new Gauge({
      name: 'keyturn_rotations_open',
      help: 'Rotations under way, by phase and strategy.',
      labelNames: ['phase', 'strategy'],
      registers,
      collect: () => {
        open.reset();
        for (const phase of PHASES) open.set({ phase, strategy: 'graceful' }, 0);
        const rows = readModel.db
          .prepare(
            'SELECT phase, strategy, count(*) AS many FROM rotations WHERE ended = 0 AND imported = 0 GROUP BY phase, strategy',
          )
          .all();
        for (const row of rows) {
          open.set({ phase: String(row['phase']), strategy: String(row['strategy']) }, Number(row['many']));
        }
      },
    });

    gauge(
      'keyturn_rotation_oldest_open_seconds',
      'How long ago the oldest rotation under way was requested.',
      () => {
        const at = number('SELECT min(requested_at) FROM rotations WHERE ended = 0 AND imported = 0');
        return at === undefined ? 0 : seconds(now() - at);
      },
    );
    gauge('keyturn_wakeups_due', 'Rotations and containments whose time to be looked at has come.', () =>
      number('SELECT count(*) FROM wakeups WHERE urgent IN (0, 1) AND wake_at <= ?', now()),
    );
    gauge(
      'keyturn_wakeups_oldest_due_seconds',
      'How late the latest of them is; grows where the saga stands still.',
      () => {
        const at = number(
          `SELECT min(at) FROM (SELECT min(wake_at) AS at FROM wakeups WHERE urgent = 0 AND wake_at > 0
           UNION ALL SELECT min(wake_at) AS at FROM wakeups WHERE urgent = 1 AND wake_at > 0)`,
        );
        return at === undefined ? 0 : seconds(Math.max(0, now() - at));
      },
    );
    const holds = new Gauge({
      name: 'keyturn_hold_open',
      help: '1 while forward steps of every rotation are held: by the clock, a finding of the log (integrity), a restore.',
      labelNames: ['kind'],
      registers,
      collect: async () => {
        const { state } = await keyturn.ledger.holds();
        for (const kind of HOLDS) holds.set({ kind }, state[kind] === undefined ? 0 : 1);
      },
    });
    const answers = new Gauge({
      name: 'keyturn_back_end_answers',
      help: '1 where a back end that lies elsewhere answers and is not sealed, by the name it was given; steps on others wait.',
      labelNames: ['instance'],
      registers,
      collect: () => {
        answers.reset();
        for (const { instance, state } of keyturn.vault.health())
          answers.set({ instance }, state === 'answers' ? 1 : 0);
      },
    });
    const sealed = new Gauge({
      name: 'keyturn_back_end_sealed',
      help: '1 where it says that it is sealed.',
      labelNames: ['instance'],
      registers,
      collect: () => {
        sealed.reset();
        for (const { instance, state } of keyturn.vault.health())
          sealed.set({ instance }, state === 'sealed' ? 1 : 0);
      },
    });
    const answered = new Gauge({
      name: 'keyturn_back_end_last_answer_seconds',
      help: 'How long ago it last answered anything; absent where it has not since this start.',
      labelNames: ['instance'],
      registers,
      collect: () => {
        answered.reset();
        for (const { instance, answeredAt } of keyturn.vault.health())
          if (answeredAt !== undefined) answered.set({ instance }, seconds(now() - answeredAt));
      },
    });
    gauge('keyturn_families', 'Secret families known.', () => number('SELECT count(*) FROM families'));

    const schedule = new Gauge({
      name: 'keyturn_schedule_rotations',
      help: 'Families that nobody can call on time: overdue, not-observed (no version is known), no-policy.',
      labelNames: ['status'],
      registers,
      collect: () => {
        schedule.reset();
        for (const status of STATUSES) schedule.set({ status }, this.#count('rotation', status));
      },
    });
    gauge('keyturn_obligations_overdue', 'Approvals in retrospect and reviews that are owed and late.', () =>
      this.#count('obligation', 'overdue'),
    );
    gauge(
      'keyturn_rotations_suspended',
      'Rotations under way that are suspended: each waits for a person.',
      () => this.#rows().suspended,
    );
    gauge(
      'keyturn_rotations_paused',
      'Rotations under way that a person has paused.',
      () => this.#rows().paused,
    );
    gauge(
      'keyturn_counts_age_seconds',
      'How old the counts of schedule, obligations, suspended and paused are: made at most once a minute.',
      () => seconds(now() - this.#rows().at),
    );

    gauge('keyturn_log_events', 'Events in the log.', () => log.treeSize());
    gauge('keyturn_log_bytes', 'Size of the log on disk, with its write-ahead log.', () =>
      sizeOf(join(places.log, 'log.sqlite')),
    );
    gauge('keyturn_custody_bytes', 'Size of the store of the local back end on disk.', () =>
      sizeOf(join(places.custody, 'custody.sqlite')),
    );
    gauge(
      'keyturn_read_model_lag_events',
      'Events in the log that the read model does not show yet.',
      async () => Math.max(0, (await log.treeSize()) - readModel.treeSize()),
    );
    gauge('keyturn_ready', '1 where requests may be sent here.', () =>
      keyturn.unready() === undefined ? 1 : 0,
    );
    gauge(
      'keyturn_last_backup_timestamp_seconds',
      'When the last backup was taken; absent where none is known.',
      () => lastBackupAt(places.log),
    );
  }

  #count(kind: 'rotation' | 'obligation', status: ScheduleItem['status']): number {
    return this.#rows().rows.filter(
      (row) => (row.kind === 'rotation') === (kind === 'rotation') && row.status === status,
    ).length;
  }

  #rows(): Folded {
    const { clock, readModel } = this.keyturn;
    const begun = clock.monotonic();
    if (this.#folded !== undefined && begun < this.#folded.until) return this.#folded;
    const at = clock.now();
    const { items: rows } = this.#timetable.overdue({ limit: EVERYTHING }, UNLIMITED, at);
    const still = readModel.db
      .prepare(
        `SELECT count(*) FILTER (WHERE json_type(state, '$.suspended') IS NOT NULL) AS suspended,
           count(*) FILTER (WHERE json_extract(state, '$.paused')) AS paused
         FROM rotations WHERE ended = 0 AND imported = 0`,
      )
      .get();
    const took = clock.monotonic() - begun;
    this.#folded = {
      rows,
      suspended: Number(still?.['suspended']),
      paused: Number(still?.['paused']),
      at,
      until: begun + Math.max(FOLD_MS, took * FOLD_SHARE),
    };
    return this.#folded;
  }
}

const PHASES: readonly RotationPhase[] = [
  'requested',
  'approved',
  'generated',
  'accepting',
  'emitting',
  'draining',
  'revoked',
  'watching',
];
const HOLDS = ['clock', 'integrity', 'restore'] as const;
const STATUSES = ['overdue', 'not-observed', 'no-policy'] as const;
const EVERYTHING = Number.MAX_SAFE_INTEGER;

function seconds(milliseconds: number): number {
  return Math.round(milliseconds) / 1_000;
}

function sizeOf(path: string): number | undefined {
  const sizes = [path, `${path}-wal`].map((each) => statSync(each, { throwIfNoEntry: false })?.size);
  return sizes[0] === undefined ? undefined : sizes.reduce((sum: number, size) => sum + (size ?? 0), 0);
}

function lastBackupAt(directory: string): number | undefined {
  try {
    const { takenAt } = lastBackup.parse(
      JSON.parse(readFileSync(join(directory, 'last-backup.json'), 'utf8')),
    );
    const at = Date.parse(takenAt);
    return Number.isNaN(at) ? undefined : at / 1_000;
  } catch {
    return undefined;
  }
}
