import { parseInstant } from '#eventlog';
import type { TelemetryEvent } from './telemetry.events.js';

export interface TelemetrySample {
  readonly from: number;
  readonly to: number;
  readonly current: number;
  readonly previous: number;
  readonly invalid: number;
  readonly recordedAt: number;
  readonly eventId: string;
}

export interface TelemetryState {
  /** The sample whose span ends last. */
  readonly newest?: TelemetrySample;
  /** When an artefact of a previous version was last seen, as far as any sample says. */
  readonly previousSeenAt?: number;
}

export const noTelemetry: TelemetryState = {};

export function evolveTelemetry(state: TelemetryState, event: TelemetryEvent): TelemetryState {
  const { data } = event;
  const from = parseInstant(data.from) ?? event.recordedAt;
  const to = parseInstant(data.to) ?? event.recordedAt;
  const sample: TelemetrySample = {
    from,
    to,
    current: data.current,
    previous: data.previous,
    invalid: data.invalid,
    recordedAt: event.recordedAt,
    eventId: event.id,
  };
  // Where nobody said when, an artefact counted in a span was seen no later than its end, and no earlier than its start:
  // the start is what is known for certain.
  const seen =
    data.previous === 0
      ? undefined
      : data.previousLastSeen === undefined
        ? from
        : (parseInstant(data.previousLastSeen) ?? from);
  const before = state.previousSeenAt;
  const previousSeenAt = seen === undefined ? before : Math.max(seen, before ?? seen);
  return {
    newest: state.newest !== undefined && state.newest.to > to ? state.newest : sample,
    ...(previousSeenAt === undefined ? {} : { previousSeenAt }),
  };
}
