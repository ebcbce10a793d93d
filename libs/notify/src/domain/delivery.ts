import { formatInstant, parseInstant } from '#eventlog';
import type { Alarm, DeliveryEvent, NewDeliveryEvent } from './delivery.events.js';

/** Waits after each attempt that failed, milliseconds; after the last one it is abandoned. About 16 hours in all. */
export const RETRY_AFTER_MS = [
  5_000, 30_000, 120_000, 600_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000, 28_800_000,
] as const;

export interface DeliveryState {
  readonly alarm?: Alarm;
  readonly attempts: number;
  /** The attempt whose outcome is not on record. */
  readonly open?: { readonly attempt: number; readonly worker: string; readonly leaseUntil: number };
  readonly retryAt?: number;
  readonly ended?: 'delivered' | 'abandoned';
  /** Why the newest attempt was not taken. */
  readonly failure?: { readonly outcome: string; readonly reason: string };
  /** The newest event's id: the cause of what comes next. */
  readonly lastEvent?: string;
}

export const noDelivery: DeliveryState = { attempts: 0 };

export function evolveDelivery(state: DeliveryState, event: DeliveryEvent): DeliveryState {
  const { open: _open, retryAt: _retryAt, ...rest } = { ...state, lastEvent: event.id };
  switch (event.type) {
    case 'AlarmRaised':
      return { ...rest, alarm: event.data.alarm };
    case 'DeliveryStarted':
      return {
        ...rest,
        attempts: event.data.attempt,
        open: {
          attempt: event.data.attempt,
          worker: event.data.worker,
          leaseUntil: parseInstant(event.data.leaseUntil) ?? 0,
        },
      };
    case 'DeliveryFailed': {
      const retryAt = parseInstant(event.data.retryAt ?? '');
      const { outcome, reason } = event.data;
      return { ...rest, failure: { outcome, reason }, ...(retryAt === undefined ? {} : { retryAt }) };
    }
    case 'Delivered':
      return { ...rest, ended: 'delivered' };
    case 'DeliveryAbandoned':
      return { ...rest, ended: 'abandoned' };
  }
}

export interface AttemptTerms {
  readonly now: number;
  readonly worker: string;
  /** How long an attempt may take. */
  readonly leaseMs: number;
  /** That worker can send nothing any more. */
  readonly isDead: (worker: string) => boolean;
}

/** What to record before the next attempt; empty: nothing is to be sent now. */
export function nextAttempt(
  state: DeliveryState,
  fresh: { readonly alarm: Alarm; readonly subscriber: string } | undefined,
  { now, worker, leaseMs, isDead }: AttemptTerms,
): readonly NewDeliveryEvent[] {
  if (state.ended !== undefined || (state.retryAt ?? 0) > now) return [];
  const { open } = state;
  if (open !== undefined && !(isDead(open.worker) || open.leaseUntil <= now)) return [];
  const started: NewDeliveryEvent = {
    type: 'DeliveryStarted',
    data: { attempt: state.attempts + 1, worker, leaseUntil: formatInstant(now + leaseMs) },
  };
  if (state.alarm === undefined) {
    return fresh === undefined ? [] : [{ type: 'AlarmRaised', data: { ...fresh } }, started];
  }
  if (open === undefined) return [started];
  const lost: NewDeliveryEvent = {
    type: 'DeliveryFailed',
    data: {
      attempt: open.attempt,
      outcome: 'unknown',
      reason: 'the process ended before an answer was recorded: it may have arrived',
    },
  };
  // The last attempt's answer is not known, and none is left: said as it is.
  return open.attempt > RETRY_AFTER_MS.length
    ? [lost, { type: 'DeliveryAbandoned', data: { attempts: open.attempt } }]
    : [lost, started];
}

export type Outcome =
  | { readonly kind: 'delivered'; readonly answer: string }
  | { readonly kind: 'refused' | 'unreachable' | 'unknown'; readonly reason: string };

/** What to record after an attempt. */
export function afterAttempt(attempt: number, outcome: Outcome, now: number): readonly NewDeliveryEvent[] {
  if (outcome.kind === 'delivered') {
    return [{ type: 'Delivered', data: { attempt, answer: outcome.answer } }];
  }
  const wait = RETRY_AFTER_MS[attempt - 1];
  const failed: NewDeliveryEvent = {
    type: 'DeliveryFailed',
    data: {
      attempt,
      outcome: outcome.kind,
      reason: outcome.reason,
      ...(wait === undefined ? {} : { retryAt: formatInstant(now + wait) }),
    },
  };
  return wait === undefined ? [failed, { type: 'DeliveryAbandoned', data: { attempts: attempt } }] : [failed];
}
