import { holdsDecider } from '../domain/holds.decider.js';
import { causeOf, isRepeat, type CommandContext, type Ledger } from './ledger.js';
import type { Placed } from './placed.js';
import { HOLDS_STREAM } from './streams.js';

/** Ends a freeze before its time, or one that had none. Lifted already: nothing to do. */
export class LiftFreeze {
  constructor(
    readonly context: CommandContext,
    readonly freeze: string,
    readonly reason: string,
  ) {}
}

export class LiftFreezeHandler {
  constructor(private readonly ledger: Ledger) {}

  async execute({ context, freeze, reason }: LiftFreeze): Promise<Placed> {
    const { history, events } = await this.ledger.decideAndAppend(
      () => this.ledger.holds(),
      (state) =>
        isRepeat(context, HOLDS_STREAM)
          ? []
          : holdsDecider.decide({ type: 'LiftFreeze', freeze, reason }, state),
      () => causeOf(context),
    );
    return { id: freeze, stream: HOLDS_STREAM, revision: history.revision, changed: events.length > 0 };
  }
}
