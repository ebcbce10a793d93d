import { z } from 'zod';
import { DomainError } from '#eventlog';
import type { ReadModel } from '#eventlog/kit';
import type { SqlRow, SqlValue } from '#eventlog/sqlite';
import {
  readsValuesText,
  type BackEnds,
  containmentView,
  destructionView,
  familyView,
  policyView,
  rotationView,
  type ContainmentState,
  type ContainmentView,
  type DestructionState,
  type DestructionView,
  type FamilyMoment,
  type FamilyState,
  type FamilyView,
  type PolicyState,
  type PolicyView,
  type RotationState,
  type RotationViewJson,
} from '#rotation';
import type { Scope } from '#access';
import { Cursor, cut, type Page, type PageQuery } from '../http/cursor.js';

export interface FamilyRow {
  readonly state: FamilyState;
  readonly revision: number;
}

export interface RotationRow {
  readonly state: RotationState;
  readonly revision: number;
}

/** One consumer as the list of all of them shows it. */
export type ConsumerEntry = FamilyState['consumers'][number] & {
  readonly environment: string;
  readonly family: { readonly id: string; readonly name: string };
};

export function stateIn<State>(row: SqlRow): State {
  const parsed: State = JSON.parse(String(row['state']));
  return parsed;
}

const familiesCursor = new Cursor('families', z.tuple([z.string(), z.string(), z.string()]));
const rotationsCursor = new Cursor('rotations', z.tuple([z.literal([0, 1]), z.int(), z.string()]));
const containmentsCursor = new Cursor('containments', z.tuple([z.string()]));
const destructionsCursor = new Cursor('destructions', z.tuple([z.string()]));
const policiesCursor = new Cursor('policies', z.tuple([z.string(), z.string()]));
const CONSUMER_KEY = z.tuple([z.string(), z.string(), z.string(), z.string()]);
const consumersCursor = new Cursor('consumers', CONSUMER_KEY);

export type ProcessFilter = PageQuery & {
  readonly family?: string | undefined;
  readonly state: 'open' | 'ended' | 'all';
};

/** What lists and pages read: the folds in the read model, within a token's scope. Never decides anything. */
export class Directory {
  constructor(
    private readonly readModel: ReadModel,
    private readonly backEnds: BackEnds,
  ) {}

  treeSize(): number {
    return this.readModel.treeSize();
  }

  /** By id, or by `environment/name`. */
  family(reference: string): FamilyRow {
    const slash = reference.indexOf('/');
    const row =
      slash < 0
        ? this.readModel.db.prepare('SELECT revision, state FROM families WHERE id = ?').get(reference)
        : this.readModel.db
            .prepare('SELECT revision, state FROM families WHERE environment = ? AND name = ?')
            .get(reference.slice(0, slash), reference.slice(slash + 1));
    if (row === undefined) {
      throw new DomainError('family.not-found', 'there is no such secret family', {
        field: 'family',
      });
    }
    return { state: stateIn<FamilyState>(row), revision: Number(row['revision']) };
  }

  familyView(reference: string): FamilyView {
    const { state, revision } = this.family(reference);
    const view = familyView(state, revision, this.#momentOf(state));
    if (view === undefined) throw new DomainError('family.not-found', 'there is no such secret family');
    return view;
  }

  families(
    filter: PageQuery & {
      readonly environment?: string | undefined;
      readonly team?: string | undefined;
      readonly name?: string | undefined;
      readonly drift?: 'open' | undefined;
    },
    scope: Scope,
  ): Page<FamilyView> {
    const after = familiesCursor.read(filter.cursor);
    const where = new Where()
      .and(within('environment', scope.environments))
      .and(within('team', scope.teams))
      .and(equal('environment', filter.environment))
      .and(equal('team', filter.team))
      .and(equal('name', filter.name))
      .and(filter.drift === undefined ? undefined : ['drifted_at IS NOT NULL']);
    if (after !== undefined) where.and(['(environment, name, id) > (?, ?, ?)', ...after]);
    const { rows, next } = cut(
      this.readModel.db
        .prepare(
          `SELECT id, environment, name, revision, state FROM families ${where.sql} ORDER BY environment, name, id LIMIT ?`,
        )
        .all(...where.values, filter.limit + 1),
      filter.limit,
      (row) => familiesCursor.write([String(row['environment']), String(row['name']), String(row['id'])]),
    );
    const items = rows.flatMap((row) => {
      const state = stateIn<FamilyState>(row);
      return familyView(state, Number(row['revision']), this.#momentOf(state)) ?? [];
    });
    return { items, next, treeSize: this.treeSize() };
  }

  /** Every consumer of every family, by the family's name, then its own: which is unique in an environment. */
  consumers(filter: PageQuery, scope: Scope): Page<ConsumerEntry> {
    const after = consumersCursor.read(filter.cursor);
    const found: { readonly entry: ConsumerEntry; readonly key: z.output<typeof CONSUMER_KEY> }[] = [];
    // The family the last page ended in may have more.
    let from: Condition | undefined =
      after === undefined ? undefined : ['(environment, name, id) >= (?, ?, ?)', ...after.slice(0, 3)];
    while (found.length <= filter.limit) {
      const where = new Where()
        .and(within('environment', scope.environments))
        .and(within('team', scope.teams))
        .and(from);
      const families = this.readModel.db
        .prepare(
          `SELECT id, environment, name, state FROM families ${where.sql} ORDER BY environment, name, id LIMIT ?`,
        )
        .all(...where.values, filter.limit);
      for (const row of families) {
        const [id, environment, name] = [String(row['id']), String(row['environment']), String(row['name'])];
        const consumers = [...stateIn<FamilyState>(row).consumers].sort((left, right) =>
          left.name < right.name ? -1 : 1,
        );
        for (const consumer of consumers) {
          if (after?.[2] === id && consumer.name <= after[3]) continue;
          found.push({
            entry: { ...consumer, environment, family: { id, name } },
            key: [environment, name, id, consumer.name],
          });
        }
        from = ['(environment, name, id) > (?, ?, ?)', environment, name, id];
      }
      if (families.length < filter.limit) break;
    }
    const { rows, next } = cut(found, filter.limit, ({ key }) => consumersCursor.write(key));
    return { items: rows.map(({ entry }) => entry), next, treeSize: this.treeSize() };
  }

  rotation(id: string): RotationRow {
    const row = this.readModel.db.prepare('SELECT revision, state FROM rotations WHERE id = ?').get(id);
    if (row === undefined) throw new DomainError('rotation.not-found', `there is no rotation ${id}`);
    return { state: stateIn<RotationState>(row), revision: Number(row['revision']) };
  }

  rotationView(id: string): RotationViewJson {
    const { state, revision } = this.rotation(id);
    return this.#viewOf(state, revision);
  }

  #viewOf(state: RotationState, revision: number): RotationViewJson {
    const { details } = this.family(state.familyId).state;
    const wakeup = this.readModel.db
      .prepare('SELECT waits_for, wake_at FROM wakeups WHERE id = ?')
      .get(state.rotationId);
    return rotationView(state, {
      qualifiedName: `${details?.environment ?? ''}/${details?.name ?? ''}`,
      illustrative: details?.illustrative === true,
      revision,
      ...(state.plan === undefined ? {} : { besides: readsValuesText(this.backEnds, state.plan) }),
      ...(typeof wakeup?.['waits_for'] === 'string' ? { waitsFor: wakeup['waits_for'] } : {}),
      ...(typeof wakeup?.['wake_at'] === 'number' ? { wakeAt: wakeup['wake_at'] } : {}),
    });
  }

  /** Those that are open first, then the newest: one that ends while its pages are read is seen again, never missed. */
  rotations(
    filter: PageQuery & { readonly family?: string | undefined; readonly state: 'open' | 'ended' | 'all' },
    scope: Scope,
  ): Page<RotationViewJson> {
    const family = filter.family === undefined ? undefined : this.family(filter.family).state.familyId;
    const after = rotationsCursor.read(filter.cursor);
    const where = new Where()
      .and(equal('r.family_id', family))
      .and(within('f.environment', scope.environments))
      .and(within('f.team', scope.teams));
    const rows: SqlRow[] = [];
    for (const ended of filter.state === 'all' ? [0, 1] : [filter.state === 'open' ? 0 : 1]) {
      if (after !== undefined && ended < after[0]) continue;
      const part = new Where(where).and(['r.ended = ?', ended]);
      if (after !== undefined && ended === after[0]) {
        part.and(['(r.requested_at, r.id) < (?, ?)', after[1], after[2]]);
      }
      rows.push(
        ...this.readModel.db
          .prepare(
            `SELECT r.id AS id, r.ended AS ended, r.requested_at AS requested_at, r.state AS state,
               r.revision AS revision
             FROM rotations r CROSS JOIN families f ON f.id = r.family_id ${part.sql}
             ORDER BY r.requested_at DESC, r.id DESC LIMIT ?`,
          )
          .all(...part.values, filter.limit + 1 - rows.length),
      );
      if (rows.length > filter.limit) break;
    }
    const page = cut(rows, filter.limit, (row) =>
      rotationsCursor.write([row['ended'] === 0 ? 0 : 1, Number(row['requested_at']), String(row['id'])]),
    );
    const items = page.rows.map((row) => this.#viewOf(stateIn<RotationState>(row), Number(row['revision'])));
    return { items, next: page.next, treeSize: this.treeSize() };
  }

  /** By id, or by enough of its beginning to be the only one. */
  rotationMeant(reference: string): RotationState {
    if (reference.length === 36) return this.rotation(reference).state;
    const [only, ...others] = this.rotationsStarting(reference);
    if (only === undefined) throw new DomainError('rotation.not-found', `there is no rotation ${reference}…`);
    if (others.length > 0) {
      throw new DomainError(
        'rotation.ambiguous',
        `more than one rotation begins with ${reference}: type more of it`,
      );
    }
    return this.rotation(only).state;
  }

  /** The rotation a containment stream belongs to, and its family; what the read model does not know yet is `undefined`. */
  containmentState(id: string): ContainmentState | undefined {
    const row = this.readModel.db.prepare('SELECT state FROM containments WHERE id = ?').get(id);
    return row === undefined ? undefined : stateIn<ContainmentState>(row);
  }

  /** How far into the log the row of a stream reaches; 0 where it has none. */
  reachOf(table: 'rotations' | 'containments', id: string): number {
    const row = this.readModel.db.prepare(`SELECT tree_size FROM ${table} WHERE id = ?`).get(id);
    return Number(row?.['tree_size'] ?? 0);
  }

  /** Ids that begin with these characters; people type the first eight. */
  rotationsStarting(prefix: string): readonly string[] {
    if (!/^[0-9a-f-]{4,36}$/.test(prefix)) return [];
    return this.readModel.db
      .prepare('SELECT id FROM rotations WHERE id >= ? AND id < ? LIMIT 3')
      .all(prefix, `${prefix}g`)
      .map((row) => String(row['id']));
  }

  containment(id: string): ContainmentView {
    const row = this.readModel.db.prepare('SELECT revision, state FROM containments WHERE id = ?').get(id);
    if (row === undefined) throw new DomainError('containment.not-found', `there is no containment ${id}`);
    return containmentView(stateIn<ContainmentState>(row), Number(row['revision']), this.#waitsFor(id));
  }

  destruction(id: string): DestructionView {
    const row = this.readModel.db.prepare('SELECT revision, state FROM destructions WHERE id = ?').get(id);
    if (row === undefined) throw new DomainError('destruction.not-found', `there is no destruction ${id}`);
    return destructionView(stateIn<DestructionState>(row), Number(row['revision']), this.#waitsFor(id));
  }

  /** A destruction that is not over and has one of these versions. */
  openDestructionOf(
    familyId: string,
    versions: readonly string[],
  ): { readonly id: string; readonly status: string; readonly version: string } | undefined {
    const open = this.readModel.db
      .prepare(
        "SELECT state FROM destructions WHERE family_id = ? AND status NOT IN ('rejected', 'destroyed') ORDER BY id",
      )
      .all(familyId)
      .map((row) => stateIn<DestructionState>(row));
    for (const { destructionId, status, versions: theirs } of open) {
      const version = versions.find((each) => theirs.includes(each));
      if (version !== undefined) return { id: destructionId, status, version };
    }
    return undefined;
  }

  /** By id: nothing that happens to one of them moves it to another page. An applied containment is open until it is lifted. */
  containments(filter: ProcessFilter, scope: Scope): Page<ContainmentView> {
    return this.#processes('containments', ['lifted'], containmentsCursor, filter, scope, (id) =>
      this.containment(id),
    );
  }

  destructions(filter: ProcessFilter, scope: Scope): Page<DestructionView> {
    return this.#processes(
      'destructions',
      ['rejected', 'destroyed'],
      destructionsCursor,
      filter,
      scope,
      (id) => this.destruction(id),
    );
  }

  #processes<View>(
    table: 'containments' | 'destructions',
    ended: readonly string[],
    cursor: Cursor<z.ZodTuple<[z.ZodString]>>,
    filter: ProcessFilter,
    scope: Scope,
    viewOf: (id: string) => View,
  ): Page<View> {
    const [after] = cursor.read(filter.cursor) ?? [];
    const family = filter.family === undefined ? undefined : this.family(filter.family).state.familyId;
    const negated = filter.state === 'open' ? 'NOT ' : '';
    const where = new Where()
      .and(equal('p.family_id', family))
      .and(within('f.environment', scope.environments))
      .and(within('f.team', scope.teams));
    if (filter.state !== 'all') {
      where.and([`p.status ${negated}IN (SELECT value FROM json_each(?))`, JSON.stringify(ended)]);
    }
    if (after !== undefined) where.and(['p.id > ?', after]);
    const { rows, next } = cut(
      this.readModel.db
        .prepare(
          `SELECT p.id AS id FROM ${table} p CROSS JOIN families f ON f.id = p.family_id ${where.sql} ORDER BY p.id LIMIT ?`,
        )
        .all(...where.values, filter.limit + 1),
      filter.limit,
      (row) => cursor.write([String(row['id'])]),
    );
    return { items: rows.map((row) => viewOf(String(row['id']))), next, treeSize: this.treeSize() };
  }

  /** Families whose custodian this was when they left. */
  familiesLeftBy(subject: string): readonly FamilyView[] {
    return this.readModel.db
      .prepare(
        'SELECT family_id FROM people_custodians WHERE subject = ? AND departed = 1 ORDER BY family_id',
      )
      .all(subject)
      .map((row) => this.familyView(String(row['family_id'])));
  }

  #momentOf({ familyId, slot }: FamilyState): FamilyMoment {
    const row =
      slot?.open === true
        ? this.readModel.db.prepare('SELECT state FROM rotations WHERE id = ?').get(slot.rotation)
        : undefined;
    return {
      ...(row === undefined ? {} : { rotation: stateIn<RotationState>(row) }),
      containments: this.containmentsOf(familyId),
    };
  }

  #waitsFor(id: string): string | undefined {
    const row = this.readModel.db.prepare('SELECT waits_for, wake_at FROM wakeups WHERE id = ?').get(id);
    // A row that is due now is about to be looked at: what it waited for may be over.
    return typeof row?.['waits_for'] === 'string' && row['wake_at'] !== 0 ? row['waits_for'] : undefined;
  }

  /** Containments that belong to a rotation. */
  containmentsOf(familyId: string): readonly ContainmentState[] {
    return this.readModel.db
      .prepare('SELECT state FROM containments WHERE family_id = ?')
      .all(familyId)
      .map((row) => stateIn<ContainmentState>(row));
  }

  policies(filter: PageQuery, now: number): Page<PolicyView> {
    const after = policiesCursor.read(filter.cursor);
    const where = new Where();
    if (after !== undefined) where.and(['(name, id) > (?, ?)', ...after]);
    const { rows, next } = cut(
      this.readModel.db
        .prepare(`SELECT id, name, revision, state FROM policies ${where.sql} ORDER BY name, id LIMIT ?`)
        .all(...where.values, filter.limit + 1),
      filter.limit,
      (row) => policiesCursor.write([String(row['name']), String(row['id'])]),
    );
    const items = rows.flatMap(
      (row) => policyView(stateIn<PolicyState>(row), Number(row['revision']), now) ?? [],
    );
    return { items, next, treeSize: this.treeSize() };
  }

  policyStates(): readonly PolicyState[] {
    return this.readModel.db
      .prepare('SELECT state FROM policies')
      .all()
      .map((row) => stateIn<PolicyState>(row));
  }

  policy(id: string, now: number): PolicyView {
    const row = this.readModel.db.prepare('SELECT revision, state FROM policies WHERE id = ?').get(id);
    const view =
      row === undefined ? undefined : policyView(stateIn<PolicyState>(row), Number(row['revision']), now);
    if (view === undefined) throw new DomainError('policy.not-found', `there is no policy ${id}`);
    return view;
  }
}

type Condition = readonly [sql: string, ...values: SqlValue[]];

/** Conditions of one query, with the values they are bound to. */
class Where {
  readonly #conditions: Condition[];

  constructor(others?: Where) {
    this.#conditions = [...(others === undefined ? [] : others.#conditions)];
  }

  and(condition: Condition | undefined): this {
    if (condition !== undefined) this.#conditions.push(condition);
    return this;
  }

  get sql(): string {
    if (this.#conditions.length === 0) return '';
    return `WHERE ${this.#conditions.map(([sql]) => sql).join(' AND ')}`;
  }

  get values(): readonly SqlValue[] {
    return this.#conditions.flatMap(([, ...values]) => values);
  }
}

function equal(column: string, value: string | undefined): Condition | undefined {
  return value === undefined ? undefined : [`${column} = ?`, value];
}

function within(column: string, names: Scope['environments']): Condition | undefined {
  // One text of SQL whatever the number of names: statements are kept by their text.
  if (names === 'all') return undefined;
  return [`${column} IN (SELECT value FROM json_each(?))`, JSON.stringify(names)];
}
