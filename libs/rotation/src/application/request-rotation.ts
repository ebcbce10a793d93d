import { DomainError, formatInstant, parseInstant } from '#eventlog';
import { derivedId, failpoint } from '#platform';
import { answersTo, incidentOf, reached, requireReached, requireUnanswered } from '../domain/blast-radius.js';
import { departedTerms, deviationsInForce } from '../domain/deviations.js';
import { openRotation, type FamilyState } from '../domain/family.decider.js';
import type { RotationRequest } from '../domain/family.events.js';
import { planEmergency, whoBreaks } from '../domain/plan.js';
import { standingFor } from '../domain/policy.decider.js';
import type { RotationPlan } from '../domain/rotation.events.js';
import { versionsAfter } from '../domain/rotation.state.js';
import { requireRunbook } from '../domain/runbook.js';
import { planDates, type PlanDates, type PlanHold } from '../domain/saga/plan-dates.js';
import { mergeVersions } from '../domain/versions.js';
import type { VersionSnapshot } from '../domain/vocabulary.js';
import { readsValuesText, type BackEnds } from './back-ends.js';
import { boundPolicy } from './bound-policy.js';
import { causeOf, isRepeat, type CommandContext, type Ledger, type Loaded } from './ledger.js';
import type { Placed } from './placed.js';
import type { PolicyDirectory } from './policy-directory.js';
import { InventoryReconciler, isUnseen } from './reconcile-inventory.js';
import { completeOpening, completeSuperseded, plannedRotation } from './rotation-opening.js';
import { incomingVersionId, rotationStream } from './streams.js';

/** What a person asks for; the rest of the request is filled in from the record. */
export interface RotationWish {
  readonly strategy: RotationRequest['strategy'];
  readonly trigger: RotationRequest['trigger'];
  readonly reason: string;
  readonly windows?: RotationRequest['windows'] | undefined;
  readonly deviation?: RotationRequest['deviation'] | undefined;
  readonly rehearses?: RotationRequest['rehearses'] | undefined;
  readonly cohorts?: RotationRequest['cohorts'] | undefined;
  readonly emergency?:
    | undefined
    | {
        readonly compromisedVersions?: readonly string[] | undefined;
        readonly discoveredAt?: string | undefined;
        readonly exposedFrom?: string | undefined;
        readonly incident?: string | undefined;
        readonly contain: boolean;
        /** Declared over all that one incident reached: refused where an emergency answers it, and never over what was made since. */
        readonly unlessDeclared?: boolean | undefined;
      };
}

/** Requests a rotation: the slot on the family first, carrying the request, then the rotation's own stream. */
export class RequestRotation {
  constructor(
    readonly context: CommandContext,
    readonly familyId: string,
    readonly wish: RotationWish,
    readonly expectedRevision?: number,
  ) {}
}

export interface RotationPreview {
  readonly plan: RotationPlan;
  readonly request: RotationRequest;
  readonly whoBreaks: readonly string[];
  /** What would hold its steps, as it stands now. */
  readonly holds: readonly PlanHold[];
  readonly dates: PlanDates;
  /** The rotation an emergency would supersede. */
  readonly supersedes?: string;
}

/** The plan a rotation would get now, and who would break; starts nothing. */
export class PreviewRotation {
  constructor(
    readonly subject: string,
    readonly familyId: string,
    readonly wish: RotationWish,
    /** As if nothing held the family's slot: what a planned rotation would get, also while another one runs. */
    readonly asIfFree = false,
  ) {}
}

/** Completes a wish from the record: who asks, which policy binds, what is compromised when nobody says. */
async function requestOf(
  ledger: Ledger,
  policies: PolicyDirectory,
  family: FamilyState,
  versions: readonly VersionSnapshot[],
  subject: string,
  wish: RotationWish,
): Promise<RotationRequest> {
  const { details } = family;
  if (details === undefined) throw new DomainError('family.not-found', 'there is no such secret family');
  const now = ledger.store.clock.now();
  const found = await boundPolicy(ledger, policies, details, now);
  const policy = found?.bound;
  const emergency = wish.strategy === 'emergency' ? emergencyOf(wish, family, versions, now) : undefined;
  if (wish.cohorts !== undefined && wish.strategy !== 'rolling' && wish.rehearses !== 'rolling') {
    throw new DomainError('rotation.not-rolling', 'cohorts need strategy: rolling', { field: 'cohorts' });
  }
  if (wish.rehearses !== undefined && wish.strategy !== 'rehearsal') {
    throw new DomainError('rotation.not-a-rehearsal', 'rehearses needs strategy: rehearsal', {
      field: 'rehearses',
    });
  }
  if (wish.strategy !== 'emergency' && wish.emergency !== undefined) {
    throw new DomainError('rotation.not-an-emergency', 'emergency details need strategy: emergency', {
      field: 'emergency',
    });
  }
  if (wish.deviation !== undefined && (parseInstant(wish.deviation.until) ?? 0) <= now) {
    throw new DomainError('deviation.expired', 'a deviation ends in the future', {
      field: 'deviation.until',
    });
  }
  // What departs from the policy was not approved with it.
  const departs = wish.deviation !== undefined || deviationsInForce(family.deviations, now).length > 0;
  const covered = emergency === undefined && !departs ? found : undefined;
  const standing =
    covered === undefined
      ? undefined
      : standingFor(covered.state, covered.bound, wish.strategy, subject, now);
  return {
    strategy: wish.strategy,
    trigger: wish.trigger,
    reason: wish.reason,
    requestedBy: subject,
    ...(standing === undefined || policy === undefined
      ? {}
      : {
          standing: {
            policy: policy.policyId,
            approval: standing.approval,
            grantedBy: standing.grantedBy,
            until: formatInstant(standing.until),
          },
        }),
    ...(wish.windows === undefined ? {} : { windows: wish.windows }),
    ...(wish.deviation === undefined ? {} : { deviation: wish.deviation }),
    ...(wish.rehearses === undefined ? {} : { rehearses: wish.rehearses }),
    ...(wish.cohorts === undefined ? {} : { cohorts: wish.cohorts }),
    ...(emergency === undefined ? {} : { emergency }),
    ...(policy === undefined
      ? {}
      : {
          policy: {
            id: policy.policyId,
            revision: policy.revision,
            name: policy.name,
            terms: departedTerms(policy.terms, family.deviations, now),
          },
        }),
  };
}

function emergencyOf(
  wish: RotationWish,
  family: FamilyState,
  versions: readonly VersionSnapshot[],
  now: number,
): NonNullable<RotationRequest['emergency']> {
  const discoveredAt = wish.emergency?.discoveredAt ?? formatInstant(now);
  if ((parseInstant(discoveredAt) ?? 0) > now + 60_000) {
    throw new DomainError('emergency.discovered-later', 'discoveredAt lies in the future', {
      field: 'emergency.discoveredAt',
    });
  }
  const accepted = versions.filter((version) => version.accepted).map((version) => version.versionId);
  const named = wish.emergency?.compromisedVersions;
  const unknown = named?.find((id) => !versions.some((version) => version.versionId === id));
  if (unknown !== undefined) {
    throw new DomainError(
      'version.unknown',
      `this family has no version ${unknown}; known are: ${versions.map((version) => version.versionId).join(', ') || 'none'}`,
      { field: 'emergency.compromisedVersions' },
    );
  }
  const incidentNow = {
    reason: wish.reason,
    incident: wish.emergency?.incident,
    discoveredAt: parseInstant(discoveredAt) ?? now,
  };
  const bounded = wish.emergency?.unlessDeclared === true;
  const answers = bounded ? answersTo(family, incidentNow) : [];
  const inReach = bounded ? reached(versions, answers, incidentNow) : accepted;
  const compromisedVersions = [...(named ?? inReach)];
  if (bounded) requireUnanswered(answers, compromisedVersions);
  if (bounded && named === undefined && accepted.length > 0) requireReached(compromisedVersions, incidentNow);
  if (compromisedVersions.length === 0) {
    throw new DomainError(
      'emergency.no-version',
      'no version of this family is accepted, so none can be compromised: name them in emergency.compromisedVersions',
      { field: 'emergency.compromisedVersions' },
    );
  }
  const { exposedFrom, incident } = wish.emergency ?? {};
  return {
    compromisedVersions,
    discoveredAt,
    ...(exposedFrom === undefined ? {} : { exposedFrom }),
    ...(incident === undefined ? {} : { incident }),
    contain: wish.emergency?.contain ?? true,
  };
}

/** Every version of the family, the running rotation's facts included. */
async function currentVersions(ledger: Ledger, family: FamilyState): Promise<readonly VersionSnapshot[]> {
  if (family.slot?.open !== true) return family.versions;
  const { state } = await ledger.rotation(family.slot.rotation);
  return mergeVersions(family.versions, versionsAfter(state, family.compromised));
}

/** Refused before the slot is taken: a back end that is not here, or that cannot do what the strategy needs. */
function requirePerformable(backEnds: BackEnds, family: FamilyState, request: RotationRequest): void {
  if (family.details?.mode !== 'driven') return;
  const { declaration } = backEnds.get(family.details.backEnd?.instance ?? 'none');
  const rolls = request.strategy === 'rolling' || request.rehearses === 'rolling';
  if (rolls && !declaration.capabilities.cohorts) {
    throw new DomainError(
      'rotation.no-cohorts',
      `the back end ${declaration.instance} moves emission only all at once: ask for strategy graceful`,
      { field: 'strategy' },
    );
  }
}

/** Of a family that is written at the very moment its object is looked at. */
const MOST_LOOKS = 5;

export class RequestRotationHandler {
  constructor(
    private readonly ledger: Ledger,
    private readonly backEnds: BackEnds,
    private readonly policies: PolicyDirectory,
  ) {}

  async execute({ context, familyId, wish, expectedRevision }: RequestRotation): Promise<Placed> {
    const id = derivedId(this.ledger.logId, context.commandId);
    const stream = rotationStream(id);
    const begun = await this.ledger.rotation(id);
    if (begun.state.exists) return { id, stream, revision: begun.history.revision, changed: false };
    const { family, expected } = await this.#seen(familyId, wish, expectedRevision);
    // It opened its slot, died, and an emergency took the slot: it is not opened a second time.
    if (isRepeat(context, family.history.stream) && family.state.slot?.rotation !== id) {
      if (await completeSuperseded(this.ledger, familyId, id)) {
        const { history } = await this.ledger.rotation(id);
        return { id, stream, revision: history.revision, changed: false };
      }
    }
    const versions = await currentVersions(this.ledger, family.state);
    const { emergencies = [] } = family.state;
    const request = await requestOf(
      this.ledger,
      this.policies,
      // A repeat after a crash finds its own declaration: that one answers nothing before it.
      { ...family.state, emergencies: emergencies.filter((each) => each.rotation !== id) },
      versions,
      context.subject,
      wish,
    );
    const { state } = await this.ledger.decideAndAppend(
      () => this.ledger.family(familyId),
      (fresh) => {
        const events = openRotation({ rotation: id, request }, fresh);
        // Somebody else may have declared it meanwhile.
        if (wish.emergency?.unlessDeclared === true && request.emergency !== undefined && events.length > 0) {
          requireUnanswered(answersTo(fresh, incidentOf(request)), request.emergency.compromisedVersions);
        }
        // Refused before the slot is taken where it cannot be performed or planned.
        if (events.length > 0) requirePerformable(this.backEnds, fresh, request);
        if (request.emergency === undefined && events.length > 0) {
          plannedRotation(this.ledger, fresh, { rotation: id, request });
          // Last: what cannot be planned at all says so first.
          requireRunbook(fresh, request);
        }
        return events;
      },
      () => causeOf(context),
      // A repeat after a crash finds its own slot: the revision it was decided on is behind it.
      family.state.slot?.rotation === id ? undefined : expected,
    );
    failpoint('seam:slot-opened');
    const opened = await this.ledger.family(familyId);
    if (opened.state.slot?.rotation === id)
      await completeOpening(this.ledger, opened.state, opened.state.slot);
    const { history } = await this.ledger.rotation(id);
    return { id, stream, revision: history.revision, changed: state.slot?.rotation !== id };
  }

  /** The family, with what its object held before it was declared: a plan that does not know it would never revoke it. */
  async #seen(
    familyId: string,
    { strategy }: RotationWish,
    expected: number | undefined,
  ): Promise<{ readonly family: Loaded<FamilyState>; readonly expected: number | undefined }> {
    const { ledger, backEnds } = this;
    const family = await ledger.family(familyId);
    const { instance } = family.state.details?.backEnd ?? {};
    const performs = backEnds.find(instance ?? '')?.declaration.capabilities.performs === true;
    if (!family.state.exists || !performs || !isUnseen(family.state)) return { family, expected };
    const reconciler = new InventoryReconciler(ledger, backEnds);
    let looked = await reconciler.look(familyId);
    // Somebody else wrote the family meanwhile: what it holds was not compared.
    for (let tries = 1; looked === 'passed-over' && tries < MOST_LOOKS; tries += 1)
      looked = await reconciler.look(familyId);
    // An emergency waits for nobody; it names what it knows.
    if (looked !== 'read' && strategy !== 'emergency')
      throw new DomainError(
        'back-end.unseen',
        'what the family’s object holds already cannot be seen now, and a plan that does not know it would never revoke it: ask again once its back end answers (keyturn doctor)',
      );
    const seen = await ledger.family(familyId);
    // What we have just put on record changed nothing that whoever asks had decided on.
    return {
      family: seen,
      expected: expected === family.history.revision ? seen.history.revision : expected,
    };
  }
}

export class PreviewRotationHandler {
  constructor(
    private readonly ledger: Ledger,
    private readonly backEnds: BackEnds,
    private readonly policies: PolicyDirectory,
  ) {}

  async execute({ subject, familyId, wish, asIfFree }: PreviewRotation): Promise<RotationPreview> {
    const { state } = await this.ledger.family(familyId);
    const { slot: _slot, ...free } = state;
    const family: FamilyState = asIfFree ? free : state;
    const versions = await currentVersions(this.ledger, family);
    const request = await requestOf(this.ledger, this.policies, family, versions, subject, wish);
    const rotation = derivedId(this.ledger.logId, 'preview', familyId);
    openRotation({ rotation, request }, family);
    const plan =
      request.emergency === undefined
        ? plannedRotation(this.ledger, family, { rotation, request })
        : planEmergency({
            family,
            request,
            incomingVersionId: incomingVersionId(this.ledger.logId, rotation),
            versions,
            compromised: [...family.compromised, ...request.emergency.compromisedVersions],
          });
    const holds = (await this.ledger.holds()).state;
    const clocks = { newestRecordedAt: await this.ledger.store.newestRecordedAt() };
    // The back end's own clock is asked when a step is due, not for a look.
    const view = { family, holds, clocks, backEnd: { observed: { versions } } };
    return {
      plan: { ...plan, exceptions: [...plan.exceptions, ...readsValuesText(this.backEnds, plan)] },
      request,
      ...planDates(plan, view, this.ledger.store.clock.now()),
      whoBreaks: request.emergency === undefined ? [] : whoBreaks(plan),
      ...(family.slot?.open === true && request.emergency !== undefined
        ? { supersedes: family.slot.rotation }
        : {}),
    };
  }
}
