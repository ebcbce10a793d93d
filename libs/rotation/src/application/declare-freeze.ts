import { DomainError } from '#eventlog';
import { derivedId } from '#platform';
import { holdsDecider } from '../domain/holds.decider.js';
import type { FreezeScope } from '../domain/holds.events.js';
import { causeOf, type CommandContext, type Ledger } from './ledger.js';
import type { Placed } from './placed.js';
import { HOLDS_STREAM } from './streams.js';

export interface FreezeWish {
  readonly name: string;
  readonly reason: string;
  /** RFC 3339; left out: from now on. */
  readonly from?: string | undefined;
  /** RFC 3339; left out: until it is lifted. */
  readonly until?: string | undefined;
  readonly scope: FreezeScope;
}

/** Holds forward steps of what the freeze covers. Never an emergency, never a rollback's way back (contracts, Clocks). */
export class DeclareFreeze {
  constructor(
    readonly context: CommandContext,
    readonly freeze: FreezeWish,
  ) {}
}

export class DeclareFreezeHandler {
  constructor(private readonly ledger: Ledger) {}

  async execute({ context, freeze }: DeclareFreeze): Promise<Placed> {
    const id = derivedId(this.ledger.logId, context.commandId);
    for (const [index, family] of (freeze.scope.families ?? []).entries()) {
      const { state } = await this.ledger.family(family);
      if (!state.exists) {
        throw new DomainError('family.not-found', `there is no secret family ${family}`, {
          field: `scope.families.${index}`,
        });
      }
    }
    const { name, reason, from, until, scope } = freeze;
    const { history, events } = await this.ledger.decideAndAppend(
      () => this.ledger.holds(),
      (state) =>
        holdsDecider.decide(
          {
            type: 'DeclareFreeze',
            freeze: id,
            name,
            reason,
            scope,
            now: this.ledger.store.clock.now(),
            ...(from === undefined ? {} : { from }),
            ...(until === undefined ? {} : { until }),
          },
          state,
        ),
      () => causeOf(context),
    );
    return { id, stream: HOLDS_STREAM, revision: history.revision, changed: events.length > 0 };
  }
}
