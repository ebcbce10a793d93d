import { formatInstant, parseInstant, SYSTEM_ACTOR, type Provenance, type RecordedEvent } from '#eventlog';
import type { ContainmentEvent } from './containment.events.js';
import { milliseconds, parseDuration } from './duration.js';
import type { CONSUMER_ROLES } from './family.events.js';
import type { EmergencyTarget } from './policy.events.js';
import type { PlannedConsumer, PlannedWindow, RotationEvent, RotationPlan } from './rotation.events.js';
import { amendedPlan } from './rotation.state.js';
import type { StepEvent } from './step.events.js';

export type TimelineKind =
  'request' | 'decision' | 'effect' | 'confirmation' | 'gate' | 'failure' | 'end' | 'note';

/** One fact of a rotation in plain words. */
export interface TimelineEntry {
  readonly eventId: string;
  readonly treeSize: number;
  readonly type: string;
  /** When it was so, where that was recorded; else when it was written. See `instantNotRecorded`. */
  readonly at: number;
  readonly recordedAt: number;
  readonly occurredAt?: number;
  /** Imported without an instant: `at` is then only when it was written, and a page says "not recorded". */
  readonly instantNotRecorded: boolean;
  readonly title: string;
  readonly detail: string;
  readonly actorName: string;
  /** Who did it, where the fact itself names somebody else than who appended it. */
  readonly doneBy?: string;
  readonly provenance: Provenance;
  readonly kind: TimelineKind;
  /** Intents and other lines that a short view leaves out. */
  readonly minor?: true;
}

export type TimelineEvent = RotationEvent | ContainmentEvent;

export interface TimelineInput {
  readonly rotationEvents: readonly RotationEvent[];
  readonly containmentEvents: readonly ContainmentEvent[];
  /** Subject or consumer id → name; an id without a name is shown as it is. */
  readonly names: Readonly<Record<string, string>>;
}

/** All facts of a rotation and of its containments in the log's total order. */
export function timelineOf({
  rotationEvents,
  containmentEvents,
  names,
}: TimelineInput): readonly TimelineEntry[] {
  const plan = planOf(rotationEvents);
  const emergency = firstOf(rotationEvents, 'RotationRequested')?.data.strategy === 'emergency';
  const confirmed = new Map<string, Set<string>>();
  const entries: TimelineEntry[] = [];
  let share: number | undefined;
  for (const event of inTotalOrder([...rotationEvents, ...containmentEvents])) {
    if (event.type === 'EmitterSwitched') share = event.data.share;
    const progress = progressOf(event, plan, confirmed);
    const cohort = cohortBegun(event, plan, share);
    const words = wordsOf(event, {
      plan,
      names,
      emergency,
      progress,
      ...(cohort === undefined ? {} : { cohort }),
    });
    entries.push(entryOf(event, words, names));
  }
  return entries;
}

/** A fact as one line of a timeline, in these words. */
export function entryOf(
  event: RecordedEvent,
  words: Words,
  names: Readonly<Record<string, string>>,
): TimelineEntry {
  const actor = nameOf(event.actor, names);
  return {
    eventId: event.id,
    treeSize: event.treeSize,
    type: event.type,
    at: instantOf(event),
    recordedAt: event.recordedAt,
    ...(event.occurredAt === undefined ? {} : { occurredAt: event.occurredAt }),
    instantNotRecorded: event.provenance === 'imported' && event.occurredAt === undefined,
    actorName:
      event.onBehalfOf === undefined ? actor : `${actor}, on behalf of ${nameOf(event.onBehalfOf, names)}`,
    provenance: event.provenance,
    ...words,
  };
}

/** What was so at an instant: the facts whose own time (else their writing) is not later. */
export function asOf<Event extends { readonly occurredAt?: number; readonly recordedAt: number }>(
  events: readonly Event[],
  instant: number,
): readonly Event[] {
  return events.filter((event) => instantOf(event) <= instant);
}

type TargetVerdict = 'met' | 'late' | 'not recorded' | 'not judged';

export interface TargetResult {
  readonly name: string;
  readonly fact: EmergencyTarget['fact'];
  /** Milliseconds from discovery. */
  readonly within: number;
  readonly dueAt: number;
  /** The instant the verdict stands on. Absent where the fact was not recorded: a target is never shown as an actual. */
  readonly actualAt?: number;
  /** An earlier instant somebody stated for the fact; it never turns late into on time. */
  readonly statedAt?: number;
  /** `not judged`: the fact was imported; imports never make a verdict. */
  readonly verdict: TargetVerdict;
}

/** The T+ targets of an emergency, counted from its discovery. Empty where no emergency was declared. */
export function emergencyTargets(
  rotationEvents: readonly RotationEvent[],
  containmentEvents: readonly ContainmentEvent[],
): readonly TargetResult[] {
  const events = inTotalOrder([...rotationEvents, ...containmentEvents]);
  const declared = firstOf(events, 'EmergencyDeclared');
  if (declared === undefined) return [];
  const discoveredAt = parseInstant(declared.data.discoveredAt);
  if (discoveredAt === undefined) return [];
  const outgoing = planOf(rotationEvents)?.outgoing;
  return declared.data.targets.map((target): TargetResult => {
    const within = milliseconds(target.within);
    const dueAt = discoveredAt + within;
    const base = { name: target.name, fact: target.fact, within, dueAt };
    const fact = targetFact(target.fact, events, declared.data.compromisedVersions, outgoing);
    if (fact === undefined) return { ...base, verdict: 'not recorded' };
    if (fact.provenance === 'imported') {
      return fact.occurredAt === undefined
        ? { ...base, verdict: 'not recorded' }
        : { ...base, actualAt: fact.occurredAt, verdict: 'not judged' };
    }
    const actualAt = countedInstant(fact);
    const stated =
      fact.occurredAt !== undefined && fact.occurredAt < actualAt ? { statedAt: fact.occurredAt } : {};
    return { ...base, actualAt, ...stated, verdict: actualAt <= dueAt ? 'met' : 'late' };
  });
}

export interface WindowRun {
  /** Absent where no plan was recorded (an imported history). */
  readonly planned?: PlannedWindow;
  readonly startedAt?: number;
  readonly endedAt?: number;
  /** Absent while it runs, and where either end was not recorded. */
  readonly actualMs?: number;
}

/**
 * The two windows as they ran. Ours run on the record's own clock (`recordedAt`), never on a supplied time; for an
 * imported history its own instants are all there is.
 */
export function windowsOf(events: readonly RotationEvent[]): {
  readonly accept: WindowRun;
  readonly drain: WindowRun;
} {
  const ordered = inTotalOrder(events);
  const plan = planOf(ordered);
  const accepted = firstOf(ordered, 'DualAcceptDeployed');
  const switched = switchToIncoming(ordered);
  const emit = firstEmitAttempt(ordered) ?? switched;
  const revoked = firstOf(ordered, 'OldKeyRevoked');
  const revokedAt = revoked === undefined ? undefined : windowInstant(revoked);
  const drained = switched === undefined ? undefined : drainStart(ordered, plan, switched);
  // An emergency may revoke before the emitters confirmed: then no drain ever ran.
  const neverDrained = drained !== undefined && revokedAt !== undefined && revokedAt < drained;
  return {
    accept: run(
      plan?.windows?.accept,
      accepted === undefined ? undefined : windowInstant(accepted),
      accepted === undefined || emit === undefined ? undefined : windowInstant(emit),
    ),
    drain: run(plan?.windows?.drain, neverDrained ? undefined : drained, revokedAt),
  };
}

export interface ConfirmationCount {
  readonly consumerId: string;
  readonly name: string;
  readonly role: (typeof CONSUMER_ROLES)[number];
  /** k: instances that confirmed the incoming version. */
  readonly confirmed: number;
  /** n: the instances the plan knows. */
  readonly of: number;
  /** When k reached n. */
  readonly confirmedAt?: number;
  /** A person let the rotation pass without it. */
  readonly overridden: boolean;
}

/** k of n, for each planned consumer in each of its roles. Empty where no plan was recorded. */
export function confirmationsOf(events: readonly RotationEvent[]): readonly ConfirmationCount[] {
  const ordered = inTotalOrder(events);
  const plan = planOf(ordered);
  if (plan === undefined) return [];
  return plan.consumers.flatMap((consumer) =>
    consumer.roles.map((role): ConfirmationCount => {
      const type = role === 'verifier' ? 'AcceptanceConfirmed' : 'EmissionConfirmed';
      const gate = role === 'verifier' ? 'acceptance-confirmations' : 'emission-confirmations';
      const { confirmed, last } = countConfirmations(ordered, type, consumer, plan);
      const confirmedAt = last === undefined ? undefined : windowInstant(last);
      return {
        consumerId: consumer.consumerId,
        name: consumer.name,
        role,
        confirmed,
        of: consumer.instances,
        ...(confirmedAt === undefined ? {} : { confirmedAt }),
        overridden: ordered.some(
          (event) =>
            event.type === 'GateOverridden' &&
            event.data.gate === gate &&
            event.data.consumerId === consumer.consumerId,
        ),
      };
    }),
  );
}

/** A span as people write it: `7 d 4 h`, `45 min`, `0 s`. */
export function spanText(milliseconds: number): string {
  if (milliseconds < 0) return `−${spanText(-milliseconds)}`;
  const units = [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['min', 60_000],
    ['s', 1_000],
  ] as const;
  const parts: string[] = [];
  let rest = milliseconds;
  for (const [unit, size] of units) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) parts.push(`${count} ${unit}`);
  }
  if (parts.length > 0) return parts.join(' ');
  return rest > 0 ? `${rest} ms` : '0 s';
}

export interface Words {
  readonly title: string;
  readonly detail: string;
  readonly kind: TimelineKind;
  readonly minor?: true;
  readonly doneBy?: string;
}

interface Context {
  readonly plan: RotationPlan | undefined;
  readonly names: Readonly<Record<string, string>>;
  readonly emergency: boolean;
  /** "2 of 3 instances", for a confirmation. */
  readonly progress: string;
  /** Of an attempt to emit, of more than one cohort: the share it is to reach. */
  readonly cohort?: number;
}

/** Each cohort is a part of its own: the attempt after a part that was reached repeats nothing. */
function cohortBegun(
  event: TimelineEvent,
  plan: RotationPlan | undefined,
  reached: number | undefined,
): number | undefined {
  if (event.type !== 'StepStarted' || event.data.step !== 'emit') return undefined;
  const shares = (plan?.cohorts ?? []).map(({ share }) => share);
  return shares.length < 2 ? undefined : shares.find((share) => share > (reached ?? 0));
}

function wordsOf(event: TimelineEvent, context: Context): Words {
  switch (event.type) {
    case 'RotationRequested': {
      const { strategy, trigger, reason, supersedes } = event.data;
      const superseded = supersedes === undefined ? '' : `; supersedes rotation ${supersedes}`;
      return {
        kind: 'request',
        title: strategy === 'emergency' ? 'Emergency rotation requested' : 'Rotation requested',
        detail: `${strategy}, ${trigger.replaceAll('-', ' ')}: ${oneLine(reason)}${superseded}`,
      };
    }
    case 'RotationPlanned': {
      const { outgoing, incoming, windows, outage, approvals } = event.data;
      const move =
        incoming === undefined
          ? `revokes ${list(outgoing)}, no new version`
          : `${outgoing.length === 0 ? 'no old version' : list(outgoing)} → ${incoming}`;
      const spans =
        windows === undefined
          ? `no overlap, predicted outage ${spanText(milliseconds(outage?.predicted))}`
          : `accept window ${spanText(milliseconds(windows.accept.required))}, drain window ${spanText(milliseconds(windows.drain.required))}`;
      return {
        kind: 'decision',
        title: 'Plan frozen',
        detail: `${move}; ${spans}; approvals needed: ${approvals}`,
      };
    }
    case 'RotationApproved':
      return {
        kind: 'decision',
        title: context.emergency
          ? 'Approved in retrospect'
          : event.data.standing === undefined
            ? 'Approved'
            : 'Approved in advance',
        detail:
          event.data.standing === undefined
            ? oneLine(event.data.note ?? '')
            : `standing approval, until ${minuteText(event.data.standing.until)}`,
      };
    case 'RotationRejected':
      // Refusing an emergency afterwards is an exception; it undoes and ends nothing.
      return {
        kind: context.emergency ? 'decision' : 'end',
        title: context.emergency ? 'Approval refused in retrospect' : 'Rejected',
        detail: oneLine(event.data.reason),
      };
    case 'EmergencyDeclared': {
      const { compromisedVersions, discoveredAt, incident } = event.data;
      return {
        kind: 'decision',
        title: 'Emergency declared',
        detail: `compromised: ${list(compromisedVersions)}; discovered ${minuteText(discoveredAt)}${
          incident === undefined ? '' : `; incident ${incident}`
        }`,
      };
    }
    case 'KeyGenerated': {
      const { versionId, algorithm, strengthBits, by } = event.data;
      const strength = strengthBits === undefined ? '' : `, ${strengthBits} bit`;
      return {
        kind: 'effect',
        title: 'New key generated',
        detail: `${versionId}, ${algorithm}${strength}${settled(event.data)}`,
        ...(by === undefined ? {} : { doneBy: by }),
      };
    }
    case 'DualAcceptDeployed':
      return {
        kind: 'effect',
        title: event.data.versions.length > 1 ? 'Old and new accepted side by side' : 'New version accepted',
        detail: `accepted: ${list(event.data.versions)}${settled(event.data)}`,
      };
    case 'AcceptanceConfirmed':
      return {
        kind: 'confirmation',
        title: 'Verifier confirmed',
        detail: `${consumerName(event.data.consumerId, context)} accepts ${event.data.versionId}; ${context.progress}`,
      };
    case 'EmitterSwitched': {
      const { from, to, share } = event.data;
      return {
        kind: 'effect',
        title: 'Emission moved to the new version',
        detail: `${from === undefined ? '' : `${from} → `}${to}, ${share} %${settled(event.data)}`,
      };
    }
    case 'EmissionConfirmed':
      return {
        kind: 'confirmation',
        title: 'Emitter confirmed',
        detail: `${consumerName(event.data.consumerId, context)} uses ${event.data.versionId}; ${context.progress}`,
      };
    case 'GateEvaluated': {
      const { gate, required, actual, binding } = event.data;
      return {
        kind: 'gate',
        title: `Gate passed: ${gate.replaceAll('-', ' ')}`,
        detail: `required ${lengthText(required)}, actual ${lengthText(actual)}${binding === undefined ? '' : `; binding: ${binding}`}`,
      };
    }
    case 'GateOverridden':
      return {
        kind: 'gate',
        title: `Gate overridden: ${event.data.gate.replaceAll('-', ' ')}`,
        detail:
          event.data.consumerId === undefined
            ? oneLine(event.data.reason)
            : `${consumerName(event.data.consumerId, context)}: ${oneLine(event.data.reason)}`,
      };
    case 'PlanAmended':
      return { kind: 'decision', title: 'Plan amended', detail: event.data.because.map(oneLine).join(' ') };
    case 'CutOver': {
      const { from, to, versions } = event.data;
      return {
        kind: 'effect',
        title: 'Cut over: the new version in, the old one out',
        detail: `${from === undefined ? '' : `${from} → `}${to}; out: ${list(versions)}${settled(event.data)}`,
      };
    }
    case 'CutBack':
      return {
        kind: 'effect',
        title: 'Cut back: the old version in, the new one out',
        detail: `${event.data.to}; out: ${list(event.data.versions)}${settled(event.data)}`,
      };
    case 'KeyReaccepted':
      return {
        kind: 'effect',
        title: 'Old version accepted again',
        detail: `${list(event.data.versions)}${settled(event.data)}`,
      };
    case 'StepSwitchedToAttested':
      return {
        kind: 'decision',
        title: `People take over: ${event.data.step}`,
        detail: oneLine(event.data.reason),
      };
    case 'Attested': {
      const { step, evidence, by } = event.data;
      const parts = [
        evidence.link,
        evidence.sha256 === undefined ? undefined : `SHA-256 ${evidence.sha256}`,
        evidence.note,
      ];
      return {
        kind: 'confirmation',
        title: `Attested: ${step}`,
        detail: parts.flatMap((part) => (part === undefined ? [] : [oneLine(part)])).join('; '),
        ...(by === undefined ? {} : { doneBy: by }),
      };
    }
    case 'AttestationReconciled': {
      const { agrees, steps, differences, notCompared = [] } = event.data;
      const unseen = notCompared.length === 0 ? [] : [`not compared: ${notCompared.join(', ')}`];
      return {
        kind: 'gate',
        title: !agrees
          ? 'The back end does not show what was attested'
          : steps.length > 0
            ? 'The back end shows what was attested'
            : 'Nothing shows what was attested',
        detail: [...(agrees ? [steps.join(', ')] : differences.map(oneLine)), ...unseen]
          .filter((part) => part !== '')
          .join('; '),
      };
    }
    case 'ConfirmationWithdrawn':
      return {
        kind: 'confirmation',
        title: 'Confirmation withdrawn',
        detail: `${consumerName(event.data.consumerId, context)}, ${event.data.instances.length} instances: ${oneLine(event.data.reason)}`,
      };
    case 'OldKeyRevoked': {
      const { versions, trustEndsAt } = event.data;
      const trust =
        trustEndsAt === undefined
          ? ''
          : `; no verifier of the plan trusts it after ${minuteText(trustEndsAt)} (computed)`;
      return {
        kind: 'effect',
        title: 'Old version revoked',
        detail: `${list(versions)} no longer accepted${trust}${settled(event.data)}`,
      };
    }
    case 'OldKeyRejectionVerified': {
      const tried = isTried(event.data);
      const said = tried ? 'refused' : 'not accepted on record';
      const refused = event.data.refused.map(({ versionId, how }) => `${versionId} ${said} (${how})`);
      const accepted = event.data.accepted.map(({ versionId, how }) => `${versionId} accepted (${how})`);
      return {
        kind: 'confirmation',
        title: tried ? 'Old version tested: refused' : 'Old version’s refusal could not be tested',
        detail: `${[...refused, ...accepted].join('; ')}${settled(event.data)}`,
      };
    }
    case 'SessionsInvalidated':
      return { kind: 'effect', title: 'Sessions ended', detail: oneLine(event.data.note ?? '') };
    case 'ReauthenticationVerified':
      return { kind: 'confirmation', title: 'Sign-in verified', detail: oneLine(event.data.note ?? '') };
    case 'RollbackRequested':
      return { kind: 'request', title: 'Rollback requested', detail: oneLine(event.data.reason) };
    case 'EmissionReturned': {
      const { from, to } = event.data;
      return {
        kind: 'effect',
        title: 'Emission returned to the old version',
        detail: `${from === undefined ? '' : `${from} → `}${to}${settled(event.data)}`,
      };
    }
    case 'NewKeyWithdrawn':
      return {
        kind: 'effect',
        title: 'New version withdrawn',
        detail: `${list(event.data.versions)} no longer accepted${settled(event.data)}`,
      };
    case 'RotationRolledBack':
      return { kind: 'end', title: 'Rolled back', detail: 'back where it began; not a completed rotation' };
    case 'PauseRequested':
      return { kind: 'request', title: 'Pause requested', detail: oneLine(event.data.reason) };
    case 'RotationPaused':
      return { kind: 'decision', title: 'Paused', detail: 'windows keep running' };
    case 'RotationResumed':
      return { kind: 'decision', title: 'Resumed', detail: oneLine(event.data.reason ?? '') };
    case 'AbandonRequested':
      return { kind: 'request', title: 'Abandoning requested', detail: oneLine(event.data.reason) };
    case 'RotationAbandoned':
      return { kind: 'end', title: 'Abandoned', detail: 'given up; nothing of it is accepted' };
    case 'RotationSuspended': {
      const { code, reason, step, person } = event.data;
      return {
        kind: 'failure',
        title: 'Suspended: needs a person',
        detail: `${step === undefined ? '' : `step ${step}: `}${reason} (${code}); asked: ${person}`,
      };
    }
    case 'RetryRequested':
      return { kind: 'request', title: 'Retry requested', detail: oneLine(event.data.reason ?? '') };
    case 'RotationSuperseded':
      return { kind: 'end', title: 'Superseded by an emergency', detail: `rotation ${event.data.by}` };
    case 'RotationCompleted': {
      const { leftAccepted } = event.data;
      return {
        kind: 'end',
        title: 'Completed',
        detail: leftAccepted.length === 0 ? '' : `also left accepted: ${list(leftAccepted)}`,
      };
    }
    case 'DeviationRecorded':
      return {
        kind: 'decision',
        title: 'Deviation recorded',
        detail: `${event.data.what}, until ${minuteText(event.data.until)}: ${oneLine(event.data.reason)}${
          event.data.family === undefined
            ? ''
            : `; approved by ${nameOf(event.data.family.approvedBy, context.names)}`
        }`,
      };
    case 'FactCorrected':
      return {
        kind: 'note',
        title: `Corrected: ${event.data.type}`,
        detail: `${oneLine(event.data.correction)}; why: ${oneLine(event.data.reason)}`,
      };
    case 'NoteAdded':
      return {
        kind: 'note',
        title: 'Note',
        detail: oneLine(event.data.note),
        ...(event.data.by === undefined ? {} : { doneBy: event.data.by }),
      };
    case 'TelemetryRecorded': {
      const { from, to, current, previous, invalid, note } = event.data;
      const span =
        from === undefined || to === undefined
          ? 'span not recorded'
          : `${minuteText(from)} to ${minuteText(to)}`;
      return {
        kind: 'note',
        title: 'Uses counted',
        detail: `current ${grouped(current)}, previous ${grouped(previous)}, invalid ${grouped(invalid)}; ${span}${
          note === undefined ? '' : `; ${oneLine(note)}`
        }`,
      };
    }
    case 'PostIncidentReviewed':
      return {
        kind: 'confirmation',
        title: 'Post-incident review held',
        detail: oneLine(event.data.summary),
      };
    case 'ContainmentRequested': {
      const { versions, reason, incident } = event.data;
      return {
        kind: 'request',
        title: 'Containment requested',
        detail: `${list(versions)}: ${oneLine(reason)}${incident === undefined ? '' : `; incident ${incident}`}`,
      };
    }
    case 'ContainmentApplied':
      return {
        kind: 'effect',
        title: 'Containment applied',
        detail: `${list(event.data.versions)} denied in the back end; ${
          event.data.trustEndsAt === undefined
            ? 'how long verifiers trust what they hold is not known'
            : `verifiers may trust what they hold until ${minuteText(event.data.trustEndsAt)} (computed)`
        }${settled(event.data)}`,
      };
    case 'ContainmentSuspended':
      return {
        kind: 'failure',
        title: 'Containment suspended: needs a person',
        detail: `${event.data.reason} (${event.data.code}); asked: ${event.data.person}`,
      };
    case 'ContainmentRetried':
      return { kind: 'request', title: 'Containment to be tried again', detail: '' };
    case 'ContainmentLiftRequested':
      return {
        kind: 'request',
        title: 'Lifting of the containment requested',
        detail: oneLine(event.data.reason),
      };
    case 'ContainmentLiftWithdrawn':
      return { kind: 'decision', title: 'The containment stays', detail: event.data.reason };
    case 'ContainmentLifted':
      return {
        kind: 'effect',
        title: 'Containment lifted',
        detail: `${list(event.data.versions)} no longer denied by it${settled(event.data)}`,
      };
    case 'StepStarted': {
      const words = stepWords(event);
      if (context.cohort === undefined) return words;
      return { ...words, title: `Step begun: ${event.data.step}, cohort ${context.cohort} %` };
    }
    case 'StepFailed':
      return stepWords(event);
  }
}

export function stepWords(event: StepEvent): Words {
  switch (event.type) {
    case 'StepStarted': {
      const { step, attempt, observesFirst } = event.data;
      return {
        kind: 'effect',
        minor: true,
        title: attempt === 1 ? `Step begun: ${step}` : `Step tried again: ${step}`,
        detail: `attempt ${attempt}${observesFirst ? ', the back end observed first' : ''}`,
      };
    }
    case 'StepFailed': {
      const { step, attempt, performed, errorClass, reason } = event.data;
      return {
        kind: 'failure',
        title: performed === 'no' ? `Step not done: ${step}` : `Step failed, outcome unknown: ${step}`,
        detail: `attempt ${attempt}, ${errorClass}: ${reason}`,
      };
    }
  }
}

/** How a back end's fact was settled, where that is more than its own answer. */
function settled(data: { readonly settledBy?: 'answer' | 'observation' | undefined }): string {
  return data.settledBy === 'observation' ? ' (found done when observed)' : '';
}

function progressOf(
  event: TimelineEvent,
  plan: RotationPlan | undefined,
  confirmed: Map<string, Set<string>>,
): string {
  if (event.type !== 'AcceptanceConfirmed' && event.type !== 'EmissionConfirmed') return '';
  const { consumerId, versionId, instances } = event.data;
  const key = `${event.type} ${consumerId} ${versionId}`;
  const seen = confirmed.get(key) ?? new Set<string>();
  for (const instance of instances) seen.add(instance);
  confirmed.set(key, seen);
  const planned = plan?.consumers.find((consumer) => consumer.consumerId === consumerId);
  if (planned === undefined)
    return `${seen.size} ${seen.size === 1 ? 'instance' : 'instances'}, total not recorded`;
  return `${seen.size} of ${planned.instances} ${planned.instances === 1 ? 'instance' : 'instances'}`;
}

function targetFact(
  fact: EmergencyTarget['fact'],
  events: readonly TimelineEvent[],
  compromised: readonly string[],
  outgoing: readonly string[] | undefined,
): TimelineEvent | undefined {
  switch (fact) {
    case 'ContainmentApplied':
    case 'OldKeyRevoked': {
      // Only the fact that leaves no compromised version out settles it; the plan may know that one was already gone.
      const planned =
        outgoing === undefined ? compromised : compromised.filter((id) => outgoing.includes(id));
      const needed = new Set(fact === 'OldKeyRevoked' && planned.length > 0 ? planned : compromised);
      for (const event of events) {
        // A cutover takes the old one out in the same act.
        if (event.type !== fact && !(fact === 'OldKeyRevoked' && event.type === 'CutOver')) continue;
        for (const version of event.data.versions) needed.delete(version);
        if (needed.size === 0) return event;
      }
      return undefined;
    }
    case 'EmitterSwitched':
      return events.find(
        (event) => event.type === 'CutOver' || (event.type === 'EmitterSwitched' && event.data.share === 100),
      );
    case 'DualAcceptDeployed':
      return events.find(({ type }) => type === fact || type === 'CutOver');
    case 'EmergencyDeclared':
    case 'OldKeyRejectionVerified':
    case 'SessionsInvalidated':
    case 'ReauthenticationVerified':
    case 'RotationCompleted':
    case 'PostIncidentReviewed':
      return firstOf(events, fact);
  }
}

/** Whether the old version was really tried: a back end that cannot tell says `not probed`, and has only its record to go by. */
export function isTried({ refused }: { readonly refused: readonly { readonly how: string }[] }): boolean {
  return refused.some(({ how }) => !how.startsWith('not probed'));
}

/**
 * The instant a verdict stands on. A fact written after its due date never turns late into on time, unless the back end's
 * own clock says so.
 */
export function countedInstant(event: TimelineEvent): number {
  const backEndAt = 'backEndAt' in event.data ? event.data.backEndAt : undefined;
  const observed = backEndAt === undefined ? undefined : parseInstant(backEndAt);
  const trusted = event.provenance === 'performed' || event.provenance === 'observed';
  return observed !== undefined && trusted && observed < event.recordedAt ? observed : event.recordedAt;
}

function run(
  planned: PlannedWindow | undefined,
  startedAt: number | undefined,
  endedAt: number | undefined,
): WindowRun {
  return {
    ...(planned === undefined ? {} : { planned }),
    ...(startedAt === undefined ? {} : { startedAt }),
    ...(endedAt === undefined ? {} : { endedAt }),
    ...(startedAt === undefined || endedAt === undefined ? {} : { actualMs: endedAt - startedAt }),
  };
}

function switchToIncoming(ordered: readonly TimelineEvent[]): EventOf<'EmitterSwitched'> | undefined {
  // The drain waits for the last cohort; a history that never reached 100 % has no drain.
  return ordered.find(
    (event): event is EventOf<'EmitterSwitched'> =>
      event.type === 'EmitterSwitched' && event.data.share === 100,
  );
}

/** The first emit attempt that may have had an effect: one that ended as "not performed" used nothing. */
function firstEmitAttempt(ordered: readonly TimelineEvent[]): TimelineEvent | undefined {
  return ordered.find((event) => {
    if (event.type !== 'StepStarted' || event.data.step !== 'emit') return false;
    const { attempt } = event.data;
    return !ordered.some(
      (later) =>
        later.type === 'StepFailed' &&
        later.data.step === 'emit' &&
        later.data.attempt === attempt &&
        later.data.performed === 'no',
    );
  });
}

/**
 * From the last emitter confirmed; where one was overridden, from the switch and its propagation. `undefined` while
 * one is still owed: then no drain has begun.
 */
function drainStart(
  ordered: readonly RotationEvent[],
  plan: RotationPlan | undefined,
  switched: RotationEvent,
): number | undefined {
  const switchedAt = windowInstant(switched);
  if (switchedAt === undefined) return undefined;
  if (plan === undefined) {
    const confirmations = ordered.filter((event) => event.type === 'EmissionConfirmed').map(windowInstant);
    return confirmations.reduce<number>((latest, at) => Math.max(latest, at ?? latest), switchedAt);
  }
  // Each cohort is confirmed anew: what counts here came after the last one.
  const after = ordered.slice(ordered.indexOf(switched) + 1);
  let start = switchedAt;
  for (const consumer of plan.consumers) {
    if (!consumer.roles.includes('emitter')) continue;
    const { last } = countConfirmations(after, 'EmissionConfirmed', consumer, plan);
    const overridden = ordered.some(
      (event) =>
        event.type === 'GateOverridden' &&
        event.data.gate === 'emission-confirmations' &&
        event.data.consumerId === consumer.consumerId,
    );
    const confirmedAt = last === undefined ? undefined : windowInstant(last);
    if (confirmedAt !== undefined) start = Math.max(start, confirmedAt);
    else if (overridden) start = Math.max(start, switchedAt + milliseconds(consumer.emitterPropagation));
    else return undefined;
  }
  return start;
}

function countConfirmations(
  ordered: readonly RotationEvent[],
  type: 'AcceptanceConfirmed' | 'EmissionConfirmed',
  consumer: PlannedConsumer,
  plan: RotationPlan,
): { readonly confirmed: number; readonly last?: RotationEvent } {
  const seen = new Set<string>();
  let last: RotationEvent | undefined;
  for (const event of ordered) {
    if (event.type !== type || event.data.consumerId !== consumer.consumerId) continue;
    // A rollback confirms the old version by the same facts: they do not count for the new one.
    const counts =
      plan.incoming === undefined
        ? !plan.outgoing.includes(event.data.versionId)
        : event.data.versionId === plan.incoming;
    if (!counts) continue;
    for (const instance of event.data.instances) seen.add(instance);
    if (last === undefined && seen.size >= consumer.instances) last = event;
  }
  return { confirmed: Math.min(seen.size, consumer.instances), ...(last === undefined ? {} : { last }) };
}

/** The plan as it bound in the end: as it was frozen, with every amendment. */
export function planOf(events: readonly TimelineEvent[]): RotationPlan | undefined {
  return events.reduce<RotationPlan | undefined>((plan, event) => {
    if (event.type === 'RotationPlanned') return plan ?? event.data;
    if (event.type === 'PlanAmended' && plan !== undefined) return amendedPlan(plan, event.data);
    // People make versions whose names are not ours.
    if (event.type === 'KeyGenerated' && plan?.incoming !== undefined) {
      return { ...plan, incoming: event.data.versionId };
    }
    return plan;
  }, undefined);
}

type EventOf<Type extends TimelineEvent['type']> = Extract<TimelineEvent, { readonly type: Type }>;

function firstOf<Type extends TimelineEvent['type']>(
  events: readonly TimelineEvent[],
  type: Type,
): EventOf<Type> | undefined {
  return events.find((event): event is EventOf<Type> => event.type === type);
}

function inTotalOrder<Event extends { readonly treeSize: number }>(
  events: readonly Event[],
): readonly Event[] {
  return [...events].sort((a, b) => a.treeSize - b.treeSize);
}

function instantOf(event: { readonly occurredAt?: number; readonly recordedAt: number }): number {
  return event.occurredAt ?? event.recordedAt;
}

function windowInstant(event: TimelineEvent): number | undefined {
  return event.provenance === 'imported' ? event.occurredAt : event.recordedAt;
}

export function nameOf(id: string, names: Readonly<Record<string, string>>): string {
  return names[id] ?? (id === SYSTEM_ACTOR ? 'Keyturn' : id);
}

function consumerName(id: string, { plan, names }: Context): string {
  return plan?.consumers.find((consumer) => consumer.consumerId === id)?.name ?? names[id] ?? id;
}

export function list(items: readonly string[]): string {
  return items.length === 0 ? 'none' : items.join(', ');
}

/** A gate's value: a length in words, anything else as it came. */
function lengthText(value: string): string {
  const length = parseDuration(value);
  return length === undefined ? value : spanText(length);
}

export function oneLine(text: string): string {
  return text.replaceAll(/\s+/gu, ' ');
}

/** `2025-11-13 09:00 UTC`, seconds only where there are any. */
export function minuteText(instant: string): string {
  const at = parseInstant(instant);
  if (at === undefined) return instant;
  const text = formatInstant(at);
  const seconds = text.slice(17, 19);
  return `${text.slice(0, 10)} ${text.slice(11, 16)}${seconds === '00' ? '' : `:${seconds}`} UTC`;
}

/** Thousands apart, the same on every machine (no locale). */
export function grouped(count: number): string {
  return String(count).replaceAll(/\B(?=(\d{3})+$)/gu, ',');
}
