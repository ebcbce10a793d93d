import type { Containment, Destruction } from './api.js';
import type { Session } from './session.js';
import type { Column } from './table.js';
import { day, shortId, waitsForText } from './words.js';

type Process = Pick<Containment | Destruction, 'id' | 'status' | 'versions' | 'suspendedFor' | 'waitsFor'>;

/** What containments and destructions show in a list. `familyOf` names the family, which they know by its id. */
export function processColumns(
  familyOf: (id: string) => string,
): readonly Column<Process & { family: string }>[] {
  return [
    { title: 'ID', cell: ({ id }) => shortId(id), style: () => ['dim'] },
    { title: 'FAMILY', cell: ({ family }) => familyOf(family), shrinks: true },
    { title: 'VERSIONS', cell: ({ versions }) => versions.join(', '), shrinks: true },
    {
      title: 'STATUS',
      cell: ({ status }) => status,
      style: ({ status }) => (status === 'suspended' ? ['yellow', 'bold'] : []),
    },
    {
      title: 'WAITS FOR',
      cell: (each) => each.suspendedFor ?? waitsForText(each.waitsFor ?? ''),
      shrinks: true,
    },
  ];
}

export function containmentLines(session: Session, shown: Containment): readonly string[] {
  return [
    ...head(session, 'Containment', shown),
    ...(shown.trustEndsAt === null
      ? []
      : [row(session, 'trust ends', `${day(shown.trustEndsAt)} at the latest (computed, not observed)`)]),
    ...(shown.status === 'suspended'
      ? [
          next(session, `keyturn containment retry ${shown.id}`),
          next(session, `keyturn containment attest ${shown.id} --note "what was denied by hand"`),
        ]
      : []),
  ];
}

export function destructionLines(session: Session, shown: Destruction): readonly string[] {
  return [
    ...head(session, 'Destruction', shown),
    ...(shown.notBefore === null ? [] : [row(session, 'not before', day(shown.notBefore))]),
    ...destructionCommands(shown).map((command) => next(session, command)),
  ];
}

/** What moves a destruction on, in the order of what comes first. */
export function destructionCommands({ id, status, waitsFor }: Destruction): readonly string[] {
  return [
    ...(status === 'requested'
      ? [`keyturn approve ${id}`, `keyturn destruction reject ${id} --reason "…"`]
      : []),
    ...(status === 'suspended' ? [`keyturn destruction retry ${id}`] : []),
    ...(waitsFor?.includes('keyturn destruction token') === true
      ? [`keyturn destruction token ${id} --token-file FILE`]
      : []),
    ...(waitsFor?.includes('attestation') === true
      ? [`keyturn destruction attest ${id} --evidence URL`]
      : []),
  ];
}

function head(session: Session, kind: string, shown: Process): readonly string[] {
  return [
    session.paint(`${kind} ${shown.id}: ${shown.status}`, 'bold'),
    row(session, 'versions', shown.versions.join(', ')),
    ...(shown.suspendedFor === null ? [] : [row(session, 'needs', shown.suspendedFor)]),
    ...(typeof shown.waitsFor === 'string' && shown.suspendedFor === null
      ? [row(session, 'waits for', waitsForText(shown.waitsFor))]
      : []),
  ];
}

function row({ paint }: Session, name: string, text: string): string {
  return `  ${paint(name.padEnd(11), 'dim')} ${text}`;
}

function next({ paint }: Session, command: string): string {
  return `  ${paint('next'.padEnd(11), 'dim')} ${paint(command, 'cyan')}`;
}
