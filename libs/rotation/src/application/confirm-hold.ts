import { NIL_UUID } from '#eventlog';
import { holdsDecider, type ConfirmableHold } from '../domain/holds.decider.js';
import { causeOf, isRepeat, type CommandContext, type Ledger } from './ledger.js';
import type { Placed } from './placed.js';
import { HOLDS_STREAM } from './streams.js';

/** A person looked at what holds every rotation, and lets them go on. Refused where nothing of that kind is held. */
export class ConfirmHold {
  constructor(
    readonly context: CommandContext,
    readonly hold: ConfirmableHold,
    readonly reason: string,
  ) {}
}

export class ConfirmHoldHandler {
  constructor(private readonly ledger: Ledger) {}

  async execute({ context, hold, reason }: ConfirmHold): Promise<Placed> {
    const { store } = this.ledger;
    const reading = { wall: store.clock.now(), newestRecordedAt: await store.newestRecordedAt() };
    const { history, events } = await this.ledger.decideAndAppend(
      () => this.ledger.holds(),
      (state) =>
        isRepeat(context, HOLDS_STREAM)
          ? []
          : holdsDecider.decide({ type: 'ConfirmHold', hold, reason, reading }, state),
      () => causeOf(context),
    );
    return { id: NIL_UUID, stream: HOLDS_STREAM, revision: history.revision, changed: events.length > 0 };
  }
}
