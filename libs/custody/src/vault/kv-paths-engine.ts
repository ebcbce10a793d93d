import type { Algorithm, Effect } from '../key-backend.js';
import { refuse, requireNotAborted } from '../requirements.js';
import { onceBegun } from './effect-phases.js';
import {
  createdAtOf,
  isOurs,
  KvObject,
  NOTE_FIELD,
  noteOf,
  notePatch,
  type Freshness,
  type KvNames,
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
  sameNames,
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

/** Colours and no order: which of the two is the old one changes with each rotation. */
const PATHS = ['blue', 'green'] as const;
type Path = (typeof PATHS)[number];

interface State extends EngineState {
  readonly object: string;
  /** `PATH` itself: which of the two to accept, and which to emit with. */
  readonly pointer: KvState | undefined;
  readonly blue: KvState | undefined;
  readonly green: KvState | undefined;
}

/** What the pointer is to say next. */
interface Told {
  readonly pointer: KvState | undefined;
  readonly accept: readonly Path[];
  readonly emit: Path | undefined;
}

/**
 * Two paths (`MOUNT/data/PATH/blue` and `…/green`), each with one value, and a pointer at `MOUNT/data/PATH`: `{accept: ["blue",
 * "green"], emit: "green"}`. The idle path is written, so that no value is ever read and the way back is always the newest KV version of
 * the other path: `max_versions` can push nothing out that is needed. A value that was written over is not accepted again.
 */
export class KvPathsEngine implements VaultEngine<State, Told> {
  readonly kind = 'vault-kv';
  readonly algorithms = KV_ALGORITHMS;
  readonly capabilities = {
    overlap: true,
    cohorts: false,
    performs: true,
    readsValues: false,
    publishesJwks: false,
  } as const;
  readonly classes = KV_CLASSES;
  readonly pointOfNoReturn: Effect = 'destroy';
  readonly longestRequestMs = LONGEST_REQUEST_MS;
  /** A write of ours is known by its note, whatever comes after it. */
  readonly settlesAfterMs = 0;
  readonly #freshness: Freshness = { index: undefined };
  readonly #value: string;

  /** `value`: the field of each path that applications read. */
  constructor(
    private readonly client: VaultClient,
    { value = 'value' }: { readonly value?: string } = {},
  ) {
    this.#value = value;
  }

  requireNamed(object: string): void {
    this.#secret(`${object}/green`);
  }

  parts(object: string): readonly string[] {
    return [object, ...PATHS.map((path) => `${object}/${path}`)];
  }

  async look(object: string, identity: Identity): Promise<State | undefined> {
    const token = await identity.token();
    const pointer = await this.#secret(object).look(token);
    const blue = await this.#secret(`${object}/blue`).look(token);
    const green = await this.#secret(`${object}/green`).look(token);
    if (pointer === undefined && blue === undefined && green === undefined) return undefined;
    return { object, pointer, blue, green, newest: `${blue?.current ?? 0}.${green?.current ?? 0}` };
  }

  requireDrivable(
    _object: string,
    state: State | undefined,
    _algorithm: Algorithm,
    document: ObjectDocument,
  ): void {
    if (state === undefined) return;
    const { pointer, blue, green } = state;
    if (pointer !== undefined) {
      requireUsable(pointer);
      requirePointer(document, pointer);
    }
    for (const secret of [blue, green])
      if (secret !== undefined) requireUsable({ ...secret, readable: true });
    const idle = state[idleOf(state)];
    // What was destroyed there leaves the path empty; what somebody wrote there is somebody's.
    if (idle?.readable === true) requireExplained(document, idle);
  }

  seen(document: ObjectDocument, state: State | undefined): ObjectDocument {
    if (state === undefined) return document;
    const there = readable(state);
    if (isUntouched(document) && state.pointer === undefined && !there.some(({ secret }) => isOurs(secret)))
      return this.#takenIn(document, state);
    const strange = there.filter(({ secret }) => !isExplained(document, secret));
    const ours = there.filter(({ secret }) => isOurs(secret));
    const lost = ours.filter(
      ({ secret }) =>
        unknownTo(document, secret.note?.made === undefined ? [] : [secret.note.made.versionId]).length > 0,
    );
    return withFound(document, [
      ...strange.map(({ path, secret }) => strangeVersion(secret, prefixOf(path))),
      ...lost.map(({ path, secret }) =>
        foundVersion(secret, {
          versionId: secret.note?.made?.versionId ?? '',
          engine: foundIn(secret.current, prefixOf(path)),
        }),
      ),
    ]);
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
    const path = state === undefined ? PATHS[0] : idleOf(state);
    const idle = state?.[path];
    const secret = this.#secret(`${object}/${path}`);
    const { value, fingerprint } = newValue();
    const cas = idle?.current ?? 0;
    const note = { written: cas + 1, made: { versionId, fingerprint } };
    const data = { [this.#value]: inClear(value), version: versionId, ...notePatch(note, idle) };
    const write = { cas, token: await identity.token(), rotation };
    if (idle?.readable === true) await secret.patch(data, write);
    else await secret.write(data, write);
  }

  happened(pending: PendingEffect, state: State | undefined): boolean {
    const [versionId] = pending.versions;
    return (
      state !== undefined && isGenerating(pending, versionId) && pathMadeFor(state, versionId) !== undefined
    );
  }

  async made(
    { object, identity }: EngineCall,
    _before: string,
    { versionId }: { readonly versionId: string },
  ): Promise<MadeVersion> {
    const state = await this.look(object, identity);
    const path = state === undefined ? undefined : pathMadeFor(state, versionId);
    return madeOf(
      path === undefined ? undefined : state?.[path],
      versionId,
      path === undefined ? '' : prefixOf(path),
    );
  }

  wanted(document: ObjectDocument, state: State | undefined): Told | undefined {
    const { accepted, emitting } = shownVersions(document);
    if (accepted.length === 0 && state?.pointer === undefined) return undefined;
    if (state === undefined)
      throw refuse('config', `${document.familyId ?? 'The family'}: its secrets are not there any more`);
    const { pointer } = state;
    // What is deleted is shown to nobody.
    if (isContaining(document) && pointer?.readable === false) return undefined;
    if (pointer !== undefined) {
      requireReadable(pointer);
      requirePointer(document, pointer);
    }
    const accept = accepted.map((version) => pathOf(state, version));
    const emit = emitting === undefined ? undefined : pathOf(state, emitting);
    if (sameNames(pointer?.note?.accept, accept) && pointer?.note?.emit === emit) return undefined;
    return { pointer, accept, emit };
  }

  async hold(
    { object, identity, rotation, signal }: EngineCall,
    { pointer, accept, emit }: Told,
  ): Promise<void> {
    const secret = this.#secret(object);
    const cas = pointer?.current ?? 0;
    const note = {
      written: cas + 1,
      accept: [...accept],
      ...(emit === undefined ? {} : { emit }),
    };
    const write = { cas, token: await identity.token(), rotation };
    requireNotAborted(signal);
    if (cas === 0)
      await secret.write({ accept, ...(emit === undefined ? {} : { emit }), ...notePatch(note) }, write);
    else await secret.patch({ accept, emit: emit ?? null, ...notePatch(note, pointer) }, write);
  }

  /** Each path's KV versions that are not shown to have another version's value. */
  async destroy(
    { object, identity, rotation, signal }: EngineCall,
    document: ObjectDocument,
    versions: readonly DocumentVersion[],
  ): Promise<void> {
    const state = await this.look(object, identity);
    if (state === undefined) return;
    requireNotAborted(signal);
    const inOne = async (here: readonly DocumentVersion[], known: KvState): Promise<void> => {
      if (known.readable) requireExplained(document, known);
      const secret = this.#secret(known.object);
      const gone = here.map(({ versionId }) => versionId);
      const held = await holding(secret, known, {
        first: Math.min(...here.map(({ engine }) => spanOf(engine).first)),
        before: known.current + 1,
        identity,
        free: (names, number) => isOfAnother(gone, names, number),
      });
      const [destroyer, reader] = [await identity.destroyer({ object, rotation }), await identity.token()];
      await secret.destroy(held, { destroyer, reader, rotation });
    };
    let begun = false;
    for (const path of PATHS) {
      const here = versions.filter(({ engine }) => spanOf(engine).prefix === prefixOf(path));
      const known = state[path];
      if (here.length === 0 || known === undefined) continue;
      await (begun ? onceBegun(() => inOne(here, known)) : inOne(here, known));
      begun = true;
    }
  }

  async probe(object: string, version: DocumentVersion, identity: Identity): Promise<ProbeAnswer> {
    const state = await this.look(object, identity);
    const path = state === undefined ? undefined : findPath(state, version);
    const secret = path === undefined ? undefined : state?.[path];
    if (secret?.readable !== true) return { accepted: false, how: 'no application can read its value' };
    if (state?.pointer?.readable !== true)
      return { accepted: false, how: 'no application can read the pointer' };
    return honoured(state.pointer);
  }

  /** One path with a value is what everybody uses; of two, nobody here can tell which one emits. */
  #takenIn(document: ObjectDocument, state: State): ObjectDocument {
    const used = readable(state).filter(({ secret }) => Object.hasOwn(secret.names, this.#value));
    const [only, more] = used;
    if (only === undefined) return document;
    if (more !== undefined)
      throw refuse(
        'config',
        `${state.object}: blue and green are both in use and there is no pointer: which of them emits cannot be told; leave one`,
      );
    const { path, secret } = only;
    return withFound(document, [
      foundVersion(secret, {
        versionId: `kv-${path}-${secret.current}`,
        engine: foundIn(secret.current, prefixOf(path)),
        use: 'emitting',
      }),
    ]);
  }

  #secret(object: string): KvObject {
    return new KvObject(this.client, object, this.#freshness);
  }
}

function prefixOf(path: Path): string {
  return `${path}.`;
}

function readable(state: State): readonly { readonly path: Path; readonly secret: KvState }[] {
  return PATHS.flatMap((path) => {
    const secret = state[path];
    return secret?.readable === true ? [{ path, secret }] : [];
  });
}

/** Written next: one that nobody is told to use; an empty one first, then the one whose value is the older. */
function idleOf(state: State): Path {
  const { object, pointer } = state;
  const told = pointer !== undefined && pointer.note?.accept !== undefined ? pointer.note : undefined;
  const used =
    told === undefined
      ? readable(state).flatMap(({ path, secret }) => (isOurs(secret) ? [] : [path]))
      : [...(told.accept ?? []), ...(told.emit === undefined ? [] : [told.emit])];
  const idle = PATHS.filter((path) => !used.some((each) => each === path));
  const [first, second] = idle.toSorted((one, other) => writtenAt(state[one]) - writtenAt(state[other]));
  if (first !== undefined) return first;
  if (second !== undefined) return second;
  throw refuse(
    'config',
    `${object}: blue and green are both accepted, so that there is no path to write a new value to: withdraw one of them first`,
  );
}

/** Milliseconds; 0: there is nothing that anybody can read. */
function writtenAt(secret: KvState | undefined): number {
  if (secret?.readable !== true) return 0;
  return Date.parse(createdAtOf(secret));
}

function pathMadeFor(state: State, versionId: string | undefined): Path | undefined {
  return readable(state).find(
    ({ secret }) => isOurs(secret) && versionId !== undefined && secret.note?.made?.versionId === versionId,
  )?.path;
}

function findPath(state: State, { versionId, engine }: DocumentVersion): Path | undefined {
  const made = pathMadeFor(state, versionId);
  if (made !== undefined) return made;
  const { prefix, seen } = spanOf(engine);
  return readable(state).find(
    ({ path, secret }) => prefixOf(path) === prefix && secret.current === seen && !isOurs(secret),
  )?.path;
}

function pathOf(state: State, version: DocumentVersion): Path {
  const path = findPath(state, version);
  if (path !== undefined) return path;
  const { prefix } = spanOf(version.engine);
  throw refuse(
    'config',
    `${state.object}: the value of version ${version.versionId} is not the newest of ${prefix.slice(0, -1)} any more: it was deleted or written over; a new rotation makes a new one`,
  );
}

/** A pointer that was there before is added to, where it says nothing of what we would say. */
function requirePointer(document: ObjectDocument, pointer: KvState): void {
  if (isOurs(pointer)) return;
  const says = ['accept', 'emit', NOTE_FIELD].some((name) => Object.hasOwn(pointer.names, name));
  const told = document.versions.some(({ published, engine }) => published && spanOf(engine).first > 0);
  if (says || told) requireExplained(document, pointer);
}

/** Only what Keyturn wrote itself shows by its note whose value it is. */
function isOfAnother(versionIds: readonly string[], names: KvNames, number: number): boolean {
  const note = noteOf(names);
  if (note?.made === undefined || note.written !== number) return false;
  return !versionIds.includes(note.made.versionId);
}
