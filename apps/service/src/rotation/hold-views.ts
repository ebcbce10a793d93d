import { covers, type Scope } from '#access';
import { formatInstant } from '#eventlog';
import { inForce, type Freeze, type FreezeScope, type HoldsState } from '#rotation';

/** What the API shows of the `holds` stream: plain JSON, `null` for "none". */

export interface FreezeView {
  readonly id: string;
  readonly name: string;
  readonly reason: string;
  readonly status: 'to come' | 'in force' | 'over' | 'lifted';
  readonly from: string;
  /** `null`: until it is lifted. */
  readonly until: string | null;
  readonly scope: FreezeScope;
  readonly declaredBy: string;
  readonly liftedAt: string | null;
}

export interface OpenHoldView {
  readonly hold: 'clock' | 'integrity' | 'restore';
  readonly reason: string;
  readonly since: string;
  /** What waits; emergencies and the way back of a rollback never do. */
  readonly holds: string;
  /** The exact command that ends it, once somebody has looked. */
  readonly next: string;
}

export function freezeView(freeze: Freeze, now: number): FreezeView {
  const { until, liftedAt } = freeze;
  return {
    id: freeze.freeze,
    name: freeze.name,
    reason: freeze.reason,
    status: statusOf(freeze, now),
    from: formatInstant(freeze.from),
    until: until === undefined ? null : formatInstant(until),
    scope: freeze.scope,
    declaredBy: freeze.declaredBy,
    liftedAt: liftedAt === undefined ? null : formatInstant(liftedAt),
  };
}

function statusOf(freeze: Freeze, now: number): FreezeView['status'] {
  if (freeze.liftedAt !== undefined) return 'lifted';
  if (inForce(freeze, now)) return 'in force';
  return now < freeze.from ? 'to come' : 'over';
}

const WAITS = {
  clock: 'emit, revoke, cutover and withdrawals of every rotation',
  integrity: 'emit, revoke and cutover of every rotation',
  restore: 'every forward step of every rotation',
} as const;

export function openHolds(state: HoldsState): readonly OpenHoldView[] {
  return (['clock', 'integrity', 'restore'] as const).flatMap((hold) => {
    const open = state[hold];
    if (open === undefined) return [];
    return [
      {
        hold,
        reason: open.reason,
        since: formatInstant(open.at),
        holds: WAITS[hold],
        next: `keyturn holds confirm ${hold} --reason "…"`,
      },
    ];
  });
}

/** Whether a freeze concerns somebody with this scope. */
export function concerns(freeze: Freeze, scope: Scope): boolean {
  const meets = (named: readonly string[] | undefined, mine: Scope['environments']): boolean =>
    named === undefined || mine === 'all' || named.some((name) => mine.includes(name));
  return meets(freeze.scope.environments, scope.environments) && meets(freeze.scope.teams, scope.teams);
}

/** Whether a scope reaches over everything a freeze would hold; families that are named are asked one by one. */
export function reaches(scope: Scope, freeze: FreezeScope): boolean {
  return covers(scope, { environments: freeze.environments ?? 'all', teams: freeze.teams ?? 'all' });
}
