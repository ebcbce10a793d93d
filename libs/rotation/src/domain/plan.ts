import { DomainError } from '#eventlog';
import { cohortProblems, requireNone } from './cadence.js';
import { formatDuration, milliseconds } from './duration.js';
import type { FamilyState } from './family.decider.js';
import type { RotationRequest } from './family.events.js';
import type { Cohort, PolicyTerms } from './policy.events.js';
import type { PlannedConsumer, PlannedWindow, RotationPlan } from './rotation.events.js';
import type { StepName } from './step.events.js';
import { isForRehearsals, REHEARSAL_ENVIRONMENTS } from './rehearsal-environments.js';
import { runbookCompleteness } from './runbook.js';
import type { BackEndRef, VersionSnapshot } from './vocabulary.js';
import { bytesOf, fits, requireFits } from './plan-size.js';
import { carried, emittingVersion } from './versions.js';
import {
  acceptWindow,
  drainWindow,
  LARGEST_MAX_AGE_SECONDS,
  predictedOutage,
  refreshTerm,
  trustTerm,
  type WindowInput,
} from './windows.js';

/**
 * What binds a family that no policy selects: it is shown as an exception, never as a policy. Approval by one other
 * subject; the margins are the design's usual ones.
 */
export const TERMS_WITHOUT_POLICY: PolicyTerms = {
  stopEmitting: 'P90D',
  stopAccepting: 'P120D',
  margins: { clockSkew: 'PT30S', safety: 'PT5M' },
  approvals: 1,
  settle: 'PT1H',
  watch: 'PT1H',
  emergency: {
    approvalWithin: 'P1D',
    reviewWithin: 'P1D',
    targets: [],
  },
};

export interface PlanInput {
  readonly family: FamilyState;
  readonly request: RotationRequest;
  /** The version a new key would get. */
  readonly incomingVersionId: string;
  /** All versions of the family as they stand now; for an emergency, as observed. */
  readonly versions: readonly VersionSnapshot[];
}

function maxAgeSeconds(family: FamilyState): number {
  const caches = family.consumers
    .filter((consumer) => consumer.roles.includes('verifier') && !consumer.neverRefreshes)
    .map((consumer) => Math.floor(milliseconds(consumer.cacheTtl) / 1_000));
  // Nobody declared a cache: what was served so far is not lengthened on a guess.
  if (caches.length === 0) return Math.min(LARGEST_MAX_AGE_SECONDS, family.largestMaxAge);
  return Math.max(0, Math.min(LARGEST_MAX_AGE_SECONDS, ...caches));
}

function windowInput(family: FamilyState, terms: PolicyTerms, maxAge: number): WindowInput {
  return {
    consumers: family.consumers,
    artefactLife: family.details?.artefactLife,
    margins: terms.margins,
    maxAgeSeconds: Math.max(maxAge, family.largestMaxAge),
  };
}

function plannedConsumers(family: FamilyState, maxAge: number): PlannedConsumer[] {
  return family.consumers
    .map((consumer) => ({
      consumerId: consumer.consumerId,
      name: consumer.name,
      roles: [...consumer.roles],
      instances: consumer.instances,
      refreshTerm: formatDuration(refreshTerm(consumer, maxAge)),
      emitterPropagation: formatDuration(
        milliseconds(consumer.deployPropagation) +
          milliseconds(consumer.refreshDelay) +
          milliseconds(consumer.cacheTtl),
      ),
      thirdParty: consumer.thirdParty,
      neverRefreshes: consumer.neverRefreshes,
    }))
    .sort((left, right) => (left.consumerId < right.consumerId ? -1 : 1));
}

/** Puts an asked-for window in the place of the computed one; a shorter one stands on a deviation. */
function asked(
  window: PlannedWindow,
  wanted: string | undefined,
  field: 'accept' | 'drain',
  request: RotationRequest,
): PlannedWindow {
  if (wanted === undefined) return window;
  const free = request.strategy === 'rehearsal';
  if (milliseconds(wanted) < milliseconds(window.computed) && request.deviation === undefined && !free) {
    throw new DomainError(
      'window.below-computed',
      `the ${field} window must be at least ${window.computed}, because ${window.binding}; a shorter one needs a deviation {reason, until}`,
      { field: `windows.${field}`, computed: window.computed, binding: window.binding },
    );
  }
  return { ...window, required: formatDuration(milliseconds(wanted)) };
}

/** Where people do every step: the family's own back end if it names one, else a name that stands for them. */
export function attestedBackEnd(family: FamilyState): BackEndRef {
  return { instance: ATTESTED_INSTANCE, object: family.details?.backEnd?.object ?? family.familyId };
}

/** The back end whose effects are people's. */
export const ATTESTED_INSTANCE = 'attested';

function changeTimes(
  family: FamilyState,
  terms: PolicyTerms,
): Pick<RotationPlan, 'changeWindows' | 'blackouts'> {
  // The family's own place work inside the policy's; the saga asks for both (contracts, Policies).
  const { changeWindows: own = [] } = family.schedule ?? {};
  const changeWindows = own.length > 0 ? own : (terms.changeWindows ?? []);
  const blackouts = [...(terms.blackouts ?? []), ...(family.schedule?.blackouts ?? [])];
  return {
    ...(changeWindows.length === 0 ? {} : { changeWindows: [...changeWindows] }),
    ...(blackouts.length === 0 ? {} : { blackouts }),
  };
}

/** A deviation is what lets a driven family with an incomplete runbook be rotated: the plan says so. */
function withoutRunbook({ family, request }: PlanInput): readonly string[] {
  const { missing } = runbookCompleteness(family);
  const gated = family.details?.mode === 'driven' && request.strategy !== 'rehearsal';
  if (!gated || request.deviation === undefined || missing.length === 0) return [];
  return [`The runbook says nothing of ${missing.join(', ')}: rotated by deviation.`];
}

/** Consumers a plan names one by one among its exceptions. */
const MOST_NAMED = 20;

function common(input: PlanInput): {
  readonly plan: Omit<
    RotationPlan,
    | 'incoming'
    | 'outgoing'
    | 'emittingBefore'
    | 'leftAccepted'
    | 'windows'
    | 'approvals'
    | 'steps'
    | 'strategy'
  >;
  readonly windows: WindowInput;
} {
  const { family } = input;
  const { policy } = input.request;
  const details = family.details;
  if (details === undefined) throw new DomainError('family.not-found', 'there is no such secret family');
  const attested = details.mode !== 'driven';
  if (!attested && (details.backEnd === undefined || details.algorithm === undefined)) {
    throw new DomainError('family.not-driven', 'this family has no back end that Keyturn drives');
  }
  const terms = policy?.terms ?? TERMS_WITHOUT_POLICY;
  const maxAge = maxAgeSeconds(family);
  const windows = windowInput(family, terms, maxAge);
  const bound = trustTerm(windows);
  const neverRefreshing = family.consumers.filter((consumer) => consumer.neverRefreshes);
  return {
    windows,
    plan: {
      sagaVersion: 1,
      backEnd: attested ? attestedBackEnd(family) : (details.backEnd ?? attestedBackEnd(family)),
      ...(details.algorithm === undefined ? {} : { algorithm: details.algorithm }),
      ...(attested ? { attested } : {}),
      ...changeTimes(family, terms),
      consumers: plannedConsumers(family, windows.maxAgeSeconds),
      maxAgeSeconds: maxAge,
      ...(policy === undefined
        ? {}
        : { policy: { id: policy.id, revision: policy.revision, name: policy.name } }),
      terms,
      ...(bound === undefined ? {} : { trustTerm: bound }),
      versionsBefore: [...carried(input.versions, family.versions)],
      exceptions: [
        ...(bound === undefined
          ? ['No bound is known for when the last verifier forgets a revoked version.']
          : []),
        ...(policy === undefined ? ['No policy selects this family: default terms apply.'] : []),
        ...(attested ? ['People perform every step of this rotation and attest it.'] : []),
        ...neverRefreshing
          .slice(0, MOST_NAMED)
          .map(
            (consumer) =>
              `${consumer.name} never refreshes its keys: no finite window covers it, a person decided.`,
          ),
        ...(neverRefreshing.length > MOST_NAMED
          ? [`So do ${neverRefreshing.length - MOST_NAMED} more consumers: see the plan’s consumers.`]
          : []),
        ...withoutRunbook(input),
      ],
    },
  };
}

/** 25, 50, 75, 100 %, one a week (design, The rotation). */
export const USUAL_COHORTS: readonly Cohort[] = [
  { share: 25, hold: 'P7D' },
  { share: 50, hold: 'P7D' },
  { share: 75, hold: 'P7D' },
  { share: 100, hold: 'PT0S' },
];

/**
 * The cohorts asked for, or the policy's, or the usual ones. Refused where they do not rise to 100 %, and where they go faster than
 * the policy's without a deviation.
 */
function cohortsOf(request: RotationRequest, terms: PolicyTerms): Cohort[] {
  const cohorts = request.cohorts ?? terms.cohorts ?? USUAL_COHORTS;
  requireNone(cohortProblems(cohorts), ['cohorts']);
  if (
    isFasterThanPolicy(request, terms) &&
    request.deviation === undefined &&
    request.strategy !== 'rehearsal'
  ) {
    throw new DomainError(
      'cohorts.faster-than-policy',
      `cohorts must move emission no faster than the policy’s ${cohortsText(terms.cohorts ?? [])}: no share earlier, and no fewer of them; faster ones need a deviation {reason, until}`,
      { field: 'cohorts' },
    );
  }
  return [...cohorts];
}

function isFasterThanPolicy({ cohorts }: RotationRequest, { cohorts: bound }: PolicyTerms): boolean {
  return cohorts !== undefined && bound !== undefined && bound.length > 0 && isFaster(cohorts, bound);
}

/** `25 % for P7D, then 100 %`. */
function cohortsText(cohorts: readonly Cohort[]): string {
  return cohorts
    .map(({ share, hold }, index) => (index === cohorts.length - 1 ? `${share} %` : `${share} % for ${hold}`))
    .join(', then ');
}

/** Where these cohorts have some share of emission earlier than those, or are looked at fewer times on the way. */
function isFaster(asked: readonly Cohort[], bound: readonly Cohort[]): boolean {
  const begun = (cohorts: readonly Cohort[]): readonly { readonly at: number; readonly share: number }[] => {
    let at = 0;
    return cohorts.map(({ share, hold }) => {
      const from = at;
      at += milliseconds(hold);
      return { at: from, share };
    });
  };
  const allowed = begun(bound);
  const most = (at: number): number =>
    Math.max(0, ...allowed.map((cohort) => (cohort.at <= at ? cohort.share : 0)));
  return asked.length < bound.length || begun(asked).some((cohort) => cohort.share > most(cohort.at));
}

function requireConsumers(family: FamilyState): void {
  if (!family.consumers.some((consumer) => consumer.roles.includes('verifier'))) {
    throw new DomainError(
      'family.no-verifier',
      'no verifier of this family is known, so no accept window can be computed: register its consumers first',
      { field: 'consumers' },
    );
  }
  if (!family.consumers.some((consumer) => consumer.roles.includes('emitter'))) {
    throw new DomainError(
      'family.no-emitter',
      'no emitter of this family is known, so nobody could confirm the switch: register its consumers first',
      { field: 'consumers' },
    );
  }
}

/**
 * The plan of any rotation but an emergency. Refused where a window would be a guess (design, The rotation), and where the plan
 * could never be recorded: before a slot is taken for it.
 */
export function planRotation(input: PlanInput): RotationPlan {
  const plan = plannedBy(input);
  requireFits(plan);
  return plan;
}

function plannedBy(input: PlanInput): RotationPlan {
  const { family, request } = input;
  if (request.strategy === 'cutover') return planCutover(input);
  if (family.details?.overlap === 'none') {
    throw new DomainError(
      'family.overlap-none',
      'without overlap this family can only be cut over in a change window: ask for strategy cutover',
      { field: 'strategy' },
    );
  }
  if (request.strategy !== 'rehearsal') return planOverlapping(input, request.strategy);
  const { environment } = family.details ?? {};
  if (environment === undefined || !isForRehearsals(environment)) {
    throw new DomainError(
      'rehearsal.in-production',
      `a rehearsal has no approval, so it runs only where the environment’s name says that it is not production: one part of it, between dashes, is ${REHEARSAL_ENVIRONMENTS.join(', ')}, and none is production, prd or live; ${environment ?? 'this one'} is not: rehearse on the family’s staging sibling`,
      { field: 'strategy', environment, taken: REHEARSAL_ENVIRONMENTS },
    );
  }
  const rehearses = request.rehearses ?? 'graceful';
  return { ...planOverlapping(input, rehearses), strategy: 'rehearsal', rehearses, approvals: 0 };
}

function planOverlapping(input: PlanInput, strategy: RotationRequest['strategy']): RotationPlan {
  const { family, request } = input;
  const { plan, windows } = common(input);
  requireConsumers(family);
  if (family.details?.artefactLife === undefined) {
    throw new DomainError(
      'family.artefact-life-unknown',
      'how long an emitted artefact lives is not recorded (artefactLife), so no drain window can be computed',
      { field: 'artefactLife' },
    );
  }
  const stuck = family.consumers.find(
    (consumer) => consumer.neverRefreshes && consumer.roles.includes('verifier'),
  );
  if (stuck !== undefined && request.deviation === undefined) {
    throw new DomainError(
      'consumer.never-refreshes',
      `${stuck.name} never refreshes its keys, so no finite accept window covers it: a person decides, by a deviation {reason, until}`,
      { field: 'deviation', consumer: stuck.name },
    );
  }
  const accept = asked(acceptWindow(windows), request.windows?.accept, 'accept', request);
  const drain = asked(drainWindow(windows), request.windows?.drain, 'drain', request);
  const emitting = emittingVersion(input.versions);
  const outgoing = input.versions.filter((version) => version.accepted && !version.destroyed);
  const why = request.strategy === 'rehearsal' ? 'for a rehearsal' : 'by deviation';
  const shortened = [
    ...(milliseconds(accept.required) < milliseconds(accept.computed)
      ? [`Accept window ${accept.required} instead of ${accept.computed}, ${why}.`]
      : []),
    ...(milliseconds(drain.required) < milliseconds(drain.computed)
      ? [`Drain window ${drain.required} instead of ${drain.computed}, ${why}.`]
      : []),
    ...(strategy === 'rolling' && isFasterThanPolicy(request, plan.terms)
      ? [
          `Cohorts ${cohortsText(request.cohorts ?? [])} instead of ${cohortsText(plan.terms.cohorts ?? [])}, ${why}.`,
        ]
      : []),
  ];
  const steps: StepName[] =
    outgoing.length === 0
      ? ['generate', 'accept', 'emit']
      : ['generate', 'accept', 'emit', 'revoke', 'verify'];
  return {
    ...plan,
    strategy,
    incoming: input.incomingVersionId,
    outgoing: outgoing.map((version) => version.versionId),
    ...(emitting === undefined ? {} : { emittingBefore: emitting.versionId }),
    leftAccepted: [],
    // Nothing to share emission with: the first version of a family takes all of it at once.
    ...(strategy === 'rolling' && emitting !== undefined ? { cohorts: cohortsOf(request, plan.terms) } : {}),
    windows: { accept, drain },
    approvals: request.deviation === undefined ? plan.terms.approvals : Math.max(1, plan.terms.approvals),
    steps,
    exceptions: [...plan.exceptions, ...shortened],
  };
}

/** The plan of a cutover: one change in a change window, with its predicted outage. */
function planCutover(input: PlanInput): RotationPlan {
  const { family, request } = input;
  if (family.details?.overlap !== 'none') {
    throw new DomainError(
      'cutover.overlap-possible',
      'this family can overlap: a graceful rotation has no outage; a cutover is for families without overlap',
      { field: 'strategy' },
    );
  }
  const { plan, windows } = common(input);
  requireConsumers(family);
  if ((plan.changeWindows ?? []).length === 0) {
    throw new DomainError(
      'cutover.no-change-window',
      'a cutover waits for a change window, and neither the family’s schedule nor its policy has one',
      { field: 'changeWindows' },
    );
  }
  const emitting = emittingVersion(input.versions);
  const outgoing = input.versions.filter((version) => version.accepted && !version.destroyed);
  return {
    ...plan,
    strategy: 'cutover',
    incoming: input.incomingVersionId,
    outgoing: outgoing.map((version) => version.versionId),
    ...(emitting === undefined ? {} : { emittingBefore: emitting.versionId }),
    leftAccepted: [],
    outage: predictedOutage(windows),
    approvals: request.deviation === undefined ? plan.terms.approvals : Math.max(1, plan.terms.approvals),
    steps: outgoing.length === 0 ? ['generate', 'cutover'] : ['generate', 'cutover', 'verify'],
    exceptions: [
      ...plan.exceptions,
      `No overlap: until every consumer has the new version, up to ${predictedOutage(windows).predicted}, some are refused.`,
    ],
  };
}

/** As many as an event has room for beside the consumers. */
function fewLines(lines: readonly string[]): string[] {
  let bytes = 0;
  return lines.slice(0, 50).filter((line) => (bytes += bytesOf(line)) <= MOST_BECAUSE_BYTES);
}

const MOST_BECAUSE_BYTES = 8 * 1024;

export interface PlanAmendment {
  readonly because: string[];
  readonly consumers: PlannedConsumer[];
  readonly windows?: { readonly accept: PlannedWindow; readonly drain: PlannedWindow };
  readonly trustTerm?: string;
  readonly outage?: { readonly predicted: string; readonly binding: string };
}

function longer(left: string, right: string): string {
  return milliseconds(left) >= milliseconds(right) ? left : right;
}

/** What is computed longer now lengthens what is required by as much; nothing is ever shortened. */
function grown(before: PlannedWindow, now: PlannedWindow): PlannedWindow {
  const more = milliseconds(now.computed) - milliseconds(before.computed);
  if (more <= 0) return before;
  return { ...now, required: formatDuration(milliseconds(before.required) + more) };
}

/** Without the deviation it was shortened by. */
function asComputed(window: PlannedWindow, lapsed: string | undefined): PlannedWindow {
  const shortened = milliseconds(window.required) < milliseconds(window.computed);
  return lapsed !== undefined && shortened ? { ...window, required: window.computed } : window;
}

/**
 * What a running plan must take over from the family as it stands now: a consumer that joined or left, more instances, a
 * longer cache. It binds at once; what shrank changes nothing (design, Windows). `undefined`: nothing of it moved. `lapsed`: when the
 * deviation ended that its windows stand on; from then on what is computed binds again.
 */
export function amendment(
  plan: RotationPlan,
  family: FamilyState,
  lapsed?: string,
): PlanAmendment | undefined {
  const maxAge = Math.max(plan.maxAgeSeconds, family.largestMaxAge);
  const input = windowInput(family, plan.terms, maxAge);
  const now = plannedConsumers(family, maxAge);
  const because: string[] = [];
  const consumers = now.map((consumer) => {
    const before = plan.consumers.find((each) => each.consumerId === consumer.consumerId);
    if (before === undefined) {
      because.push(`${consumer.name} joined as ${consumer.roles.join(' and ')}.`);
      return consumer;
    }
    const merged: PlannedConsumer = {
      ...consumer,
      refreshTerm: longer(before.refreshTerm, consumer.refreshTerm),
      emitterPropagation: longer(before.emitterPropagation, consumer.emitterPropagation),
      neverRefreshes: before.neverRefreshes || consumer.neverRefreshes,
    };
    if (merged.refreshTerm !== before.refreshTerm) {
      because.push(`${consumer.name} may now take ${merged.refreshTerm} to know a change.`);
    } else if (merged.emitterPropagation !== before.emitterPropagation) {
      because.push(`${consumer.name} may now take ${merged.emitterPropagation} to switch.`);
    }
    if (merged.instances !== before.instances) {
      because.push(`${consumer.name} has ${merged.instances} instances, not ${before.instances}.`);
    }
    if (merged.roles.join() !== before.roles.join()) {
      because.push(`${consumer.name} is ${merged.roles.join(' and ')} now.`);
    }
    if (merged.neverRefreshes !== before.neverRefreshes) {
      because.push(`${consumer.name} never refreshes its keys.`);
    }
    return merged;
  });
  for (const before of plan.consumers) {
    if (!now.some((consumer) => consumer.consumerId === before.consumerId)) {
      because.push(`${before.name} no longer uses this family.`);
    }
  }
  const windows =
    plan.windows === undefined || plan.strategy === 'emergency'
      ? undefined
      : {
          accept: grown(asComputed(plan.windows.accept, lapsed), acceptWindow(input)),
          drain: grown(asComputed(plan.windows.drain, lapsed), drainWindow(input)),
        };
  if (lapsed !== undefined && plan.windows !== undefined && plan.strategy !== 'emergency') {
    const { accept, drain } = plan.windows;
    if (asComputed(accept, lapsed) !== accept || asComputed(drain, lapsed) !== drain) {
      because.push(`The deviation ended ${lapsed}: what is computed binds again.`);
    }
  }
  if (windows !== undefined && plan.windows !== undefined) {
    if (windows.accept.required !== plan.windows.accept.required) {
      because.push(
        `The accept window grew from ${plan.windows.accept.required} to ${windows.accept.required}.`,
      );
    }
    if (windows.drain.required !== plan.windows.drain.required) {
      because.push(`The drain window grew from ${plan.windows.drain.required} to ${windows.drain.required}.`);
    }
  }
  const term = trustTerm(input);
  const outage = plan.outage === undefined ? undefined : predictedOutage(input);
  if (because.length === 0) return undefined;
  return {
    because: fewLines(because),
    consumers,
    ...(windows === undefined ? {} : { windows }),
    ...(term === undefined || plan.trustTerm === undefined
      ? {}
      : { trustTerm: longer(plan.trustTerm, term) }),
    ...(outage === undefined || plan.outage === undefined
      ? {}
      : {
          outage: milliseconds(outage.predicted) > milliseconds(plan.outage.predicted) ? outage : plan.outage,
        }),
  };
}

/**
 * The plan of an emergency, from the observed state: where the emitting version is clean no new key is made. Nothing
 * blocks it; what a planned rotation would have held stands among the exceptions.
 */
export function planEmergency(input: PlanInput & { readonly compromised: readonly string[] }): RotationPlan {
  const plan = emergencyPlan(input);
  if (fits(plan)) return plan;
  // What would have held a planned rotation is the first to give way: an emergency passes it.
  const { changeWindows: _windows, blackouts: _blackouts, ...lean } = plan;
  const { changeWindows: _ofPolicy, blackouts: _ofItToo, ...terms } = plan.terms;
  const versionsBefore = [...carried(plan.versionsBefore, input.family.versions, 0)];
  const smaller = { ...lean, terms, versionsBefore };
  requireFits(smaller);
  return smaller;
}

function emergencyPlan(input: PlanInput & { readonly compromised: readonly string[] }): RotationPlan {
  const { request, compromised } = input;
  const { plan, windows } = common(input);
  const emitting = emittingVersion(input.versions);
  // While cohorts share emission, one compromised part is enough: no half of it is left as it is.
  const sharing = input.versions.filter((version) => (version.emittingShare ?? 0) > 0);
  const clean =
    emitting !== undefined &&
    emitting.accepted &&
    ![emitting, ...sharing].some((version) => compromised.includes(version.versionId));
  const outgoing = input.versions.filter(
    (version) => version.accepted && !version.destroyed && compromised.includes(version.versionId),
  );
  const leftAccepted = input.versions.filter(
    (version) =>
      version.accepted &&
      !version.destroyed &&
      !compromised.includes(version.versionId) &&
      !(clean && [emitting, ...sharing].some((each) => each.versionId === version.versionId)),
  );
  const computed = acceptWindow(windows);
  const accept = { ...computed, required: request.windows?.accept ?? 'PT0S' };
  const drain = { ...drainWindow(windows), required: 'PT0S' };
  const cutsOver = !clean && input.family.details?.overlap === 'none';
  const steps: StepName[] = cutsOver
    ? ['generate', 'cutover', ...(outgoing.length === 0 ? [] : (['verify'] as const))]
    : [
        ...(clean ? [] : (['generate', 'accept', 'emit'] as const)),
        ...(outgoing.length === 0 ? [] : (['revoke', 'verify'] as const)),
      ];
  const unknownConsumers =
    plan.consumers.length === 0 ? ['No consumer is known: who breaks cannot be said.'] : [];
  return {
    ...plan,
    strategy: 'emergency',
    ...(clean ? {} : { incoming: input.incomingVersionId }),
    outgoing: outgoing.map((version) => version.versionId),
    ...(emitting === undefined ? {} : { emittingBefore: emitting.versionId }),
    leftAccepted: leftAccepted.map((version) => version.versionId),
    ...(cutsOver ? { outage: predictedOutage(windows) } : { windows: { accept, drain } }),
    approvals: 0,
    steps,
    exceptions: [
      ...plan.exceptions,
      ...unknownConsumers,
      ...(clean || cutsOver || milliseconds(accept.required) >= milliseconds(accept.computed)
        ? []
        : [`Accept window cut from ${accept.computed} to ${accept.required}: a decision of the declarer.`]),
      ...(outgoing.length === 0 ? [] : [`No drain: compromised versions are revoked at once.`]),
    ],
  };
}

/** What a planned rotation would have been held by, each taken as a recorded decision of the declarer. */
export function emergencyDecisions(
  family: FamilyState,
  request: RotationRequest,
  supersedes: string | undefined,
): string[] {
  const approvals = (request.policy?.terms ?? TERMS_WITHOUT_POLICY).approvals;
  return [
    ...(approvals > 0 ? ['Acts before approval: it is owed in retrospect.'] : []),
    ...(request.policy === undefined ? ['No policy selects this family: default terms apply.'] : []),
    ...(family.consumers.length === 0 ? ['No consumer is known: who breaks cannot be said.'] : []),
    ...(supersedes === undefined ? [] : [`Supersedes rotation ${supersedes}, which was under way.`]),
    ...(request.emergency?.contain === false
      ? ['Compromised versions are not contained before the new key is in place.']
      : []),
  ];
}

/** Who is refused when compromised versions go at once: said before an emergency acts. */
export function whoBreaks(plan: RotationPlan): readonly string[] {
  const emitters = plan.consumers.filter((consumer) => consumer.roles.includes('emitter'));
  const verifiers = plan.consumers.filter((consumer) => consumer.roles.includes('verifier'));
  return [
    ...emitters.map(
      (consumer) => `${consumer.name}: what it emitted with a revoked version is refused from then on`,
    ),
    ...verifiers.map(
      (consumer) =>
        `${consumer.name}: may refuse the new version, and trust the old one, ${consumer.neverRefreshes ? 'without end: it never refreshes' : `for up to ${consumer.refreshTerm}`}`,
    ),
  ];
}

/** Of a family as it stands: the longest a verifier may go on trusting what is withdrawn or denied now. */
export function slowestTrustTerm(
  family: FamilyState,
  terms: PolicyTerms = TERMS_WITHOUT_POLICY,
): string | undefined {
  return trustTerm(windowInput(family, terms, maxAgeSeconds(family)));
}
