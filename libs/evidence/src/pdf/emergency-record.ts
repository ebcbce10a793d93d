import { parseInstant } from '#eventlog';
import { countedInstant, emergencyTargets, type TargetResult, type TimelineEvent } from '#rotation';
import { allOf, claimOf, firstOf, instantOf, type RecordFacts, type RotationFact } from './record-facts.js';
import {
  confirmationsSection,
  deviationLines,
  attestedRows,
  exceptionsSection,
  failuresSection,
  howToRead,
  ownerValue,
  policyValue,
  requestRows,
  timelineSection,
  versionsSection,
  windowsSection,
} from './shared-sections.js';
import { STYLES, type Cell, type Sheet, type Span } from './sheet.js';
import { axisInWords, drawTimeAxis, type AxisLimit, type AxisMark } from './time-axis.js';
import {
  absentCell,
  afterText,
  cell,
  cellOrAbsent,
  instantText,
  instantTextOf,
  monoCell,
  NOT_RECORDED,
  notRecorded,
  orNotRecorded,
  strongCell,
  value,
} from './wording.js';

/** The record of an emergency: everything counts from its discovery. */
export function composeEmergencyRecord(sheet: Sheet, facts: RecordFacts): void {
  const { dossier, outcome, declared, request } = facts;
  const asked = declared?.data ?? request?.data.emergency;
  const discovered = asked === undefined ? undefined : parseInstant(asked.discoveredAt);
  sheet.title('Emergency rotation record', `${facts.environment} / ${facts.name}`);
  sheet.facts([
    [
      'Outcome',
      [
        { words: outcome.words, style: STYLES.strong },
        {
          words: outcome.ended
            ? outcome.at === undefined
              ? 'time not recorded'
              : `${instantText(outcome.at)} UTC${sinceDiscovery(outcome.at, discovered)}`
            : `as of ${instantText(dossier.asOf)} UTC`,
          style: STYLES.small,
        },
        ...(refusalOf(facts) === undefined
          ? []
          : [{ words: 'Approval refused in retrospect: an exception', style: STYLES.strong }]),
      ],
    ],
    [
      'Discovered (T+0)',
      value(orNotRecorded(discovered === undefined ? undefined : `${instantText(discovered)} UTC`)),
    ],
    ['Exposed from', value(orNotRecorded(instantTextOf(asked?.exposedFrom)))],
    ['Incident', value(orNotRecorded(asked?.incident))],
    [
      'Compromised versions',
      asked === undefined
        ? value(undefined)
        : [{ words: asked.compromisedVersions.join(', '), style: STYLES.cellMono }],
    ],
    ...attestedRows(facts),
    ...requestRows(facts),
    ['Supersedes', value(orNone(request?.data.supersedes))],
    ['Owner', ownerValue(facts)],
    ['Policy', policyValue(facts)],
    ['Rotation', [{ words: dossier.rotationId, style: STYLES.cellMono }]],
  ]);

  targetsSection(sheet, facts, discovered);
  axisSection(sheet, facts, discovered);
  trustSection(sheet, facts, discovered);
  containmentSection(sheet, facts);
  decisionsSection(sheet, facts);
  obligationsSection(sheet, facts);
  versionsSection(sheet, facts);
  windowsSection(sheet, facts);
  const deviations = deviationLines(facts);
  if (deviations.length > 0) {
    sheet.section('Deviations');
    sheet.bullets(deviations);
  }
  exceptionsSection(sheet, facts);
  refusalSection(sheet, facts);
  confirmationsSection(sheet, facts);
  failuresSection(sheet, facts);
  howToRead(sheet, facts);
  timelineSection(sheet, facts);
}

function refusalOf({ dossier }: RecordFacts): RotationFact<'RotationRejected'> | undefined {
  return firstOf(dossier.rotationEvents, 'RotationRejected');
}

/** What was done stands; that it was not approved stands too. */
function refusalSection(sheet: Sheet, facts: RecordFacts): void {
  const refused = refusalOf(facts);
  if (refused === undefined) return;
  const at = instantOf(refused);
  sheet.section('Exception: not approved');
  sheet.bullets([
    `The approval of this emergency was refused in retrospect by ${facts.nameOf(refused.actor)}, ${
      at === undefined ? `time ${NOT_RECORDED}` : `${instantText(at)} UTC`
    }: ${refused.data.reason}. What the emergency did stands; nothing of it was undone.`,
  ]);
}

function orNone(text: string | undefined): string {
  return text === undefined ? 'no rotation' : `rotation ${text}`;
}

function sinceDiscovery(at: number, discovered: number | undefined): string {
  return discovered === undefined ? '' : ` (${afterText(at - discovered)})`;
}

function targetsSection(sheet: Sheet, facts: RecordFacts, discovered: number | undefined): void {
  sheet.section('Targets, counted from discovery');
  const { rotationEvents, containmentEvents, asOf } = facts.dossier;
  const targets = emergencyTargets(rotationEvents, containmentEvents);
  if (targets.length === 0 || discovered === undefined) {
    sheet.paragraph([{ text: 'Targets and their actual times: ' }, notRecorded, { text: '.' }]);
    return;
  }
  sheet.table(
    [
      { title: 'Target', weight: 35 },
      { title: 'Fact that settles it', weight: 34 },
      { title: 'Limit', weight: 14, align: 'right' },
      { title: 'Actual', weight: 19, align: 'right' },
      { title: 'Actual (UTC)', weight: 30 },
      { title: 'Verdict', weight: 20 },
    ],
    targets.map((target) => [
      strongCell(target.name),
      cell(target.fact),
      cell(afterText(target.within)),
      actualCell(target, discovered),
      target.actualAt === undefined
        ? absentCell
        : [
            { words: instantText(target.actualAt), style: STYLES.cell },
            ...(target.statedAt === undefined
              ? []
              : [{ words: `stated: ${afterText(target.statedAt - discovered)}`, style: STYLES.small }]),
          ],
      verdictCell(target, asOf),
    ]),
  );
}

function actualCell(target: TargetResult, discovered: number): Cell {
  return target.actualAt === undefined ? absentCell : strongCell(afterText(target.actualAt - discovered));
}

function verdictCell(target: TargetResult, asOf: number): Cell {
  switch (target.verdict) {
    case 'met':
      return cell('met');
    case 'late':
      return strongCell('late');
    case 'not judged':
      return cell('imported, not judged');
    case 'not recorded':
      return target.dueAt > asOf
        ? [...absentCell, { words: 'not yet due', style: STYLES.small }]
        : absentCell;
  }
}

const MARKS = [
  ['EmergencyDeclared', 'Declared'],
  ['KeyGenerated', 'New key'],
  ['DualAcceptDeployed', 'Accepted'],
  ['EmitterSwitched', 'New emits'],
  ['CutOver', 'Cut over'],
  ['OldKeyRevoked', 'Revoked'],
  ['OldKeyRejectionVerified', 'Refusal tested'],
  ['SessionsInvalidated', 'Sessions ended'],
  ['ReauthenticationVerified', 'Sign-in verified'],
  ['RotationCompleted', 'Completed'],
] as const;

function axisSection(sheet: Sheet, facts: RecordFacts, discovered: number | undefined): void {
  if (discovered === undefined) return;
  const { rotationEvents, containmentEvents } = facts.dossier;
  const marks: AxisMark[] = [{ at: discovered, label: 'Discovered', time: 'T+0:00' }];
  const mark = (at: number | undefined, label: string, computed = false): void => {
    if (at !== undefined)
      marks.push({ at, label, time: afterText(at - discovered), ...(computed ? { computed } : {}) });
  };
  for (const [type, label] of MARKS) {
    const event = claimOf(rotationEvents, type);
    if (event !== undefined) mark(countedAt(event), label);
  }
  const contained = firstOf(containmentEvents, 'ContainmentApplied');
  if (contained !== undefined) mark(countedAt(contained), 'Contained');
  mark(trustEnd(facts)?.at, 'Trust ended at latest', true);
  const limits = emergencyTargets(rotationEvents, containmentEvents)
    // A day-long limit would press everything else together; it stands in the table.
    .filter(({ within }) => within <= 6 * 3_600_000)
    .map((target): AxisLimit => ({
      at: target.dueAt,
      label: `limit ${afterText(target.within)} ${target.name}`,
    }));
  sheet.section('From discovery on');
  drawTimeAxis(sheet, {
    alternative: axisInWords(marks),
    marks: marks.sort((a, b) => a.at - b.at),
    limits,
    windows: [],
    breakable: true,
  });
  sheet.paragraph(
    'Filled: recorded. Hollow: computed, an upper bound. Dashed: limits, never times of facts.',
    STYLES.small,
  );
}

/** As the targets count it, so that the drawing and the table agree. */
function countedAt(event: TimelineEvent): number | undefined {
  return event.provenance === 'imported' ? event.occurredAt : countedInstant(event);
}

/**
 * The last instant at which a verifier may still have trusted a compromised version: for each version the earliest bound
 * that a fact computed, of all versions the latest. Absent where one version has no bound.
 */
function trustEnd(facts: RecordFacts): { readonly at: number; readonly from: string } | undefined {
  const { rotationEvents, containmentEvents } = facts.dossier;
  const bounds = [
    ...allOf(containmentEvents, 'ContainmentApplied').map(({ data }) => ({ ...data, from: 'containment' })),
    ...allOf(rotationEvents, 'OldKeyRevoked').map(({ data }) => ({ ...data, from: 'revocation' })),
    ...allOf(rotationEvents, 'CutOver').map(({ data }) => ({ ...data, from: 'cutover' })),
  ].flatMap(({ versions, trustEndsAt, from }) => {
    const at = trustEndsAt === undefined ? undefined : parseInstant(trustEndsAt);
    return at === undefined ? [] : [{ versions, at, from }];
  });
  const asked = facts.declared?.data ?? facts.request?.data.emergency;
  const earliest = (asked?.compromisedVersions ?? []).map((version) =>
    bounds
      .filter(({ versions }) => versions.includes(version))
      .reduce<(typeof bounds)[number] | undefined>(
        (first, bound) => (first === undefined || bound.at < first.at ? bound : first),
        undefined,
      ),
  );
  let latest: (typeof bounds)[number] | undefined;
  for (const bound of earliest) {
    if (bound === undefined) return undefined;
    if (latest === undefined || bound.at > latest.at) latest = bound;
  }
  return latest;
}

function trustSection(sheet: Sheet, facts: RecordFacts, discovered: number | undefined): void {
  sheet.section('Revoked is not the same as no longer trusted');
  const { rotationEvents, containmentEvents } = facts.dossier;
  const line = (label: string, at: number | undefined, meaning: string): readonly Cell[] => [
    strongCell(label),
    cellOrAbsent(at === undefined ? undefined : `${instantText(at)}${sinceDiscovery(at, discovered)}`),
    cell(meaning),
  ];
  const contained = firstOf(containmentEvents, 'ContainmentApplied');
  const revoked = firstOf(rotationEvents, 'OldKeyRevoked') ?? firstOf(rotationEvents, 'CutOver');
  const tested = claimOf(rotationEvents, 'OldKeyRejectionVerified');
  const trust = trustEnd(facts);
  sheet.table(
    [
      { title: 'What', weight: 32 },
      { title: 'When (UTC)', weight: 36 },
      { title: 'What it says', weight: 56 },
    ],
    [
      line(
        'Containment applied',
        contained === undefined ? undefined : instantOf(contained),
        'The back end denies the versions; a verifier may go on trusting what it holds.',
      ),
      line(
        'Revoked',
        revoked === undefined ? undefined : instantOf(revoked),
        'No longer accepted where the back end decides.',
      ),
      line(
        'No longer trusted at the latest',
        trust?.at,
        trust === undefined
          ? 'The upper bound for every verifier of the plan.'
          : `Computed upper bound for every verifier of the plan, from the ${trust.from}; not an observation.`,
      ),
      line(
        'Refusal tested',
        tested === undefined ? undefined : instantOf(tested),
        tested === undefined
          ? 'A test with the old version, where one was made.'
          : tested.data.refused.map(({ versionId, how }) => `${versionId} refused: ${how}`).join('; '),
      ),
    ],
  );
}

function containmentSection(sheet: Sheet, facts: RecordFacts): void {
  const { containmentEvents } = facts.dossier;
  sheet.section('Containment');
  const requests = allOf(containmentEvents, 'ContainmentRequested');
  const applications = allOf(containmentEvents, 'ContainmentApplied');
  if (requests.length === 0 && applications.length === 0) {
    const wanted = facts.declared?.data.contain ?? facts.request?.data.emergency?.contain;
    sheet.paragraph(
      wanted === false ? 'Not asked for: the emergency was declared without it.' : 'None recorded.',
    );
    return;
  }
  sheet.table(
    [
      { title: 'Versions', weight: 34 },
      { title: 'Asked for (UTC)', weight: 26 },
      { title: 'Applied (UTC)', weight: 26 },
      { title: 'Trust ends at the latest (computed, UTC)', weight: 34 },
    ],
    [
      ...requests.map((request) => {
        const applied = applications.find(({ stream }) => stream === request.stream);
        return containmentRow(request.data.versions, instantOf(request), applied);
      }),
      ...applications
        .filter(({ stream }) => requests.every((request) => request.stream !== stream))
        .map((applied) => containmentRow(applied.data.versions, undefined, applied)),
    ],
  );
}

function containmentRow(
  versions: readonly string[],
  askedAt: number | undefined,
  applied:
    | (Parameters<typeof instantOf>[0] & { readonly data: { readonly trustEndsAt?: string | undefined } })
    | undefined,
): readonly Cell[] {
  const appliedAt = applied === undefined ? undefined : instantOf(applied);
  const bound = applied?.data.trustEndsAt === undefined ? undefined : parseInstant(applied.data.trustEndsAt);
  return [
    monoCell(versions.join(', ')),
    cellOrAbsent(askedAt === undefined ? undefined : instantText(askedAt)),
    cellOrAbsent(appliedAt === undefined ? undefined : instantText(appliedAt)),
    cellOrAbsent(bound === undefined ? undefined : instantText(bound)),
  ];
}

function decisionsSection(sheet: Sheet, facts: RecordFacts): void {
  sheet.section('Decisions taken by declaring the emergency');
  const { declared } = facts;
  if (declared === undefined) {
    sheet.paragraph([{ text: 'Declaration: ' }, notRecorded, { text: '.' }]);
    return;
  }
  const at = instantOf(declared);
  sheet.paragraph(
    `Declared by ${facts.nameOf(declared.actor)}, ${at === undefined ? `time ${NOT_RECORDED}` : `${instantText(at)} UTC`}.`,
  );
  if (declared.data.decisions.length === 0)
    sheet.paragraph('No rule of a planned rotation had to be passed over.');
  else sheet.bullets(declared.data.decisions);
}

function obligationsSection(sheet: Sheet, facts: RecordFacts): void {
  sheet.section('Obligations');
  const { declared, dossier } = facts;
  const approved = firstOf(dossier.rotationEvents, 'RotationApproved');
  const refused = refusalOf(facts);
  const reviewed = firstOf(dossier.rotationEvents, 'PostIncidentReviewed');
  const settledApproval = approved ?? refused;
  sheet.table(
    [
      { title: 'Owed', weight: 32 },
      { title: 'Due (UTC)', weight: 26 },
      { title: 'Settled (UTC)', weight: 26 },
      { title: 'How', weight: 42 },
    ],
    [
      obligationRow(
        'Approval in retrospect',
        declared?.data.approvalDueAt,
        settledApproval,
        facts,
        approved === undefined
          ? refused === undefined
            ? undefined
            : `refused: ${refused.data.reason}`
          : approvalWords(approved, facts),
      ),
      obligationRow(
        'Post-incident review',
        declared?.data.reviewDueAt,
        reviewed,
        facts,
        reviewed?.data.summary,
      ),
    ],
  );
}

function approvalWords(approved: RotationFact<'RotationApproved'>, { request }: RecordFacts): string {
  const same = request !== undefined && approved.actor === request.data.requestedBy;
  const who = same ? 'the same subject as the requester' : 'another subject than the requester';
  return approved.data.note === undefined ? who : `${who}; ${approved.data.note}`;
}

function obligationRow(
  owed: string,
  due: string | undefined,
  settled: RotationFact<'RotationApproved' | 'RotationRejected' | 'PostIncidentReviewed'> | undefined,
  facts: RecordFacts,
  how: string | undefined,
): readonly Cell[] {
  const dueAt = due === undefined ? undefined : parseInstant(due);
  const settledAt = settled === undefined ? undefined : instantOf(settled);
  const late =
    settled !== undefined &&
    settled.provenance !== 'imported' &&
    dueAt !== undefined &&
    settled.recordedAt > dueAt;
  const open = settled === undefined && dueAt !== undefined;
  const state: Span[] = [
    ...(settled === undefined ? [] : [{ text: `by ${facts.nameOf(settled.actor)}` }]),
    ...(how === undefined ? [] : [{ text: `; ${how}` }]),
    ...(late ? [{ text: ' – after it was due', style: { face: 'strong' as const } }] : []),
    ...(open
      ? [
          {
            text: dueAt > facts.dossier.asOf ? 'not yet due' : 'due date passed',
            style: { face: 'strong' as const },
          },
        ]
      : []),
  ];
  return [
    strongCell(owed),
    cellOrAbsent(dueAt === undefined ? undefined : instantText(dueAt)),
    cellOrAbsent(settledAt === undefined ? undefined : instantText(settledAt)),
    state.length === 0 ? absentCell : cell(state),
  ];
}
