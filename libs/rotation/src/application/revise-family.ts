import { DomainError, formatInstant, WrongExpectedRevisionError } from '#eventlog';
import { failpoint } from '#platform';
import { familyDecider, type FamilyCommand } from '../domain/family.decider.js';
import type { ConsumerDetails } from '../domain/family.events.js';
import { claim } from './claims.js';
import { causeOf, isRepeat, type CommandContext, type Ledger } from './ledger.js';
import type { Placed } from './placed.js';
import { claimStream, familyStream, idOf } from './streams.js';

/** Changes what is known of a family: runbook, owner, its people, what came of suspicions. */
export class ReviseFamily {
  constructor(
    readonly context: CommandContext,
    readonly familyId: string,
    readonly change: Extract<
      FamilyCommand,
      {
        readonly type:
          | 'ReviseRunbook'
          | 'AssignOwner'
          | 'RemoveConsumer'
          | 'ClearCompromise'
          | 'ScopeExposure'
          | 'AssignCustodian'
          | 'AcknowledgeCustodian'
          | 'SetAuthority'
          | 'CompleteReview'
          | 'AcceptDrift'
          | 'ClassifyFamily'
          | 'RetireFamily';
      }
    >,
    readonly expectedRevision?: number,
  ) {}
}

/** A review that is due before it was held is a slip of the pen: recorded, it would be overdue at once. */
function requireNotPast(nextReview: string, now: number): void {
  const today = formatInstant(now).slice(0, 10);
  if (nextReview >= today) return;
  throw new DomainError(
    'review.next-in-past',
    `the next review would be due on ${nextReview}, which is past: nextReview is ${today} or later`,
    { field: 'nextReview' },
  );
}

export class ReviseFamilyHandler {
  constructor(private readonly ledger: Ledger) {}

  async execute({ context, familyId, change, expectedRevision }: ReviseFamily): Promise<Placed> {
    const repeated = isRepeat(context, familyStream(familyId));
    if (change.type === 'CompleteReview' && !repeated) {
      requireNotPast(change.nextReview, this.ledger.store.clock.now());
    }
    if (change.type === 'ScopeExposure' && !repeated) await this.#requireKnown(familyId, change.exposure);
    const { history, events } = await this.ledger.decideAndAppend(
      () => this.ledger.family(familyId),
      (state) => (repeated ? [] : familyDecider.decide(change, state)),
      () => causeOf(context),
      repeated ? undefined : expectedRevision,
    );
    return {
      id: familyId,
      stream: familyStream(familyId),
      revision: history.revision,
      changed: events.length > 0,
    };
  }

  /** A version nobody knows is a slip of the pen: recorded, it would be a fact for good. */
  async #requireKnown(
    familyId: string,
    { versions }: { readonly versions: readonly string[] },
  ): Promise<void> {
    const { state } = await this.ledger.family(familyId);
    if (!state.exists) return;
    const running =
      state.slot?.open === true ? (await this.ledger.rotation(state.slot.rotation)).state : undefined;
    const known = [
      ...new Set([
        ...state.versions.map(({ versionId }) => versionId),
        ...state.compromised,
        ...(running?.generated === undefined ? [] : [running.generated.versionId]),
      ]),
    ];
    const unknown = versions.find((version) => !known.includes(version));
    if (unknown === undefined) return;
    throw new DomainError(
      'version.unknown',
      `this family has no version ${unknown}; known are: ${known.join(', ') || 'none'}`,
      { field: `versions.${versions.indexOf(unknown)}` },
    );
  }
}

/**
 * Registers a consumer of a family, or revises it. A consumer is known by its name in its environment: the same name in
 * another family is the same consumer, so that one consumer never switches two emitters at once.
 */
export class RegisterConsumer {
  constructor(
    readonly context: CommandContext,
    readonly familyId: string,
    readonly consumer: ConsumerDetails,
    readonly expectedRevision?: number,
  ) {}
}

export class RegisterConsumerHandler {
  constructor(private readonly ledger: Ledger) {}

  async execute({ context, familyId, consumer, expectedRevision }: RegisterConsumer): Promise<Placed> {
    const { history: seen, state } = await this.ledger.family(familyId);
    const stream = familyStream(familyId);
    const environment = state.details?.environment;
    if (environment === undefined) {
      throw new DomainError('family.not-found', 'there is no such secret family');
    }
    const consumerId = consumerIdOf(this.ledger.logId, environment, consumer.name);
    // What was revised since then stays revised.
    if (isRepeat(context, stream)) {
      return { id: consumerId, stream, revision: seen.revision, changed: false };
    }
    // Before the claim: what is refused leaves nothing behind.
    if (expectedRevision !== undefined && seen.revision !== expectedRevision) {
      throw new WrongExpectedRevisionError(stream, expectedRevision, seen.revision);
    }
    const named = await this.ledger.claim(`claim-${consumerId}`);
    if (named.state.holder === undefined) {
      await claim(
        this.ledger,
        {
          kind: 'consumer-name',
          environment,
          value: consumer.name,
          by: stream,
          subject: consumerId,
          // Somebody else named it in the same moment: it is the same consumer.
          refused: (holder) => new DomainError('consumer.name-taken', `named by ${holder}`),
        },
        causeOf(context),
      ).catch((error: unknown) => {
        if (!(error instanceof DomainError) || error.code !== 'consumer.name-taken') throw error;
      });
      failpoint('seam:consumer-claimed');
    }
    const { history, events } = await this.ledger.decideAndAppend(
      () => this.ledger.family(familyId),
      (family) =>
        familyDecider.decide({ type: 'RegisterConsumer', consumer: { ...consumer, consumerId } }, family),
      () => causeOf(context),
      expectedRevision,
    );
    return {
      id: consumerId,
      stream,
      revision: history.revision,
      changed: events.length > 0,
    };
  }
}

/** The id a consumer's name stands for: that of the claim of its name. */
export function consumerIdOf(logId: string, environment: string, name: string): string {
  return idOf(claimStream(logId, 'consumer-name', environment, name));
}
