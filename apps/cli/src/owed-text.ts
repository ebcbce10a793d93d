import { shellWord } from '#rotation';
import type { Containment, Destruction, Due, Policy } from './api.js';
import { destructionCommands } from './process-text.js';
import type { Session } from './session.js';
import { day, dayAndDistance, shortId, waitsForText } from './words.js';

/** More than this belongs into a list of its own, not before somebody who wants to see how things stand. */
export const SHOWN = 10;

/** What somebody owes, and the exact command that settles it or shows what does; `null`: there is none to copy. */
export type Owed = Due & { readonly next: string | null };

/** A containment that is open, and what a person does about it. */
export type OpenContainment = Containment & { readonly next: string };

/** A policy that binds nobody before somebody else approved it. */
export type WaitingPolicy = Policy & { readonly next: string };

export type OpenDestruction = Destruction & { readonly next: string };

export function owedNext({ kind, key, family, rotation }: Due): string | null {
  const name = family === null ? undefined : shellWord(family.qualifiedName);
  switch (kind) {
    case 'emergency-approval':
      return typeof rotation !== 'string' ? null : `keyturn approve ${rotation}`;
    case 'post-incident-review':
      return typeof rotation !== 'string' ? null : `keyturn review ${rotation} --summary "…"`;
    case 'policy-review':
      return 'keyturn apply -f FILE';
    case 'runbook-review':
      return name === undefined ? null : `keyturn reviewed ${name} --summary "…" --next DATE`;
    case 'departure':
      return name === undefined ? null : `keyturn rotate ${name} --trigger personnel-departure --reason "…"`;
    case 'deviation-end':
      if (typeof rotation === 'string') return `keyturn status ${rotation}`;
      return name === undefined ? null : `keyturn deviation close ${name} ${key ?? 'ID'} --reason "…"`;
    case 'reconciliation':
      return typeof rotation !== 'string' ? null : `keyturn status ${rotation}`;
    case 'registration':
      return name === undefined ? null : `keyturn runbook ${name}`;
    case undefined:
    default:
      return null;
  }
}

export function containmentNext({ id, status }: Containment): string {
  return status === 'suspended' ? `keyturn containment retry ${id}` : `keyturn containment show ${id}`;
}

export function policyNext({ id }: Policy): string {
  return `keyturn approve ${id}`;
}

export function destructionNext(destruction: Destruction): string {
  return destructionCommands(destruction)[0] ?? `keyturn destruction show ${destruction.id}`;
}

export function policyLines(session: Session, policies: readonly WaitingPolicy[]): readonly string[] {
  const { paint } = session;
  return short(
    session,
    'Policies that wait for approval',
    policies.map(({ name, next }) => [`  ${name}`, `    ${paint(next, 'cyan')}`]),
    'keyturn policies',
  );
}

export function destructionsLines(
  session: Session,
  destructions: readonly OpenDestruction[],
  nameOf: (family: string) => string,
): readonly string[] {
  const entries = destructions.map((each) => {
    const when = each.notBefore === null ? '' : `, not before ${day(each.notBefore)}`;
    return processEntry(session, each, nameOf, session.paint(each.status, 'yellow'), when);
  });
  return short(session, 'Destructions', entries, 'keyturn destruction list');
}

export function owedLines(session: Session, owed: readonly Owed[]): readonly string[] {
  const { paint } = session;
  return short(
    session,
    'Owed by people',
    owed.map(({ family, policy, what, status, due, next }) => {
      const whose = family?.qualifiedName ?? `policy ${policy?.name ?? ''}`;
      const when = due === null || due === undefined ? '' : `, due ${dayAndDistance(due, session.now())}`;
      return [
        `  ${whose}: ${status === 'overdue' ? paint(`${what}${when}, overdue`, 'red') : `${what}${when}`}`,
        ...(next === null ? [] : [`    ${paint(next, 'cyan')}`]),
      ];
    }),
    'keyturn schedule',
  );
}

export function containmentsLines(
  session: Session,
  containments: readonly OpenContainment[],
  nameOf: (family: string) => string,
): readonly string[] {
  const entries = containments.map((each) =>
    processEntry(
      session,
      each,
      nameOf,
      each.status === 'applied' ? 'in force' : session.paint(each.status, 'yellow'),
    ),
  );
  return short(session, 'Containments', entries, 'keyturn containment list');
}

/** What is done to which versions, how it stands and what it waits for; then its command. */
function processEntry(
  { paint }: Session,
  {
    id,
    family,
    versions,
    suspendedFor,
    waitsFor,
    next,
  }: Pick<OpenContainment, 'id' | 'family' | 'versions' | 'suspendedFor' | 'waitsFor' | 'next'>,
  nameOf: (family: string) => string,
  state: string,
  when = '',
): readonly string[] {
  const waits = suspendedFor ?? (typeof waitsFor === 'string' ? waitsForText(waitsFor) : null);
  return [
    `  ${nameOf(family)} ${paint(shortId(id), 'dim')}  ${versions.join(', ')}: ${state}${waits === null ? '' : `, ${waits}`}${when}`,
    `    ${paint(next, 'cyan')}`,
  ];
}

/** The first few, each with its command; where the others are. */
function short(
  { paint }: Session,
  title: string,
  entries: readonly (readonly string[])[],
  all: string,
): readonly string[] {
  if (entries.length === 0) return [];
  const more = entries.length - SHOWN;
  return [
    '',
    paint(title, 'bold'),
    ...entries.slice(0, SHOWN).flat(),
    ...(more > 0 ? [`  and ${more} more: ${paint(all, 'cyan')}`] : []),
  ];
}
