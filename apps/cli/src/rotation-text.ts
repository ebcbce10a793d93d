import type { Preview, Rotation } from './api.js';
import type { Session } from './session.js';
import type { Column } from './table.js';
import type { Style } from './terminal.js';
import { day, dayAndDistance, lengthOf, shortId, waitsForText } from './words.js';

/** What the new version is called is known once it is there: until then the plan holds a place for it. */
const NEW_VERSION = 'a new version';
const NOT_MADE_YET = ['requested', 'approved', 'rejected'];

/** The columns of a list of rotations. */
export function rotationColumns(now: number): readonly Column<Rotation>[] {
  return [
    { title: 'ROTATION', cell: (rotation) => shortId(rotation.id), style: () => ['dim'] },
    { title: 'FAMILY', cell: (rotation) => rotation.family.qualifiedName, shrinks: true },
    {
      title: 'STRATEGY',
      cell: (rotation) => rotation.strategy,
      style: (rotation) => (rotation.strategy === 'emergency' ? ['red', 'bold'] : []),
    },
    { title: 'STATE', cell: stateOf, style: stateStyle },
    { title: 'WAITS FOR', cell: (rotation) => waitText(rotation, now), shrinks: true },
  ];
}

export function stateOf(rotation: Rotation): string {
  if (rotation.suspended !== null) return `${rotation.phase}, suspended`;
  if (rotation.paused) return `${rotation.phase}, paused`;
  return rotation.phase.replaceAll('-', ' ');
}

function stateStyle(rotation: Rotation): readonly Style[] {
  if (rotation.suspended !== null) return ['yellow', 'bold'];
  if (rotation.paused) return ['yellow'];
  return rotation.phase === 'completed' ? ['green'] : [];
}

function waitText(rotation: Rotation, now: number): string {
  if (rotation.suspended !== null) return `${rotation.suspended.person}: ${rotation.suspended.reason}`;
  const until = rotation.wakeAt === null ? '' : ` until ${dayAndDistance(rotation.wakeAt, now)}`;
  return rotation.waitsFor === null ? until.trim() : `${waitsForText(rotation.waitsFor)}${until}`;
}

/** One rotation on a page of its own, and what a person can do next. */
export function rotationPage(session: Session, rotation: Rotation): readonly string[] {
  const { paint } = session;
  const now = session.now();
  const { windows, emergency, suspended } = rotation;
  const row = (name: string, text: string, ...styles: readonly Style[]): string =>
    `  ${paint(name.padEnd(11), 'dim')} ${paint(text, ...styles)}`;
  const window = (name: string, shown: NonNullable<Rotation['windows']>['accept']): string =>
    row(
      name,
      `${lengthOf(shown.required)}${shown.binding === '' ? '' : `, ${shown.binding}`}${
        shown.endsAt === null ? '' : `; ends ${dayAndDistance(shown.endsAt, now)}`
      }`,
    );
  const moves =
    rotation.incoming === null
      ? rotation.outgoing.join(', ')
      : `${rotation.outgoing.length === 0 ? 'none' : rotation.outgoing.join(', ')} → ${
          NOT_MADE_YET.includes(rotation.phase) ? NEW_VERSION : rotation.incoming
        }`;
  const waiting = waitText(rotation, now);
  return [
    `${paint(rotation.family.qualifiedName, 'bold')}  ${rotation.strategy} rotation ${rotation.id}${
      rotation.illustrative ? '  EXAMPLE DATA' : ''
    }${rotation.imported ? '  imported' : ''}`,
    row('state', stateOf(rotation), ...stateStyle(rotation)),
    ...(suspended === null
      ? []
      : [row('needs', `${suspended.person}: ${suspended.reason} (${suspended.code})`, 'yellow')]),
    ...(suspended !== null || waiting === '' ? [] : [row(...waitRow(rotation, now))]),
    ...(moves === '' ? [] : [row('versions', moves)]),
    ...(rotation.approvals.required === 0
      ? []
      : [row('approvals', `${rotation.approvals.by.length} of ${rotation.approvals.required}`)]),
    ...(rotation.plan?.cohorts === undefined ? [] : [row('cohorts', cohortsText(rotation.plan.cohorts))]),
    ...(typeof rotation.emittingShare !== 'number' || rotation.ended
      ? []
      : [row('emission', `${rotation.emittingShare} % with ${rotation.incoming ?? NEW_VERSION}`)]),
    ...(windows === null || rotation.ended
      ? []
      : [window('accept', windows.accept), window('drain', windows.drain)]),
    ...rotation.confirmations
      .filter((entry) => entry.missing)
      .map((entry) =>
        row('missing', `${entry.consumer}: ${entry.kind} confirmed by ${entry.confirmed} of ${entry.of}`),
      ),
    ...(emergency === null
      ? []
      : [
          row('compromised', emergency.compromisedVersions.join(', '), 'red'),
          row('discovered', dayAndDistance(emergency.discoveredAt, now)),
          ...(emergency.approved || (emergency.refused ?? null) !== null
            ? []
            : [
                row(
                  'owed',
                  `approval in retrospect by ${dayAndDistance(emergency.approvalDueAt, now)}`,
                  'yellow',
                ),
              ]),
          ...(emergency.reviewed
            ? []
            : [
                row(
                  'owed',
                  `post-incident review by ${dayAndDistance(emergency.reviewDueAt, now)}`,
                  'yellow',
                ),
              ]),
        ]),
    ...(rotation.trustEndsAt === null
      ? []
      : [row('trust ends', `${day(rotation.trustEndsAt)} at the latest (computed, not observed)`)]),
    ...rotation.exceptions.map((text) => row('exception', text, 'yellow')),
    ...nextLines(session, rotation),
  ];
}

/** The exact next commands; whoever reads this at 2 a.m. copies them. */
function nextLines({ paint }: Session, rotation: Rotation): readonly string[] {
  return rotation.next.map(
    (command, index) => `  ${paint((index === 0 ? 'next' : '').padEnd(11), 'dim')} ${paint(command, 'cyan')}`,
  );
}

/** What a rotation would do, with its dates. */
export function previewPage(session: Session, preview: Preview): readonly string[] {
  const { paint } = session;
  const now = session.now();
  const { plan } = preview;
  const dates = preview.dates ?? preview;
  const row = (name: string, text: string, ...styles: readonly Style[]): string =>
    `  ${paint(name.padEnd(11), 'dim')} ${paint(text, ...styles)}`;
  const date = (name: string, instant: string | null | undefined): readonly string[] =>
    instant === null || instant === undefined
      ? []
      : [row(name, `not before ${dayAndDistance(instant, now)}`)];
  return [
    row(
      'versions',
      plan.incoming === undefined
        ? `revokes ${plan.outgoing.join(', ')}, no new version`
        : `${plan.outgoing.length === 0 ? 'none' : plan.outgoing.join(', ')} → ${NEW_VERSION}`,
    ),
    row(
      'policy',
      plan.policy?.name ?? 'none applies',
      ...(plan.policy === undefined ? (['yellow'] as const) : []),
    ),
    row('approvals', plan.approvals === 0 ? 'none before it starts' : `${plan.approvals} before it starts`),
    ...(plan.windows === undefined
      ? []
      : [row('accept', windowText(plan.windows.accept)), row('drain', windowText(plan.windows.drain))]),
    ...(plan.outage === undefined
      ? []
      : [row('outage', `up to ${lengthOf(plan.outage.predicted)}, ${plan.outage.binding}`, 'yellow')]),
    ...(plan.cohorts === undefined ? [] : [row('cohorts', cohortsText(plan.cohorts))]),
    ...(preview.holds ?? []).map(({ what, reason, until }) =>
      row('held by', heldText(what, reason ?? null, until ?? null, now), 'yellow'),
    ),
    ...date('emit', dates.earliestEmit),
    ...date('revoke', dates.earliestRevoke),
    ...date('completed', dates.earliestCompleted),
    ...(dates.steps === undefined ? [] : [row('steps', dates.steps.map(({ step }) => step).join(' → '))]),
    ...(preview.supersedes === undefined
      ? []
      : [row('supersedes', `rotation ${preview.supersedes}`, 'yellow')]),
    ...plan.exceptions.map((text) => row('exception', text, 'yellow')),
    ...preview.whoBreaks.map((text, index) => row(index === 0 ? 'who breaks' : '', text, 'red')),
  ];
}

function heldText(what: string, reason: string | null, until: string | null, now: number): string {
  const end = until === null ? ', no end is set' : ` until ${dayAndDistance(until, now)}`;
  return `${what}${end}${reason === null ? '' : `: ${reason}`}`;
}

/** How what a rotation waits for begins where a hold is meant. */
const HELD = 'held: ';

function waitRow(rotation: Rotation, now: number): readonly [name: string, text: string] {
  const { waitsFor } = rotation;
  if (waitsFor?.startsWith(HELD) !== true) return ['waits for', waitText(rotation, now)];
  const text = waitsFor.slice(HELD.length);
  const colon = text.indexOf(': ');
  const [what, reason] = colon < 0 ? [text, null] : [text.slice(0, colon), text.slice(colon + 2)];
  return ['held by', heldText(what, reason, rotation.wakeAt, now)];
}

function cohortsText(cohorts: NonNullable<Preview['plan']['cohorts']>): string {
  return cohorts.map(({ share, hold }) => `${share} % for ${lengthOf(hold)}`).join(', ');
}

function windowText(window: { readonly required: string; readonly binding: string }): string {
  return `${lengthOf(window.required)}${window.binding === '' ? '' : `, ${window.binding}`}`;
}
