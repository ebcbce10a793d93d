import { DomainError, formatInstant, parseInstant } from '#eventlog';
import type { Cause } from '#eventlog/kit';
import { failpoint } from '#platform';
import { familyDecider } from '../domain/family.decider.js';
import type { NewPersonEvent, PersonState } from '../domain/person.events.js';
import type { CustodianDirectory } from './custodian-directory.js';
import { causeOf, isRepeat, type CommandContext, type Ledger } from './ledger.js';
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
    const repeated = isRepeat(context, stream);
    const families = await this.directory.familiesOf(subject);
    const { history, events, state } = await this.ledger.decideAndAppend(
      async () => {
        const person = await this.ledger.person(subject);
        return {
          ...person,
          state: { ...person.state, back: await this.#isBack(subject, person.state, families) },
        };
      },
      ({ leftAt: before, back }) => {
        if (repeated) return [];
        // Without an instant the first record of a leaving stands, until they come back; another instant is another leaving.
        const same = leftAt === undefined ? !back : before === parseInstant(leftAt);
        return before !== undefined && same ? [] : [left(leftAt ?? formatInstant(now))];
      },
      () => cause,
    );
    failpoint('seam:person-left');
    const known = events.length === 0 ? state : (await this.ledger.person(subject)).state;
    const since = formatInstant(known.leftAt ?? now);
    for (const family of families) {
      // What they were entrusted with after this leaving is no part of it.
      if (!(await this.#isEntrusted(family, subject, known.recordedAt))) {
        await departFrom(this.ledger, family, { subject, leftAt: since }, cause);
      }
    }
    return { id: idOf(stream), stream, revision: history.revision, changed: events.length > 0 };
  }

  /** Entrusted with a secret after their leaving was recorded: they came back. */
  async #isBack(subject: string, { recordedAt }: PersonState, families: readonly string[]): Promise<boolean> {
    for (const family of families) if (await this.#isEntrusted(family, subject, recordedAt)) return true;
    return false;
  }

  async #isEntrusted(family: string, subject: string, after: number | undefined): Promise<boolean> {
    if (after === undefined) return false;
    const { custodians } = (await this.ledger.family(family)).state;
    return custodians.some(
      (each) => each.subject === subject && each.departed === undefined && each.assignedAt > after,
    );
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
