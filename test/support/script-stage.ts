import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Algorithm, Attempt, KeyBackend } from '#custody';
import { openDatabase, type SqlDatabase } from '#eventlog/sqlite';
import { derivedId } from '#platform';
import type { ManualClock } from '#platform/testing';
import {
  causeOf,
  containmentStream,
  emergencyContainmentId,
  familyStream,
  incomingVersionId,
  rotationStream,
  type FamilyDetails,
} from '#rotation';
import { named, withoutAttempts, type Told } from './comparable.js';
import { SCRIPT_FAMILY, type Script, type Stage } from './scripts.js';
import type { World } from './world.js';

/** Scripts on the real core and a real back end, the local one unless told; many families beside each other in one world. */

/** Where the keys of a script lie, and how what happened there is read past the core. */
export interface Custody {
  readonly backEnd: KeyBackend;
  /** What families there are, beside what every script's family is. */
  readonly details: Partial<FamilyDetails> & { readonly algorithm: Algorithm };
  /** What is driven, of a family of this name. */
  readonly object: (name: string) => string;
  /** The back end's own account, in the order in which it happened. */
  readonly effects: (object: string) => Promise<Account['effects']>;
  /** The newest attempt it has seen for an object. */
  readonly fence: (object: string) => Promise<Pick<Attempt, 'fence' | 'attemptId'>>;
}

export function localCustody(world: World): Custody {
  return {
    backEnd: world.backEnd,
    details: { algorithm: SCRIPT_FAMILY.algorithm },
    object: (name) => `keys/${name}`,
    effects: async (object) => effectsOf(world, object),
    fence: async (object) => fenceOf(world, object),
  };
}

/** Everything but who advances. */
export type Ground = Omit<Stage, 'advance' | 'advanceContainment'> & {
  readonly object: string;
  readonly custody: Custody;
};

let made = 0;

/** A family with two consumers and one version that emits: where every script begins. */
export async function ground(
  world: World,
  clock: ManualClock,
  overlap: Script['overlap'],
  custody: Custody = localCustody(world),
): Promise<Ground> {
  made += 1;
  const name = `family-${made}`;
  const object = custody.object(name);
  const { id: familyId } = await world.registerFamily({
    ...SCRIPT_FAMILY,
    ...custody.details,
    name,
    overlap,
    backEnd: { instance: custody.backEnd.declaration.instance, object },
  });
  await world.registerConsumer(familyId, { name: `issuer-of-${name}`, roles: ['emitter'] });
  await world.registerConsumer(familyId, {
    name: `gateway-of-${name}`,
    roles: ['verifier'],
    cacheTtl: 'PT5M',
    instances: 2,
  });
  await firstVersion(world, familyId, object, custody);
  const { ledger } = world;
  return {
    ledger,
    backEnd: custody.backEnd,
    familyId,
    object,
    custody,
    now: () => clock.now(),
    jumpTo: (instant) => {
      clock.advance(Math.max(0, instant - clock.now()));
    },
    context: (label) => ({
      subject: world.requester,
      commandId: derivedId(ledger.logId, familyId, label),
      requestHash: '0'.repeat(64),
      via: 'cli',
    }),
  };
}

async function firstVersion(
  world: World,
  familyId: string,
  object: string,
  { backEnd, details: { algorithm: made } }: Custody,
): Promise<void> {
  const { ledger } = world;
  const versionId = randomUUID();
  const attempt = (step: number): Attempt => ({
    object,
    familyId,
    key: `before/${familyId}/${step}`,
    attemptId: randomUUID(),
    fence: { slot: 0, step },
    signal: new AbortController().signal,
  });
  await backEnd.generate(attempt(1), { versionId, algorithm: made });
  await backEnd.publish(attempt(2), { versions: [versionId], maxAgeSeconds: 300 });
  await backEnd.switchEmission(attempt(3), { to: versionId });
  const { history } = await ledger.family(familyId);
  const [seen] = (await backEnd.observe(object)).versions;
  if (seen === undefined) throw new Error('the first version was not made');
  const { algorithm, strengthBits, fingerprint, createdAt, accepted, emittingShare, destroyed } = seen;
  const data = {
    versionId,
    algorithm,
    strengthBits,
    fingerprint,
    createdAt,
    accepted,
    emittingShare,
    destroyed,
    compromised: false,
  };
  await ledger.append(history, [{ type: 'VersionObserved', data }], causeOf(world.context()));
}

/** What a run left behind, in the log, in the back end's own ledger, and as it is served. */
export interface Account {
  readonly streams: Readonly<Record<string, readonly unknown[]>>;
  readonly effects: readonly { readonly key: string; readonly effect: string; readonly versions: string }[];
  readonly versions: readonly unknown[];
}

export async function tellAccount(
  world: World,
  { familyId, object, custody }: Pick<Ground, 'familyId' | 'object' | 'custody'>,
  rotations: readonly string[],
): Promise<Account> {
  const state = await world.family(familyId);
  const told = async (stream: string): Promise<readonly Told[]> =>
    (await world.facts(stream)).map(({ type, provenance, data }) => ({
      type,
      provenance,
      data: type === 'DualAcceptDeployed' ? withoutCompromised(data, state.compromised) : data,
    }));
  const streams: (readonly [string, readonly unknown[]])[] = [
    ['family', withoutAttempts(await told(familyStream(familyId))).slice(1)],
  ];
  for (const [index, rotation] of rotations.entries()) {
    streams.push([`rotation ${index}`, withoutAttempts(await told(rotationStream(rotation)))]);
    const containment = containmentStream(emergencyContainmentId(world.ledger.logId, rotation));
    streams.push([`containment ${index}`, withoutAttempts(await told(containment))]);
  }
  const { versions } = await custody.backEnd.observe(object);
  const { logId } = world.ledger;
  const names = new Map([
    [familyId, 'the family'],
    ...state.consumers.map(
      ({ consumerId, name }) => [consumerId, name.replace(/family-\d+/, 'family')] as const,
    ),
    ...versions.map(({ versionId }) => [versionId, 'the version before'] as const),
    ...rotations.flatMap((rotation, index) => [
      [rotation, `rotation ${index}`] as const,
      [incomingVersionId(logId, rotation), `the version of rotation ${index}`] as const,
      [emergencyContainmentId(logId, rotation), `containment ${index}`] as const,
    ]),
  ]);
  const account = {
    streams: Object.fromEntries(streams),
    // Between a containment and its rotation there is no order: neither waits for the other.
    effects: (await custody.effects(object)).toSorted(
      (left, right) =>
        Number(right.key.startsWith('containment-')) - Number(left.key.startsWith('containment-')),
    ),
    versions: versions.map(({ versionId, accepted, emittingShare, contained }) => ({
      versionId,
      accepted,
      emittingShare,
      contained,
    })),
  };
  return named(JSON.parse(JSON.stringify(account).replaceAll(/family-\d+/g, 'family')), names) as Account;
}

/** Whether what is compromised was contained on record before the new version was published is a race of two processes. */
function withoutCompromised(data: unknown, compromised: readonly string[]): unknown {
  if (typeof data !== 'object' || data === null || !('versions' in data) || !Array.isArray(data.versions)) {
    return data;
  }
  const versions: readonly unknown[] = data.versions;
  return { ...data, versions: versions.filter((version) => !compromised.some((each) => each === version)) };
}

function inCustody<T>(world: World, read: (custody: SqlDatabase) => T): T {
  const custody = openDatabase(join(world.directory, 'custody', 'custody.sqlite'), { readOnly: true });
  try {
    return read(custody);
  } finally {
    custody.close();
  }
}

/** The back end's own account, in the order in which it happened. */
export function effectsOf(world: World, object: string): Account['effects'] {
  return inCustody(world, (custody) =>
    custody
      .prepare('SELECT key, effect, versions FROM ledger WHERE object = ? ORDER BY rowid')
      .all(object)
      .map((row) => ({
        key: String(row['key']),
        effect: String(row['effect']),
        versions: String(row['versions']),
      })),
  );
}

/** The newest attempt the back end has seen for an object. */
export function fenceOf(world: World, object: string): Pick<Attempt, 'fence' | 'attemptId'> {
  const row = inCustody(world, (custody) =>
    custody.prepare('SELECT slot, step, attempt_id FROM fences WHERE object = ?').get(object),
  );
  if (row === undefined) throw new Error(`no attempt was ever seen for ${object}`);
  return {
    fence: { slot: Number(row['slot']), step: Number(row['step']) },
    attemptId: String(row['attempt_id']),
  };
}

/** Where the record and the back end disagree about what is accepted and what emits; the record is the family's newest. */
export async function disagreements(
  world: World,
  backEnd: KeyBackend,
  { familyId, object }: Pick<Ground, 'familyId' | 'object'>,
): Promise<readonly string[]> {
  const { versions: recorded } = await world.family(familyId);
  const { versions: seen, served } = await backEnd.observe(object);
  const wrong: string[] = [];
  if (served?.agrees === false) wrong.push('what is served is not what is stored');
  for (const { versionId, accepted, emittingShare, contained } of seen) {
    const known = recorded.find((version) => version.versionId === versionId);
    const believed = { accepted: known?.accepted ?? false, share: known?.emittingShare ?? 0 };
    // A denied version is neither trusted nor signed with, whatever else is stored of it.
    const real = { accepted: accepted && !contained, share: contained ? 0 : emittingShare };
    if (contained && known?.compromised === true && !believed.accepted) continue;
    if (believed.accepted !== real.accepted || believed.share !== real.share) {
      wrong.push(
        `${versionId}: on record ${JSON.stringify(believed)}, in the back end ${JSON.stringify(real)}`,
      );
    }
  }
  return wrong;
}
