import { DomainError } from '#eventlog';
import { derivedId, failpoint } from '#platform';
import type { NewContainmentEvent } from '../domain/containment.events.js';
import { familyDecider } from '../domain/family.decider.js';
import { slowestTrustTerm } from '../domain/plan.js';
import { versionsAfter } from '../domain/rotation.state.js';
import { mergeVersions } from '../domain/versions.js';
import { causeOf, type CommandContext, type Ledger } from './ledger.js';
import type { Placed } from './placed.js';
import { containmentStream } from './streams.js';

/**
 * Denies suspected versions at once, before a new key exists; needs no slot. The suspicion stands on the family first and
 * names the containment, so that a crash between the two loses nothing.
 */
export class ContainVersions {
  constructor(
    readonly context: CommandContext,
    readonly familyId: string,
    readonly input: {
      readonly versions: readonly string[];
      readonly reason: string;
      readonly incident?: string | undefined;
    },
  ) {}
}

export class ContainVersionsHandler {
  constructor(private readonly ledger: Ledger) {}

  async execute({ context, familyId, input }: ContainVersions): Promise<Placed> {
    const id = derivedId(this.ledger.logId, context.commandId);
    const stream = containmentStream(id);
    const begun = await this.ledger.containment(id);
    if (begun.state.exists) return { id, stream, revision: begun.history.revision, changed: false };
    const { state: family } = await this.ledger.family(familyId);
    if (!family.exists) throw new DomainError('family.not-found', 'there is no such secret family');
    const backEnd = family.details?.backEnd;
    if (backEnd === undefined || family.details?.mode !== 'driven') {
      throw new DomainError(
        'family.not-driven',
        'Keyturn drives no back end of this family: contain the secret there, and record it with a note',
      );
    }
    const known = await this.#versions(familyId);
    const unknown = input.versions.find((version) => !known.includes(version));
    if (unknown !== undefined) {
      throw new DomainError(
        'version.unknown',
        `this family has no version ${unknown}; known are: ${known.join(', ') || 'none'}`,
        { field: 'versions' },
      );
    }
    await this.ledger.decideAndAppend(
      () => this.ledger.family(familyId),
      (state) =>
        familyDecider.decide(
          {
            type: 'SuspectCompromise',
            versions: input.versions,
            reason: input.reason,
            containment: id,
            ...(input.incident === undefined ? {} : { incident: input.incident }),
          },
          state,
        ),
      () => causeOf(context),
    );
    failpoint('seam:suspicion-recorded');
    const trustTerm = slowestTrustTerm(family);
    const requested: NewContainmentEvent = {
      type: 'ContainmentRequested',
      data: {
        family: familyId,
        backEnd,
        versions: [...input.versions],
        reason: input.reason,
        ...(trustTerm === undefined ? {} : { trustTerm }),
        ...(input.incident === undefined ? {} : { incident: input.incident }),
      },
    };
    const { history } = await this.ledger.decideAndAppend(
      () => this.ledger.containment(id),
      (state) => (state.exists ? [] : [requested]),
      () => causeOf(context),
    );
    return { id, stream, revision: history.revision, changed: true };
  }

  async #versions(familyId: string): Promise<readonly string[]> {
    const { state: family } = await this.ledger.family(familyId);
    const running = family.slot?.open === true ? await this.ledger.rotation(family.slot.rotation) : undefined;
    const all =
      running === undefined
        ? family.versions
        : mergeVersions(family.versions, versionsAfter(running.state, family.compromised));
    return all.map((version) => version.versionId);
  }
}
