import { DomainError, formatInstant, parseInstant } from '#eventlog';
import type { Cause } from '#eventlog/kit';
import { failpoint } from '#platform';
import { familyDecider } from '../domain/family.decider.js';
import type { NewPersonEvent } from '../domain/person.events.js';
import type { CustodianDirectory } from './custodian-directory.js';
import { causeOf, type CommandContext, type Ledger } from './ledger.js';
import type { Placed } from './placed.js';
import { departureStream, idOf } from './streams.js';

/** A minute is given for clocks that differ. */
const FUTURE_TOLERANCE_MS = 60_000;

/**
 * Somebody left: recorded once in a stream of its own, then on every family they knew, each of which owes a rotation from then
 * on. What a crash leaves between the two, the sweep completes.
 */
export class RecordDeparture {
  constructor(
    readonly context: CommandContext,
    readonly subject: string,
    /** RFC 3339; left out: now. */
    readonly leftAt?: string,
  ) {}
}

export class RecordDepartureHandler {
  constructor(
    private readonly ledger: Ledger,
    private readonly directory: CustodianDirectory,
  ) {}

  async execute({ context, subject, leftAt }: RecordDeparture): Promise<Placed> {
    const now = this.ledger.store.clock.now();
    if (leftAt !== undefined && (parseInstant(leftAt) ?? 0) > now + FUTURE_TOLERANCE_MS) {
      throw new DomainError('person.leaves-later', 'leftAt lies in the future: record it when it is so', {
        field: 'leftAt',
      });
    }
    const stream = departureStream(this.ledger.logId, subject);
    const cause = causeOf(context);
    const left = (at: string): NewPersonEvent => ({
      type: 'PersonLeft',
      data: { subject, leftAt: at },
      provenance: 'attested',
    });
    const { history, events, state } = await this.ledger.decideAndAppend(
      () => this.ledger.person(subject),
      (person) =>
        // Without an instant the first record of it stands; another instant is another leaving.
        person.leftAt !== undefined && (leftAt === undefined || person.leftAt === parseInstant(leftAt))
          ? []
          : [left(leftAt ?? formatInstant(now))],
      () => cause,
    );
    failpoint('seam:person-left');
    const since = leftAt ?? formatInstant(state.leftAt ?? now);
    for (const family of await this.directory.familiesOf(subject)) {
      await departFrom(this.ledger, family, { subject, leftAt: since }, cause);
    }
    return { id: idOf(stream), stream, revision: history.revision, changed: events.length > 0 };
  }
}

/** Marks one family's custodian as departed; nothing where it stands there already. */
export async function departFrom(
  ledger: Ledger,
  familyId: string,
  departure: { readonly subject: string; readonly leftAt: string },
  cause: Cause,
): Promise<boolean> {
  const { events } = await ledger.decideAndAppend(
    () => ledger.family(familyId),
    (family) =>
      family.exists ? familyDecider.decide({ type: 'DepartCustodian', ...departure }, family) : [],
    () => cause,
  );
  return events.length > 0;
}
