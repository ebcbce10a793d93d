import {
  confirmationsOf,
  milliseconds,
  windowsOf,
  type PlannedWindow,
  type TimelineEntry,
  type WindowRun,
} from '#rotation';
import {
  allOf,
  firstOf,
  instantOf,
  type RecordFacts,
  type RotationFact,
  type VersionLine,
} from './record-facts.js';
import { STYLES, type Cell, type Paragraph, type Sheet, type Span } from './sheet.js';
import {
  absentCell,
  cell,
  cellOrAbsent,
  durationText,
  instantText,
  instantTextOf,
  monoCell,
  NOT_RECORDED,
  notRecorded,
  orNotRecorded,
  PROVENANCE_WORDS,
  spanWords,
  strongCell,
  value,
} from './wording.js';

/** Sections that both records have, in the order a reader needs them. */

export function versionsSection(sheet: Sheet, facts: RecordFacts): void {
  sheet.section('Key versions');
  if (facts.versions.length === 0) {
    sheet.paragraph([{ text: 'Versions: ' }, notRecorded]);
    return;
  }
  sheet.table(
    [
      { title: 'Version', weight: 26 },
      { title: 'In this rotation', weight: 20 },
      { title: 'Algorithm', weight: 14 },
      { title: 'Fingerprint', weight: 32 },
      { title: 'Created (UTC)', weight: 22 },
    ],
    facts.versions.map((version) => [
      monoCell(version.versionId),
      cell(version.roles.join(', ')),
      algorithmCell(version),
      version.fingerprint === undefined ? absentCell : monoCell(version.fingerprint),
      cellOrAbsent(version.createdAt === undefined ? undefined : instantText(version.createdAt)),
    ]),
  );
}

function algorithmCell({ algorithm, strengthBits }: VersionLine): Cell {
  if (algorithm === undefined && strengthBits === undefined) return absentCell;
  const strength = strengthBits === undefined ? 'strength not recorded' : `${strengthBits} bit`;
  return [...cellOrAbsent(algorithm), { words: strength, style: STYLES.small }];
}

export function ownerValue({ owner }: RecordFacts): Cell {
  if (owner === undefined) return value(undefined);
  const deputy = owner.deputy ?? NOT_RECORDED;
  const escalation = owner.escalation ?? NOT_RECORDED;
  return value(owner.role, `deputy: ${deputy}; escalation: ${escalation}`);
}

export function policyValue({ plan }: RecordFacts): Cell {
  if (plan === undefined) return value(undefined);
  if (plan.policy === undefined) return value('No policy applied');
  const { stopEmitting, stopAccepting } = plan.terms;
  return value(
    `${plan.policy.name}, revision ${plan.policy.revision}`,
    `stop emitting after ${durationText(stopEmitting)}, stop accepting after ${durationText(stopAccepting)}`,
  );
}

export function windowsSection(sheet: Sheet, facts: RecordFacts): void {
  sheet.section('Windows', facts.plan === undefined ? 110 : 0);
  const { accept, drain } = windowsOf(facts.dossier.rotationEvents);
  if (facts.plan === undefined) {
    sheet.paragraph('No plan was recorded, so what the windows had to be is not known.');
  }
  const outage = facts.plan?.outage;
  if (outage !== undefined) {
    sheet.paragraph(
      `This family cannot overlap: it was cut over in one change, without windows. Predicted outage: up to ${durationText(outage.predicted)}, because ${outage.binding}.`,
    );
    return;
  }
  sheet.table(
    [
      { title: 'Window', weight: 10 },
      { title: 'Computed', weight: 18 },
      { title: 'Required', weight: 18 },
      { title: 'Actual', weight: 20 },
      { title: 'From – to (UTC)', weight: 26 },
      { title: 'Binding constraint and its terms', weight: 40 },
    ],
    [windowRow('Accept', accept, facts), windowRow('Drain', drain, facts)],
  );
}

/** How emission was to move, and how it did; nothing where it moved all at once. */
export function cohortsSection(sheet: Sheet, facts: RecordFacts): void {
  const cohorts = facts.plan?.cohorts ?? [];
  if (cohorts.length === 0) return;
  const switches = standingSwitches(facts);
  const returned = firstOf(facts.dossier.rotationEvents, 'EmissionReturned');
  sheet.section('Cohorts');
  sheet.table(
    [
      { title: 'Emission', weight: 16 },
      { title: 'To be looked at for', weight: 24 },
      { title: 'Switched (UTC)', weight: 30 },
      { title: 'Until the next move', weight: 30 },
    ],
    cohorts.map(({ share, hold }, index) => {
      const reached = switches.find((event) => event.data.share === share);
      const next = switches.find((event) => event.data.share > share) ?? returned;
      const [from, to] = [reached, next].map((event) => (event === undefined ? undefined : instantOf(event)));
      const last = index === cohorts.length - 1 && returned === undefined;
      return [
        strongCell(`${share} %`),
        last ? cell('the drain window') : cell(durationText(hold)),
        reached === undefined
          ? cell('not reached')
          : cellOrAbsent(from === undefined ? undefined : instantText(from)),
        reached === undefined || next === undefined
          ? cell(reached === undefined ? '–' : 'no later move')
          : cellOrAbsent(from === undefined || to === undefined ? undefined : spanWords(to - from)),
      ];
    }),
  );
}

/** A cohort that was attested and is not so in the back end did not move: it stands again once it has. */
function standingSwitches({ dossier }: RecordFacts): readonly RotationFact<'EmitterSwitched'>[] {
  const standing: RotationFact<'EmitterSwitched'>[] = [];
  for (const event of dossier.rotationEvents) {
    if (event.type === 'EmitterSwitched') standing.push(event);
    if (event.type !== 'AttestationReconciled' || event.data.agrees) continue;
    if (event.data.steps.includes('emit') && standing.at(-1)?.provenance === 'attested') standing.pop();
  }
  return standing;
}

function windowRow(name: string, window: WindowRun, facts: RecordFacts): readonly Cell[] {
  const { planned, startedAt, endedAt } = window;
  const unfinished = unfinishedWindow(window, facts);
  return [
    strongCell(name),
    cellOrAbsent(planned === undefined ? undefined : durationText(planned.computed)),
    cellOrAbsent(planned === undefined ? undefined : durationText(planned.required)),
    window.actualMs === undefined ? unfinishedCell(unfinished) : strongCell(spanWords(window.actualMs)),
    [
      ...cellOrAbsent(startedAt === undefined ? undefined : instantText(startedAt)),
      ...(endedAt === undefined && unfinished !== NOT_RECORDED
        ? []
        : cellOrAbsent(endedAt === undefined ? undefined : instantText(endedAt))),
    ],
    planned === undefined ? absentCell : bindingCell(planned),
  ];
}

function unfinishedCell(words: string): Cell {
  return words === NOT_RECORDED ? absentCell : cell(words);
}

/** Why a window has no actual length. */
export function unfinishedWindow({ startedAt, endedAt }: WindowRun, facts: RecordFacts): string {
  if (facts.plan === undefined) return NOT_RECORDED;
  if (startedAt === undefined) return endedAt === undefined ? 'not begun' : 'never began';
  if (endedAt !== undefined) return NOT_RECORDED;
  const { rotationEvents } = facts.dossier;
  if (firstOf(rotationEvents, 'RotationSuperseded') !== undefined) return 'ended by the emergency';
  if (firstOf(rotationEvents, 'RollbackRequested') !== undefined) return 'ended by the rollback';
  if (firstOf(rotationEvents, 'RotationAbandoned') !== undefined) return 'ended by abandoning';
  return facts.outcome.ended ? NOT_RECORDED : 'still running';
}

function bindingCell(planned: PlannedWindow): Cell {
  const terms = planned.terms.map(
    ({ name, consumer, duration }) =>
      `${name.replaceAll('-', ' ')}${consumer === undefined ? '' : ` (${consumer})`} ${durationText(duration)}`,
  );
  const departs =
    milliseconds(planned.required) === milliseconds(planned.computed)
      ? []
      : [{ words: 'The required window is not the computed one.', style: STYLES.smallStrong }];
  return [
    { words: planned.binding, style: STYLES.cell },
    { words: terms.length === 0 ? 'terms not recorded' : terms.join(' + '), style: STYLES.small },
    ...departs,
  ];
}

export function confirmationsSection(sheet: Sheet, facts: RecordFacts): void {
  sheet.section('Confirmations');
  const { rotationEvents } = facts.dossier;
  const counts = confirmationsOf(rotationEvents);
  if (facts.plan === undefined) {
    const loose = rotationEvents.filter(
      ({ type }) => type === 'AcceptanceConfirmed' || type === 'EmissionConfirmed',
    );
    sheet.paragraph([
      { text: 'Planned consumers: ' },
      notRecorded,
      {
        text:
          loose.length === 0
            ? '. No confirmation was recorded.'
            : `. ${loose.length} confirmations were recorded; they stand in the timeline.`,
      },
    ]);
    return;
  }
  if (counts.length === 0) {
    sheet.paragraph('The plan names no consumer; nobody had to confirm.');
    return;
  }
  sheet.table(
    [
      { title: 'Consumer', weight: 36 },
      { title: 'Role', weight: 16 },
      { title: 'Instances', weight: 16, align: 'right' },
      { title: 'All confirmed (UTC)', weight: 28 },
      { title: 'Remark', weight: 26 },
    ],
    counts.map((count) => {
      const consumer = facts.plan?.consumers.find(({ consumerId }) => consumerId === count.consumerId);
      const remarks = [
        ...(count.overridden ? ['overridden by a person'] : []),
        ...(consumer?.thirdParty === true ? ['third party'] : []),
        ...(consumer?.neverRefreshes === true ? ['never refreshes'] : []),
      ];
      return [
        strongCell(count.name),
        cell(count.role),
        cell(`${count.confirmed} of ${count.of}`),
        cellOrAbsent(count.confirmedAt === undefined ? undefined : instantText(count.confirmedAt)),
        cell(remarks.join(', ')),
      ];
    }),
  );
}

export function failuresSection(sheet: Sheet, facts: RecordFacts): void {
  sheet.section('Failed attempts and retries');
  const failed = facts.timeline.filter(
    ({ kind, type }) => kind === 'failure' || type === 'RetryRequested' || type === 'ContainmentRetried',
  );
  if (failed.length === 0) {
    sheet.paragraph('None recorded.');
    return;
  }
  sheet.table(
    [
      { title: 'Time (UTC)', weight: 29 },
      { title: 'What', weight: 36 },
      { title: 'Detail', weight: 56 },
    ],
    failed.map((entry) => [timeCell(entry), strongCell(entry.title), cell(entry.detail)]),
  );
}

export function timelineSection(sheet: Sheet, facts: RecordFacts): void {
  sheet.section('Timeline', 130);
  sheet.paragraph(
    'Every fact in the order of the log; No. is the tree size at that fact. Intents stand in grey beside their outcomes.',
  );
  sheet.table(
    [
      { title: 'No.', weight: 8, align: 'right' },
      { title: 'Time (UTC)', weight: 30 },
      { title: 'Fact', weight: 54 },
      { title: 'Who', weight: 22 },
      { title: 'Provenance', weight: 15 },
    ],
    facts.timeline.map((entry) => {
      const look = entry.minor === true ? STYLES.cellMuted : STYLES.cellStrong;
      return [
        [{ words: String(entry.treeSize), style: STYLES.cellMuted }],
        timeCell(entry),
        [
          { words: entry.title, style: look },
          ...(entry.detail === ''
            ? []
            : [{ words: entry.detail, style: entry.minor ? STYLES.cellMuted : STYLES.cell }]),
        ],
        whoCell(entry),
        cell(entry.provenance),
      ];
    }),
  );
}

/** Later writing that a reader should see: more than a minute after the fact. */
const WRITTEN_LATER = 60_000;

function timeCell(entry: TimelineEntry): Cell {
  const recorded: Paragraph = { words: `recorded ${instantText(entry.recordedAt)}`, style: STYLES.tiny };
  if (entry.instantNotRecorded) return [...absentCell, recorded];
  const late = Math.abs(entry.recordedAt - entry.at) >= WRITTEN_LATER;
  return [{ words: instantText(entry.at), style: STYLES.cell }, ...(late ? [recorded] : [])];
}

function whoCell(entry: TimelineEntry): Cell {
  if (entry.doneBy === undefined) return cell(entry.actorName);
  return [
    { words: entry.doneBy, style: STYLES.cell },
    { words: `recorded by ${entry.actorName}`, style: STYLES.small },
  ];
}

export function deviationLines(facts: RecordFacts): readonly (readonly Span[])[] {
  const { request } = facts;
  const asked = request?.data.deviation;
  const recorded = allOf(facts.dossier.rotationEvents, 'DeviationRecorded').map(
    ({ data }): readonly Span[] => [
      { text: `${data.what}, `, style: { face: 'strong' } },
      {
        text: `until ${instantTextOf(data.until) ?? data.until}: ${data.reason}${
          data.family === undefined
            ? ''
            : ` (a deviation of the family, approved by ${facts.nameOf(data.family.approvedBy)})`
        }`,
      },
    ],
  );
  // A deviation asked for and then recorded is one deviation.
  if (asked === undefined || recorded.length > 0) return recorded;
  return [[{ text: `Asked for, until ${instantTextOf(asked.until) ?? asked.until}: ${asked.reason}` }]];
}

export function exceptionsSection(sheet: Sheet, facts: RecordFacts): void {
  const { plan } = facts;
  if (plan === undefined || plan.exceptions.length === 0) return;
  sheet.section('What the plan noted before it began');
  sheet.bullets(plan.exceptions);
}

export function requestRows(facts: RecordFacts): (readonly [string, Cell])[] {
  const { request } = facts;
  const at = request === undefined ? undefined : instantOf(request);
  const when = at === undefined ? NOT_RECORDED : `${instantText(at)} UTC`;
  return [
    [
      'Requested by',
      request === undefined ? value(undefined) : value(facts.nameOf(request.data.requestedBy), when),
    ],
    ['Reason', value(orNotRecorded(request?.data.reason))],
    [
      'Trigger, strategy',
      value(
        request === undefined
          ? undefined
          : `${request.data.trigger.replaceAll('-', ' ')}, ${request.data.strategy}`,
      ),
    ],
  ];
}

/** What people performed in the back end's place, and what the back end showed of it; nothing where it is theirs altogether. */
export function attestedRows({ dossier, plan }: RecordFacts): (readonly [string, Cell])[] {
  const { rotationEvents } = dossier;
  const attested = allOf(rotationEvents, 'Attested');
  if (attested.length === 0 || plan?.attested === true) return [];
  const compared = allOf(rotationEvents, 'AttestationReconciled').map((event) => {
    const { agrees, steps, differences, notCompared = [] } = event.data;
    const at = instantOf(event);
    const when = at === undefined ? 'Compared' : `Compared ${instantText(at)} UTC`;
    const shown = steps.length === 0 ? 'nothing shows it' : `the back end shows ${steps.join(', ')}`;
    const rest = notCompared.length === 0 ? '' : `; not compared: ${notCompared.join(', ')}`;
    return agrees
      ? { words: `${when}: ${shown}${rest}.`, style: STYLES.small }
      : { words: `${when}: THE BACK END CONTRADICTS IT. ${differences.join(' ')}`, style: STYLES.strong };
  });
  const lines =
    compared.length === 0
      ? [{ words: 'Not yet compared with the back end.', style: STYLES.small }]
      : compared;
  const steps = [...new Set(attested.map((event) => event.data.step))].join(', ');
  return [['Attested', [...value(steps), ...lines]]];
}

/** Who approved, and whether somebody else asked. A plain comparison of subjects. */
export function approvalsValue(facts: RecordFacts): Cell {
  const { request, plan } = facts;
  const approvals = allOf(facts.dossier.rotationEvents, 'RotationApproved');
  const needed = plan === undefined ? undefined : `${plan.approvals} needed by the plan`;
  if (approvals.length === 0) {
    return needed === undefined ? value(undefined) : value('none recorded', needed);
  }
  const lines = approvals.flatMap((approval): Cell => {
    const at = instantOf(approval);
    const differs =
      request === undefined
        ? 'requester not recorded'
        : approval.actor === request.data.requestedBy
          ? 'the same subject as the requester'
          : 'another subject than the requester';
    return [
      { words: facts.nameOf(approval.actor), style: STYLES.body },
      {
        words: `${at === undefined ? NOT_RECORDED : `${instantText(at)} UTC`}; ${differs}${
          approval.data.note === undefined ? '' : `; ${approval.data.note}`
        }`,
        style: STYLES.small,
      },
    ];
  });
  return needed === undefined ? lines : [...lines, { words: needed, style: STYLES.small }];
}

export function howToRead(sheet: Sheet, facts: RecordFacts): void {
  const { dossier } = facts;
  const lead = (text: string): Span => ({ text, style: { face: 'strong', colour: STYLES.body.colour } });
  const style = { ...STYLES.small, colour: STYLES.body.colour };
  const provenances = Object.entries(PROVENANCE_WORDS).flatMap(([word, meaning]): Span[] => [
    lead(word),
    { text: ` – ${meaning} ` },
  ]);
  sheet.callout('How to read this', [
    { words: [lead('Provenance. '), ...provenances], style },
    {
      words: [
        lead('Not recorded '),
        {
          text: 'means that the log holds no such fact or no time for it. Nothing was filled in, and no target stands in its place.',
        },
      ],
      style,
    },
    {
      words: [
        lead('Windows '),
        {
          text: 'ran on the times at which the log recorded the facts, except in an imported history, where its own times are all there is.',
        },
      ],
      style,
    },
    {
      words: [
        lead('What this page does not prove. '),
        {
          text: `It shows what was recorded up to tree size ${dossier.treeSize} of log ${dossier.logId}. Check it with the log’s proofs; it does not verify itself. It does not show that everything that happened was recorded, nor that the value behind a version really changed.`,
        },
      ],
      style,
    },
  ]);
}
