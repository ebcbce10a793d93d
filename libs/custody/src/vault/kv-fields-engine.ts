import type { SecretValue } from '#platform';
import type { Algorithm, BackendDeclaration, Effect } from '../key-backend.js';
import { refuse, requireNotAborted } from '../requirements.js';
import { onceBegun } from './effect-phases.js';
import type { Arrangement, FieldsLayout } from './kv-fields-layout.js';
import {
  isOurs,
  KvObject,
  noteOf,
  notePatch,
  type Freshness,
  type KvNames,
  type KvNote,
  type KvState,
} from './kv-object.js';
import {
  foundIn,
  foundVersion,
  holding,
  honoured,
  inClear,
  isContaining,
  isExplained,
  isGenerating,
  isUntouched,
  KV_ALGORITHMS,
  KV_CLASSES,
  LONGEST_REQUEST_MS,
  madeOf,
  newValue,
  requireExplained,
  requireReadable,
  requireUsable,
  shownVersions,
  spanOf,
  strangeVersion,
  unknownTo,
  withFound,
} from './kv-rules.js';
import type { DocumentVersion, ObjectDocument, PendingEffect } from './object-document.js';
import type { VaultClient } from './vault-client.js';
import type {
  EngineCall,
  EngineState,
  Identity,
  MadeVersion,
  ProbeAnswer,
  VaultEngine,
} from './vault-engine.js';

type State = KvState & EngineState;

/** Where a value lies: a KV version, and a field in it. */
type Place = readonly [number, string];
type Last = Readonly<NonNullable<KvNote['last']>>;

/** What the fields are to hold next. */
interface Told {
  readonly state: State;
  readonly fields: Arrangement;
  readonly last: Last;
  /** Of each field that gets another value, where that one lies now. */
  readonly from: Readonly<Record<string, Place>>;
}

/** What a rotation writes from its new value to its last withdrawal: so many versions have its way back in them. */
const WRITES_OF_A_ROTATION = 4;

/**
 * Named fields of one secret (`MOUNT/data/PATH`), as applications read them today. Moving a value from one field to another means reading
 * it: this engine alone does (`readsValues`), by a policy of its own, and keeps what it read for the one write. Withdrawn values lie in
 * older KV versions until they are destroyed, so that no write may push out the way back.
 */
export class KvFieldsEngine implements VaultEngine<State, Told> {
  readonly kind = 'vault-kv';
  readonly algorithms = KV_ALGORITHMS;
  readonly capabilities: BackendDeclaration['capabilities'];
  readonly classes = KV_CLASSES;
  readonly pointOfNoReturn: Effect = 'destroy';
  readonly longestRequestMs = LONGEST_REQUEST_MS;
  /** A write of ours is known by its note, whatever comes after it. */
  readonly settlesAfterMs = 0;
  readonly #freshness: Freshness = { index: undefined };

  constructor(
    private readonly client: VaultClient,
    private readonly layout: FieldsLayout,
  ) {
    this.capabilities = {
      overlap: layout.overlap,
      cohorts: false,
      performs: true,
      readsValues: true,
      publishesJwks: false,
    };
  }

  requireNamed(object: string): void {
    this.#secret(object);
  }

  parts(object: string): readonly string[] {
    return [object];
  }

  async look(object: string, identity: Identity): Promise<State | undefined> {
    const state = await this.#secret(object).look(await identity.token());
    return state === undefined ? undefined : { ...state, newest: String(state.current) };
  }

  requireDrivable(
    object: string,
    state: State | undefined,
    _algorithm: Algorithm,
    document: ObjectDocument,
  ): void {
    if (state === undefined) return;
    requireUsable(state);
    requireExplained(document, state);
    if (state.keeps < WRITES_OF_A_ROTATION)
      throw refuse(
        'config',
        `${object}: the server keeps ${state.keeps} of its versions, and a rotation writes ${WRITES_OF_A_ROTATION}, which would push out the way back: set max_versions to ${WRITES_OF_A_ROTATION} or more`,
      );
  }

  seen(document: ObjectDocument, state: State | undefined): ObjectDocument {
    if (state === undefined || !state.readable) return document;
    if (isUntouched(document) && !isOurs(state)) return withFound(document, this.#inUse(state));
    if (!isExplained(document, state)) return withFound(document, [strangeVersion(state)]);
    const fields = Object.entries(this.#placed(state));
    const unknown = unknownTo(
      document,
      fields.map(([, versionId]) => versionId),
    );
    return withFound(
      document,
      unknown.map((versionId) => foundVersion(state, { versionId, engine: foundIn(state.current) })),
    );
  }

  before(_object: string, _document: ObjectDocument, state: State | undefined): string {
    return state?.newest ?? '0';
  }

  /** A value of ours is good as it was made: nobody else has a say in it. */
  async requireGood(): Promise<void> {}

  async generate(
    { object, identity, rotation }: EngineCall,
    state: State | undefined,
    { versionId }: { readonly versionId: string },
  ): Promise<void> {
    const secret = this.#secret(object);
    const { staged } = this.layout;
    const { value, fingerprint } = newValue();
    const cas = state?.current ?? 0;
    const placed = state === undefined ? {} : this.#placed(state);
    const replaced = placed[staged];
    const note: KvNote = {
      written: cas + 1,
      made: { versionId, fingerprint },
      fields: { ...placed, [staged]: versionId },
      last: {
        ...state?.note?.last,
        ...(replaced === undefined ? {} : { [replaced]: [cas, staged] }),
      },
    };
    const write = { cas, token: await identity.token(), rotation };
    const data = { [staged]: inClear(value), ...notePatch(note, state) };
    if (cas === 0) await secret.write(data, write);
    else await secret.patch(data, write);
  }

  happened(pending: PendingEffect, state: State | undefined): boolean {
    return state !== undefined && isOurs(state) && isGenerating(pending, state.note?.made?.versionId);
  }

  async made(
    { object, identity }: EngineCall,
    _before: string,
    { versionId }: { readonly versionId: string },
  ): Promise<MadeVersion> {
    return madeOf(await this.look(object, identity), versionId);
  }

  wanted(document: ObjectDocument, state: State | undefined): Told | undefined {
    const { accepted, emitting } = shownVersions(document);
    const versions = accepted.map(({ versionId }) => versionId);
    if (state === undefined || state.current === 0) {
      if (versions.length === 0) return undefined;
      throw refuse('config', `${document.familyId ?? 'The family'}: its secret is not there any more`);
    }
    // What is deleted is shown to nobody.
    if (isContaining(document) && !state.readable) return undefined;
    requireReadable(state);
    requireExplained(document, state);
    const read = this.layout.arrange(state.object, { accepted: versions, emitting: emitting?.versionId });
    const placed = this.#placed(state);
    const fields = { ...read, ...this.#staying(document, placed, read) };
    const missing = Object.keys(placed).filter((field) => !Object.hasOwn(state.names, field));
    if (missing.length > 0 && !isContaining(document))
      throw refuse('config', `${state.object}: the field ${missing.join(', ')} is not there any more`);
    if (isSame(fields, placed)) return undefined;
    const last = lastOf(document, state, placed, fields);
    if (!isContaining(document)) requireWayBack(document, state, last);
    return { state, fields, last, from: sourcesOf(state, placed, fields) };
  }

  async hold({ object, identity, rotation, signal }: EngineCall, told: Told): Promise<void> {
    const { state, fields, last, from } = told;
    const secret = this.#secret(object);
    const token = await identity.token();
    const values = await valuesAt(secret, from, token);
    const dropped = this.#names().filter(
      (field) => !Object.hasOwn(fields, field) && Object.hasOwn(state.names, field),
    );
    const data = {
      ...Object.fromEntries(dropped.map((field) => [field, null])),
      ...Object.fromEntries([...values].map(([field, value]) => [field, inClear(value)])),
      ...notePatch({ written: state.current + 1, fields, last: { ...last } }, state),
    };
    requireNotAborted(signal);
    await secret.patch(data, { cas: state.current, token, rotation });
  }

  /** Every KV version that is not shown to be free of the value, and none that has the only copy of another one. */
  async destroy(
    call: EngineCall,
    document: ObjectDocument,
    versions: readonly DocumentVersion[],
  ): Promise<void> {
    const { object, identity, rotation, signal } = call;
    const secret = this.#secret(object);
    const state = await this.look(object, identity);
    if (state === undefined) return;
    const told = this.wanted(document, state);
    const gone = versions.map(({ versionId }) => versionId);
    const first = Math.min(...versions.map(({ engine }) => spanOf(engine).first));
    const free = (names: KvNames, number: number): boolean => isFreeOf(gone, names, number);
    const before = told === undefined ? state.current : state.current + 1;
    const held = await holding(secret, state, { first, before, identity, free });
    const last = told?.last ?? state.note?.last ?? {};
    requireNoOnlyCopy(document, object, last, held);
    if (told !== undefined) await this.hold(call, told);
    const older = async (): Promise<void> => {
      requireNotAborted(signal);
      const [destroyer, reader] = [await identity.destroyer({ object, rotation }), await identity.token()];
      await secret.destroy(held, { destroyer, reader, rotation });
    };
    await (told === undefined ? older() : onceBegun(older));
  }

  async probe(object: string, { versionId }: DocumentVersion, identity: Identity): Promise<ProbeAnswer> {
    const state = await this.look(object, identity);
    if (state?.readable !== true) return { accepted: false, how: 'no application can read the secret' };
    const read = this.layout.read.filter(
      ({ field }) => this.#placed(state)[field] === versionId && Object.hasOwn(state.names, field),
    );
    if (read.length === 0) return { accepted: false, how: 'no field that applications read has it' };
    return honoured(state);
  }

  #names(): readonly string[] {
    return [...this.layout.read.map(({ field }) => field), this.layout.staged];
  }

  /** What is in which field, by the note; before there is one, by the names of what was found. */
  #placed(state: KvState): Arrangement {
    const { note } = state;
    if (note?.fields !== undefined) return note.fields;
    return Object.fromEntries(
      this.layout.read
        .filter(({ field }) => Object.hasOwn(state.names, field))
        .map(({ field }) => [field, foundName(state, field)]),
    );
  }

  #inUse(state: KvState): readonly DocumentVersion[] {
    const engine = foundIn(state.current);
    return this.layout.read
      .filter(({ field }) => Object.hasOwn(state.names, field))
      .map(({ field, use }) => foundVersion(state, { versionId: foundName(state, field), engine, use }));
  }

  /** What waits goes on waiting until it is accepted or destroyed. */
  #staying(document: ObjectDocument, placed: Arrangement, read: Arrangement): Arrangement {
    const waiting = placed[this.layout.staged];
    if (waiting === undefined || Object.values(read).includes(waiting)) return {};
    const destroyed = document.versions.some((each) => each.versionId === waiting && each.destroyed);
    return destroyed ? {} : { [this.layout.staged]: waiting };
  }

  #secret(object: string): KvObject {
    return new KvObject(this.client, object, this.#freshness);
  }
}

function foundName({ current }: KvState, field: string): string {
  return `kv-${current}-${field}`;
}

function isSame(one: Arrangement, other: Arrangement): boolean {
  const fields = Object.keys({ ...one, ...other });
  return fields.every((field) => one[field] === other[field]);
}

/** Where the values lie that no field has after this write. */
function lastOf(
  { versions }: ObjectDocument,
  state: KvState,
  placed: Arrangement,
  fields: Arrangement,
): Last {
  const last: Record<string, [number, string]> = { ...state.note?.last };
  for (const [field, versionId] of Object.entries(placed)) last[versionId] = [state.current, field];
  const kept = new Set(state.versions.filter(({ destroyed }) => !destroyed).map(({ number }) => number));
  const over = new Set(versions.filter(({ destroyed }) => destroyed).map(({ versionId }) => versionId));
  for (const versionId of Object.values(fields)) over.add(versionId);
  return Object.fromEntries(
    Object.entries(last).filter(([versionId, [number]]) => !over.has(versionId) && kept.has(number)),
  );
}

/**
 * Before a write: what was withdrawn since the newest version was made is the way back, and lies in an older KV version alone. A
 * containment waits for nothing.
 */
function requireWayBack({ versions }: ObjectDocument, { object, current, keeps }: KvState, last: Last): void {
  const newest = Math.max(0, ...versions.map(({ engine }) => spanOf(engine).seen));
  const needed = Object.entries(last).filter(([, [number]]) => number >= newest);
  const lost = needed.filter(([, [number]]) => number <= current + 1 - keeps);
  if (lost.length === 0) return;
  const oldest = Math.min(...lost.map(([, [number]]) => number));
  throw refuse(
    'config',
    `${object}: the server keeps ${keeps} of its versions, so that this write would push out KV version ${oldest}, the way back to ${lost.map(([versionId]) => versionId).join(', ')}: set max_versions to ${current + 2 - oldest} or more`,
  );
}

/** Throws `config` where a value that is wanted is nowhere any more. */
function sourcesOf(state: KvState, placed: Arrangement, fields: Arrangement): Told['from'] {
  const places = new Map<string, Place>(Object.entries(state.note?.last ?? {}));
  for (const [field, versionId] of Object.entries(placed)) places.set(versionId, [state.current, field]);
  const changed = Object.entries(fields).filter(([field, versionId]) => placed[field] !== versionId);
  return Object.fromEntries(
    changed.map(([field, versionId]) => {
      const place = places.get(versionId);
      const version = state.versions.find(({ number }) => number === place?.[0]);
      if (place === undefined || version === undefined || version.destroyed)
        throw refuse(
          'config',
          `${state.object}: the value of version ${versionId} is in no KV version any more; a new rotation makes a new one`,
        );
      return [field, place];
    }),
  );
}

/** Each KV version is read once. */
async function valuesAt(
  secret: KvObject,
  from: Told['from'],
  token: SecretValue,
): Promise<ReadonlyMap<string, SecretValue>> {
  const values = new Map<string, SecretValue>();
  for (const number of new Set(Object.values(from).map(([each]) => each))) {
    const here = Object.entries(from).filter(([, [each]]) => each === number);
    const read = await secret.values(
      number,
      here.map(([, [, field]]) => field),
      token,
    );
    for (const [target, [, field]] of here) {
      const value = read.get(field);
      if (value !== undefined) values.set(target, value);
    }
  }
  return values;
}

/** Only what Keyturn wrote itself shows by its note which values are in it. */
function isFreeOf(versionIds: readonly string[], names: KvNames, number: number): boolean {
  const note = noteOf(names);
  if (note?.fields === undefined || note.written !== number) return false;
  return Object.values(note.fields).every((versionId) => !versionIds.includes(versionId));
}

function requireNoOnlyCopy(
  { versions }: ObjectDocument,
  object: string,
  last: Last,
  held: readonly number[],
): void {
  const left = new Set(versions.filter(({ destroyed }) => !destroyed).map(({ versionId }) => versionId));
  const only = Object.entries(last).filter(
    ([versionId, [number]]) => left.has(versionId) && held.includes(number),
  );
  if (only.length > 0)
    throw refuse(
      'config',
      `${object}: its KV versions ${held.join(', ')} have the only copy of ${only.map(([versionId]) => versionId).join(', ')}, too: destroy that first, or both at once`,
    );
}
