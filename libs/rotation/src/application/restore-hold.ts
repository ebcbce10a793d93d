import { SYSTEM_ACTOR } from '#eventlog';
import type { EventStore, History } from '#eventlog/kit';
import type { HoldEvent, NewHoldEvent } from '../domain/holds.events.js';
import { evolveHolds, noHolds, type HoldsState } from '../domain/holds.state.js';
import type { Loaded } from './ledger.js';
import { HOLDS_STREAM } from './streams.js';

/**
 * A log that is older than its back ends: what they did since is not on its record, so that a decision made from it may
 * undo or repeat work. Forward steps wait until a person has compared the two (design: The log).
 */

export type RestoreFinding = Extract<NewHoldEvent, { readonly type: 'RestoreHeld' }>['data'];

/** Holds every rotation of a log that was restored, or was found older than a back end; once for as long as it is held. */
export class HoldRestored {
  constructor(private readonly store: EventStore) {}

  /** `true`: it is held from now on; `false`: it was so already. */
  async execute(finding: RestoreFinding, via: 'cli' | 'kit'): Promise<boolean> {
    const { history, state } = await readHolds(this.store);
    if (state.restore !== undefined) return false;
    const held: NewHoldEvent = { type: 'RestoreHeld', data: finding };
    // Nobody's command and no event of this log led to it: it is its own cause, as the log's opening is.
    const id = this.store.ids.random();
    const cause = { actor: SYSTEM_ACTOR, correlationId: id, causationId: id, origin: { via } };
    await this.store.append(history, [held], cause, { eventIds: [id] });
    return true;
  }
}

async function readHolds(store: EventStore): Promise<Loaded<HoldsState>> {
  const history: History = await store.read(HOLDS_STREAM);
  // The category of a stream decides its event types; the kit parsed each against its schema.
  const state = (history.events as readonly HoldEvent[]).reduce(evolveHolds, noHolds);
  return { history, state };
}
