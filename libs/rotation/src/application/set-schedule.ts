import { DomainError } from '#eventlog';
import { familyDecider } from '../domain/family.decider.js';
import type { FamilySchedule } from '../domain/family.events.js';
import { TERMS_WITHOUT_POLICY } from '../domain/plan.js';
import { boundPolicy } from './bound-policy.js';
import { causeOf, isRepeat, type CommandContext, type Ledger } from './ledger.js';
import type { Placed } from './placed.js';
import type { PolicyDirectory } from './policy-directory.js';
import { familyStream } from './streams.js';

/** Places a family's rotations inside its policy's periods; it never lengthens them (contracts, Policies). */
export class SetSchedule {
  constructor(
    readonly context: CommandContext,
    readonly familyId: string,
    readonly schedule: FamilySchedule,
    readonly expectedRevision?: number,
  ) {}
}

export class SetScheduleHandler {
  constructor(
    private readonly ledger: Ledger,
    private readonly policies: PolicyDirectory,
  ) {}

  async execute({ context, familyId, schedule, expectedRevision }: SetSchedule): Promise<Placed> {
    const stream = familyStream(familyId);
    const { details } = (await this.ledger.family(familyId)).state;
    if (details === undefined) throw new DomainError('family.not-found', 'there is no such secret family');
    const now = this.ledger.store.clock.now();
    const policy = await boundPolicy(this.ledger, this.policies, details, now);
    const { stopEmitting, changeWindows = [] } = policy?.bound.terms ?? TERMS_WITHOUT_POLICY;
    const repeated = isRepeat(context, stream);
    const { history, events } = await this.ledger.decideAndAppend(
      () => this.ledger.family(familyId),
      (state) =>
        repeated
          ? []
          : familyDecider.decide(
              { type: 'SetSchedule', schedule, stopEmitting, within: { changeWindows, now } },
              state,
            ),
      () => causeOf(context),
      repeated ? undefined : expectedRevision,
    );
    return { id: familyId, stream, revision: history.revision, changed: events.length > 0 };
  }
}
