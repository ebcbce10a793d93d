import { BackendError, type Algorithm, type Effect, type EffectClass } from '../key-backend.js';
import { refuse, requireNotAborted } from '../requirements.js';
import type { Credential, CredentialProbe, LoginVerdict } from './database-login.js';
import { onceBegun } from './effect-phases.js';
import { DatabasePair, fingerprintOf, roleOf, type RoleState } from './database-pair.js';
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

/**
 * A request of ours is given up after 15 s. The server works on it for at most 90 s more, and where the database failed it tries once
 * again in the background: 10 to 15 s later, by itself.
 */
const SETTLES_AFTER_MS = 120_000;
const ROTATE_WITHIN_MS = 15_000;
/** Beyond the request's own limit. */
const ONCE_SPARE_SECONDS = 5;
/**
 * The server's own generator draws 20 of 63 characters with one of each kind among them: 2^117.6 passwords. Another password policy is
 * its operator's to know.
 */
const DEFAULT_STRENGTH_BITS = 117;
const DEFAULT_CADENCE_DAYS = 90;
const DAY_SECONDS = 86_400;
/** A role's own timer fires alone, over whatever is under way: it must not come near a rotation of ours. */
const PERIOD_IN_CADENCES = 10;
/** Old passwords wait here for their probe; one rotation leaves one. */
const MOST_HELD = 64;

export interface DatabaseEngineOptions {
  /** Who logs in, by the server's name of the connection (`db_name` of the roles). */
  readonly probes: ReadonlyMap<string, CredentialProbe>;
  /**
   * What is so of a pair that nothing is on record of. `first`: the first role of its name is what applications use · `none`: nobody
   * uses either yet. `first` does no harm where it is wrong.
   */
  readonly inUse?: 'first' | 'none';
  /** How often the families of this instance are rotated at the seldomest. */
  readonly cadenceDays?: number;
  /** Of the password policy of the server's connection. */
  readonly strengthBits?: number;
  /** Milliseconds. */
  readonly rotateWithinMs?: number;
  /** Milliseconds: how long a rotate whose answer was lost, or was an error, is waited for. */
  readonly settlesAfterMs?: number;
}

interface State extends EngineState {
  readonly object: string;
  /** In the order of the object's name; one that is not there is left out. */
  readonly roles: readonly RoleState[];
}

/** The roles whose passwords go, as they were seen. */
type Wanted = readonly RoleState[];

const CLASSES: Readonly<Record<Effect, EffectClass>> = {
  generate: 'increment',
  publish: 'compare-and-swap',
  'switch-emission': 'compare-and-swap',
  // Sent late, a rotate takes away whatever the role has by then.
  withdraw: 'absolute',
  're-accept': 'compare-and-swap',
  'cut-over': 'absolute',
  contain: 'compare-and-swap',
  lift: 'compare-and-swap',
  destroy: 'absolute',
};

/**
 * Pairs of database static roles (`MOUNT/static-roles/BLUE/GREEN`), each with a database user of its own. A role has one password: a
 * version is a role until its next rotation. Generating turns the role that nobody uses, withdrawing turns the one that was used, which is
 * the point of no return. Whether a password is good is only known from a login with it.
 */
export class DatabaseEngine implements VaultEngine<State, Wanted> {
  readonly kind = 'vault-database';
  readonly algorithms: readonly Algorithm[] = ['password'];
  readonly capabilities = {
    overlap: true,
    cohorts: false,
    performs: true,
    // The probe logs in with them.
    readsValues: true,
    publishesJwks: false,
  } as const;
  readonly classes = CLASSES;
  readonly pointOfNoReturn: Effect = 'withdraw';
  readonly destroysItself = true;
  readonly longestRequestMs: number;
  readonly settlesAfterMs: number;
  readonly #options: DatabaseEngineOptions;
  readonly #rotateWithinMs: number;
  /** Roles that a request of this process turns now. */
  readonly #turning = new Set<string>();
  /** By object and version: passwords that were rotated away, until their probe. Never longer than this process. */
  readonly #held = new Map<string, Credential>();

  constructor(
    private readonly client: VaultClient,
    options: DatabaseEngineOptions,
  ) {
    this.#options = options;
    this.#rotateWithinMs = options.rotateWithinMs ?? ROTATE_WITHIN_MS;
    this.settlesAfterMs = options.settlesAfterMs ?? SETTLES_AFTER_MS;
    this.longestRequestMs = Math.max(this.settlesAfterMs, this.#rotateWithinMs);
  }

  requireNamed(object: string): void {
    this.#pair(object);
  }

  /** Each role: it may stand in one pair only, whatever the other is and whichever comes first. */
  parts(object: string): readonly string[] {
    const { mount, roles } = this.#pair(object);
    return roles.map((role) => `${mount}/static-roles/${role}`).sort();
  }

  async look(object: string, identity: Identity): Promise<State | undefined> {
    const pair = this.#pair(object);
    const token = await identity.token();
    const found = await Promise.all(pair.roles.map((role) => pair.read(role, token)));
    const roles = found.filter((role) => role !== undefined);
    if (roles.length === 0) return undefined;
    return { object, roles, newest: roles.map(({ engine }) => engine).join(' ') };
  }

  requireDrivable(object: string, state: State | undefined): void {
    const { mount, roles } = this.#pair(object);
    const missing = roles.filter((name) => !state?.roles.some(({ role }) => role === name));
    if (state === undefined || missing.length > 0)
      throw refuse(
        'config',
        `${mount}/static-roles/${missing.join(' and ')} is not there: create it for a database user that nobody uses yet (creating it changes that user's password); Keyturn creates none`,
      );
    for (const role of state.roles) this.#requireRole(`${mount}/static-roles/${role.role}`, role);
    const [blue, green] = state.roles;
    if (blue?.username === green?.username)
      throw refuse(
        'config',
        `${object}: both roles are of one database user, ${blue?.username ?? ''}: each rotation of one breaks the other. Give each a user of its own`,
      );
  }

  /** A role that turned by itself took a version's password with it. Where that one was in use, what the role has now is. */
  seen(document: ObjectDocument, state: State | undefined): ObjectDocument {
    if (state === undefined) return document;
    const { versions, pending } = document;
    if (versions.length === 0 && pending === undefined) return this.#adopted(document, state);
    const now = new Map(state.roles.map((role) => [role.role, role]));
    const turned = versions.filter(
      ({ engine, destroyed }) => !destroyed && (now.get(roleOf(engine)) ?? { engine }).engine !== engine,
    );
    if (turned.length === 0) return document;
    const successors = turned.flatMap((version) => {
      const role = now.get(roleOf(version.engine));
      const taken = role === undefined || versions.some(({ engine }) => engine === role.engine);
      if (taken || !version.accepted || isWithdrawing(pending, version)) return [];
      return [this.#found(state.object, role, version.emittingShare)];
    });
    const gone = new Set(turned.map(({ versionId }) => versionId));
    const left = versions.map((version) =>
      gone.has(version.versionId)
        ? { ...version, accepted: false, emittingShare: 0, destroyed: true }
        : version,
    );
    return { ...document, versions: [...left, ...successors] };
  }

  /** The role that is turned next: one that nobody uses. A broken password goes first, then what holds none of ours, then the youngest. */
  before(object: string, { versions }: ObjectDocument, state: State | undefined): string {
    const placed = (state?.roles ?? []).map((role) => {
      const place = versions.findIndex(({ engine, destroyed }) => engine === role.engine && !destroyed);
      return { role, place, version: versions[place] };
    });
    const rank = ({ place, version }: (typeof placed)[number]): number =>
      version === undefined ? versions.length : version.broken === true ? versions.length + 1 : place;
    const [next] = placed
      .filter(({ version }) => version?.accepted !== true)
      .sort((a, b) => rank(b) - rank(a));
    if (next !== undefined) return next.role.engine;
    const both = placed.map(({ version }) => version?.versionId).join(' and ');
    throw refuse('config', `${object}: both roles are in use (versions ${both}): withdraw one of them first`);
  }

  async generate(
    call: EngineCall,
    _state: State | undefined,
    { before }: { readonly before: string },
  ): Promise<void> {
    await this.#turn(call, roleOf(before));
  }

  happened({ effect, before }: PendingEffect, state: State | undefined): boolean {
    const role = state?.roles.find((each) => each.role === roleOf(before));
    return effect === 'generate' && role !== undefined && role.engine !== before;
  }

  async made({ object, identity }: EngineCall, before: string): Promise<MadeVersion> {
    const pair = this.#pair(object);
    const role = await pair.read(roleOf(before), await identity.token());
    if (role === undefined || role.engine === before)
      throw new BackendError(
        'unknown',
        `${object}: ${roleOf(before)} was turned and shows no other password`,
      );
    const made = this.#shown(object, role);
    const verdict = await this.#tried(pair, role, identity);
    if (verdict.kind === 'refused') return { ...made, broken: true };
    requireProved(object, role, verdict);
    return made;
  }

  async requireGood({ object, identity }: EngineCall, versions: readonly DocumentVersion[]): Promise<void> {
    const pair = this.#pair(object);
    for (const { engine, versionId } of versions) {
      const role = await pair.read(roleOf(engine), await identity.token());
      if (role?.engine !== engine)
        throw refuse('config', `${object}: version ${versionId} is gone, ${roleOf(engine)} was turned since`);
      const verdict = await this.#tried(pair, role, identity);
      if (verdict.kind === 'refused')
        throw refuse(
          'config',
          `${object}: the database refuses a login with version ${versionId}: the password of ${role.role} there is not the one that the server shows. Start a new rotation, which turns it once more`,
        );
      requireProved(object, role, verdict);
    }
  }

  wanted({ versions }: ObjectDocument, state: State | undefined): Wanted | undefined {
    const withdrawn = versions.filter(
      ({ published, accepted, destroyed }) => published && !accepted && !destroyed,
    );
    const wanted = (state?.roles ?? []).filter(({ engine }) =>
      withdrawn.some((version) => version.engine === engine),
    );
    return wanted.length === 0 ? undefined : wanted;
  }

  async hold(call: EngineCall, wanted: Wanted): Promise<void> {
    const { object, identity } = call;
    let begun = false;
    for (const { role, engine } of wanted) {
      // Whether its refusal can be shown is no reason not to revoke.
      const credential = await this.#asProbe(object, role, identity).catch(() => undefined);
      if (credential?.engine === engine) this.#keep(`${object} ${engine}`, credential);
      await (begun ? onceBegun(() => this.#turn(call, role)) : this.#turn(call, role));
      begun = true;
    }
  }

  async destroy(
    call: EngineCall,
    _document: ObjectDocument,
    versions: readonly DocumentVersion[],
  ): Promise<void> {
    const state = await this.look(call.object, call.identity);
    const left = versions.filter(({ engine }) => state?.roles.some((role) => role.engine === engine));
    let begun = false;
    for (const { engine } of left) {
      const turn = (): Promise<void> => this.#turn(call, roleOf(engine));
      await (begun ? onceBegun(turn) : turn());
      begun = true;
    }
  }

  async probe(object: string, version: DocumentVersion, identity: Identity): Promise<ProbeAnswer> {
    const pair = this.#pair(object);
    const role = await pair.read(roleOf(version.engine), await identity.token());
    if (role?.engine === version.engine) return answerOf(await this.#tried(pair, role, identity));
    const held = this.#held.get(`${object} ${version.engine}`);
    if (role === undefined || held === undefined)
      return {
        accepted: undefined,
        how: 'not probed: its role was turned since, and the old password is not in memory any more',
      };
    const answer = answerOf(await this.#probeOf(role).logIn(held));
    // Whoever has it still gets in, whatever the record says.
    return answer.accepted === true ? { ...answer, final: true } : answer;
  }

  /** One rotate at a time on a role: two at once leave a password that nobody knows, and no error. */
  async #turn({ object, identity, rotation, signal }: EngineCall, role: string): Promise<void> {
    const pair = this.#pair(object);
    const name = `${pair.mount}/${role}`;
    if (this.#turning.has(name))
      // Of this one nothing was sent; what came of the other one is not known, and what was begun stays begun.
      throw new BackendError('unknown', `${object}: ${role} is being turned by an earlier request`);
    this.#turning.add(name);
    try {
      const withinMs = this.#rotateWithinMs;
      const once = await identity.once(Math.ceil(withinMs / 1_000) + ONCE_SPARE_SECONDS);
      requireNotAborted(signal);
      await pair.rotate(role, once, { rotation, withinMs });
    } finally {
      this.#turning.delete(name);
    }
  }

  async #tried(pair: DatabasePair, role: RoleState, identity: Identity): Promise<LoginVerdict> {
    const probe = this.#probeOf(role);
    const credential = await this.#asProbe(pair.object, role.role, identity);
    if (credential.engine !== role.engine)
      throw new BackendError('unknown', `${pair.object}: somebody else turned ${role.role} meanwhile`);
    return probe.logIn(credential);
  }

  async #asProbe(
    object: string,
    role: string,
    identity: Identity,
  ): Promise<Credential & { readonly engine: string }> {
    return this.#pair(object).credential(role, await identity.probe());
  }

  #probeOf({ role, connection }: RoleState): CredentialProbe {
    const probe = this.#options.probes.get(connection);
    if (probe !== undefined) return probe;
    throw refuse(
      'config',
      `${role} is turned over the connection ${connection}, and no database is named to log in to for it: a password is only known to be good after a login`,
    );
  }

  #requireRole(path: string, role: RoleState): void {
    if (!role.isPassword) throw refuse('config', `${path} is no password: only those are driven here`);
    const { cadenceDays = DEFAULT_CADENCE_DAYS } = this.#options;
    const least = Math.ceil(PERIOD_IN_CADENCES * cadenceDays * DAY_SECONDS);
    const found = role.periodSeconds;
    if (found === undefined || found < least)
      throw refuse(
        'config',
        `${path} turns itself ${found === undefined ? 'by a schedule' : `every ${found} s`}, over whatever is under way: set its rotation_period to ${least}s or more (${PERIOD_IN_CADENCES} x the ${cadenceDays} days between rotations)`,
      );
    this.#probeOf(role);
  }

  #adopted(document: ObjectDocument, { object, roles }: State): ObjectDocument {
    const [name] = this.#pair(object).roles;
    const first = roles.find(({ role }) => role === name);
    if (this.#options.inUse === 'none' || first === undefined) return document;
    return { ...document, versions: [this.#found(object, first, 100)] };
  }

  /** One that was in use and that nobody wrote down. */
  #found(object: string, role: RoleState, emittingShare: number): DocumentVersion {
    const made = this.#shown(object, role);
    return {
      ...made,
      versionId: made.engine,
      accepted: true,
      published: true,
      emittingShare,
      destroyed: false,
    };
  }

  #shown(object: string, { engine, lastRotation }: RoleState): MadeVersion {
    return {
      engine,
      algorithm: 'password',
      strengthBits: this.#options.strengthBits ?? DEFAULT_STRENGTH_BITS,
      fingerprint: fingerprintOf(object, engine),
      createdAt: lastRotation,
    };
  }

  #keep(name: string, credential: Credential): void {
    this.#held.set(name, credential);
    const [oldest] = this.#held.keys();
    if (this.#held.size > MOST_HELD && oldest !== undefined) this.#held.delete(oldest);
  }

  #pair(object: string): DatabasePair {
    return new DatabasePair(this.client, object);
  }
}

function isWithdrawing(pending: PendingEffect | undefined, { versionId }: DocumentVersion): boolean {
  if (pending?.effect === 'cut-over') return !pending.versions.includes(versionId);
  return (
    (pending?.effect === 'withdraw' || pending?.effect === 'destroy') && pending.versions.includes(versionId)
  );
}

function requireProved(object: string, { role }: RoleState, verdict: LoginVerdict): void {
  if (verdict.kind === 'unproved')
    throw refuse('config', `${object}: a login as ${role} proves nothing about its password: ${verdict.why}`);
}

function answerOf(verdict: LoginVerdict): ProbeAnswer {
  switch (verdict.kind) {
    case 'accepted':
      return { accepted: true, how: 'the database let in a login with its password' };
    case 'refused':
      return { accepted: false, how: 'the database refused a login with its password' };
    case 'unproved':
      return { accepted: undefined, how: `a login with it proved nothing: ${verdict.why}` };
  }
}
