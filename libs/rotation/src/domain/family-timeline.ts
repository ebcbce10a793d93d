import type { DestructionEvent } from './destruction.events.js';
import { departureText } from './deviations.js';
import { driftText } from './drift.js';
import type { FamilyEvent } from './family.events.js';
import type { TelemetryEvent } from './telemetry.events.js';
import {
  entryOf,
  grouped,
  list,
  minuteText,
  nameOf,
  oneLine,
  stepWords,
  type TimelineEntry,
  type Words,
} from './timeline.js';

type Names = Readonly<Record<string, string>>;

/** The facts of a family beside those of its rotations and containments, as lines of its timeline. */
export function familyFactsOf(
  events: readonly (FamilyEvent | DestructionEvent | TelemetryEvent)[],
  names: Names,
): readonly TimelineEntry[] {
  return events.map((event) => entryOf(event, wordsOf(event, names), names));
}

function wordsOf(event: FamilyEvent | DestructionEvent | TelemetryEvent, names: Names): Words {
  const note = (title: string, detail = ''): Words => ({ kind: 'note', title, detail: oneLine(detail) });
  const decision = (title: string, detail = ''): Words => ({
    kind: 'decision',
    title,
    detail: oneLine(detail),
  });
  const request = (title: string, detail = ''): Words => ({
    kind: 'request',
    title,
    detail: oneLine(detail),
  });
  switch (event.type) {
    case 'FamilyRegistered':
      return note(
        'Registered',
        `${event.data.environment}/${event.data.name}, ${event.data.kind}, ${event.data.mode}`,
      );
    case 'RegistrationOwed':
      return note('Registered in haste', `the rest is owed by ${minuteText(event.data.due)}`);
    case 'FamilyClassified': {
      const { kind, protects, usage, team } = event.data;
      return decision('Classified', `${kind}, protects ${protects}, to ${usage}, team ${team}`);
    }
    case 'RunbookRevised':
      return note('Runbook revised', Object.keys(event.data).join(', '));
    case 'ScheduleSet':
      return decision('Schedule set', Object.keys(event.data).join(', '));
    case 'FamilyDeviationRequested':
      return request(
        'Deviation asked for',
        `${departureText(event.data)}, until ${minuteText(event.data.until)}: ${event.data.reason}`,
      );
    case 'FamilyDeviationApproved':
      return decision('Deviation approved', event.data.note);
    case 'FamilyDeviationClosed':
      return decision('Deviation closed', event.data.reason);
    case 'OwnerAssigned':
      return decision('Owner assigned', event.data.role);
    case 'ConsumerRegistered':
      return note('Consumer registered', `${event.data.name}, ${event.data.roles.join(' and ')}`);
    case 'ConsumerRevised':
      return note('Consumer revised', event.data.name);
    case 'ConsumerRemoved':
      return note(
        'Consumer removed',
        `${names[event.data.consumerId] ?? event.data.consumerId}: ${event.data.reason}`,
      );
    case 'VersionObserved':
      return note(
        'Version observed',
        `${event.data.versionId}${event.data.source === undefined ? '' : `, by ${event.data.source}`}`,
      );
    case 'DriftObserved':
      return {
        kind: 'failure',
        title: 'Drift: the back end is not as the record has it',
        detail: driftText({ ...event.data, more: event.data.more ?? 0 }),
      };
    case 'DriftSettled':
      return event.data.by === 'person'
        ? decision('Drift accepted', event.data.reason)
        : note('Drift gone', 'the back end is as the record has it');
    case 'CompromiseSuspected':
      return decision('Compromise suspected', `${list(event.data.versions)}: ${event.data.reason}`);
    case 'CompromiseConfirmed':
      return decision('Compromise confirmed', `${list(event.data.versions)}: ${event.data.reason}`);
    case 'CompromiseCleared':
      return decision('Suspicion cleared', `${list(event.data.versions)}: ${event.data.reason}`);
    case 'ExposureScoped':
      return note('Exposure scoped', `${list(event.data.versions)}: ${event.data.scope}`);
    case 'CustodianAssigned':
      return decision('Custodian assigned', `${nameOf(event.data.subject, names)}: ${event.data.knows}`);
    case 'CustodianAcknowledged':
      return { ...note('Custodian acknowledged', event.data.statement), kind: 'confirmation' };
    case 'CustodianDeparted':
      return note('Custodian left', `${nameOf(event.data.subject, names)}, ${minuteText(event.data.leftAt)}`);
    case 'RotationAuthoritySet':
      return decision('Rotation authority set', `${event.data.kind}: ${event.data.reason}`);
    case 'ReviewCompleted':
      return {
        ...note('Runbook reviewed', `${event.data.summary}; next review ${event.data.nextReview}`),
        kind: 'confirmation',
      };
    case 'FamilyRetired':
      return { ...note('Retired', event.data.reason), kind: 'end' };
    case 'FactCorrected':
      return note(`Corrected: ${event.data.type}`, `${event.data.correction}; why: ${event.data.reason}`);
    case 'SlotTaken':
      return { ...note('Slot taken', `${event.data.process} ${event.data.id}`), minor: true };
    case 'SlotFreed':
      return { ...note('Slot freed', `${event.data.process} ${event.data.id}`), minor: true };
    case 'RotationOpened':
      return { ...note('Slot taken', `rotation ${event.data.rotation}`), minor: true };
    case 'RotationClosed':
      return { ...note('Slot freed', `rotation ${event.data.rotation}: ${event.data.outcome}`), minor: true };
    case 'DestructionRequested':
      return request('Destruction requested', `${list(event.data.versions)}: ${event.data.reason}`);
    case 'DestructionApproved':
      return decision('Destruction approved', event.data.note);
    case 'DestructionRejected':
      return decision('Destruction rejected', event.data.reason);
    case 'DestructionSuspended':
      return {
        kind: 'failure',
        title: 'Destruction suspended: needs a person',
        detail: `${event.data.reason} (${event.data.code}); asked: ${event.data.person}`,
      };
    case 'DestructionTokenSupplied':
      return decision(
        'Token to destroy with supplied',
        event.data.endsAt === undefined ? undefined : `good until ${event.data.endsAt}`,
      );
    case 'DestructionRetried':
      return request('Destruction to be tried again', event.data.reason);
    case 'OldKeyDestroyed':
      return { kind: 'effect', title: 'Key material destroyed', detail: list(event.data.versions) };
    case 'Attested':
      return {
        ...note(`Attested: ${event.data.step}`, event.data.evidence.note),
        kind: 'confirmation',
        ...(event.data.by === undefined ? {} : { doneBy: event.data.by }),
      };
    case 'TelemetrySampled': {
      const { from, to, current, previous, invalid } = event.data;
      return note(
        'Uses counted',
        `current ${grouped(current)}, previous ${grouped(previous)}, invalid ${grouped(invalid)}; ${minuteText(from)} to ${minuteText(to)}`,
      );
    }
    case 'StepStarted':
    case 'StepFailed':
      return stepWords(event);
  }
}
