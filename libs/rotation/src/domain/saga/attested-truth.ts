import type { NewRotationEvent, RotationPlan } from '../rotation.events.js';
import type { RotationState } from '../rotation.state.js';
import { alreadySo, versionsOf, type SeenVersion, type StepVersions } from '../step-effects.js';
import type { StepName } from '../step.events.js';
import type { VersionSnapshot } from '../vocabulary.js';
import { deniedVersions } from './holds.js';
import { cause, type Decision, type RotationView, wait } from './view.js';

/** What people said that they did, compared with what the back end shows. */

/** How often the back end is asked about what was attested, once the rotation is over. */
export const COMPARE_MS = 300_000;

/**
 * What was attested outlives its rotation until it was compared. A rotation that is over performs nothing any more: where the back
 * end shows something else, the family's record is put right by what was seen, so that the schedule and every later plan start from
 * it, and the contradiction is on record.
 */
export function comparing(view: RotationView, now: number): Decision | undefined {
  const { rotation, backEnd, family } = view;
  const { unreconciled, plan } = rotation;
  // Where people are the back end, nothing will ever show it.
  if (unreconciled.length === 0 || plan === undefined || plan.attested === true) return undefined;
  const { observed } = backEnd;
  if ('unavailable' in observed) {
    return wait(`the back end to show what was attested: ${observed.unavailable}`, now + COMPARE_MS);
  }
  const compared = compare(view, plan, observed.versions);
  if (compared.contradicted.length === 0 && compared.later.length > 0) {
    return wait(
      `${compared.later.join(', ')}: attested, to be compared when what is under way is over`,
      now + COMPARE_MS,
    );
  }
  const wrong = misrecorded(compared, plan, rotation, family.versions, observed.versions);
  if (wrong.length > 0) return { kind: 'put-right', versions: wrong, dueTo: cause(rotation) };
  return {
    kind: 'record',
    dueTo: cause(rotation),
    events: [reconciliation(compared, plan, observed.versions)],
  };
}

/** In a rotation under way: what is not so is to be performed after all. */
export function reconciled(view: RotationView): Decision | undefined {
  const { rotation, backEnd } = view;
  const { plan, unreconciled } = rotation;
  if (plan === undefined || unreconciled.length === 0 || !('versions' in backEnd.observed)) return undefined;
  const { versions } = backEnd.observed;
  const compared = compare(view, plan, versions);
  if (compared.contradicted.length === 0 && compared.later.length > 0) return undefined;
  return { kind: 'record', dueTo: cause(rotation), events: [reconciliation(compared, plan, versions)] };
}

/** Attested steps by what the back end says of them. */
type Comparison = Readonly<Record<'shown' | 'contradicted' | 'unseen' | 'later', readonly StepName[]>>;

function compare(view: RotationView, plan: RotationPlan, seen: readonly VersionSnapshot[]): Comparison {
  const of = (verdict: keyof Comparison): readonly StepName[] =>
    view.rotation.unreconciled.filter((step) => verdictOn(step, view, plan, seen) === verdict);
  return { shown: of('shown'), contradicted: of('contradicted'), unseen: of('unseen'), later: of('later') };
}

/** `unseen`: nothing shows it, or a later fact undid it on purpose. `later`: what is under way decides whether it can be seen. */
function verdictOn(
  step: StepName,
  view: RotationView,
  plan: RotationPlan,
  seen: readonly VersionSnapshot[],
): keyof Comparison {
  const { rotation, family } = view;
  const versions = versionsOf(step, plan, rotation, []);
  if (undone(rotation, step)) return 'unseen';
  const byLater = family.slot !== undefined && family.slot.rotation !== rotation.rotationId;
  // Nobody takes back on purpose what is compromised.
  const final = step === 'revoke' && versions.subject.every((id) => family.compromised.includes(id));
  if (byLater && !final) {
    if (family.slot?.open) return 'later';
    if (isSo(step, versions, family.versions, rotation) !== true) return 'unseen';
  }
  // Denied on suspicion it is not accepted, whatever was done before.
  const denied = deniedVersions(view);
  if ((step === 'accept' || step === 'reaccept') && versions.subject.some((id) => denied.includes(id)))
    return 'later';
  const so = isSo(step, versions, seen, rotation);
  return so === undefined ? 'unseen' : so ? 'shown' : 'contradicted';
}

/** Whether these versions look as the step leaves them; `undefined`: nothing shows that. */
function isSo(
  step: StepName,
  versions: StepVersions,
  seen: readonly SeenVersion[],
  { accepted, switched }: RotationState,
): boolean | undefined {
  switch (step) {
    case 'verify':
    case 'contain':
    case 'lift':
    case 'destroy':
      return undefined;
    case 'withdraw':
      // What was never accepted looks withdrawn.
      return accepted === undefined ? undefined : alreadySo('revoke', versions, seen);
    case 'generate':
    case 'accept':
    case 'emit':
    case 'revoke':
    case 'cutover':
    case 'reaccept':
    case 'return':
    case 'cutback':
      return alreadySo(step, versions, seen, switched?.share);
  }
}

/** A later fact of the same rotation took it back on purpose. */
function undone({ withdrawn, returned, reaccepted }: RotationState, step: StepName): boolean {
  return (
    (step === 'accept' && withdrawn !== undefined) ||
    ((step === 'emit' || step === 'cutover') && returned !== undefined) ||
    (step === 'revoke' && reaccepted !== undefined)
  );
}

/** The versions of what is contradicted, as they were seen, where the family's record has them otherwise. */
function misrecorded(
  { contradicted }: Comparison,
  plan: RotationPlan,
  rotation: RotationState,
  recorded: readonly VersionSnapshot[],
  seen: readonly VersionSnapshot[],
): readonly VersionSnapshot[] {
  const touched = new Set(
    contradicted.flatMap((step) => {
      const { subject, out } = versionsOf(step, plan, rotation, []);
      return step === 'revoke' || step === 'withdraw'
        ? subject
        : [...subject, ...out, plan.incoming, plan.emittingBefore].filter((id) => id !== undefined);
    }),
  );
  return [...touched].flatMap((id): readonly VersionSnapshot[] => {
    const before = recorded.find((version) => version.versionId === id);
    const shown = seen.find((version) => version.versionId === id);
    if (before === undefined) return shown === undefined ? [] : [shown];
    // What the back end does not have is neither accepted nor emits.
    const { accepted, emittingShare = before.emittingShare } = shown ?? { accepted: false, emittingShare: 0 };
    return before.accepted === accepted && before.emittingShare === emittingShare
      ? []
      : [{ ...before, accepted, ...(emittingShare === undefined ? {} : { emittingShare }) }];
  });
}

type Reconciliation = Extract<NewRotationEvent, { readonly type: 'AttestationReconciled' }>;

function reconciliation(
  { shown, contradicted, unseen, later }: Comparison,
  plan: RotationPlan,
  seen: readonly VersionSnapshot[],
): Reconciliation {
  const agrees = contradicted.length === 0;
  const notCompared = [...unseen, ...later];
  return {
    type: 'AttestationReconciled',
    data: {
      steps: [...(agrees ? shown : contradicted)],
      agrees,
      differences: contradicted.map((step) => difference(step, plan, seen)),
      ...(notCompared.length === 0 ? {} : { notCompared }),
    },
  };
}

function difference(step: StepName, plan: RotationPlan, seen: readonly VersionSnapshot[]): string {
  const out = step === 'revoke' ? plan.outgoing : step === 'withdraw' ? [plan.incoming] : [];
  const still = out.filter((id) => seen.some((version) => version.versionId === id && version.accepted));
  return still.length === 0
    ? `The back end does not show what was attested of ${step}.`
    : `The back end does not show what was attested of ${step}: it still accepts ${still.join(', ')}.`.slice(
        0,
        500,
      );
}
