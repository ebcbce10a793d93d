import { formatInstant, parseInstant } from '#eventlog';
import { milliseconds, RUNBOOK_WORDS, type ConsumerView } from '#rotation';
import type { RunbookInput } from '../runbook-page.js';
import { spanWords } from './wording.js';

/** A line that is computed from the record, beside what somebody wrote. */
export interface Line {
  readonly text: string;
  readonly missing?: true;
}

/** One field of a runbook page. */
export interface RunbookField {
  readonly title: string;
  /** The same field goes on: no number of its own. */
  readonly continued?: true;
  /** As somebody wrote it; absent: nobody did. */
  readonly written?: string;
  /** Nobody needs to write this field: it is computed. */
  readonly computed?: true;
  readonly lines: readonly Line[];
  /** What a reader would look for here and not find, in words. */
  readonly missing: readonly string[];
}

/**
 * The nine fields of a runbook page, with what is missing of each. A field that is hard to fill is where the risk hides, so
 * nothing is left out because it is empty.
 */
export function runbookFields(input: RunbookInput): readonly RunbookField[] {
  const { family, policy } = input;
  const { runbook } = family;
  const written = (field: keyof typeof RUNBOOK_WORDS): Pick<RunbookField, 'written' | 'missing'> => {
    const text = runbook[field];
    return text === undefined ? { missing: [RUNBOOK_WORDS[field]] } : { written: text, missing: [] };
  };
  const scope = written('scope');
  const storage = written('storage');
  const cadence = written('cadence');
  const { owner } = family;
  return [
    {
      title: 'Scope and purpose',
      ...scope,
      lines: [
        ...(scope.written === undefined && family.description !== null
          ? [{ text: `Described as: ${family.description}` }]
          : []),
        {
          text: `Protects ${words(family.protects)}; used to ${family.usage}; ${family.mode}, rotated by ${authorityText(family.authority)}.`,
        },
      ],
    },
    {
      title: 'Storage and distribution',
      ...storage,
      lines: [
        family.backEnd === null
          ? { text: 'No back end is named.', missing: true }
          : { text: `Back end ${family.backEnd.instance}: ${family.backEnd.object}` },
      ],
      missing: [...storage.missing, ...(family.backEnd === null ? ['back end'] : [])],
    },
    {
      title: 'Consumers',
      ...(family.consumers.length === 0 ? {} : { written: consumersText(family.consumers) }),
      lines: [],
      missing: family.consumers.length === 0 ? ['consumers'] : [],
    },
    {
      title: 'Blast radius, third parties too',
      continued: true,
      ...written('blastRadius'),
      lines: [],
    },
    {
      title: 'Format and identification',
      computed: true,
      lines: [formatLine(family)],
      missing: family.algorithm === null ? ['algorithm'] : [],
    },
    {
      title: 'Rollout order',
      ...written('rolloutOrder'),
      lines:
        family.overlap === 'dual'
          ? [{ text: 'Accept the new version, emit with it, revoke the old one.' }]
          : [{ text: 'One version at a time: a cutover in a change window, with an outage.' }],
    },
    windowsField(input),
    { title: 'Verification', ...written('verification'), lines: [] },
    { title: 'Rollback plan', ...written('rollbackPlan'), lines: [] },
    {
      title: 'Cadence, owner, next review',
      ...cadence,
      lines: [
        policy === undefined
          ? { text: 'No policy selects this family.', missing: true }
          : {
              text: `Policy ${policy.name}, revision ${policy.revision}: stop emitting after ${length(policy.stopEmitting)}, accepting after ${length(policy.stopAccepting)}`,
            },
        ...(policy?.departures ?? []).map((departure) => ({
          text: `By deviation, not as the policy says: ${departure}`,
        })),
        {
          text: `Owner ${owner.role}; deputy ${owner.deputy ?? 'missing'}; escalation ${owner.escalation ?? 'missing'}`,
          ...(owner.deputy === undefined || owner.escalation === undefined ? { missing: true as const } : {}),
        },
        reviewLine(runbook['nextReview'], input.asOf),
      ],
      missing: [
        ...cadence.missing,
        ...(policy === undefined ? ['policy'] : []),
        ...(owner.deputy === undefined ? ['deputy'] : []),
        ...(owner.escalation === undefined ? ['escalation'] : []),
        ...(runbook['nextReview'] === undefined ? [RUNBOOK_WORDS.nextReview] : []),
      ],
    },
  ];
}

export interface Completeness {
  readonly complete: number;
  readonly of: number;
  readonly missing: readonly string[];
}

/** How many of the fields miss nothing. A field over two lines counts once. */
export function completenessOf(fields: readonly RunbookField[]): Completeness {
  const groups: string[][] = [];
  for (const { continued, missing } of fields) {
    const last = groups.at(-1);
    if (continued === true && last !== undefined) last.push(...missing);
    else groups.push([...missing]);
  }
  return {
    complete: groups.filter((missing) => missing.length === 0).length,
    of: groups.length,
    missing: groups.flat(),
  };
}

function windowsField({ windows }: RunbookInput): RunbookField {
  const title = 'Overlap windows';
  if ('none' in windows) {
    return {
      title,
      computed: true,
      lines: [{ text: `Not computed: ${windows.none}`, missing: true }],
      missing: ['overlap windows'],
    };
  }
  const { accept, drain } = windows;
  const unbound = accept.binding === 'no verifier is registered';
  if (unbound) {
    return {
      title,
      computed: true,
      lines: [{ text: 'Not known: no verifier is registered to compute them from.', missing: true }],
      missing: ['a verifier to compute the windows from'],
    };
  }
  return {
    title,
    computed: true,
    lines: [
      {
        text: `Accept ${length(accept.required)} before the first emitter may use a new version. Binding: ${accept.binding}.`,
      },
      {
        text: `Drain ${length(drain.required)} after the last emitter is confirmed, before the old one is revoked. Binding: ${drain.binding}.`,
      },
    ],
    missing: [],
  };
}

function formatLine({ id, kind, algorithm, strengthBits, usage }: RunbookInput['family']): Line {
  const strength = strengthBits === null ? '' : `, ${strengthBits} bit`;
  const identified =
    kind === 'asymmetric-key' && usage === 'sign'
      ? `Identified by kid, served at /jwks/${id}.`
      : 'Identified by its version id.';
  if (algorithm === null)
    return { text: `${sentence(words(kind))}, algorithm missing. ${identified}`, missing: true };
  return { text: `${sentence(words(kind))}, ${algorithm}${strength}. ${identified}` };
}

/** The ones that can hurt most come first: others' systems, and what never fetches a key again. */
function consumersText(consumers: readonly ConsumerView[]): string {
  const emitters = consumers.filter(({ roles }) => roles.includes('emitter')).length;
  const verifiers = consumers.filter(({ roles }) => roles.includes('verifier')).length;
  const foreign = consumers.filter(({ thirdParty }) => thirdParty).length;
  const urgent = (consumer: ConsumerView): number =>
    (consumer.thirdParty ? 2 : 0) + (consumer.neverRefreshes ? 1 : 0);
  const ordered = [...consumers].sort((left, right) => urgent(right) - urgent(left));
  return `${count(emitters, 'emitter')}, ${count(verifiers, 'verifier')}, ${count(foreign, 'third party', 'third parties')}. ${ordered
    .map(consumerText)
    .join('; ')}.`;
}

function consumerText(consumer: ConsumerView): string {
  const { name, roles, instances, cacheTtl, thirdParty, neverRefreshes } = consumer;
  const details = [
    roles.join(' and '),
    ...(thirdParty ? ['third party'] : []),
    ...(instances === 1 ? [] : [`${instances} instances`]),
    ...(neverRefreshes
      ? ['never refreshes']
      : roles.includes('verifier')
        ? [cacheTtl === null ? 'cache not recorded' : `caches ${length(cacheTtl)}`]
        : []),
  ];
  return `${name} (${details.join(', ')})`;
}

function reviewLine(nextReview: string | undefined, asOf: number): Line {
  if (nextReview === undefined) return { text: 'Next review of this page: missing', missing: true };
  const day = parseInstant(`${nextReview}T00:00:00.000Z`) ?? asOf;
  const passed = formatInstant(asOf).slice(0, 10) > nextReview;
  return {
    text: `Next review of this page: ${formatInstant(day).slice(0, 10)}${passed ? ' (this day has passed)' : ''}`,
    ...(passed ? { missing: true as const } : {}),
  };
}

function authorityText({ kind, name }: RunbookInput['family']['authority']): string {
  const who = {
    keyturn: 'Keyturn',
    'back-end': 'the back end itself',
    pipeline: 'a pipeline',
    nobody: 'nobody',
  }[kind];
  return name === undefined ? (who ?? kind) : `${who ?? kind} (${name})`;
}

function length(duration: string): string {
  return spanWords(milliseconds(duration));
}

function words(term: string): string {
  return term.replaceAll('-', ' ');
}

function sentence(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;
}

function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}
