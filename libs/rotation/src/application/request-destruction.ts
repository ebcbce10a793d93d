import { DomainError } from '#eventlog';
import { derivedId } from '#platform';
import { requestDestruction, type DestructionWish } from '../domain/destruction.decider.js';
import { attestedBackEnd } from '../domain/plan.js';
import { versionsAfter } from '../domain/rotation.state.js';
import { mergeVersions } from '../domain/versions.js';
import { causeOf, type CommandContext, type Ledger } from './ledger.js';
import type { Placed } from './placed.js';
import { destructionStream } from './streams.js';

/** Asks for key material to be deleted for good; nothing happens before somebody else approves. */
export class RequestDestruction {
  constructor(
    readonly context: CommandContext,
    readonly familyId: string,
    readonly wish: DestructionWish,
  ) {}
}

export class RequestDestructionHandler {
  constructor(private readonly ledger: Ledger) {}

  async execute({ context, familyId, wish }: RequestDestruction): Promise<Placed> {
    const id = derivedId(this.ledger.logId, context.commandId);
    const stream = destructionStream(id);
    const begun = await this.ledger.destruction(id);
    if (begun.state.exists) return { id, stream, revision: begun.history.revision, changed: false };
    const { state: family } = await this.ledger.family(familyId);
    const { details } = family;
    if (details === undefined) throw new DomainError('family.not-found', 'there is no such secret family');
    const running =
      family.slot?.open === true ? (await this.ledger.rotation(family.slot.rotation)).state : undefined;
    const own = details.mode === 'driven' ? details.backEnd : undefined;
    const requested = requestDestruction(wish, {
      family,
      backEnd: own ?? attestedBackEnd(family),
      versions:
        running === undefined
          ? family.versions
          : mergeVersions(family.versions, versionsAfter(running, family.compromised)),
      ...(running === undefined ? {} : { running }),
    });
    const { history } = await this.ledger.decideAndAppend(
      () => this.ledger.destruction(id),
      (state) => (state.exists ? [] : requested),
      () => causeOf(context),
    );
    return { id, stream, revision: history.revision, changed: true };
  }
}
