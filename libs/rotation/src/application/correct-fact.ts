import { DomainError } from '#eventlog';
import type { NewFamilyEvent } from '../domain/family.events.js';
import { causeOf, isRepeat, type CommandContext, type Ledger } from './ledger.js';
import type { Placed } from './placed.js';
import { familyStream, idOf, rotationStream } from './streams.js';

/**
 * Says that a recorded fact was wrong. Both stay visible, and nothing is undone by it: a version whose compromise was confirmed
 * stays out, whatever is corrected on paper.
 */
export class CorrectFact {
  constructor(
    readonly context: CommandContext,
    readonly where: { readonly family: string } | { readonly rotation: string },
    readonly input: {
      /** The id of the event that is wrong. */
      readonly of: string;
      readonly reason: string;
      readonly correction: string;
    },
  ) {}
}

export class CorrectFactHandler {
  constructor(private readonly ledger: Ledger) {}

  async execute({ context, where, input }: CorrectFact): Promise<Placed> {
    const stream = 'family' in where ? familyStream(where.family) : rotationStream(where.rotation);
    const repeated = isRepeat(context, stream);
    const { history, events } = await this.ledger.decideAndAppend(
      async () => {
        const read = await this.ledger.store.read(stream);
        return { history: read, state: read.events };
      },
      (recorded): readonly NewFamilyEvent[] => {
        if (repeated) return [];
        const wrong = recorded.find((event) => event.id === input.of);
        if (wrong === undefined) {
          throw new DomainError('fact.not-found', `no fact ${input.of} stands in this stream`, {
            field: 'of',
          });
        }
        return [{ type: 'FactCorrected', data: { ...input, type: wrong.type }, provenance: 'attested' }];
      },
      (recorded) => causeOf(context, recorded[0]?.correlationId),
    );
    return { id: idOf(stream), stream, revision: history.revision, changed: events.length > 0 };
  }
}
