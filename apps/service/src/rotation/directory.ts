import { DomainError } from '#eventlog';
import type { ReadModel } from '#eventlog/kit';
import type { SqlRow } from '#eventlog/sqlite';
import {
  containmentView,
  familyView,
  policyView,
  rotationView,
  type ContainmentState,
  type ContainmentView,
  type FamilyState,
  type FamilyView,
  type PolicyState,
  type PolicyView,
  type RotationState,
  type RotationViewJson,
} from '#rotation';
import type { Scope } from '#access';

/** One page of a list; `next` is the cursor of the one after it. */
export interface Page<Item> {
  readonly items: readonly Item[];
  readonly next: string | null;
  readonly treeSize: number;
}

export interface PageQuery {
  readonly limit: number;
  readonly cursor?: string | undefined;
}

export interface FamilyRow {
  readonly state: FamilyState;
  readonly revision: number;
}

export interface RotationRow {
  readonly state: RotationState;
  readonly revision: number;
}

function offsetOf(cursor: string | undefined): number {
  if (cursor === undefined) return 0;
  if (!/^\d{1,9}$/.test(cursor)) {
    throw new DomainError('cursor.invalid', 'the cursor is the "next" of an earlier page', {
      field: 'cursor',
    });
  }
  return Number(cursor);
}

function stateIn<State>(row: SqlRow): State {
  const parsed: State = JSON.parse(String(row['state']));
  return parsed;
}

/** What lists and pages read: the folds in the read model, within a token's scope. Never decides anything. */
export class Directory {
  constructor(private readonly readModel: ReadModel) {}

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
    const view = familyView(state, revision);
    if (view === undefined) throw new DomainError('family.not-found', 'there is no such secret family');
    return view;
  }

  families(
    filter: PageQuery & {
      readonly environment?: string | undefined;
      readonly team?: string | undefined;
      readonly name?: string | undefined;
    },
    scope: Scope,
  ): Page<FamilyView> {
    const all = this.allFamilies(scope).filter(
      ({ details }) =>
        details !== undefined &&
        (filter.environment ?? details.environment) === details.environment &&
        (filter.team ?? details.team) === details.team &&
        (filter.name ?? details.name) === details.name,
    );
    const from = offsetOf(filter.cursor);
    const items = all.slice(from, from + filter.limit).flatMap((state) => {
      const view = familyView(state, this.family(state.familyId).revision);
      return view === undefined ? [] : [view];
    });
    return this.#page(items, from, filter.limit, all.length);
  }

  allFamilies(scope: Scope): readonly FamilyState[] {
    return this.readModel.db
      .prepare('SELECT state, environment, team FROM families ORDER BY environment, name')
      .all()
      .filter(
        (row) =>
          within(scope.environments, String(row['environment'])) && within(scope.teams, String(row['team'])),
      )
      .map((row) => stateIn<FamilyState>(row));
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
      ...(typeof wakeup?.['waits_for'] === 'string' ? { waitsFor: wakeup['waits_for'] } : {}),
      ...(typeof wakeup?.['wake_at'] === 'number' ? { wakeAt: wakeup['wake_at'] } : {}),
    });
  }

  rotations(
    filter: PageQuery & { readonly family?: string | undefined; readonly state: 'open' | 'ended' | 'all' },
    scope: Scope,
  ): Page<RotationViewJson> {
    const family = filter.family === undefined ? undefined : this.family(filter.family).state.familyId;
    const all = this.allRotations(filter.state, scope).filter(
      ({ state }) => family === undefined || state.familyId === family,
    );
    const from = offsetOf(filter.cursor);
    const items = all
      .slice(from, from + filter.limit)
      .map(({ state, revision }) => this.#viewOf(state, revision));
    return this.#page(items, from, filter.limit, all.length);
  }

  allRotations(wanted: 'open' | 'ended' | 'all', scope: Scope): readonly RotationRow[] {
    return this.readModel.db
      .prepare(
        `SELECT r.state AS state, r.revision AS revision, f.environment AS environment, f.team AS team
         FROM rotations r JOIN families f ON f.id = r.family_id
         WHERE (? = 'all' OR (r.ended = 0 AND r.imported = 0) = (? = 'open'))
         ORDER BY r.ended, r.requested_at DESC`,
      )
      .all(wanted, wanted)
      .filter(
        (row) =>
          within(scope.environments, String(row['environment'])) && within(scope.teams, String(row['team'])),
      )
      .map((row) => ({ state: stateIn<RotationState>(row), revision: Number(row['revision']) }));
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
    return containmentView(stateIn<ContainmentState>(row), Number(row['revision']));
  }

  /** Containments that belong to a rotation. */
  containmentsOf(familyId: string): readonly ContainmentState[] {
    return this.readModel.db
      .prepare('SELECT state FROM containments WHERE family_id = ?')
      .all(familyId)
      .map((row) => stateIn<ContainmentState>(row));
  }

  policies(now: number): readonly PolicyView[] {
    return this.readModel.db
      .prepare('SELECT revision, state FROM policies ORDER BY name')
      .all()
      .flatMap((row) => {
        const view = policyView(stateIn<PolicyState>(row), Number(row['revision']), now);
        return view === undefined ? [] : [view];
      });
  }

  policyStates(): readonly PolicyState[] {
    return this.readModel.db
      .prepare('SELECT state FROM policies')
      .all()
      .map((row) => stateIn<PolicyState>(row));
  }

  policy(id: string, now: number): PolicyView {
    const view = this.policies(now).find((policy) => policy.id === id);
    if (view === undefined) throw new DomainError('policy.not-found', `there is no policy ${id}`);
    return view;
  }

  #page<Item>(items: readonly Item[], from: number, limit: number, total: number): Page<Item> {
    const next = from + limit;
    return { items, next: next < total ? String(next) : null, treeSize: this.treeSize() };
  }
}

function within(names: Scope['environments'], name: string): boolean {
  return names === 'all' || names.includes(name);
}
