import { BackendError, type KeyBackend, type Observation } from '#custody';
import { SYSTEM_ACTOR, WrongExpectedRevisionError, type NewEvent } from '#eventlog';
import type { Cause, StreamPosition } from '#eventlog/kit';
import { differencesOf, type Shown } from '../domain/drift.js';
import { familyDecider, type FamilyState } from '../domain/family.decider.js';
import type { NewFamilyEvent } from '../domain/family.events.js';
import { decideInventory, MOST_LISTED, type InventoryState } from '../domain/inventory.js';
import type { Inventory } from '../domain/inventory.events.js';
import type { VersionSnapshot } from '../domain/vocabulary.js';
import type { BackEnds } from './back-ends.js';
import type { Ledger, Loaded } from './ledger.js';
import { incomingVersionId } from './streams.js';

/** How often in a row a back end may give no answer before the others are left for the next round. */
const MOST_SILENT = 3;

/** What one look at one family's object found. */
type Look =
  | {
      readonly kind: 'read';
      readonly expected: number;
      readonly missing: readonly string[];
      readonly extra: readonly string[];
    }
  | {
      readonly kind: 'unreadable';
      readonly why: string;
      /** The back end as a whole did not answer. */
      readonly silent?: boolean;
    }
  /** Not this back end's any more, or it moved while it was looked at: the next round sees it. */
  | { readonly kind: 'passed-over' };

/**
 * Compares what back ends hold with the record. A difference nobody recorded is drift, on the family's own record, unless the
 * family's declared authority is somebody else: then it is a rotation of theirs, observed. What cannot be read is said to be
 * unreadable, and passes nothing.
 */
export class InventoryReconciler {
  constructor(
    private readonly ledger: Ledger,
    private readonly backEnds: BackEnds,
  ) {}

  /** Looks at these families' objects in one back end, and records what is new; gives back what was found. */
  async reconcile(instance: string, families: readonly string[], signal?: AbortSignal): Promise<Inventory> {
    const backEnd = this.backEnds.get(instance);
    const looks: (readonly [string, Look])[] = [];
    let silent = 0;
    for (const family of families) {
      if (signal?.aborted === true)
        throw new BackendError('transient', `${instance}: the look was broken off`);
      // One that does not answer is not asked three thousand times.
      const look: Look =
        silent < MOST_SILENT
          ? await this.#look(backEnd, family)
          : {
              kind: 'unreadable',
              why: `${instance} did not answer ${MOST_SILENT} times, and was not asked again`,
            };
      silent =
        look.kind === 'unreadable' && look.silent === true ? silent + 1 : look.kind === 'read' ? 0 : silent;
      looks.push([family, look]);
    }
    const inventory = inventoryOf(instance, looks);
    const { history, state } = await this.ledger.inventory(instance);
    const events = decideInventory(inventory, state, this.ledger.store.clock.now());
    // Whoever was faster looked just now, too.
    await this.#append(history, events).catch((error: unknown) => {
      if (!(error instanceof WrongExpectedRevisionError)) throw error;
    });
    return inventory;
  }

  /** What the last look at this back end found that is on record, and when. */
  async last(instance: string): Promise<InventoryState['last']> {
    return (await this.ledger.inventory(instance)).state.last;
  }

  /** One family's object alone: while something of it waits. What came of it. */
  async look(familyId: string): Promise<Look['kind']> {
    const { state } = await this.ledger.family(familyId);
    const backEnd = this.backEnds.find(state.details?.backEnd?.instance ?? '');
    return backEnd === undefined ? 'passed-over' : (await this.#look(backEnd, familyId)).kind;
  }

  async #look(backEnd: KeyBackend, familyId: string): Promise<Look> {
    const before = await this.#read(familyId);
    const { details, retired } = before.family.state;
    if (
      details?.backEnd?.instance !== backEnd.declaration.instance ||
      retired ||
      !backEnd.declaration.capabilities.performs
    )
      return { kind: 'passed-over' };
    let seen: Observation;
    try {
      seen = await backEnd.observe(details.backEnd.object);
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      const why = error.message.replaceAll(/\p{Cc}+/gu, ' ').slice(0, 500);
      return { kind: 'unreadable', why, silent: error.errorClass === 'transient' };
    }
    // What was recorded while it was looked at may explain what was seen.
    if ((await this.#read(familyId)).moved !== before.moved) return { kind: 'passed-over' };
    const shown = shownOf(seen, backEnd, before.family.state);
    const differences = differencesOf(before.family.state.versions, shown, before.underWay);
    try {
      await this.#record(before.family, shown, differences, seen);
    } catch (error) {
      if (error instanceof WrongExpectedRevisionError) return { kind: 'passed-over' };
      throw error;
    }
    const of = (kind: string): readonly string[] =>
      differences.flatMap((each) =>
        each.kind === kind && each.versionId !== undefined ? [each.versionId] : [],
      );
    return {
      kind: 'read',
      expected: before.family.state.versions.filter(({ destroyed }) => !destroyed).length,
      missing: of('missing'),
      extra: of('extra'),
    };
  }

  /** The family, and what of it a rotation or a process of its own is changing just now. */
  async #read(familyId: string): Promise<{
    readonly family: Loaded<FamilyState>;
    readonly underWay: { readonly versions: readonly string[] } | undefined;
    readonly moved: string;
  }> {
    const family = await this.ledger.family(familyId);
    const { slot, process } = family.state;
    const rotation = slot?.open === true ? await this.ledger.rotation(slot.rotation) : undefined;
    return {
      family,
      underWay:
        rotation === undefined
          ? process === undefined
            ? undefined
            : { versions: [] }
          : { versions: [incomingVersionId(this.ledger.logId, rotation.state.rotationId)] },
      moved: `${family.history.revision} ${rotation?.history.revision ?? ''}`,
    };
  }

  async #record(
    { history, state }: Loaded<FamilyState>,
    shown: Shown,
    differences: ReturnType<typeof differencesOf>,
    seen: Observation,
  ): Promise<void> {
    const { kind } = state.details?.authority ?? { kind: 'keyturn' };
    const events =
      isUnseen(state) || kind === 'back-end' || kind === 'pipeline'
        ? observedRotation(differences, seen)
        : familyDecider.decide({ type: 'RecordDrift', differences }, state);
    await this.#append(history, events);
  }

  /** No command and no event led to a look: its first event is its own cause. */
  async #append(at: StreamPosition, events: readonly NewEvent[]): Promise<void> {
    if (events.length === 0) return;
    const { store } = this.ledger;
    const eventIds = events.map(() => store.ids.random());
    const [id = ''] = eventIds;
    const cause: Cause = { actor: SYSTEM_ACTOR, correlationId: id, causationId: id, origin: { via: 'kit' } };
    await store.append(at, events, cause, { eventIds });
  }
}

/** Declared and never rotated: what its object holds was in use before, and nobody went past Keyturn with it. */
export function isUnseen({ versions, slot }: FamilyState): boolean {
  return versions.length === 0 && slot === undefined;
}

/** A rotation of whoever the family's authority is, or what was there before it was declared: each version that differs, as it is seen now. */
function observedRotation(
  differences: ReturnType<typeof differencesOf>,
  { versions }: Observation,
): readonly NewFamilyEvent[] {
  const touched = new Set(differences.map(({ versionId }) => versionId));
  return versions
    .filter(({ versionId }) => touched.has(versionId))
    .map(({ contained: _contained, ...version }): NewFamilyEvent => {
      const snapshot: VersionSnapshot = { ...version, compromised: false };
      return { type: 'VersionObserved', data: snapshot, provenance: 'observed' };
    });
}

function shownOf(
  { versions: seen, told = [] }: Observation,
  { declaration }: KeyBackend,
  { versions: recorded }: FamilyState,
): Shown {
  // Where revoking takes the material with it, what is revoked on record is as it should be.
  const revoked = new Set(
    declaration.pointOfNoReturn === 'withdraw'
      ? recorded.flatMap(({ versionId, accepted }) => (accepted ? [] : [versionId]))
      : [],
  );
  const versions = seen.map((version) =>
    revoked.has(version.versionId) ? { ...version, destroyed: false } : version,
  );
  return { versions, told: told.map((detail) => ({ kind: 'told', detail: detail.slice(0, 500) })) };
}

function inventoryOf(instance: string, looks: readonly (readonly [string, Look])[]): Inventory {
  const read = looks.flatMap(([family, look]) => (look.kind === 'read' ? [{ family, ...look }] : []));
  const unreadable = looks.flatMap(([family, look]) =>
    look.kind === 'unreadable' ? [{ family, why: look.why }] : [],
  );
  const versions = (list: 'missing' | 'extra') =>
    read.flatMap(({ family, [list]: ids }) => ids.map((versionId) => ({ family, versionId })));
  const [missing, extra] = [versions('missing'), versions('extra')];
  return {
    backEnd: instance,
    families: read.length + unreadable.length,
    expected: read.reduce((sum, { expected }) => sum + expected, 0),
    missing: missing.length,
    extra: extra.length,
    unreadable: unreadable.length,
    missingVersions: missing.slice(0, MOST_LISTED),
    extraVersions: extra.slice(0, MOST_LISTED),
    unreadableFamilies: unreadable.slice(0, MOST_LISTED),
  };
}
