import { formatInstant } from '#eventlog';
import type { CausedAlarm } from '#notify';
import type { ContainmentState, FamilyState, RotationState } from '#rotation';
import type { Keyturn } from '../composition.js';
import type { ScheduleItem, Timetable } from '../rotation/schedule-rows.js';

/** After these a look is worth it at once. */
export const SUDDEN: readonly string[] = ['RotationSuspended', 'ContainmentSuspended'];

/** What of a Keyturn is looked at. */
interface Watched {
  readonly readModel: Pick<Keyturn['readModel'], 'db'>;
  readonly integrity: Pick<Keyturn['integrity'], 'all'>;
  readonly clock: Pick<Keyturn['clock'], 'now'>;
}

/** What is alarming now, read from the state as it is; whether it was told already, the log knows. */
export function alarmsNow(
  keyturn: Watched,
  timetable: Pick<Timetable, 'late'>,
  which: 'sudden' | 'all',
): readonly CausedAlarm[] {
  return [
    ...integrity(keyturn),
    ...suspended(keyturn),
    ...(which === 'sudden' ? [] : overdue(keyturn, timetable)),
  ];
}

function integrity({ integrity: findings, clock }: Watched): readonly CausedAlarm[] {
  return findings.all().map(({ stream, revision, treeSize, what }) => ({
    alarm: {
      type: 'log.integrity',
      key: `${stream}@${revision}`,
      at: formatInstant(clock.now()),
      text: `event ${treeSize ?? '?'} (${stream}@${revision}) is not what was written: ${what}`.slice(
        0,
        1_000,
      ),
    },
  }));
}

function suspended({ readModel }: Watched): readonly CausedAlarm[] {
  const stateOf = <State>(row: Readonly<Record<string, unknown>>): State => {
    const parsed: State = JSON.parse(String(row['state']));
    return parsed;
  };
  const about = (familyId: string): Pick<CausedAlarm['alarm'], 'family' | 'illustrative'> => {
    const row = readModel.db.prepare('SELECT state FROM families WHERE id = ?').get(familyId);
    const details = row === undefined ? undefined : stateOf<FamilyState>(row).details;
    if (details === undefined) return {};
    return {
      family: { id: familyId, qualifiedName: `${details.environment}/${details.name}` },
      ...(details.illustrative ? { illustrative: true } : {}),
    };
  };
  const rotations = readModel.db
    .prepare('SELECT state FROM rotations WHERE suspended = 1')
    .all()
    .map((row) => stateOf<RotationState>(row))
    .flatMap((state): readonly CausedAlarm[] => {
      const { suspended: why } = state;
      if (why === undefined) return [];
      return [
        {
          alarm: {
            type: 'rotation.suspended',
            key: why.eventId,
            at: formatInstant(why.at),
            text: why.reason,
            person: why.person,
            rotation: state.rotationId,
            ...about(state.familyId),
          },
          cause: { eventId: why.eventId, correlationId: state.correlationId ?? state.rotationId },
        },
      ];
    });
  const containments = readModel.db
    .prepare("SELECT state FROM containments WHERE status = 'suspended'")
    .all()
    .map((row) => stateOf<ContainmentState>(row))
    .flatMap((state): readonly CausedAlarm[] => {
      const { lastMove } = state;
      if (lastMove === undefined) return [];
      return [
        {
          alarm: {
            type: 'containment.suspended',
            key: `${state.containmentId}@${lastMove.eventId}`,
            at: formatInstant(lastMove.at),
            text: state.suspendedFor ?? 'it needs a person',
            containment: state.containmentId,
            ...about(state.familyId),
          },
          cause: { eventId: lastMove.eventId, correlationId: state.correlationId ?? state.containmentId },
        },
      ];
    });
  return [...rotations, ...containments];
}

/**
 * Every line that is late, told already or not: whoever takes only the oldest never comes past those that stay late. Once for each
 * due date: a date that moves is another one.
 */
function overdue({ clock }: Watched, timetable: Pick<Timetable, 'late'>): readonly CausedAlarm[] {
  const now = clock.now();
  return timetable
    .late(now)
    .filter(({ status }) => status === 'overdue')
    .map((row) => ({
      alarm: {
        type: row.kind === 'rotation' ? 'rotation.overdue' : 'obligation.overdue',
        key: `${row.kind} ${whose(row)} ${row.due ?? 'now'}`,
        at: row.due ?? formatInstant(now),
        text: row.what.slice(0, 1_000),
        ...(row.due === null ? {} : { due: row.due }),
        ...(row.family === null ? {} : { family: row.family }),
        ...(row.illustrative ? { illustrative: true } : {}),
        ...(row.kind === 'rotation' || row.rotation === null ? {} : { rotation: row.rotation }),
      },
    }));
}

function whose(row: ScheduleItem): string {
  if (row.kind === 'rotation') return row.family.id;
  return row.rotation ?? row.family?.id ?? row.policy?.id ?? '';
}
