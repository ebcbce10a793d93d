import { DomainError, formatInstant, parseInstant } from '#eventlog';
import { ENDED } from '../domain/rotation.state.js';
import type { NewTelemetryEvent } from '../domain/telemetry.events.js';
import { causeOf, isRepeat, type CommandContext, type Ledger } from './ledger.js';
import type { Placed } from './placed.js';
import { telemetryStream } from './streams.js';

export type TelemetryCounts = Omit<NewTelemetryEvent['data'], 'rotation'>;

/** How far the clock of whoever counts may be ahead of ours. */
const AHEAD_MS = 60_000;

/** Records what a verifier or a pipeline counted of a rotation's versions; a stream of its own beside the rotation. */
export class SampleTelemetry {
  constructor(
    readonly context: CommandContext,
    readonly rotationId: string,
    readonly counts: TelemetryCounts,
  ) {}
}

export class SampleTelemetryHandler {
  constructor(private readonly ledger: Ledger) {}

  async execute({ context, rotationId, counts }: SampleTelemetry): Promise<Placed> {
    const stream = telemetryStream(rotationId);
    const { state } = await this.ledger.rotation(rotationId);
    if (!state.exists) throw new DomainError('rotation.not-found', 'there is no such rotation');
    if (state.imported) {
      throw new DomainError(
        'rotation.imported',
        'this rotation was imported: nothing is counted of it any more',
      );
    }
    const repeated = isRepeat(context, stream);
    if (!repeated && ENDED.includes(state.phase)) {
      throw new DomainError(
        'rotation.ended',
        `this rotation is ${state.phase}: no gate of it waits for a count any more`,
        { phase: state.phase },
      );
    }
    if (!repeated) requireSound(counts, this.ledger.store.clock.now());
    const sampled: NewTelemetryEvent = {
      type: 'TelemetrySampled',
      data: { rotation: rotationId, ...counts },
      provenance: 'confirmed',
    };
    const { history, events } = await this.ledger.decideAndAppend(
      () => this.ledger.telemetry(rotationId),
      () => (repeated ? [] : [sampled]),
      () => causeOf(context, state.correlationId),
    );
    return { id: rotationId, stream, revision: history.revision, changed: events.length > 0 };
  }
}

function requireSound({ from, to, previous, previousLastSeen }: TelemetryCounts, now: number): void {
  const begins = parseInstant(from) ?? 0;
  const ends = parseInstant(to) ?? 0;
  const refuse = (detail: string, field: string): never => {
    throw new DomainError('telemetry.invalid', detail, { field });
  };
  if (ends <= begins)
    refuse(`the span would end (${to}) before it begins (${from}): to is later than from`, 'to');
  if (ends > now + AHEAD_MS) {
    refuse(`the span would end (${to}) in the future: to is at most now (${formatInstant(now)})`, 'to');
  }
  if (previousLastSeen === undefined) return;
  const seen = parseInstant(previousLastSeen) ?? 0;
  if (previous === 0) {
    refuse(
      'nothing of a previous version was counted, so none was seen: leave previousLastSeen out',
      'previousLastSeen',
    );
  }
  if (seen < begins || seen > ends) {
    refuse(`an artefact counted between ${from} and ${to} was seen between them`, 'previousLastSeen');
  }
}
