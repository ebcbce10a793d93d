import { DomainError } from '#eventlog';
import { derivedId } from '#platform';
import { familyDecider, type FamilyCommand, type FamilyState } from '../domain/family.decider.js';
import type { FamilyDeparture, FamilyDetails } from '../domain/family.events.js';
import type { PolicyTerms } from '../domain/policy.events.js';
import { boundPolicy } from './bound-policy.js';
import { causeOf, isRepeat, type CommandContext, type Ledger } from './ledger.js';
import type { Placed } from './placed.js';
import type { PolicyDirectory } from './policy-directory.js';
import { familyStream } from './streams.js';

export type DeviationAsk =
  | {
      readonly type: 'request';
      readonly departs: FamilyDeparture;
      readonly reason: string;
      readonly until: string;
    }
  | { readonly type: 'approve'; readonly deviation: string; readonly note?: string | undefined }
  | { readonly type: 'close'; readonly deviation: string; readonly reason: string };

/** Asks for, approves or closes a family's departure from its policy. */
export class AskDeviation {
  constructor(
    readonly context: CommandContext,
    readonly familyId: string,
    readonly ask: DeviationAsk,
    readonly expectedRevision?: number,
  ) {}
}

export class AskDeviationHandler {
  constructor(
    private readonly ledger: Ledger,
    private readonly policies: PolicyDirectory,
  ) {}

  async execute({ context, familyId, ask, expectedRevision }: AskDeviation): Promise<Placed> {
    const stream = familyStream(familyId);
    const { state } = await this.ledger.family(familyId);
    const command = await this.#command(context, state, ask);
    const repeated = isRepeat(context, stream);
    const { history, events } = await this.ledger.decideAndAppend(
      () => this.ledger.family(familyId),
      (fresh) => (repeated ? [] : familyDecider.decide(command, fresh)),
      () => causeOf(context),
      repeated ? undefined : expectedRevision,
    );
    return { id: command.deviation, stream, revision: history.revision, changed: events.length > 0 };
  }

  async #command(
    context: CommandContext,
    { details }: FamilyState,
    ask: DeviationAsk,
  ): Promise<Extract<FamilyCommand, { readonly deviation: string }>> {
    if (details === undefined) throw new DomainError('family.not-found', 'there is no such secret family');
    const now = this.ledger.store.clock.now();
    switch (ask.type) {
      case 'request':
        return {
          type: 'RequestDeviation',
          deviation: derivedId(this.ledger.logId, context.commandId),
          departs: ask.departs,
          reason: ask.reason,
          until: ask.until,
          now,
          ...(await this.#terms(details, now)),
        };
      case 'approve':
        return {
          type: 'ApproveDeviation',
          deviation: ask.deviation,
          subject: context.subject,
          now,
          ...(await this.#terms(details, now)),
          ...(ask.note === undefined ? {} : { note: ask.note }),
        };
      case 'close':
        return { type: 'CloseDeviation', deviation: ask.deviation, reason: ask.reason };
    }
  }
  async #terms(details: FamilyDetails, now: number): Promise<{ readonly terms?: PolicyTerms }> {
    const policy = await boundPolicy(this.ledger, this.policies, details, now);
    return policy === undefined ? {} : { terms: policy.bound.terms };
  }
}
