import { z } from 'zod';
import { UNLIMITED, type Scope } from '#access';
import { DomainError, formatInstant } from '#eventlog';
import type { ReadModel } from '#eventlog/kit';
import type { SqlDatabase, SqlRow, SqlValue } from '#eventlog/sqlite';
import {
  boundAt,
  familyKindSchema,
  milliseconds,
  protectionSchema,
  selectPolicy,
  STRATEGIES,
  type FamilyState,
  type PolicyState,
  type RotationPhase,
  type RotationState,
} from '#rotation';
import {
  comparePlaces,
  LONGEST_NOTICE_MS,
  obligationRows,
  overdueRows,
  placeOf,
  scheduleRows,
  type ObligationRow,
  type PastRotation,
  type ScheduleInput,
  type ScheduleRow,
} from '#schedule';
import { Cursor, cut, type Page, type PageQuery } from '../http/cursor.js';
import { stateIn } from './directory.js';

export type ScheduleItem = ScheduleRow;

export interface SchedulePage {
  readonly items: readonly ScheduleItem[];
  readonly next: string | null;
  /** All pages of one list are as of the instant of its first. */
  readonly asOf: string;
  readonly treeSize: number;
}

const PLACE = z.tuple([z.int(), z.string(), z.string(), z.string()]);
const missedCursor = new Cursor('obligations', z.tuple([z.int(), z.string()]));
const scheduleCursor = new Cursor('schedule', z.tuple([z.int(), PLACE]));
const owedCursor = new Cursor('owed', z.tuple([z.int(), PLACE]));
const overdueCursor = new Cursor('overdue', z.tuple([z.int(), PLACE]));

/** What was owed by a date and not done by it: that it was missed is on record, and how it ended. */
export interface MissedObligation {
  readonly id: string;
  readonly kind: string;
  readonly family: { readonly id: string; readonly qualifiedName: string } | null;
  readonly rotation: string | null;
  readonly policy: { readonly id: string; readonly name: string } | null;
  readonly what: string;
  readonly basis: string;
  readonly due: string;
  /** When it was recorded as missed: never before it was due. */
  readonly recordedAt: string;
  /** `null`: still owed. */
  readonly settled: {
    readonly at: string;
    readonly how: string;
    readonly by: string;
    readonly fact: { readonly id: string; readonly type: string };
  } | null;
}

/** What is due and when, from the read model, within a token's scope. Never decides anything. */
export class Timetable {
  constructor(private readonly readModel: Pick<ReadModel, 'db' | 'treeSize'>) {}

  /** Every family and everything that is owed: looks at each family once a page. */
  schedule(
    query: PageQuery & { readonly familyId?: string | undefined },
    scope: Scope,
    now: number,
  ): SchedulePage {
    const { familyId } = query;
    return this.#page(query, scheduleCursor, now, (asOf) => {
      if (familyId === undefined) return scheduleRows(this.#everything(scope, asOf));
      // What is owed for a policy is no one family's.
      return scheduleRows(this.#everything(scope, asOf, familyId)).filter(({ family }) => family !== null);
    });
  }

  /** Looks at what may be late, and at nothing else: its cost does not grow with what is on time. */
  overdue(query: PageQuery, scope: Scope, now: number): SchedulePage {
    return this.#page(query, overdueCursor, now, (asOf) => overdueRows(this.#suspects(scope, asOf)));
  }

  /** All that is overdue, of everybody, and what nobody can call on time. */
  late(now: number): readonly ScheduleItem[] {
    return overdueRows(this.#suspects(UNLIMITED, now));
  }

  /**
   * What is owed and past its date, of everybody: looks at who may owe something late, and at nobody for how old a version is or for
   * having no policy.
   */
  owedLate(now: number): readonly ObligationRow[] {
    return this.#obligations(UNLIMITED, now, now).filter(({ status }) => status === 'overdue');
  }

  /** What people owe now or soon, the late first: as cheap as what is late, since it looks at the same few and some days ahead. */
  owed(query: PageQuery, scope: Scope, now: number): SchedulePage {
    return this.#page(query, owedCursor, now, (asOf) =>
      this.#obligations(scope, asOf, asOf + LONGEST_NOTICE_MS)
        .filter(({ status }) => status !== 'ok')
        .sort((left, right) => comparePlaces(placeOf(left), placeOf(right))),
    );
  }

  /** All that may fall due until `horizon`, and more; as it stands at `now`. */
  #obligations(scope: Scope, now: number, horizon: number): ObligationRow[] {
    const owing = this.#owing(horizon);
    const families = [
      ...new Set([...this.#owingFamilies(horizon), ...owing.map(({ familyId }) => familyId)]),
    ];
    return [
      ...obligationRows({
        families: families.flatMap((id) => {
          const family = this.#familyOf(id);
          return family !== undefined && reaches(scope, family) ? [family] : [];
        }),
        rotations: owing,
        policies: this.#policies(),
        now,
      }),
    ];
  }

  /** What was missed, late or never settled: from the record of it. */
  missed(
    filter: PageQuery & { readonly state: 'open' | 'settled' | 'all' },
    scope: Scope,
  ): Page<MissedObligation> {
    const after = missedCursor.read(filter.cursor);
    const conditions = [
      // What is owed for a policy is no one family's: everybody sees it.
      `(o.family_id IS NULL OR f.id IS NOT NULL)`,
      ...(scope.environments === 'all'
        ? []
        : ['(o.family_id IS NULL OR f.environment IN (SELECT value FROM json_each(?)))']),
      ...(scope.teams === 'all'
        ? []
        : ['(o.family_id IS NULL OR f.team IN (SELECT value FROM json_each(?)))']),
      ...(filter.state === 'all' ? [] : [`o.settled_at IS ${filter.state === 'open' ? '' : 'NOT '}NULL`]),
      ...(after === undefined ? [] : ['(o.due_at, o.id) < (?, ?)']),
    ];
    const values = [
      ...(scope.environments === 'all' ? [] : [JSON.stringify(scope.environments)]),
      ...(scope.teams === 'all' ? [] : [JSON.stringify(scope.teams)]),
      ...(after ?? []),
    ];
    const { rows, next } = cut(
      this.#db
        .prepare(
          `SELECT o.*, f.environment AS environment, f.name AS family_name, p.name AS policy_name
           FROM obligations o LEFT JOIN families f ON f.id = o.family_id LEFT JOIN policies p ON p.id = o.policy_id
           WHERE ${conditions.join(' AND ')} ORDER BY o.due_at DESC, o.id DESC LIMIT ?`,
        )
        .all(...values, filter.limit + 1),
      filter.limit,
      (row) => missedCursor.write([Number(row['due_at']), String(row['id'])]),
    );
    return { items: rows.map(missedIn), next, treeSize: this.readModel.treeSize() };
  }

  /** One family's own line. */
  rowOf(family: FamilyState, now: number): ScheduleItem {
    const rows = scheduleRows({
      families: [family],
      rotations: this.#rotations('family_id = ?', family.familyId),
      policies: this.#policies(),
      now,
    });
    const row = rows.find((each) => each.kind === 'rotation');
    if (row === undefined) throw new DomainError('family.not-found', 'there is no such secret family');
    return row;
  }

  #page(
    { limit, cursor }: PageQuery,
    kind: typeof scheduleCursor,
    now: number,
    rowsAt: (asOf: number) => readonly ScheduleRow[],
  ): SchedulePage {
    const read = kind.read(cursor);
    const [asOf, after] = read ?? [now, undefined];
    const all = rowsAt(asOf);
    const rest = after === undefined ? all : all.filter((row) => comparePlaces(placeOf(row), after) > 0);
    const { rows, next } = cut(rest, limit, (row) => kind.write([asOf, [...placeOf(row)]]));
    return { items: rows, next, asOf: formatInstant(asOf), treeSize: this.readModel.treeSize() };
  }

  #everything(scope: Scope, now: number, only?: string): ScheduleInput {
    const families = this.#db
      .prepare('SELECT state FROM families WHERE id = ifnull(?, id)')
      .all(only ?? null)
      .map((row) => stateIn<FamilyState>(row))
      .filter((family) => reaches(scope, family));
    const known = new Set(families.map(({ familyId }) => familyId));
    const mine = <Item extends { readonly familyId: string }>(items: readonly Item[]): readonly Item[] =>
      items.filter(({ familyId }) => known.has(familyId));
    return {
      families,
      rotations: mine(this.#rotations('ended = 0 OR owed_at IS NOT NULL')),
      past: mine(
        this.#db
          .prepare(`SELECT ${PAST} FROM rotations WHERE ended = 1 AND owed_at IS NULL`)
          .all()
          .map(pastIn),
      ),
      policies: this.#policies(),
      now,
    };
  }

  /** The families and rotations a late row can come from: one too many costs a look, one too few would hide it. */
  #suspects(scope: Scope, now: number): ScheduleInput {
    const policies = this.#policies();
    const ids = new Set([
      ...this.#pastTheirTerms(policies, now),
      ...this.#owing(now).map(({ familyId }) => familyId),
      ...this.#owingFamilies(now),
      ...this.#ids('SELECT id FROM families WHERE unclear = 1'),
      // What a running rotation made or revoked is not yet in its family's versions.
      ...this.#ids('SELECT family_id AS id FROM rotations WHERE ended = 0 AND revoked = 1'),
      // A rehearsal's version looks young, and settles nothing.
      ...this.#ids("SELECT family_id AS id FROM rotations WHERE strategy = 'rehearsal'"),
    ]);
    const families = [...ids].flatMap((id) => {
      const family = this.#familyOf(id);
      return family !== undefined && reaches(scope, family) ? [family] : [];
    });
    const rotations = families.flatMap(({ familyId }) =>
      this.#rotations('family_id = ? AND (ended = 0 OR owed_at IS NOT NULL)', familyId),
    );
    const past = families.flatMap(({ familyId }) =>
      this.#db
        .prepare(`SELECT ${PAST} FROM rotations WHERE family_id = ? AND ended = 1 AND owed_at IS NULL`)
        .all(familyId)
        .map(pastIn),
    );
    return { families, rotations, past, policies, now };
  }

  /** Rotations that may owe something late. */
  #owing(now: number): readonly RotationState[] {
    return this.#rotations('owed_at <= ?', now);
  }

  /** Families that may owe something late themselves. */
  #owingFamilies(now: number): readonly string[] {
    return [
      // The day of a review counts to its end, in UTC.
      ...this.#ids('SELECT id FROM families WHERE next_review < ?', formatInstant(now).slice(0, 10)),
      ...this.#ids('SELECT id FROM families WHERE left_at <= ?', now),
      ...this.#ids('SELECT id FROM families WHERE registration_due <= ?', now),
      ...this.#ids('SELECT id FROM families WHERE deviation_until <= ?', now),
    ];
  }

  #familyOf(id: string): FamilyState | undefined {
    const row = this.#db.prepare('SELECT state FROM families WHERE id = ?').get(id);
    return row === undefined ? undefined : stateIn<FamilyState>(row);
  }

  /** Families whose oldest open version is older than the policy of their kind allows, or that no policy selects. */
  #pastTheirTerms(policies: readonly PolicyState[], now: number): readonly string[] {
    const bound = policies.flatMap((policy) => boundAt(policy, now) ?? []);
    const made: number[] = [];
    const families = this.#kinds().flatMap((kind) => {
      const terms = selectPolicy(bound, kind)?.terms;
      const same = 'environment = ? AND kind = ? AND protects = ?';
      const values = [kind.environment, kind.kind, kind.protects];
      if (terms === undefined) return this.#ids(`SELECT id FROM families WHERE ${same}`, ...values);
      const emittedBefore = now - milliseconds(terms.stopEmitting);
      const acceptedBefore = now - milliseconds(terms.stopAccepting);
      made.push(emittedBefore, acceptedBefore);
      return [
        ...this.#ids(
          `SELECT id FROM families WHERE ${same} AND emitting_since <= ?`,
          ...values,
          emittedBefore,
        ),
        ...this.#ids(
          `SELECT id FROM families WHERE ${same} AND accepted_since <= ?`,
          ...values,
          acceptedBefore,
        ),
      ];
    });
    const running = this.#ids(
      'SELECT family_id AS id FROM rotations WHERE ended = 0 AND made_at <= ?',
      Math.max(0, ...made),
    );
    return [...families, ...running];
  }

  /** What policies select by, as far as there are families of it: a step of the index each. */
  #kinds(): readonly Parameters<typeof selectPolicy>[1][] {
    const kinds: Parameters<typeof selectPolicy>[1][] = [];
    const next = this.#db.prepare(
      `SELECT environment, kind, protects FROM families WHERE (environment, kind, protects) > (?, ?, ?)
       ORDER BY environment, kind, protects LIMIT 1`,
    );
    let row = next.get('', '', '');
    while (row !== undefined) {
      const family = {
        environment: String(row['environment']),
        kind: familyKindSchema.parse(row['kind']),
        protects: protectionSchema.parse(row['protects']),
      };
      kinds.push(family);
      row = next.get(family.environment, family.kind, family.protects);
    }
    return kinds;
  }

  get #db(): SqlDatabase {
    return this.readModel.db;
  }

  #rotations(where: string, ...values: readonly SqlValue[]): readonly RotationState[] {
    return this.#db
      .prepare(`SELECT state FROM rotations WHERE ${where}`)
      .all(...values)
      .map((row) => stateIn<RotationState>(row));
  }

  #policies(): readonly PolicyState[] {
    return this.#db
      .prepare('SELECT state FROM policies')
      .all()
      .map((row) => stateIn<PolicyState>(row));
  }

  #ids(sql: string, ...values: readonly SqlValue[]): readonly string[] {
    return this.#db
      .prepare(sql)
      .all(...values)
      .map((row) => String(row['id']));
  }
}

function missedIn(row: SqlRow): MissedObligation {
  const text = (column: string): string => String(row[column]);
  const { family_id: family, policy_id: policy, rotation_id: rotation, settled_at: settledAt } = row;
  return {
    id: text('id'),
    kind: text('kind'),
    family:
      family === null
        ? null
        : { id: String(family), qualifiedName: `${text('environment')}/${text('family_name')}` },
    rotation: rotation === null ? null : String(rotation),
    policy: policy === null ? null : { id: String(policy), name: text('policy_name') },
    what: text('what'),
    basis: text('basis'),
    due: formatInstant(Number(row['due_at'])),
    recordedAt: formatInstant(Number(row['missed_at'])),
    settled:
      settledAt === null
        ? null
        : {
            at: formatInstant(Number(settledAt)),
            how: text('how'),
            by: text('settled_by'),
            fact: { id: text('fact_id'), type: text('fact') },
          },
  };
}

const PAST = 'family_id, imported, phase, strategy, made, outgoing';

function pastIn(row: SqlRow): PastRotation {
  const { made, outgoing } = row;
  const generated: RotationState['generated'] = typeof made === 'string' ? JSON.parse(made) : undefined;
  return {
    familyId: String(row['family_id']),
    imported: row['imported'] === 1,
    // The projection writes nothing else into this column.
    phase: String(row['phase']) as RotationPhase,
    ...(generated === undefined ? {} : { generated }),
    plan: {
      outgoing: Array.from({ length: Number(outgoing) }, () => ''),
      strategy: z.enum(STRATEGIES).parse(row['strategy']),
    },
  };
}

function reaches({ environments, teams }: Scope, { details }: FamilyState): boolean {
  return (
    details !== undefined &&
    (environments === 'all' || environments.includes(details.environment)) &&
    (teams === 'all' || teams.includes(details.team))
  );
}
