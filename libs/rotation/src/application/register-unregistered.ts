import { DomainError } from '#eventlog';
import type { FamilyDetails } from '../domain/family.events.js';
import type { BackEnds } from './back-ends.js';
import { causeOf, isRepeat, type CommandContext, type Ledger } from './ledger.js';
import type { Placed } from './placed.js';
import { RegisterFamily, RegisterFamilyHandler } from './register-family.js';
import { claimStream, familyStream, idOf } from './streams.js';

/** What stands for whatever is in use there now: nobody has looked. */
export const AS_FOUND = 'as-found';

/**
 * An emergency on a secret nobody registered: the family is written down with what is known, so that the emergency has a slot
 * and a record. People perform its steps; the rest of its registration is owed.
 */
export class RegisterUnregistered {
  constructor(
    readonly context: CommandContext,
    readonly input: {
      /** Where the secret lies, in the words of whoever found it: a mount, a file, a console. */
      readonly path: string;
      readonly environment: string;
      readonly name?: string | undefined;
      readonly team: string;
      readonly kind: FamilyDetails['kind'];
      readonly protects: FamilyDetails['protects'];
      readonly usage: FamilyDetails['usage'];
      readonly owner: FamilyDetails['owner'];
    },
  ) {}
}

export class RegisterUnregisteredHandler {
  constructor(
    private readonly ledger: Ledger,
    private readonly backEnds: BackEnds,
  ) {}

  async execute({ context, input }: RegisterUnregistered): Promise<Placed> {
    const { path, environment, team, kind, protects, usage, owner } = input;
    const known = await this.#familyOf(path);
    if (known !== undefined) {
      throw new DomainError(
        'emergency.registered',
        `${path} belongs to a family that is registered: declare the emergency on it`,
        { field: 'path', family: known },
      );
    }
    await this.#requireNew(context, environment, input.name ?? nameForUnregistered(path), path);
    const placed = await new RegisterFamilyHandler(this.ledger, this.backEnds).execute(
      new RegisterFamily(
        context,
        {
          name: input.name ?? nameForUnregistered(path),
          environment,
          description: `Registered by an emergency, found at ${path}. Nothing else of it was known then.`,
          kind,
          protects,
          usage,
          overlap: 'dual',
          mode: 'attested',
          authority: { kind: 'nobody' },
          owner,
          team,
          illustrative: false,
        },
        true,
      ),
    );
    const { history } = await this.ledger.decideAndAppend(
      () => this.ledger.family(placed.id),
      (state) =>
        state.versions.length > 0
          ? []
          : [
              {
                type: 'VersionObserved' as const,
                provenance: 'attested' as const,
                data: {
                  versionId: AS_FOUND,
                  accepted: true,
                  compromised: false,
                  destroyed: false,
                  source: 'whoever declared the emergency',
                },
              },
            ],
      () => causeOf(context),
    );
    return { ...placed, revision: history.revision };
  }

  /** Two who find the same leak declare one emergency: the second is told of the first. */
  async #requireNew(context: CommandContext, environment: string, name: string, path: string): Promise<void> {
    const { state } = await this.ledger.claim(
      claimStream(this.ledger.logId, 'family-name', environment, name),
    );
    const { holder } = state;
    if (holder === undefined || !holder.startsWith(familyStream('')) || isRepeat(context, holder)) return;
    const { state: family, history } = await this.ledger.family(idOf(holder));
    const rotation = family.slot?.rotation;
    if (family.details === undefined || history.revision < 0 || rotation === undefined) return;
    if (!family.details.description?.includes(`found at ${path}.`)) return;
    throw new DomainError(
      'emergency.already-declared',
      `an emergency for ${path} is already declared: rotation ${rotation}`,
      { field: 'path', family: family.familyId, rotation },
    );
  }

  /** The family that claimed this very object, if one did. */
  async #familyOf(path: string): Promise<string | undefined> {
    const { state } = await this.ledger.claim(claimStream(this.ledger.logId, 'object', '', path));
    if (state.holder === undefined || !state.holder.startsWith(familyStream(''))) return undefined;
    return idOf(state.holder);
  }
}

/** A family's name holds no "/", and is told apart from one somebody chose. */
export function nameForUnregistered(path: string): string {
  const plain = path.replaceAll(/[\p{Cc}/]+/gu, ' ').trim();
  return `unregistered ${plain}`.slice(0, 120).trim();
}
