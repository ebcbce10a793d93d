import { hash } from 'node:crypto';
import { z } from 'zod';
import { formatInstant, instantSchema, MAX_APPEND_BYTES, MAX_EVENT_BYTES, parseInstant } from '#eventlog';
import {
  coverageSchema,
  familyEvents,
  rotationRequestSchema,
  runbookSchema,
  type ConsumerDetails,
  type FamilyDetails,
} from '../domain/family.events.js';
import { rotationEvents } from '../domain/rotation.events.js';
import { lineSchema, nameSchema, versionSnapshotSchema } from '../domain/vocabulary.js';
import {
  declaredConsumerSchema,
  declaredFamilySchema,
  qualifiedNameSchema,
} from './files/declared-shapes.js';
import { Problems, type FileError } from './files/file-problems.js';
import { JsonReader, JsonSyntaxError, lineAt, type JsonNode } from './files/json-with-lines.js';
import type { Path } from './files/path.js';
import { checkShape } from './files/schema-check.js';
import { findSecrets } from './files/secret-shapes.js';

/**
 * The history file, `keyturn-history/1`: one JSON file, UTF-8, at most 16 MiB.
 *
 *     {
 *       "format": "keyturn-history/1",
 *       "source": "the playbook of 2025",
 *       "entries": [
 *         {"family": {"name": "Session JWT", "environment": "production", …}, "coverage": {"from": INSTANT, "basis": TEXT}},
 *         {"consumer": {"name": "api-server", "roles": ["emitter"], …}, "family": "production/Session JWT"},
 *         {"runbook": {"scope": …}, "family": …},
 *         {"version": {"versionId": …, "createdAt": INSTANT, "accepted": true, …}, "at": INSTANT, "family": …},
 *         {"compromise": {"versions": […], "reason": …}, "within": {"from": INSTANT, "to": INSTANT}, "family": …},
 *         {"rotation": {"label": …, "family": …, "strategy": …, "trigger": …, "reason": …},
 *          "facts": [
 *           {"type": "KeyGenerated", "at": INSTANT, "by": "who did it", "data": {"versionId": …, "algorithm": …}},
 *           {"type": "OldKeyRevoked", "within": {"from": INSTANT, "to": INSTANT}, "data": {"versions": […]}}
 *          ]}
 *       ]
 *     }
 *
 * - Every entry starts on a line of its own; facts may each have theirs. The line is what is taken over at once, and
 *   what an interrupted import goes on from.
 * - `at` is when it was so. Where only a day or a span was recorded, `within` says so; where nothing was, both are left
 *   out and the fact reads "not recorded". Nothing is ever filled in.
 * - A family is `tracked` (or `attested`) and not illustrative unless it says so; never `driven`: nothing imported acts.
 * - A family that is named stands earlier in the file, or in Keyturn.
 * - Facts stand in the order they happened. `AcceptanceConfirmed` and `EmissionConfirmed` name their consumer by
 *   `consumer`. Declarations of emergency are not imported: their targets are no record, and an import owes nothing.
 * - A value never stands here: what looks like secret material is refused, and named by its field only.
 */
export const HISTORY_FORMAT = 'keyturn-history/1';
export const MAX_HISTORY_BYTES = 16 * 1024 * 1024;

export interface Span {
  readonly from: string;
  readonly to: string;
}

export interface ImportFact {
  readonly line: number;
  readonly type: ImportableFact;
  /** As the event stores it, but for the consumer, whose id is not known here. */
  readonly data: Readonly<Record<string, unknown>>;
  readonly consumer?: string;
  readonly occurredAt?: number;
}

interface EntryOf<Kind extends string> {
  readonly kind: Kind;
  readonly line: number;
}

export type ImportEntry =
  | (EntryOf<'family'> & { readonly details: FamilyDetails; readonly coverage?: Coverage })
  | (EntryOf<'consumer'> & { readonly family: string; readonly consumer: ConsumerDetails })
  | (EntryOf<'runbook'> & { readonly family: string; readonly runbook: Readonly<Record<string, string>> })
  | (EntryOf<'version' | 'compromise'> & {
      readonly family: string;
      readonly data: Readonly<Record<string, unknown>>;
      readonly occurredAt?: number;
    })
  | (EntryOf<'rotation'> & {
      readonly family: string;
      readonly label: string;
      /** `RotationRequested`, but for the family's id. */
      readonly request: Readonly<Record<string, unknown>>;
      readonly occurredAt?: number;
      readonly facts: readonly ImportFact[];
    });

type Coverage = z.output<typeof coverageSchema>;

export interface ImportFile {
  /** Hex. */
  readonly sha256: string;
  readonly source: string;
  readonly entries: readonly ImportEntry[];
  /** How many lines of the file decide something. */
  readonly lines: number;
}

const STEP_REFERENCE = { attemptId: true, settledBy: true, backEndAt: true } as const;
const ABOUT_IMPORT = { by: true, occurredWithin: true } as const;
const confirmationSchema = rotationEvents.AcceptanceConfirmed.schema
  .omit({ ...ABOUT_IMPORT, consumerId: true })
  .extend({ consumer: nameSchema });

/** The facts of a rotation an import may bring, each with what its `data` holds. */
const FACTS = {
  KeyGenerated: rotationEvents.KeyGenerated.schema.omit({ ...STEP_REFERENCE, ...ABOUT_IMPORT }),
  DualAcceptDeployed: rotationEvents.DualAcceptDeployed.schema.omit({ ...STEP_REFERENCE, ...ABOUT_IMPORT }),
  AcceptanceConfirmed: confirmationSchema,
  EmitterSwitched: rotationEvents.EmitterSwitched.schema.omit({ ...STEP_REFERENCE, ...ABOUT_IMPORT }),
  EmissionConfirmed: confirmationSchema,
  OldKeyRevoked: rotationEvents.OldKeyRevoked.schema.omit({ ...STEP_REFERENCE, ...ABOUT_IMPORT }),
  OldKeyRejectionVerified: rotationEvents.OldKeyRejectionVerified.schema.omit({
    ...STEP_REFERENCE,
    ...ABOUT_IMPORT,
  }),
  SessionsInvalidated: rotationEvents.SessionsInvalidated.schema.omit(ABOUT_IMPORT),
  ReauthenticationVerified: rotationEvents.ReauthenticationVerified.schema.omit(ABOUT_IMPORT),
  TelemetryRecorded: rotationEvents.TelemetryRecorded.schema.omit(ABOUT_IMPORT),
  NoteAdded: rotationEvents.NoteAdded.schema.omit(ABOUT_IMPORT),
  RotationCompleted: rotationEvents.RotationCompleted.schema.omit(ABOUT_IMPORT),
  RotationRolledBack: rotationEvents.RotationRolledBack.schema.omit(ABOUT_IMPORT),
  RotationAbandoned: rotationEvents.RotationAbandoned.schema.omit(ABOUT_IMPORT),
  PostIncidentReviewed: rotationEvents.PostIncidentReviewed.schema.omit(ABOUT_IMPORT),
} as const;
export type ImportableFact = keyof typeof FACTS;

function isImportable(type: string): type is ImportableFact {
  return Object.hasOwn(FACTS, type);
}

const ENDS: readonly string[] = ['RotationCompleted', 'RotationRolledBack', 'RotationAbandoned'];
/** What may still be said after the end. */
const AFTERWARDS: readonly string[] = [
  'NoteAdded',
  'TelemetryRecorded',
  'SessionsInvalidated',
  'ReauthenticationVerified',
  'PostIncidentReviewed',
];
const ONCE: readonly string[] = ['KeyGenerated', 'DualAcceptDeployed'];
/** Where both are recorded, the first stands before the second. An emergency may revoke before it emits anew. */
const PRECEDES: readonly (readonly [ImportableFact, ImportableFact, 'always' | 'graceful'])[] = [
  ['KeyGenerated', 'DualAcceptDeployed', 'always'],
  ['KeyGenerated', 'EmitterSwitched', 'always'],
  ['DualAcceptDeployed', 'AcceptanceConfirmed', 'always'],
  ['EmitterSwitched', 'EmissionConfirmed', 'always'],
  ['OldKeyRevoked', 'OldKeyRejectionVerified', 'always'],
  ['DualAcceptDeployed', 'EmitterSwitched', 'graceful'],
  ['EmitterSwitched', 'OldKeyRevoked', 'graceful'],
];

const spanSchema = z.object({ from: instantSchema, to: instantSchema });

const ENTRIES = {
  family: z.object({
    family: declaredFamilySchema.extend({ mode: z.enum(['tracked', 'attested']).default('tracked') }),
    coverage: coverageSchema.optional(),
  }),
  consumer: z.object({ consumer: declaredConsumerSchema, family: qualifiedNameSchema }),
  runbook: z.object({ runbook: runbookSchema, family: qualifiedNameSchema }),
  version: z.object({
    version: versionSnapshotSchema.extend({
      createdAt: instantSchema.optional(),
      source: lineSchema.optional(),
      compromised: versionSnapshotSchema.shape.compromised.default(false),
      destroyed: versionSnapshotSchema.shape.destroyed.default(false),
    }),
    at: instantSchema.optional(),
    family: qualifiedNameSchema,
  }),
  compromise: z.object({
    compromise: familyEvents.CompromiseConfirmed.schema.omit({ ...ABOUT_IMPORT, rotation: true }),
    at: instantSchema.optional(),
    within: spanSchema.optional(),
    by: lineSchema.optional(),
    family: qualifiedNameSchema,
  }),
  rotation: z.object({
    rotation: rotationRequestSchema.pick({ strategy: true, trigger: true, reason: true }).extend({
      label: lineSchema,
      family: qualifiedNameSchema,
      by: lineSchema.optional(),
    }),
    at: instantSchema.optional(),
    within: spanSchema.optional(),
    facts: z.array(z.unknown()).max(10_000),
  }),
} as const;
type EntryKind = keyof typeof ENTRIES;
const ENTRY_KINDS: readonly EntryKind[] = [
  'rotation',
  'compromise',
  'version',
  'runbook',
  'consumer',
  'family',
];

const factSchema = z.object({
  type: z.string(),
  at: instantSchema.optional(),
  within: spanSchema.optional(),
  by: lineSchema.optional(),
  data: z.unknown().optional(),
});

export type ImportReading =
  | { readonly file: ImportFile; readonly errors: readonly [] }
  | { readonly file?: never; readonly errors: readonly FileError[] };

/** A file with more mistakes than these has one that repeats itself. */
const MOST_ERRORS = 1_000;

/** Reads and checks the whole file; what is wrong is told all at once, sorted by line. */
export function readImportFile(bytes: Uint8Array, now: number): ImportReading {
  if (bytes.byteLength > MAX_HISTORY_BYTES) {
    return { errors: [{ line: 0, field: '', message: 'must not be larger than 16 MiB' }] };
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return { errors: [{ line: 0, field: '', message: 'must be UTF-8 text' }] };
  }
  const problems = new Problems(MOST_ERRORS);
  let root: JsonNode;
  try {
    root = new JsonReader(text, {
      line: 1,
      noObject: `must be one JSON object with "format": "${HISTORY_FORMAT}"; YAML is not read here`,
      problem: (line, path, message) => {
        problems.add(line, path, message);
      },
    }).read();
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    problems.add(error.line, [], error.message);
    return { errors: problems.sorted() };
  }
  const source = readHead(root, problems);
  findSecrets(root.value, (path, message) => {
    problems.add(lineAt(root, path), path, message);
  });
  const entries = (root.fields?.get('entries')?.items ?? []).flatMap(
    (node, index) => readEntry(node, ['entries', index], { source, now, problems }) ?? [],
  );
  checkLines(root, problems);
  if (problems.none()) checkTogether(entries, problems);
  if (!problems.none()) return { errors: problems.sorted() };
  const lines = new Set(
    entries.flatMap((entry) => [
      entry.line,
      ...(entry.kind === 'rotation' ? entry.facts.map((fact) => fact.line) : []),
    ]),
  );
  return {
    file: { sha256: hash('sha256', bytes, 'hex'), source, entries, lines: lines.size },
    errors: [],
  };
}

const headSchema = z.object({
  format: z.literal(HISTORY_FORMAT),
  source: lineSchema,
  entries: z.array(z.unknown()).min(1),
});

function readHead(root: JsonNode, problems: Problems): string {
  const head = checked(headSchema, root, [], problems);
  return head?.source ?? '';
}

/** Parses, and says every problem of `node` at its line: also each field nobody knows. */
function checked<Schema extends z.ZodType>(
  schema: Schema,
  node: JsonNode,
  path: Path,
  problems: Problems,
): z.output<Schema> | undefined {
  const { issues, data } = checkShape(schema, node.value);
  for (const issue of issues) problems.add(lineAt(node, issue.path), [...path, ...issue.path], issue.message);
  return issues.length === 0 ? data : undefined;
}

interface Reading {
  readonly source: string;
  readonly now: number;
  readonly problems: Problems;
}

function readEntry(node: JsonNode, path: Path, reading: Reading): ImportEntry | undefined {
  const { problems } = reading;
  const kind = ENTRY_KINDS.find((each) => node.fields?.has(each) === true);
  if (kind === undefined) {
    problems.add(
      node.line,
      path,
      'must be an object with family, consumer, runbook, version, compromise or rotation',
    );
    return undefined;
  }
  const { line } = node;
  switch (kind) {
    case 'family': {
      const entry = checked(ENTRIES.family, node, path, problems);
      if (entry === undefined) return undefined;
      if (entry.coverage !== undefined)
        notFuture(node, path, ['coverage', 'from'], entry.coverage.from, reading);
      const { family: details, coverage } = entry;
      if (details.usage === 'mac' && details.algorithm !== undefined && details.algorithm !== 'HS256') {
        problems.add(
          lineAt(node, ['family', 'algorithm']),
          [...path, 'family', 'algorithm'],
          'must be HS256 for a family that makes MACs',
        );
      }
      return { kind, line, details, ...(coverage === undefined ? {} : { coverage }) };
    }
    case 'consumer': {
      const entry = checked(ENTRIES.consumer, node, path, problems);
      return entry === undefined ? undefined : { kind, line, ...entry };
    }
    case 'runbook': {
      const entry = checked(ENTRIES.runbook, node, path, problems);
      if (entry === undefined) return undefined;
      const texts = Object.entries(entry.runbook).filter(
        (field): field is [string, string] => field[1] !== undefined,
      );
      return { kind, line, family: entry.family, runbook: Object.fromEntries(texts) };
    }
    case 'version': {
      const entry = checked(ENTRIES.version, node, path, problems);
      if (entry === undefined) return undefined;
      notFuture(node, path, ['at'], entry.at, reading);
      notFuture(node, path, ['version', 'createdAt'], entry.version.createdAt, reading);
      return {
        kind,
        line,
        family: entry.family,
        data: { ...entry.version, source: entry.version.source ?? reading.source },
        ...occurred(entry.at),
      };
    }
    case 'compromise': {
      const entry = checked(ENTRIES.compromise, node, path, problems);
      if (entry === undefined) return undefined;
      checkWhen(node, path, entry, reading);
      notFuture(node, path, ['compromise', 'discoveredAt'], entry.compromise.discoveredAt, reading);
      notFuture(node, path, ['compromise', 'exposedFrom'], entry.compromise.exposedFrom, reading);
      return {
        kind,
        line,
        family: entry.family,
        data: { ...entry.compromise, ...importedOnly(entry) },
        ...occurred(entry.at),
      };
    }
    case 'rotation':
      return readRotation(node, path, reading);
  }
}

function readRotation(node: JsonNode, path: Path, reading: Reading): ImportEntry | undefined {
  const { problems } = reading;
  const entry = checked(ENTRIES.rotation, node, path, problems);
  const nodes = node.fields?.get('facts')?.items ?? [];
  const facts = nodes.flatMap((fact, index) => readFact(fact, [...path, 'facts', index], reading) ?? []);
  if (entry === undefined) return undefined;
  checkWhen(node, path, entry, reading);
  const { family, label, strategy, trigger, reason, by } = entry.rotation;
  if (facts.length === nodes.length) checkOrder(nodes, path, facts, { ...entry, strategy }, problems);
  const request = {
    strategy,
    trigger,
    reason,
    label,
    // Who asked then is a name in the history, no subject of ours.
    requestedBy: by ?? 'not recorded',
    ...importedOnly({ within: entry.within, by }),
  };
  checkSize(node, path, request, problems);
  return {
    kind: 'rotation',
    line: node.line,
    family,
    label,
    request,
    ...occurred(entry.at),
    facts: facts.map(({ when: _when, ...fact }) => fact),
  };
}

interface ReadFact extends ImportFact {
  readonly when: When;
}

interface When {
  readonly at?: string | undefined;
  readonly within?: Span | undefined;
}

function readFact(node: JsonNode, path: Path, reading: Reading): ReadFact | undefined {
  const { problems } = reading;
  const fact = checked(factSchema, node, path, problems);
  if (fact === undefined) return undefined;
  checkWhen(node, path, fact, reading);
  const { type } = fact;
  if (!isImportable(type)) {
    const hint =
      type === 'CompromiseConfirmed' || type === 'CompromiseSuspected'
        ? ' (a compromise is an entry of its own: {"compromise": …})'
        : '';
    problems.add(
      lineAt(node, ['type']),
      [...path, 'type'],
      `must be one of ${Object.keys(FACTS).join(', ')}${hint}`,
    );
    return undefined;
  }
  const dataNode = node.fields?.get('data') ?? {
    line: node.line,
    value: {},
    fields: new Map<string, JsonNode>(),
  };
  const data: Readonly<Record<string, unknown>> | undefined = checked<z.ZodType<Record<string, unknown>>>(
    FACTS[type],
    dataNode,
    [...path, 'data'],
    problems,
  );
  if (data === undefined) return undefined;
  for (const field of ['from', 'to', 'trustEndsAt']) {
    const value = data[field];
    // Trust may end later than today; what was counted was counted.
    if (typeof value === 'string' && field !== 'trustEndsAt') {
      notFuture(dataNode, [...path, 'data'], [field], value, reading);
    }
  }
  const { consumer, ...stored } = data;
  const whole = { ...stored, ...importedOnly(fact) };
  checkSize(node, path, whole, problems);
  return {
    line: node.line,
    type,
    data: whole,
    ...(typeof consumer === 'string' ? { consumer } : {}),
    ...occurred(fact.at),
    when: fact,
  };
}

function occurred(at: string | undefined): { readonly occurredAt?: number } {
  const instant = at === undefined ? undefined : parseInstant(at);
  return instant === undefined ? {} : { occurredAt: instant };
}

function importedOnly(fact: { readonly within?: Span | undefined; readonly by?: string | undefined }): {
  readonly by?: string;
  readonly occurredWithin?: Span;
} {
  return {
    ...(fact.by === undefined ? {} : { by: fact.by }),
    ...(fact.within === undefined ? {} : { occurredWithin: fact.within }),
  };
}

function notFuture(
  node: JsonNode,
  path: Path,
  field: Path,
  instant: string | undefined,
  { now, problems }: Reading,
): void {
  if (instant !== undefined && (parseInstant(instant) ?? 0) > now) {
    problems.add(
      lineAt(node, field),
      [...path, ...field],
      `must not be in the future (it is ${formatInstant(now)} now)`,
    );
  }
}

function checkWhen(node: JsonNode, path: Path, when: When, reading: Reading): void {
  const { problems } = reading;
  notFuture(node, path, ['at'], when.at, reading);
  if (when.within === undefined) return;
  notFuture(node, path, ['within', 'to'], when.within.to, reading);
  if (when.at !== undefined) {
    problems.add(
      lineAt(node, ['within']),
      [...path, 'within'],
      'must not stand beside at: the instant is known, or only the span',
    );
  }
  if ((parseInstant(when.within.to) ?? 0) <= (parseInstant(when.within.from) ?? 0)) {
    problems.add(lineAt(node, ['within', 'to']), [...path, 'within', 'to'], 'must be later than from');
  }
}

/** Facts stand in the order they happened; a span counts by its ends. */
function checkOrder(
  nodes: readonly JsonNode[],
  path: Path,
  facts: readonly ReadFact[],
  rotation: When & { readonly strategy: string },
  problems: Problems,
): void {
  const problem = (index: number, field: string, message: string): void => {
    const node = nodes[index];
    if (node !== undefined) problems.add(lineAt(node, [field]), [...path, 'facts', index, field], message);
  };
  let floor = parseInstant(rotation.at ?? rotation.within?.from ?? '') ?? -Infinity;
  let ended = false;
  for (const [index, { when, type }] of facts.entries()) {
    const latest = parseInstant(when.at ?? when.within?.to ?? '');
    if (latest !== undefined && latest < floor) {
      problem(
        index,
        when.at === undefined ? 'within' : 'at',
        'must not be earlier than what stands before it: facts stand in the order they happened',
      );
    }
    floor = Math.max(floor, parseInstant(when.at ?? when.within?.from ?? '') ?? -Infinity);
    if (ended && !AFTERWARDS.includes(type)) {
      problem(
        index,
        'type',
        `must not stand after the end of the rotation; only ${AFTERWARDS.join(', ')} may`,
      );
    }
    ended ||= ENDS.includes(type);
    if (ONCE.includes(type) && facts.findIndex((fact) => fact.type === type) < index) {
      problem(index, 'type', `must not stand twice: a rotation has one ${type}`);
    }
  }
  for (const [first, second, where] of PRECEDES) {
    if (where === 'graceful' && rotation.strategy !== 'graceful') continue;
    const before = facts.findIndex((fact) => fact.type === first);
    const after = facts.findIndex((fact) => fact.type === second);
    if (before > after && after >= 0) problem(after, 'type', `must not stand before ${first}`);
  }
}

/** What the envelope adds to the data, generously. */
const ENVELOPE_BYTES = 2_048;

function checkSize(node: JsonNode, path: Path, data: unknown, problems: Problems): void {
  if (bytesOf(data) > MAX_EVENT_BYTES - ENVELOPE_BYTES) {
    problems.add(node.line, path, `must not be larger than ${MAX_EVENT_BYTES - ENVELOPE_BYTES} bytes`);
  }
}

function bytesOf(data: unknown): number {
  return Buffer.byteLength(JSON.stringify(data));
}

/** An entry is known by its line: two on one line could not be told apart after a crash. */
function checkLines(root: JsonNode, problems: Problems): void {
  const taken = new Set<number>();
  for (const [index, node] of (root.fields?.get('entries')?.items ?? []).entries()) {
    if (taken.has(node.line)) problems.add(node.line, ['entries', index], 'must start on a line of its own');
    taken.add(node.line);
    for (const fact of node.fields?.get('facts')?.items ?? []) taken.add(fact.line);
  }
}

/** What one line appends is appended at once, so it has a limit; and what only the entries together can break. */
function checkTogether(entries: readonly ImportEntry[], problems: Problems): void {
  const families = new Set<string>();
  const objects = new Set<string>();
  const seen = new Set<string>();
  const once = (line: number, path: Path, key: string, what: string): void => {
    if (seen.has(key)) problems.add(line, path, `must not stand twice: ${what}`);
    seen.add(key);
  };
  for (const entry of entries) {
    switch (entry.kind) {
      case 'family': {
        const { environment, name, backEnd } = entry.details;
        const qualified = `${environment}/${name}`;
        if (families.has(qualified))
          problems.add(entry.line, ['family', 'name'], 'must not stand twice in one environment');
        families.add(qualified);
        const object = backEnd === undefined ? undefined : `${backEnd.instance}:${backEnd.object}`;
        if (object === undefined) break;
        if (objects.has(object))
          problems.add(entry.line, ['family', 'backEnd', 'object'], 'must belong to one family only');
        objects.add(object);
        break;
      }
      case 'consumer':
        once(
          entry.line,
          ['consumer', 'name'],
          `consumer\n${entry.family}\n${entry.consumer.name}`,
          'this consumer of this family',
        );
        break;
      case 'rotation': {
        once(
          entry.line,
          ['rotation', 'label'],
          `rotation\n${entry.family}\n${entry.label}`,
          'a label names one rotation of a family',
        );
        const lines = new Map([[entry.line, bytesOf(entry.request)]]);
        for (const { line, data } of entry.facts) {
          const size = (lines.get(line) ?? 0) + bytesOf(data) + ENVELOPE_BYTES;
          lines.set(line, size);
          if (size > MAX_APPEND_BYTES)
            problems.add(line, ['facts'], 'must not hold this much on one line: start each fact on its own');
        }
        break;
      }
      case 'runbook':
      case 'version':
      case 'compromise':
        break;
    }
  }
}
