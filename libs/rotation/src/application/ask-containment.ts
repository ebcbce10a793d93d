import { decideContainment, type ContainmentCommand } from '../domain/containment.decider.js';
import type { Attestation } from '../domain/rotation.events.js';
import { causeOf, isRepeat, type CommandContext, type Ledger } from './ledger.js';
import type { Placed } from './placed.js';
import { containmentStream } from './streams.js';

export type ContainmentAsk =
  | { readonly type: 'lift'; readonly reason: string }
  | { readonly type: 'retry' }
  | {
      readonly type: 'attest';
      readonly step: 'contain' | 'lift';
      readonly attestation: Attestation;
      readonly occurredAt?: number | undefined;
    };

/** Asks something of a containment that exists: to lift it, to try it again, or that it was done by hand. */
export class AskContainment {
  constructor(
    readonly context: CommandContext,
    readonly containmentId: string,
    readonly ask: ContainmentAsk,
    readonly expectedRevision?: number,
  ) {}
}

export class AskContainmentHandler {
  constructor(private readonly ledger: Ledger) {}

  async execute({ context, containmentId, ask, expectedRevision }: AskContainment): Promise<Placed> {
    const stream = containmentStream(containmentId);
    const repeated = isRepeat(context, stream);
    const { state: seen } = await this.ledger.containment(containmentId);
    const { state: family } = await this.ledger.family(seen.familyId);
    const command = commandOf(ask, this.ledger.store.clock.now());
    const { history, events } = await this.ledger.decideAndAppend(
      () => this.ledger.containment(containmentId),
      (state) => (repeated ? [] : decideContainment(command, state, family)),
      (state) => causeOf(context, state.correlationId),
      repeated ? undefined : expectedRevision,
    );
    return { id: containmentId, stream, revision: history.revision, changed: events.length > 0 };
  }
}

function commandOf(ask: ContainmentAsk, now: number): ContainmentCommand {
  switch (ask.type) {
    case 'lift':
      return { type: 'LiftContainment', reason: ask.reason };
    case 'retry':
      return { type: 'RetryContainment' };
    case 'attest':
      return {
        type: 'AttestContainment',
        step: ask.step,
        attestation: ask.attestation,
        now,
        ...(ask.occurredAt === undefined ? {} : { occurredAt: ask.occurredAt }),
      };
  }
}
