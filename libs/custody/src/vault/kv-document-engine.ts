import { refuse, requireNotAborted } from '../requirements.js';
import { onceBegun } from './effect-phases.js';
import type { Algorithm, Effect } from '../key-backend.js';
import { isOurs, KvObject, notePatch, type Freshness, type KvNote, type KvState } from './kv-object.js';
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

type State = KvState & EngineState;

/** What applications are to read next. */
interface Told {
  readonly state: State;
  readonly accept: readonly string[];
  readonly emit: string | undefined;
}

/**
 * The keyed document (`MOUNT/data/PATH`): `{keys: {<version>: value}, accept: [<version>…], emit: <version>}`. The recommended layout:
 * no value is ever read, any number of versions lies side by side, and the way back is in the newest KV version itself, so that
 * `max_versions` can push nothing out that is needed.
 */
export class KvDocumentEngine implements VaultEngine<State, Told> {
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

  constructor(private readonly client: VaultClient) {}

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
    _object: string,
    state: State | undefined,
    _algorithm: Algorithm,
    document: ObjectDocument,
  ): void {
    if (state === undefined) return;
    requireUsable(state);
    requireExplained(document, state);
  }

  /** One key that was there before Keyturn came is what everybody uses; of more, nobody here can tell which one emits. */
  seen(document: ObjectDocument, state: State | undefined): ObjectDocument {
    if (state === undefined || !state.readable) return document;
    const keys = Object.keys(state.names['keys'] ?? {});
    const engine = foundIn(state.current);
    if (isUntouched(document) && !isOurs(state)) {
      const [only, more] = keys;
      if (only === undefined) return document;
      if (more !== undefined)
        throw refuse(
          'config',
          `${state.object}: it has ${keys.length} keys already, and which of them emits is a value, which is not read here: leave one, or take the layout of two fields`,
        );
      return withFound(document, [foundVersion(state, { versionId: only, engine, use: 'emitting' })]);
    }
    if (!isExplained(document, state)) return withFound(document, [strangeVersion(state)]);
    return withFound(
      document,
      unknownTo(document, keys).map((versionId) => foundVersion(state, { versionId, engine })),
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
    const { value, fingerprint } = newValue();
    const cas = state?.current ?? 0;
    const { accept, emit } = state?.note ?? {};
    const note = noteOf(cas, accept, emit, { versionId, fingerprint });
    const write = { cas, token: await identity.token(), rotation };
    const keys = { [versionId]: inClear(value) };
    if (cas === 0) await secret.write({ keys, accept: [], ...notePatch(note) }, write);
    else await secret.patch({ keys, ...notePatch(note, state) }, write);
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
    const accept = accepted.map(({ versionId }) => versionId);
    const emit = emitting?.versionId;
    if (state === undefined || state.current === 0) {
      if (accept.length === 0) return undefined;
      throw refuse('config', `${document.familyId ?? 'The family'}: its secret is not there any more`);
    }
    // What is deleted is shown to nobody.
    if (isContaining(document) && !state.readable) return undefined;
    requireReadable(state);
    requireExplained(document, state);
    const gone = accept.filter((versionId) => !hasKey(state, versionId));
    if (gone.length > 0 && !isContaining(document))
      throw refuse('config', `${state.object}: the key of version ${gone.join(', ')} is not there any more`);
    const { note } = state;
    // The first value of a secret is written with nothing accepted yet.
    const said = note === undefined ? undefined : (note.accept ?? []);
    if (sameNames(said, accept) && note?.emit === emit) return undefined;
    return { state, accept, emit };
  }

  async hold(
    { object, identity, rotation, signal }: EngineCall,
    { state, accept, emit }: Told,
  ): Promise<void> {
    const note = noteOf(state.current, accept, emit);
    const token = await identity.token();
    requireNotAborted(signal);
    await this.#secret(object).patch(
      { accept, emit: emit ?? null, ...notePatch(note, state) },
      { cas: state.current, token, rotation },
    );
  }

  /** Out of the newest KV version first, then every older one that had it: what is still in use is in the newest. */
  async destroy(
    { object, identity, rotation, signal }: EngineCall,
    document: ObjectDocument,
    versions: readonly DocumentVersion[],
  ): Promise<void> {
    const secret = this.#secret(object);
    const state = await this.look(object, identity);
    if (state === undefined) return;
    requireReadable(state);
    requireExplained(document, state);
    const there = versions.filter(({ versionId }) => hasKey(state, versionId));
    if (there.length > 0) {
      const keys = Object.fromEntries(there.map(({ versionId }) => [versionId, null]));
      const note = noteOf(state.current, state.note?.accept, state.note?.emit);
      const token = await identity.token();
      requireNotAborted(signal);
      await secret.patch({ keys, ...notePatch(note, state) }, { cas: state.current, token, rotation });
    }
    const older = async (): Promise<void> => {
      const first = Math.min(...versions.map(({ engine }) => spanOf(engine).first));
      const now = (await this.look(object, identity)) ?? state;
      const held = await holding(secret, now, { first, before: now.current, identity, free: () => false });
      const [destroyer, reader] = [await identity.destroyer({ object, rotation }), await identity.token()];
      await secret.destroy(held, { destroyer, reader, rotation });
    };
    await (there.length > 0 ? onceBegun(older) : older());
  }

  async probe(object: string, { versionId }: DocumentVersion, identity: Identity): Promise<ProbeAnswer> {
    const state = await this.look(object, identity);
    if (state?.readable !== true) return { accepted: false, how: 'no application can read the secret' };
    if (!hasKey(state, versionId)) return { accepted: false, how: 'the secret has no such key' };
    return honoured(state);
  }

  #secret(object: string): KvObject {
    return new KvObject(this.client, object, this.#freshness);
  }
}

function hasKey({ names }: KvState, versionId: string): boolean {
  return Object.hasOwn(names['keys'] ?? {}, versionId);
}

function noteOf(
  current: number,
  accept: readonly string[] | undefined,
  emit: string | undefined,
  made?: KvNote['made'],
): KvNote {
  return {
    written: current + 1,
    ...(made === undefined ? {} : { made }),
    ...(accept === undefined ? {} : { accept: [...accept] }),
    ...(emit === undefined ? {} : { emit }),
  };
}
