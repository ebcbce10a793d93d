import { DomainError } from '#eventlog';
import { formatDuration, milliseconds } from './duration.js';
import type { FamilyState } from './family.decider.js';
import type { RotationRequest } from './family.events.js';
import type { PolicyTerms } from './policy.events.js';
import type { PlannedConsumer, PlannedWindow, RotationPlan } from './rotation.events.js';
import type { StepName } from './step.events.js';
import type { VersionSnapshot } from './vocabulary.js';
import { emittingVersion } from './versions.js';
import { acceptWindow, drainWindow, refreshTerm, trustTerm, type WindowInput } from './windows.js';

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

/** The JWKS document's `max-age` is never more (contracts, The JWKS document). */
export const LARGEST_MAX_AGE_SECONDS = 300;

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
  if (milliseconds(wanted) < milliseconds(window.computed) && request.deviation === undefined) {
    throw new DomainError(
      'window.below-computed',
      `the ${field} window must be at least ${window.computed}, because ${window.binding}; a shorter one needs a deviation {reason, until}`,
      { field: `windows.${field}`, computed: window.computed, binding: window.binding },
    );
  }
  return { ...window, required: formatDuration(milliseconds(wanted)) };
}

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
  if (details?.backEnd === undefined || details.algorithm === undefined) {
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
      backEnd: details.backEnd,
      algorithm: details.algorithm,
      consumers: plannedConsumers(family, windows.maxAgeSeconds),
      maxAgeSeconds: maxAge,
      ...(policy === undefined
        ? {}
        : { policy: { id: policy.id, revision: policy.revision, name: policy.name } }),
      terms,
      ...(bound === undefined ? {} : { trustTerm: bound }),
      versionsBefore: [...input.versions],
      exceptions: [
        ...(bound === undefined
          ? ['No bound is known for when the last verifier forgets a revoked version.']
          : []),
        ...(policy === undefined ? ['No policy selects this family: default terms apply.'] : []),
        ...neverRefreshing.map(
          (consumer) =>
            `${consumer.name} never refreshes its keys: no finite window covers it, a person decided.`,
        ),
      ],
    },
  };
}

/** The plan of a graceful rotation. Refused where a window would be a guess (design, The rotation). */
export function planGraceful(input: PlanInput): RotationPlan {
  const { family, request } = input;
  const { plan, windows } = common(input);
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
  const shortened = [
    ...(milliseconds(accept.required) < milliseconds(accept.computed)
      ? [`Accept window ${accept.required} instead of ${accept.computed}, by deviation.`]
      : []),
    ...(milliseconds(drain.required) < milliseconds(drain.computed)
      ? [`Drain window ${drain.required} instead of ${drain.computed}, by deviation.`]
      : []),
  ];
  const steps: StepName[] =
    outgoing.length === 0
      ? ['generate', 'accept', 'emit']
      : ['generate', 'accept', 'emit', 'revoke', 'verify'];
  return {
    ...plan,
    strategy: 'graceful',
    incoming: input.incomingVersionId,
    outgoing: outgoing.map((version) => version.versionId),
    ...(emitting === undefined ? {} : { emittingBefore: emitting.versionId }),
    leftAccepted: [],
    windows: { accept, drain },
    approvals: request.deviation === undefined ? plan.terms.approvals : Math.max(1, plan.terms.approvals),
    steps,
    exceptions: [...plan.exceptions, ...shortened],
  };
}

/**
 * The plan of an emergency, from the observed state: where the emitting version is clean no new key is made. Nothing
 * blocks it; what a planned rotation would have held stands among the exceptions.
 */
export function planEmergency(input: PlanInput & { readonly compromised: readonly string[] }): RotationPlan {
  const { request, compromised } = input;
  const { plan, windows } = common(input);
  const emitting = emittingVersion(input.versions);
  const clean = emitting !== undefined && !compromised.includes(emitting.versionId) && emitting.accepted;
  const outgoing = input.versions.filter(
    (version) => version.accepted && !version.destroyed && compromised.includes(version.versionId),
  );
  const leftAccepted = input.versions.filter(
    (version) =>
      version.accepted &&
      !version.destroyed &&
      !compromised.includes(version.versionId) &&
      !(clean && version.versionId === emitting.versionId),
  );
  const computed = acceptWindow(windows);
  const accept = { ...computed, required: request.windows?.accept ?? 'PT0S' };
  const drain = { ...drainWindow(windows), required: 'PT0S' };
  const steps: StepName[] = [
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
    windows: { accept, drain },
    approvals: 0,
    steps,
    exceptions: [
      ...plan.exceptions,
      ...unknownConsumers,
      ...(clean || milliseconds(accept.required) >= milliseconds(accept.computed)
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
