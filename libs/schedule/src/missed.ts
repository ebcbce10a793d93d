import { formatInstant, parseInstant, type RecordedEvent } from '#eventlog';
import type { NewObligationEvent } from './obligation.events.js';
import type { ObligationRow } from './obligations.js';

/** One time something was owed past its date: from the fact that made it owed to the fact that settled it. */
export interface Missed {
  readonly row: ObligationRow;
  readonly owedBy: RecordedEvent;
  readonly settledBy?: RecordedEvent;
}

export interface OwedHistory {
  /** Past their date, in the order in which they were owed. */
  readonly missed: readonly Missed[];
  /** The newest fact that ended it; absent: it is owed, or never was. */
  readonly settledBy?: RecordedEvent;
}

/** Kind and key in one: what an obligation's stream is derived from. */
export function obligationName({ kind, key }: Pick<ObligationRow, 'kind' | 'key'>): string {
  return `${kind} ${key}`;
}

/**
 * What one history owed and when, fact by fact. What was settled late was missed, whoever looked in between: so a
 * duty that was met while nobody watched is found as late as it was. `rowsAfter` says what was owed after a fact.
 */
export function owedHistories<Event extends RecordedEvent>(
  events: readonly Event[],
  rowsAfter: (event: Event) => readonly ObligationRow[],
  now: number,
): ReadonlyMap<string, OwedHistory> {
  const histories = new Map<string, OwedHistory>();
  const open = new Map<string, { row: ObligationRow; readonly owedBy: Event; missed: boolean }>();
  const passed = (at: number): void => {
    for (const each of open.values()) each.missed ||= at >= (parseInstant(each.row.due) ?? Infinity);
  };
  for (const event of events) {
    passed(event.recordedAt);
    const rows = new Map(rowsAfter(event).map((row) => [obligationName(row), row]));
    for (const [name, { row, owedBy, missed }] of open) {
      if (rows.has(name)) continue;
      open.delete(name);
      const before = histories.get(name)?.missed ?? [];
      const late = missed ? [...before, { row, owedBy, settledBy: event }] : before;
      histories.set(name, { missed: late, settledBy: event });
    }
    for (const [name, row] of rows) {
      const known = open.get(name);
      if (known === undefined) open.set(name, { row, owedBy: event, missed: false });
      // What was missed stays as it was when its date passed.
      else if (!known.missed) known.row = row;
    }
  }
  passed(now);
  for (const [name, { row, owedBy, missed }] of open) {
    const before = histories.get(name)?.missed ?? [];
    histories.set(name, { missed: missed ? [...before, { row, owedBy }] : before });
  }
  return histories;
}

/** What is still to be recorded of an obligation, after the events its stream has; with the facts that caused them. */
export function unrecorded(
  { missed, settledBy }: OwedHistory,
  recorded: readonly Pick<RecordedEvent, 'type'>[],
): readonly { readonly event: NewObligationEvent; readonly cause: RecordedEvent }[] {
  const settled = recorded.filter(({ type }) => type === 'ObligationSettled').length;
  const standsOpen = recorded.length > settled * 2;
  const all = missed
    .slice(settled)
    .flatMap((each) => [
      { event: missedEvent(each.row), cause: each.owedBy },
      ...(each.settledBy === undefined
        ? []
        : [{ event: settledEvent(each.row, each.settledBy), cause: each.settledBy }]),
    ]);
  if (!standsOpen) return all;
  // Its date was moved after it had been missed, so it is not found as missed anew: it was, and ends all the same.
  if (all.length === 0 && settledBy !== undefined) {
    return [{ event: settledEvent(undefined, settledBy), cause: settledBy }];
  }
  return all.slice(1);
}

function missedEvent({
  kind,
  key,
  family,
  rotation,
  policy,
  what,
  basis,
  due,
}: ObligationRow): NewObligationEvent {
  return {
    type: 'ObligationMissed',
    data: {
      kind,
      key,
      ...(family === null ? {} : { family: family.id }),
      ...(rotation === null ? {} : { rotation }),
      ...(policy === null ? {} : { policy: policy.id }),
      what: oneLine(what),
      basis: oneLine(basis),
      due,
    },
  };
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/gu, ' ').trim().slice(0, 300);
}

/** Facts that end what was owed otherwise than by doing it. */
const HOW: Readonly<Record<string, 'refused' | 'moved' | 'lapsed'>> = {
  RotationRejected: 'refused',
  PolicyAmended: 'moved',
  PolicyRetired: 'lapsed',
  FamilyRetired: 'lapsed',
};

function settledEvent(row: ObligationRow | undefined, fact: RecordedEvent): NewObligationEvent {
  // A new date for a review, without the review.
  const moved = row?.kind === 'runbook-review' && fact.type === 'RunbookRevised';
  return {
    type: 'ObligationSettled',
    data: {
      how: moved ? 'moved' : (HOW[fact.type] ?? 'met'),
      fact: { id: fact.id, type: fact.type },
      settledAt: formatInstant(fact.recordedAt),
      by: fact.actor,
    },
  };
}
