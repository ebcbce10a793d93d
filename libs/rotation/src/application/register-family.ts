import { DomainError } from '#eventlog';
import { derivedId, failpoint } from '#platform';
import { familyDecider, registerFamily } from '../domain/family.decider.js';
import type { FamilyDetails } from '../domain/family.events.js';
import { registrationOwed } from '../domain/registration.js';
import type { BackEnds } from './back-ends.js';
import { claim, requireFree, type ClaimRequest } from './claims.js';
import { causeOf, type CommandContext, type Ledger } from './ledger.js';
import { objectClaims, type ObjectClaim } from './object-claims.js';
import type { Placed } from './placed.js';
import { claimStream, familyStream } from './streams.js';

/** A secret family is watched from now on: its name and its back-end object are claimed first. */
export class RegisterFamily {
  constructor(
    readonly context: CommandContext,
    readonly details: FamilyDetails,
    /** By an emergency: what is not known yet is owed, from the same append on. */
    readonly inHaste = false,
  ) {}
}

export class RegisterFamilyHandler {
  constructor(
    private readonly ledger: Ledger,
    private readonly backEnds: BackEnds,
  ) {}

  async execute({ context, details, inHaste }: RegisterFamily): Promise<Placed> {
    const id = derivedId(this.ledger.logId, context.commandId);
    const stream = familyStream(id);
    const { history, state } = await this.ledger.family(id);
    if (state.exists) return { id, stream, revision: history.revision, changed: false };
    const events = [
      ...registerFamily(details, state),
      ...(inHaste ? [registrationOwed(this.ledger.store.clock.now())] : []),
    ];
    if (details.backEnd !== undefined && details.mode === 'driven') {
      const { declaration } = this.backEnds.get(details.backEnd.instance);
      if (details.algorithm !== undefined && !declaration.algorithms.includes(details.algorithm)) {
        throw new DomainError(
          'family.algorithm-refused',
          `the back end ${declaration.instance} makes ${declaration.algorithms.join(', ')}, not ${details.algorithm}`,
          { field: 'algorithm' },
        );
      }
    }
    const cause = causeOf(context);
    const name: ClaimRequest = {
      kind: 'family-name',
      environment: details.environment,
      value: details.name,
      by: stream,
      refused: (holder) =>
        new DomainError(
          'family.name-taken',
          `${details.environment}/${details.name} is the name of another family (${holder})`,
          { field: 'name', holder },
        ),
    };
    const objects =
      details.backEnd === undefined
        ? []
        : await Promise.all(
            objectClaims(this.backEnds, details.backEnd).map((each) => this.#objectClaim(each, stream)),
          );
    for (const each of [name, ...objects]) await requireFree(this.ledger, each);
    await claim(this.ledger, name, cause);
    failpoint('seam:family-claimed');
    for (const each of objects) {
      await claim(this.ledger, each, cause);
      failpoint('seam:object-claimed');
    }
    const placed = await this.ledger.decideAndAppend(
      () => this.ledger.family(id),
      (fresh) => (fresh.exists ? familyDecider.decide({ type: 'RegisterFamily', details }, fresh) : events),
      () => cause,
    );
    return { id, stream, revision: placed.history.revision, changed: placed.events.length > 0 };
  }

  /** Whoever is refused learns which family has it, by its name. */
  async #objectClaim({ value, called }: ObjectClaim, by: string): Promise<ClaimRequest> {
    const { state } = await this.ledger.claim(claimStream(this.ledger.logId, 'object', '', value));
    const first = state.holder?.startsWith(FAMILY) === true ? state.holder.slice(FAMILY.length) : undefined;
    const { details } = first === undefined ? {} : (await this.ledger.family(first)).state;
    const whose = details === undefined ? '' : `${details.environment}/${details.name}, `;
    return {
      kind: 'object',
      environment: '',
      value,
      by,
      refused: (holder) =>
        new DomainError('back-end.object-taken', `${called} belongs to another family (${whose}${holder})`, {
          field: 'backEnd.object',
          holder,
        }),
    };
  }
}

const FAMILY = familyStream('');
