import { createHash } from 'node:crypto';
import { BackendError, type Algorithm, type Effect, type EffectClass } from '../key-backend.js';
import { refuse } from '../requirements.js';
import { onceBegun } from './effect-phases.js';
import {
  observedVersions,
  type DocumentVersion,
  type ObjectDocument,
  type PendingEffect,
} from './object-document.js';
import { TransitKey, type TransitKeyState } from './transit-key.js';
import type { VaultClient } from './vault-client.js';
import type {
  EngineCall,
  EngineState,
  Identity,
  MadeVersion,
  ProbeAnswer,
  VaultEngine,
} from './vault-engine.js';

/** A request of ours is given up after 15 s; the server works on one for at most 90 s more (its default `default_max_request_duration`). */
const LONGEST_REQUEST_MS = 105_000;
/** As long as the effect's own limit of time. */
const ONCE_SECONDS = 20;

type State = TransitKeyState & EngineState;

/** What the engine refuses from below. */
interface Limits {
  readonly minDecryption: number;
  readonly minEncryption: number;
}

const CLASSES: Readonly<Record<Effect, EffectClass>> = {
  generate: 'increment',
  publish: 'compare-and-swap',
  'switch-emission': 'compare-and-swap',
  withdraw: 'absolute',
  're-accept': 'absolute',
  'cut-over': 'absolute',
  contain: 'absolute',
  lift: 'absolute',
  destroy: 'absolute',
};

/**
 * Keys of transit mounts (`MOUNT/keys/NAME`). Emitters pin the version they sign with; `min_decryption_version` makes the server itself
 * refuse what was withdrawn, and lowering it again is the way back until a trim.
 */
export class TransitEngine implements VaultEngine<State, Limits> {
  readonly kind = 'vault-transit';
  readonly algorithms: readonly Algorithm[] = ['RS256', 'ES256', 'EdDSA'];
  readonly capabilities = {
    overlap: true,
    cohorts: false,
    performs: true,
    readsValues: false,
    publishesJwks: true,
  } as const;
  readonly classes = CLASSES;
  readonly pointOfNoReturn: Effect = 'destroy';
  readonly longestRequestMs = LONGEST_REQUEST_MS;
  // Versions are numbered: what a lost rotate made is seen.
  readonly settlesAfterMs = 0;

  constructor(private readonly client: VaultClient) {}

  requireNamed(object: string): void {
    this.#key(object);
  }

  parts(object: string): readonly string[] {
    return [object];
  }

  async look(object: string, identity: Identity): Promise<State | undefined> {
    const state = await this.#key(object).read(await identity.token());
    return state === undefined ? undefined : { ...state, newest: String(state.latest) };
  }

  requireDrivable(object: string, state: State | undefined, algorithm: Algorithm): void {
    if (state === undefined) return;
    if (state.algorithm !== algorithm)
      throw refuse('config', `${object} is a key of ${state.algorithm}, not of ${algorithm}`);
    if (state.turnsItself)
      throw refuse('config', `${object} turns itself (auto_rotate_period): set it to 0, Keyturn drives it`);
    if (state.softDeleted) throw refuse('config', `${object} is soft-deleted: restore it first`);
  }

  /** Accepted as long as nobody but the engine decided; later ones are surplus. */
  seen(document: ObjectDocument, state: State | undefined): ObjectDocument {
    if (state === undefined) return document;
    const before = document.versions.length === 0 && document.pending === undefined;
    const known = new Set(document.versions.map(({ engine: number }) => number));
    const pending = document.pending?.effect === 'generate' ? Number(document.pending.before) : Infinity;
    const found = state.versions.filter(({ number }) => !known.has(String(number)) && number <= pending);
    if (found.length === 0) return document;
    const versions: readonly DocumentVersion[] = found.map((version) => ({
      versionId: String(version.number),
      ...madeOf(state.algorithm, version),
      // Before there was a document, emitters took the newest and verifiers whatever the engine accepts.
      accepted: before,
      published: before,
      emittingShare: before && version.number === state.latest ? 100 : 0,
      destroyed: false,
    }));
    return { ...document, versions: [...document.versions, ...versions] };
  }

  before(_object: string, _document: ObjectDocument, state: State | undefined): string {
    return state?.newest ?? '0';
  }

  async generate(
    { object, identity, rotation }: EngineCall,
    state: State | undefined,
    { algorithm }: { readonly algorithm: Algorithm },
  ): Promise<void> {
    const key = this.#key(object);
    const once = await identity.once(ONCE_SECONDS);
    if (state === undefined) await key.create(algorithm, once, rotation);
    else await key.rotate(once, rotation);
  }

  /** What cannot be proved to last is not taken for ours: it is asked for once more, and this one stays behind as surplus. */
  happened({ effect, before }: PendingEffect, state: State | undefined): boolean {
    return effect === 'generate' && state?.latest === Number(before) + 1 && otherLimit(state) !== undefined;
  }

  /**
   * Two writes at once leave a version in the leader's memory only; a config change that really changes something writes all of it
   * down. The key before and after must be the same. Once versions were trimmed there is no change that would keep nobody from
   * signing: then an answer that came and was no failure is what is believed, and nothing else (see {@link happened}).
   */
  async made(call: EngineCall, before: string): Promise<MadeVersion> {
    const { object, identity, rotation } = call;
    const key = this.#key(object);
    const number = Number(before) + 1;
    const first = await this.#shown(object, number, identity);
    const minEncryption = otherLimit(first.state);
    if (minEncryption !== undefined) {
      const { minDecryption } = first.state;
      await key.limit({ minDecryption, minEncryption }, await identity.once(ONCE_SECONDS), rotation);
    }
    const again = await this.#shown(object, number, identity);
    if (again.made.fingerprint !== first.made.fingerprint)
      throw new BackendError('unknown', `${object}: version ${number} is another key than a moment ago`);
    const canary = await key.sign(number, again.state.algorithm, canaryOf(object), await identity.probe());
    return { ...again.made, canary };
  }

  /** A key that is shown signs. */
  async requireGood(): Promise<void> {}

  /** The least the engine must refuse: everything older than the oldest version that is accepted and not contained. */
  wanted(document: ObjectDocument, state: State | undefined): Limits | undefined {
    const numbers = observedVersions(document).flatMap(({ accepted, contained }, index) =>
      accepted && !contained ? [Number(document.versions[index]?.engine)] : [],
    );
    // The newest cannot be refused by a limit: with nothing accepted the document alone says so.
    if (state === undefined || numbers.length === 0) return undefined;
    const oldest = Math.min(...numbers);
    const held = state.minDecryption === oldest && state.minEncryption <= oldest;
    return held ? undefined : { minDecryption: oldest, minEncryption: oldest };
  }

  wrong({ turnsItself, softDeleted }: State): readonly string[] {
    return [
      ...(turnsItself ? ['it turns itself (auto_rotate_period): set it to 0'] : []),
      ...(softDeleted ? ['it is soft-deleted: nothing can be signed or verified with it'] : []),
    ];
  }

  async hold({ object, identity, rotation }: EngineCall, limits: Limits): Promise<void> {
    await this.#key(object).limit(limits, await identity.once(ONCE_SECONDS), rotation);
  }

  async destroy(
    { object, identity, rotation }: EngineCall,
    document: ObjectDocument,
    versions: readonly DocumentVersion[],
  ): Promise<void> {
    const left = document.versions.filter(({ destroyed }) => !destroyed).map(({ engine }) => Number(engine));
    if (left.length === 0)
      throw refuse(
        'config',
        `${object}: transit keeps its newest version: make another one before all of these are destroyed`,
      );
    const oldest = Math.min(...left);
    const kept = versions.filter(({ engine }) => Number(engine) > oldest);
    if (kept.length > 0)
      throw refuse(
        'config',
        `${object}: transit deletes the oldest versions only, and version ${oldest} is older than ${kept.map(({ versionId }) => versionId).join(', ')} and still there: destroy that one first`,
      );
    const key = this.#key(object);
    const destroyer = await identity.destroyer({ object, rotation });
    const state = await key.read(await identity.token());
    const trim = (): Promise<void> => key.trim(oldest, destroyer, rotation);
    // The server trims only below both limits; making a version may have taken the one on signing away.
    if (state === undefined || state.minEncryption >= oldest) return trim();
    await key.limit(
      { minDecryption: state.minDecryption, minEncryption: oldest },
      await identity.once(ONCE_SECONDS),
      rotation,
    );
    return onceBegun(trim);
  }

  async probe(object: string, version: DocumentVersion, identity: Identity): Promise<ProbeAnswer> {
    const { canary, algorithm } = version;
    if (canary === undefined) return { accepted: undefined, how: 'not probed: it never signed a canary' };
    return this.#key(object).tries(canary, algorithm, canaryOf(object), await identity.probe());
  }

  async #shown(
    object: string,
    number: number,
    identity: Identity,
  ): Promise<{ readonly state: TransitKeyState; readonly made: MadeVersion }> {
    const state = await this.#key(object).read(await identity.token());
    const version = state?.versions.find((each) => each.number === number);
    if (state === undefined || version === undefined)
      throw new BackendError('unknown', `${object}: version ${number} was asked for and is not shown`);
    if (state.latest !== number)
      throw new BackendError('unknown', `${object}: somebody else made version ${state.latest} meanwhile`);
    return { state, made: madeOf(state.algorithm, version) };
  }

  #key(object: string): TransitKey {
    const [, mount = '', name = ''] = /^(.+)\/keys\/([^/]+)$/.exec(object) ?? [];
    if (name === '') throw refuse('config', `${object} names no transit key: write it as MOUNT/keys/NAME`);
    return new TransitKey(this.client, mount, name);
  }
}

/**
 * Another `min_encryption_version` that lets nobody sign who could not, and keeps nobody from it: between 0 and what is refused anyway.
 * `undefined`: there is none, since the server takes no 0 once versions were trimmed.
 */
function otherLimit({ minDecryption, minEncryption, minAvailable }: TransitKeyState): number | undefined {
  if (minEncryption !== minDecryption) return minDecryption;
  return minAvailable > 0 ? undefined : 0;
}

function madeOf(algorithm: Algorithm, version: TransitKeyState['versions'][number]): MadeVersion {
  const { number, fingerprint, strengthBits, createdAt, publicJwk } = version;
  return { engine: String(number), algorithm, strengthBits, fingerprint, createdAt, publicJwk };
}

/** What canaries sign: no token and no part of one, so that a signature of it is good for nothing. */
function canaryOf(object: string): string {
  const digest = createHash('sha256').update(`keyturn canary\n${object}`).digest();
  return digest.toString('base64');
}
