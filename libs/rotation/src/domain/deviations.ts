import { DomainError, formatInstant, parseInstant } from '#eventlog';
import { requireNone, termsProblems } from './cadence.js';
import type { FamilyDeparture, FamilyEvent, NewFamilyEvent } from './family.events.js';
import type { PolicyTerms } from './policy.events.js';

/**
 * A family departs from its policy only by a deviation: what, why, approved by another, until when. While one is in force its
 * terms stand in the place of the policy's; past its end the policy binds again, and that it ended is owed a look.
 */
export interface FamilyDeviation {
  readonly deviation: string;
  readonly departs: FamilyDeparture;
  readonly reason: string;
  readonly until: number;
  readonly requestedBy: string;
  readonly approvedBy?: string;
  readonly approvedAt?: number;
  /** Closed by a person: withdrawn, refused, ended before its time, or looked at after its end. */
  readonly closedAt?: number;
}

type ApprovedDeviation = FamilyDeviation & Required<Pick<FamilyDeviation, 'approvedBy' | 'approvedAt'>>;

export type DeviationCommand =
  | {
      readonly type: 'RequestDeviation';
      readonly deviation: string;
      readonly departs: FamilyDeparture;
      readonly reason: string;
      readonly until: string;
      readonly now: number;
      /** What binds the family now; absent: no policy selects it. */
      readonly terms?: PolicyTerms;
    }
  | {
      readonly type: 'ApproveDeviation';
      readonly deviation: string;
      readonly subject: string;
      readonly now: number;
      /** What its policy says now, which may be another than it was asked against. */
      readonly terms?: PolicyTerms;
      readonly note?: string;
    }
  | { readonly type: 'CloseDeviation'; readonly deviation: string; readonly reason: string };

/** A departure is looked at again within a year, or it is a policy nobody wrote. */
const LONGEST_MS = 366 * 86_400_000;

type Known = readonly FamilyDeviation[] | undefined;

export function decideDeviation(command: DeviationCommand, known: Known): readonly NewFamilyEvent[] {
  const found = known?.find(({ deviation }) => deviation === command.deviation);
  switch (command.type) {
    case 'RequestDeviation': {
      if (found !== undefined) return [];
      const { deviation, departs, reason, until, now, terms } = command;
      requirePolicyToDepartFrom(departs, terms);
      requireEnd(until, now);
      const standing = known?.find((other) => other.closedAt === undefined && now < other.until);
      if (standing !== undefined) {
        throw new DomainError(
          'deviation.standing',
          `this family ${standing.approvedAt === undefined ? 'has a deviation that waits for its approval' : 'departs from its policy already'}, until ${formatInstant(standing.until)}: close that one first`,
          { deviation: standing.deviation },
        );
      }
      return [{ type: 'FamilyDeviationRequested', data: { deviation, departs, reason, until } }];
    }
    case 'ApproveDeviation': {
      const open = openOne(found);
      if (open.approvedBy !== undefined) return [];
      if (open.requestedBy === command.subject) {
        throw new DomainError(
          'deviation.own-approval',
          'a deviation is approved by a subject other than the one that asked for it',
        );
      }
      requireEnd(formatInstant(open.until), command.now);
      requirePolicyToDepartFrom(open.departs, command.terms);
      return [
        {
          type: 'FamilyDeviationApproved',
          data: { deviation: open.deviation, ...(command.note === undefined ? {} : { note: command.note }) },
        },
      ];
    }
    case 'CloseDeviation':
      if (found?.closedAt !== undefined) return [];
      return [
        {
          type: 'FamilyDeviationClosed',
          data: { deviation: openOne(found).deviation, reason: command.reason },
        },
      ];
  }
}

function requirePolicyToDepartFrom(departs: FamilyDeparture, terms: PolicyTerms | undefined): void {
  if (terms === undefined) {
    throw new DomainError(
      'deviation.no-policy',
      'no policy selects this family, so there is nothing to depart from: define one first',
    );
  }
  requireNone(termsProblems({ ...terms, ...defined(departs) }), ['departs']);
}

function openOne(found: FamilyDeviation | undefined): FamilyDeviation {
  if (found === undefined) {
    throw new DomainError('deviation.not-found', 'this family has no such deviation');
  }
  if (found.closedAt !== undefined) throw new DomainError('deviation.closed', 'this deviation was closed');
  return found;
}

function requireEnd(until: string, now: number): void {
  const ends = parseInstant(until) ?? 0;
  if (ends <= now) {
    throw new DomainError(
      'deviation.expired',
      `a deviation ends in the future: ${until} is not later than now (${formatInstant(now)})`,
      { field: 'until' },
    );
  }
  if (ends > now + LONGEST_MS) {
    throw new DomainError(
      'deviation.too-long',
      `a deviation lasts at most a year: until ${formatInstant(now + LONGEST_MS)}`,
      { field: 'until' },
    );
  }
}

type DeviationEvent = Extract<
  FamilyEvent,
  { readonly type: 'FamilyDeviationRequested' | 'FamilyDeviationApproved' | 'FamilyDeviationClosed' }
>;

export function evolveDeviations(known: Known, event: DeviationEvent): readonly FamilyDeviation[] {
  const before = known ?? [];
  const change = (id: string, by: Partial<FamilyDeviation>): readonly FamilyDeviation[] =>
    before.map((each) => (each.deviation === id && each.closedAt === undefined ? { ...each, ...by } : each));
  switch (event.type) {
    case 'FamilyDeviationRequested': {
      const { deviation, departs, reason, until } = event.data;
      const requested: FamilyDeviation = {
        deviation,
        departs,
        reason,
        until: parseInstant(until) ?? event.recordedAt,
        requestedBy: event.actor,
      };
      return [...before, requested];
    }
    case 'FamilyDeviationApproved':
      return change(event.data.deviation, { approvedBy: event.actor, approvedAt: event.recordedAt });
    case 'FamilyDeviationClosed':
      return change(event.data.deviation, { closedAt: event.recordedAt });
  }
}

/** Those in force at an instant: approved before it, neither closed nor ended by then. */
export function deviationsInForce(known: Known, at: number): readonly ApprovedDeviation[] {
  return (known ?? []).filter(
    (each): each is ApprovedDeviation =>
      each.approvedAt !== undefined &&
      each.approvedAt <= at &&
      at < Math.min(each.until, each.closedAt ?? each.until),
  );
}

/** What binds a family: its policy's terms, with what it departs from in their place. */
export function departedTerms(terms: PolicyTerms, known: Known, now: number): PolicyTerms {
  return deviationsInForce(known, now).reduce<PolicyTerms>(
    (bound, { departs }) => ({ ...bound, ...defined(departs) }),
    terms,
  );
}

function defined(departs: FamilyDeparture): Partial<PolicyTerms> {
  return Object.fromEntries(Object.entries(departs).filter(([, value]) => value !== undefined));
}

/** In words: what of its policy does not bind a family at an instant, and until when. */
export function departuresText(known: Known, at: number): readonly string[] {
  return deviationsInForce(known, at).map(
    (deviation) => `${departureText(deviation)}, until ${formatInstant(deviation.until)}`,
  );
}

/** In words: what of the policy does not bind. */
export function departureText({ departs }: Pick<FamilyDeviation, 'departs'>): string {
  return Object.entries(departs)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => (typeof value === 'object' ? name : `${name} ${String(value)}`))
    .join(', ');
}
