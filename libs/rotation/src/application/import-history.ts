import { DomainError, parseInstant, WrongExpectedRevisionError, type NewEvent } from '#eventlog';
import type { Cause, History, StreamPosition } from '#eventlog/kit';
import { derivedId, failpoint } from '#platform';
import { familyDecider, registerFamily, type FamilyState } from '../domain/family.decider.js';
import type { FamilyDetails } from '../domain/family.events.js';
import type { NewImportEvent } from '../domain/import.events.js';
import { lineSchema } from '../domain/vocabulary.js';
import type { BackEnds } from './back-ends.js';
import { claim } from './claims.js';
import { splitQualifiedName } from './files/declared-shapes.js';
import type { FileError } from './files/file-problems.js';
import { secretProblem } from './files/secret-shapes.js';
import { readImportFile, type ImportEntry, type ImportFact, type ImportFile } from './import-file.js';
import { causeOf, type CommandContext, type Ledger } from './ledger.js';
import { objectClaims } from './object-claims.js';
import type { Placed } from './placed.js';
import { consumerIdOf } from './revise-family.js';
import { claimStream, familyStream, idOf, importStream, rotationStream } from './streams.js';

/**
 * Takes over a history file (`import-file.ts` says what stands in one). Checked as a whole first; then each line is
 * appended once, whatever happens in between: a line's command id is derived from the file and the line, and a line whose
 * id is found in its stream is passed over. Nothing imported ever acts: no slot is taken, nobody is woken.
 */
export class ImportHistory {
  constructor(
    readonly context: CommandContext,
    readonly fileName: string,
    readonly bytes: Uint8Array,
  ) {}
}

/** Lines this call appended, by what they are; `skipped` stood in the log already, or changed nothing. */
export interface ImportCounts {
  readonly families: number;
  readonly consumers: number;
  readonly rotations: number;
  readonly facts: number;
  readonly skipped: number;
}

export interface ImportResult extends Placed {
  readonly counts: ImportCounts;
}

/** The file is not taken over; `details.errors` has every {line, field, message}. */
export class InvalidImportError extends DomainError {
  constructor(readonly errors: readonly FileError[]) {
    const shown = errors.slice(0, MOST_SHOWN).map(errorText).join('; ');
    const more = errors.length > MOST_SHOWN ? `; and ${errors.length - MOST_SHOWN} more` : '';
    super('import.invalid', `nothing was imported: ${shown}${more}`, { errors });
  }
}

const MOST_SHOWN = 20;

function errorText({ line, field, message }: FileError): string {
  const place = [...(line > 0 ? [`line ${line}`] : []), ...(field === '' ? [] : [field])].join(', ');
  return place === '' ? `the file ${message}` : `${place}: ${message}`;
}

export class ImportHistoryHandler {
  constructor(
    private readonly ledger: Ledger,
    private readonly backEnds: BackEnds,
  ) {}

  async execute({ context, fileName, bytes }: ImportHistory): Promise<ImportResult> {
    const name = nameOf(fileName);
    const { file, errors } = readImportFile(bytes, this.ledger.store.clock.now());
    if (file === undefined) throw new InvalidImportError(errors);
    return new ImportRun({ ledger: this.ledger, backEnds: this.backEnds }, context, name, file).run();
  }
}

/** A file's own name, without the folders it lay in. */
function nameOf(fileName: string): string {
  const parsed = lineSchema.safeParse(fileName.split(/[\\/]/).at(-1));
  if (parsed.success && secretProblem(parsed.data, undefined) === undefined) return parsed.data;
  throw new InvalidImportError([
    { line: 0, field: 'fileName', message: 'must be a plain file name, such as history.json' },
  ]);
}

interface WithHistory<State> {
  readonly history: History;
  readonly state: State;
}

/** A stream lines are appended to: its state, where it stands, and which commands it has facts of. */
interface Target<State> {
  readonly load: () => Promise<WithHistory<State>>;
  state: State;
  /** Something was appended since `state` was read; it is read again where a decision needs it. */
  stale: boolean;
  position: StreamPosition;
  causes: Set<string>;
}

type Kind = 'families' | 'consumers' | 'rotations' | 'facts';

class ImportRun {
  readonly #id: string;
  readonly #stream: string;
  readonly #families = new Map<string, Target<FamilyState>>();
  readonly #counts = { families: 0, consumers: 0, rotations: 0, facts: 0, skipped: 0 };
  #changed = false;

  private readonly ledger: Ledger;
  private readonly backEnds: BackEnds;

  constructor(
    { ledger, backEnds }: { readonly ledger: Ledger; readonly backEnds: BackEnds },
    private readonly context: CommandContext,
    private readonly name: string,
    private readonly file: ImportFile,
  ) {
    this.ledger = ledger;
    this.backEnds = backEnds;
    this.#id = derivedId(ledger.logId, file.sha256);
    this.#stream = importStream(this.#id);
  }

  async run(): Promise<ImportResult> {
    const before = await this.ledger.store.read(this.#stream);
    if (before.events.some((event) => event.type === 'ImportCompleted')) {
      this.#counts.skipped = this.file.lines;
      return this.#result(before.revision);
    }
    const errors = await this.#checkAgainstLog();
    if (errors.length > 0) throw new InvalidImportError(errors);
    const { sha256, lines, entries } = this.file;
    await this.#appendOwn(0, { type: 'ImportStarted', data: { file: sha256, name: this.name, lines } });
    failpoint('seam:import-started');
    for (const entry of entries) await this.#takeOver(entry);
    failpoint('seam:import-before-completed');
    const revision = await this.#appendOwn(1, { type: 'ImportCompleted', data: { lines } });
    return this.#result(revision);
  }

  #result(revision: number): ImportResult {
    return {
      id: this.#id,
      stream: this.#stream,
      revision,
      changed: this.#changed,
      counts: { ...this.#counts },
    };
  }

  /** The import's own two facts, each at its exact revision; whoever loses the race finds it there. */
  async #appendOwn(revision: number, event: NewImportEvent): Promise<number> {
    for (;;) {
      const history = await this.ledger.store.read(this.#stream);
      if (history.revision >= revision) return history.revision;
      try {
        const cause = { ...causeOf(this.context, this.#id), origin: this.#origin() };
        const appended = await this.ledger.append(history, [event], cause);
        this.#changed = true;
        return appended.revision;
      } catch (error) {
        if (!(error instanceof WrongExpectedRevisionError)) throw error;
      }
    }
  }

  #origin(): Cause['origin'] {
    return { ...causeOf(this.context).origin, via: 'import' };
  }

  /** The command id of a line (contracts, Who caused it). */
  #commandId(line: number): string {
    return derivedId(this.ledger.logId, this.file.sha256, String(line));
  }

  #cause(line: number, correlationId = this.#id): Cause {
    return {
      actor: this.context.subject,
      correlationId,
      causationId: this.#commandId(line),
      origin: this.#origin(),
    };
  }

  async #takeOver(entry: ImportEntry): Promise<void> {
    switch (entry.kind) {
      case 'family':
        return this.#registerFamily(entry);
      case 'consumer':
        return this.#registerConsumer(entry);
      case 'runbook':
        return this.#reviseRunbook(entry);
      case 'version':
        return this.#recordOnFamily(entry, 'VersionObserved');
      case 'compromise':
        return this.#recordOnFamily(entry, 'CompromiseConfirmed');
      case 'rotation':
        return this.#takeOverRotation(entry);
    }
  }

  async #registerFamily(entry: ImportEntry & { readonly kind: 'family' }): Promise<void> {
    const { details, coverage, line } = entry;
    const { environment, name, backEnd } = details;
    const id = derivedId(this.ledger.logId, this.#commandId(line));
    const target = await this.#familyTarget(id);
    const by = familyStream(id);
    if (!target.causes.has(this.#commandId(line))) {
      const cause = this.#cause(line);
      const refused = (): DomainError =>
        new DomainError(
          'family.name-taken',
          `${environment}/${name} was taken during the import (line ${line})`,
        );
      await claim(this.ledger, { kind: 'family-name', environment, value: name, by, refused }, cause);
      for (const { value, called } of backEnd === undefined ? [] : objectClaims(this.backEnds, backEnd)) {
        const objectRefused = (): DomainError =>
          new DomainError('back-end.object-taken', `${called} was taken during the import (line ${line})`);
        await claim(
          this.ledger,
          { kind: 'object', environment: '', value, by, refused: objectRefused },
          cause,
        );
      }
    }
    await this.#append(target, line, 'families', (state) =>
      registerFamily(details, state).map((event): NewEvent => {
        // Watched since then: coverage start is when `FamilyRegistered` was so.
        const occurredAt = coverage === undefined ? undefined : parseInstant(coverage.from);
        return occurredAt === undefined
          ? event
          : { type: event.type, data: { ...details, coverage }, occurredAt };
      }),
    );
  }

  async #registerConsumer(entry: ImportEntry & { readonly kind: 'consumer' }): Promise<void> {
    const { line, consumer } = entry;
    const familyId = await this.#familyId(entry.family);
    const environment = splitQualifiedName(entry.family)?.environment ?? '';
    const consumerId = consumerIdOf(this.ledger.logId, environment, consumer.name);
    const target = await this.#familyTarget(familyId);
    if (!target.causes.has(this.#commandId(line))) {
      const named = await this.ledger.claim(`claim-${consumerId}`);
      if (named.state.holder === undefined) {
        const by = familyStream(familyId);
        const refused = (holder: string): DomainError =>
          new DomainError('consumer.name-taken', `named by ${holder}`);
        // Named by another family in the same moment: it is the same consumer.
        await claim(
          this.ledger,
          { kind: 'consumer-name', environment, value: consumer.name, by, subject: consumerId, refused },
          this.#cause(line),
        ).catch((error: unknown) => {
          if (!(error instanceof DomainError) || error.code !== 'consumer.name-taken') throw error;
        });
      }
    }
    await this.#append(target, line, 'consumers', (state) =>
      familyDecider.decide({ type: 'RegisterConsumer', consumer: { ...consumer, consumerId } }, state),
    );
  }

  async #reviseRunbook(entry: ImportEntry & { readonly kind: 'runbook' }): Promise<void> {
    const target = await this.#familyTarget(await this.#familyId(entry.family));
    await this.#append(target, entry.line, 'facts', (state) =>
      familyDecider.decide({ type: 'ReviseRunbook', runbook: entry.runbook }, state),
    );
  }

  async #recordOnFamily(
    entry: ImportEntry & { readonly kind: 'version' | 'compromise' },
    type: 'VersionObserved' | 'CompromiseConfirmed',
  ): Promise<void> {
    const target = await this.#familyTarget(await this.#familyId(entry.family));
    const { data, occurredAt } = entry;
    await this.#append(target, entry.line, 'facts', [
      { type, data, ...(occurredAt === undefined ? {} : { occurredAt }) },
    ]);
  }

  async #takeOverRotation(entry: ImportEntry & { readonly kind: 'rotation' }): Promise<void> {
    const familyId = await this.#familyId(entry.family);
    const correlation = this.#commandId(entry.line);
    const stream = rotationStream(derivedId(this.ledger.logId, correlation));
    const load = async (): Promise<WithHistory<undefined>> => ({
      history: await this.ledger.store.read(stream),
      state: undefined,
    });
    const target = await open(load);
    const requested: NewEvent = {
      type: 'RotationRequested',
      data: { ...entry.request, family: familyId },
      ...(entry.occurredAt === undefined ? {} : { occurredAt: entry.occurredAt }),
    };
    const environment = splitQualifiedName(entry.family)?.environment ?? '';
    // What stands on one line is appended at once: the line is what a resumed import looks for.
    const lines = new Map<number, NewEvent[]>([[entry.line, [requested]]]);
    for (const fact of entry.facts) {
      const event = this.#factEvent(fact, environment);
      lines.set(fact.line, [...(lines.get(fact.line) ?? []), event]);
    }
    for (const [line, events] of lines) {
      const kind = line === entry.line ? 'rotations' : 'facts';
      await this.#append(target, line, kind, events, correlation);
    }
  }

  #factEvent({ type, data, consumer, occurredAt }: ImportFact, environment: string): NewEvent {
    return {
      type,
      data:
        consumer === undefined
          ? data
          : { ...data, consumerId: consumerIdOf(this.ledger.logId, environment, consumer) },
      ...(occurredAt === undefined ? {} : { occurredAt }),
    };
  }

  /** Appends what a line decides unless its facts are there, also when somebody else writes to the stream meanwhile. */
  async #append<State>(
    target: Target<State>,
    line: number,
    kind: Kind,
    decide: ((state: State) => readonly NewEvent[]) | readonly NewEvent[],
    correlationId?: string,
  ): Promise<void> {
    for (;;) {
      const known = target.causes.has(this.#commandId(line));
      if (!known && target.stale && typeof decide === 'function') {
        Object.assign(target, await loaded(target.load));
      }
      const events = known ? [] : typeof decide === 'function' ? decide(target.state) : decide;
      if (events.length === 0) {
        this.#counts.skipped += 1;
        return;
      }
      try {
        const imported = events.map((event): NewEvent => ({ ...event, provenance: 'imported' }));
        const cause = this.#cause(line, correlationId);
        const appended = await this.ledger.store.append(target.position, imported, cause);
        target.stale = true;
        target.position = positionOf(appended);
        target.causes.add(cause.causationId);
        break;
      } catch (error) {
        if (!(error instanceof WrongExpectedRevisionError)) throw error;
        Object.assign(target, await loaded(target.load));
      }
    }
    this.#counts[kind] += 1;
    this.#changed = true;
    failpoint('seam:import-line');
  }

  async #familyTarget(id: string): Promise<Target<FamilyState>> {
    const known = this.#families.get(id);
    if (known !== undefined) return known;
    const target = await open(async () => {
      // The history first: where the state is newer, the append finds that the stream has moved on.
      const history = await this.ledger.store.read(familyStream(id));
      return { history, state: (await this.ledger.family(id)).state };
    });
    this.#families.set(id, target);
    return target;
  }

  /** Of a family this file registers, or of one that is there; the check before has seen to it that there is one. */
  async #familyId(qualifiedName: string): Promise<string> {
    const id = this.#ownFamilies().get(qualifiedName) ?? (await this.#existingFamily(qualifiedName));
    if (id === undefined) throw new DomainError('family.not-found', `there is no family ${qualifiedName}`);
    return id;
  }

  #own: ReadonlyMap<string, string> | undefined;

  #ownFamilies(): ReadonlyMap<string, string> {
    this.#own ??= new Map(
      this.file.entries.flatMap((entry) =>
        entry.kind === 'family'
          ? [
              [
                `${entry.details.environment}/${entry.details.name}`,
                derivedId(this.ledger.logId, this.#commandId(entry.line)),
              ] as const,
            ]
          : [],
      ),
    );
    return this.#own;
  }

  async #existingFamily(qualifiedName: string): Promise<string | undefined> {
    const parts = splitQualifiedName(qualifiedName);
    if (parts === undefined) return undefined;
    const { environment, name } = parts;
    const holder = await this.#holder('family-name', environment, name);
    if (holder === undefined) return undefined;
    const target = await this.#familyTarget(idOf(holder));
    return target.state.exists ? idOf(holder) : undefined;
  }

  async #holder(
    kind: 'family-name' | 'object',
    environment: string,
    value: string,
  ): Promise<string | undefined> {
    return (await this.ledger.claim(claimStream(this.ledger.logId, kind, environment, value))).state.holder;
  }

  /** Taken in the log, by an earlier family of the file, or named as nothing is there. */
  async #objectProblem(
    backEnd: NonNullable<FamilyDetails['backEnd']>,
    { line, own, objects }: { readonly line: number; readonly own: string; readonly objects: Set<string> },
  ): Promise<FileError | undefined> {
    try {
      for (const { value } of objectClaims(this.backEnds, backEnd)) {
        const holder = await this.#holder('object', '', value);
        if ((holder !== undefined && holder !== own) || objects.has(value)) return objectTaken(line);
        objects.add(value);
      }
      return undefined;
    } catch (error) {
      if (!(error instanceof DomainError) || error.code !== 'back-end.object-refused') throw error;
      return {
        line,
        field: 'family.backEnd.object',
        message: `must be one that its back end has: ${error.message}`,
      };
    }
  }

  /** What only the log can say: names that are taken, families and consumers that are not there. Appends nothing. */
  async #checkAgainstLog(): Promise<readonly FileError[]> {
    const errors: FileError[] = [];
    const registered = new Set<string>();
    const consumers = new Set<string>();
    const objects = new Set<string>();
    for (const entry of this.file.entries) {
      const { line } = entry;
      if (entry.kind === 'family') {
        const { environment, name, backEnd } = entry.details;
        const qualifiedName = `${environment}/${name}`;
        registered.add(qualifiedName);
        const own = familyStream(this.#ownFamilies().get(qualifiedName) ?? '');
        const named = await this.#holder('family-name', environment, name);
        if (named !== undefined && named !== own) errors.push(nameTaken(line));
        if (backEnd !== undefined) {
          const error = await this.#objectProblem(backEnd, { line, own, objects });
          if (error !== undefined) errors.push(error);
        }
        continue;
      }
      const field = entry.kind === 'rotation' ? 'rotation.family' : 'family';
      const existing = registered.has(entry.family) ? undefined : await this.#existingFamily(entry.family);
      if (existing === undefined && !registered.has(entry.family)) {
        const message = 'must be registered earlier in the file, or be in Keyturn already (environment/name)';
        errors.push({ line, field, message });
        continue;
      }
      const state = existing === undefined ? undefined : (await this.#familyTarget(existing)).state;
      if (entry.kind === 'consumer') consumers.add(`${entry.family}\n${entry.consumer.name}`);
      if ((entry.kind === 'version' || entry.kind === 'compromise') && state?.details?.mode === 'driven') {
        errors.push({
          line,
          field,
          message: `must not be a family that Keyturn drives: its ${entry.kind === 'version' ? 'versions are observed in its back end' : 'compromise is declared as an emergency'}, not imported`,
        });
      }
      if (entry.kind !== 'rotation') continue;
      for (const [index, fact] of entry.facts.entries()) {
        const { consumer } = fact;
        if (consumer === undefined || consumers.has(`${entry.family}\n${consumer}`)) continue;
        if (state?.consumers.some((known) => known.name === consumer) === true) continue;
        errors.push({
          line: fact.line,
          field: `rotation.facts[${index}].data.consumer`,
          message: 'must be a consumer of this family, registered earlier in the file or in Keyturn already',
        });
      }
    }
    return errors.sort((left, right) => left.line - right.line);
  }
}

function nameTaken(line: number): FileError {
  const message =
    'is the name of another family in this environment: leave this entry out to add to that family';
  return { line, field: 'family.name', message };
}

function objectTaken(line: number): FileError {
  return { line, field: 'family.backEnd.object', message: 'belongs to another family' };
}

function positionOf({ stream, revision, lastRecordedAt }: StreamPosition): StreamPosition {
  return { stream, revision, lastRecordedAt };
}

async function loaded<State>(load: () => Promise<WithHistory<State>>): Promise<Omit<Target<State>, 'load'>> {
  const { history, state } = await load();
  return {
    state,
    stale: false,
    position: positionOf(history),
    causes: new Set(history.events.map((event) => event.causationId)),
  };
}

async function open<State>(load: () => Promise<WithHistory<State>>): Promise<Target<State>> {
  return { load, ...(await loaded(load)) };
}
