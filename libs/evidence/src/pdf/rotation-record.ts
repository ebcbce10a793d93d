import { milliseconds, spanText, windowsOf, type WindowRun } from '#rotation';
import { allOf, claimOf, firstOf, instantOf, type RecordFacts } from './record-facts.js';
import {
  approvalsValue,
  confirmationsSection,
  deviationLines,
  cohortsSection,
  attestedRows,
  exceptionsSection,
  failuresSection,
  howToRead,
  ownerValue,
  policyValue,
  requestRows,
  timelineSection,
  unfinishedWindow,
  versionsSection,
  windowsSection,
} from './shared-sections.js';
import { STYLES, type Sheet } from './sheet.js';
import { axisInWords, drawTimeAxis, type AxisMark, type AxisWindow } from './time-axis.js';
import { instantText, NOT_RECORDED, value } from './wording.js';

/** The record of a planned rotation, however it ended. */
export function composeRotationRecord(sheet: Sheet, facts: RecordFacts): void {
  sheet.title('Rotation record', `${facts.environment} / ${facts.name}`);
  const { outcome, dossier } = facts;
  const asOf = `as of ${instantText(dossier.asOf)} UTC`;
  sheet.facts([
    [
      'Outcome',
      [
        { words: outcome.words, style: STYLES.strong },
        {
          words: outcome.ended
            ? outcome.at === undefined
              ? 'time not recorded'
              : `${instantText(outcome.at)} UTC`
            : asOf,
          style: STYLES.small,
        },
      ],
    ],
    ...attestedRows(facts),
    ...requestRows(facts),
    ['Approvals', approvalsValue(facts)],
    ['Owner', ownerValue(facts)],
    ['Policy', policyValue(facts)],
    [
      'Back end',
      value(
        facts.plan === undefined ? undefined : `${facts.plan.backEnd.instance}: ${facts.plan.backEnd.object}`,
      ),
    ],
    ['Rotation', [{ words: dossier.rotationId, style: STYLES.cellMono }]],
  ]);

  phaseSection(sheet, facts);
  versionsSection(sheet, facts);
  windowsSection(sheet, facts);
  cohortsSection(sheet, facts);

  const deviations = deviationLines(facts);
  sheet.section('Deviations');
  if (deviations.length === 0) sheet.paragraph('None recorded.');
  else sheet.bullets(deviations);
  exceptionsSection(sheet, facts);

  confirmationsSection(sheet, facts);
  failuresSection(sheet, facts);
  howToRead(sheet, facts);
  timelineSection(sheet, facts);
}

function phaseSection(sheet: Sheet, facts: RecordFacts): void {
  const marks = phaseMarks(facts);
  sheet.section('Phases');
  if (marks.length === 0) {
    sheet.paragraph('No fact with a time was recorded.');
    return;
  }
  const { accept, drain } = windowsOf(facts.dossier.rotationEvents);
  const windows = [axisWindow('Accept window', accept, facts), axisWindow('Drain window', drain, facts)];
  drawTimeAxis(sheet, { alternative: axisInWords(marks), marks, limits: [], windows, breakable: false });
  const { request, plan } = facts;
  const missing = [
    ...(request === undefined ? ['the request'] : []),
    ...(plan === undefined ? ['the plan'] : []),
    ...phasesOf(facts)
      .filter(([type]) => claimOf(facts.dossier.rotationEvents, type) === undefined && !skipped(facts, type))
      .map(([, label]) => label.toLowerCase()),
  ];
  const legend =
    accept.startedAt === undefined || plan === undefined
      ? ''
      : 'Bars: the windows as they ran. Outline up to the tick: as required.';
  const gaps =
    (facts.outcome.ended || plan === undefined) && missing.length > 0
      ? `Not recorded: ${missing.join(', ')}.`
      : '';
  const note = [legend, gaps].filter((text) => text !== '').join(' ');
  if (note !== '') sheet.paragraph(note, STYLES.small);
}

const PHASES = [
  ['RotationRequested', 'Requested'],
  ['KeyGenerated', 'New key'],
  ['DualAcceptDeployed', 'Both accepted'],
  ['EmitterSwitched', 'New emits'],
  ['OldKeyRevoked', 'Old revoked'],
  ['OldKeyRejectionVerified', 'Refusal tested'],
] as const;

/** Without overlap the three steps in the middle are one act. */
const CUTOVER_PHASES = [
  ['RotationRequested', 'Requested'],
  ['KeyGenerated', 'New key'],
  ['CutOver', 'Cut over'],
  ['OldKeyRejectionVerified', 'Refusal tested'],
] as const;

function phasesOf({ plan }: RecordFacts): typeof PHASES | typeof CUTOVER_PHASES {
  return plan?.strategy === 'cutover' ? CUTOVER_PHASES : PHASES;
}

const TURNS = [
  ['RotationApproved', 'Approved'],
  ['RollbackRequested', 'Rollback asked'],
  ['EmissionReturned', 'Old emits again'],
  ['CutBack', 'Cut back'],
  ['NewKeyWithdrawn', 'New withdrawn'],
  ['RotationRolledBack', 'Rolled back'],
  ['RotationAbandoned', 'Abandoned'],
  ['RotationRejected', 'Rejected'],
  ['RotationSuperseded', 'Superseded'],
  ['RotationCompleted', 'Completed'],
] as const;

/** Phases that a rotation which ended early never owed. */
function skipped(facts: RecordFacts, type: ReturnType<typeof phasesOf>[number][0]): boolean {
  if (type === 'RotationRequested') return true;
  if (facts.plan === undefined) return false;
  return firstOf(facts.dossier.rotationEvents, 'RotationCompleted') === undefined;
}

function phaseMarks(facts: RecordFacts): readonly AxisMark[] {
  const { rotationEvents } = facts.dossier;
  const marks: AxisMark[] = [];
  const mark = (at: number | undefined, label: string): void => {
    if (at !== undefined) marks.push({ at, label, time: shortInstant(at) });
  };
  for (const [type, label] of [...phasesOf(facts), ...TURNS]) {
    const event = claimOf(rotationEvents, type);
    if (event === undefined) continue;
    mark(instantOf(event), contradicted(facts, event) ? `${label}: contradicted` : label);
  }
  const emissions = allOf(rotationEvents, 'EmissionConfirmed').filter(
    ({ data }) => facts.plan?.incoming === undefined || data.versionId === facts.plan.incoming,
  );
  const drain = windowsOf(rotationEvents).drain.startedAt;
  if (drain !== undefined && emissions.length > 0) mark(drain, 'Drain begins');
  return marks.sort((a, b) => a.at - b.at);
}

/** What people said was done and the back end, compared later, does not show. */
function contradicted(
  { dossier }: RecordFacts,
  event: RecordFacts['dossier']['rotationEvents'][number],
): boolean {
  const step = STEP_OF.get(event.type);
  return (
    event.provenance === 'attested' &&
    step !== undefined &&
    dossier.rotationEvents
      .slice(dossier.rotationEvents.indexOf(event))
      .some(
        (later) =>
          later.type === 'AttestationReconciled' &&
          !later.data.agrees &&
          later.data.steps.some((each) => each === step),
      )
  );
}

const STEP_OF = new Map<string, string>([
  ['KeyGenerated', 'generate'],
  ['DualAcceptDeployed', 'accept'],
  ['EmitterSwitched', 'emit'],
  ['OldKeyRevoked', 'revoke'],
  ['CutOver', 'cutover'],
]);

function axisWindow(label: string, window: WindowRun, facts: RecordFacts): AxisWindow {
  const { planned, startedAt, endedAt, actualMs } = window;
  const required = planned === undefined ? NOT_RECORDED : spanText(milliseconds(planned.required));
  const actual = actualMs === undefined ? unfinishedWindow(window, facts) : spanText(actualMs);
  const openTo = openEnd(facts);
  return {
    label,
    detail: `required ${required}, actual ${actual}`,
    ...(startedAt === undefined ? {} : { from: startedAt }),
    ...(endedAt === undefined ? {} : { to: endedAt }),
    ...(openTo === undefined ? {} : { openTo }),
    ...(startedAt === undefined || planned === undefined
      ? {}
      : { requiredTo: startedAt + milliseconds(planned.required) }),
  };
}

/** How far a window reached that did not end by itself: to what ended it, or to now. */
function openEnd({ dossier, outcome, plan }: RecordFacts): number | undefined {
  if (plan === undefined) return undefined;
  const cutShort = firstOf(dossier.rotationEvents, 'RollbackRequested');
  if (cutShort !== undefined) return instantOf(cutShort);
  return outcome.ended ? outcome.at : dossier.asOf;
}

/** Month and day with the minute: the year stands everywhere else. */
function shortInstant(at: number): string {
  return instantText(at).slice(5, 16);
}
