import type { NewRotationEvent, RotationPlan } from '../rotation.events.js';
import { alreadySo, versionsOf } from '../step-effects.js';
import type { StepName } from '../step.events.js';
import type { VersionSnapshot } from '../vocabulary.js';
import { deniedVersions, leftBy } from './holds.js';
import { cause, type Decision, type RotationView, wait } from './view.js';

/** What people said that they did, compared with what the back end shows. */

/** How often the back end is asked about what was attested, once the rotation is over. */
export const COMPARE_MS = 300_000;

/** What was attested outlives its rotation until the back end was seen: a contradiction is on record once, and watched until it ends. */
export function comparing(view: RotationView, now: number): Decision | undefined {
  const { unreconciled, contradicted, plan } = view.rotation;
  // Where people are the back end, nothing will ever show it.
  if (unreconciled.length === 0 || plan === undefined || plan.attested === true) return undefined;
  const { observed } = view.backEnd;
  if ('unavailable' in observed) {
    return wait(`the back end to show what was attested: ${observed.unavailable}`, now + COMPARE_MS);
  }
  const compared = compare(view, plan, observed.versions);
  return compared.data.agrees || contradicted === undefined
    ? { kind: 'record', dueTo: cause(view.rotation), events: [compared] }
    : wait('the back end to show what was attested, which it contradicts', now + COMPARE_MS);
}

/** What people attested is compared with the back end as soon as that can be observed. */
export function reconciled(view: RotationView): Decision | undefined {
  const { rotation, backEnd } = view;
  const { plan, unreconciled } = rotation;
  if (plan === undefined || unreconciled.length === 0 || !('versions' in backEnd.observed)) return undefined;
  const compared = compare(view, plan, backEnd.observed.versions);
  return { kind: 'record', dueTo: cause(rotation), events: [compared] };
}

type Compared = Extract<NewRotationEvent, { readonly type: 'AttestationReconciled' }>;

function compare(view: RotationView, plan: RotationPlan, seen: readonly VersionSnapshot[]): Compared {
  const { rotation } = view;
  const { unreconciled, switched } = rotation;
  const wrong = unreconciled.filter(
    (step) =>
      RECONCILABLE.includes(step) &&
      !overtaken(view, step) &&
      !alreadySo(step, versionsOf(step, plan, rotation, []), seen, switched?.share),
  );
  return {
    type: 'AttestationReconciled',
    data: {
      steps: wrong.length > 0 ? wrong : [...unreconciled],
      agrees: wrong.length === 0,
      differences: wrong.map((step) => difference(step, plan, seen)),
    },
  };
}

function difference(step: StepName, plan: RotationPlan, seen: readonly VersionSnapshot[]): string {
  const accepted = (versions: readonly string[]): string =>
    versions.filter((id) => seen.some((version) => version.versionId === id && version.accepted)).join(', ');
  const still = step === 'revoke' ? accepted(plan.outgoing) : '';
  return still === ''
    ? `The back end does not show what was attested of ${step}.`
    : `The back end does not show what was attested of ${step}: it still accepts ${still}.`.slice(0, 500);
}

/** Steps whose result a back end shows; the others can only be believed. */
const RECONCILABLE: readonly StepName[] = [
  'generate',
  'accept',
  'emit',
  'revoke',
  'cutover',
  'reaccept',
  'return',
  'cutback',
];

/** A later fact, of this rotation or of its family, undid on purpose what this step brought about. */
function overtaken(view: RotationView, step: StepName): boolean {
  const { rotation, family } = view;
  const byLater = family.slot !== undefined && family.slot.rotation !== rotation.rotationId;
  const left = leftBy(rotation, step === 'accept' ? 'emit' : step);
  const denied = left !== undefined && deniedVersions(view).includes(left);
  switch (step) {
    case 'accept':
      return byLater || denied || rotation.withdrawn !== undefined;
    case 'emit':
    case 'cutover':
      return byLater || denied || rotation.returned !== undefined;
    case 'revoke':
      return rotation.reaccepted !== undefined;
    case 'reaccept':
    case 'return':
    case 'cutback':
      return byLater || denied;
    case 'generate':
      return byLater;
    case 'verify':
    case 'withdraw':
    case 'contain':
    case 'lift':
    case 'destroy':
      return false;
  }
}
