import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { SqlDatabase } from '#eventlog/sqlite';
import type { Clock, Config, Ids } from '#platform';
import {
  boundAt,
  runbookCompleteness,
  selectPolicy,
  type BoundPolicy,
  type FamilyState,
  type Ledger,
} from '#rotation';
import { placesOf, type Places } from '#service/places';
import { coarse } from '../words.js';
import { fine, notLookedAt, problem, warning, type Finding } from './finding.js';
import { logProblem } from './look-at-files.js';

/** Contracts, Clocks: the own clock is at most this far behind the newest record. */
const BEHIND_MS = 30_000;
/** At start, an own clock this far past the newest record holds and asks. */
const FAR_PAST_MS = 30 * 86_400_000;
/** Named in one line; the others are counted. */
const NAMED = 5;

/** Reads the whole log beside whoever writes it, and what is declared in it. */
export async function lookAtLog(
  config: Config,
  around: { readonly clock: Clock; readonly ids: Ids },
  onProgress: (done: number, total: number) => void,
  /** Told of every back-end object that a family names. */
  onObject: (object: { readonly instance: string; readonly object: string }) => void = () => undefined,
): Promise<readonly Finding[]> {
  const places = placesOf(config);
  const [sqlite, kit, { DEFINITIONS }, { Ledger }] = await Promise.all([
    import('#eventlog/sqlite'),
    import('#eventlog/kit'),
    import('#service'),
    import('#rotation'),
  ]);
  if (!existsSync(join(places.log, sqlite.LOG_FILE))) {
    return [notLookedAt('log', `there is no log in ${places.log} yet`)];
  }
  let log: Awaited<ReturnType<typeof sqlite.openSqliteEventLog>> | undefined;
  try {
    log = await sqlite.openSqliteEventLog({ directory: places.log }, { readOnly: true });
    const { clock, ids } = around;
    const store = await kit.openEventStore({ log, definitions: DEFINITIONS, clock, ids });
    const total = await log.treeSize();
    const families = new Set<string>();
    const policies = new Set<string>();
    let done = 0;
    for await (const event of log.readAll({ limit: total })) {
      store.decode(event);
      const [category, id] = [
        event.stream.split('-', 1)[0],
        event.stream.slice(event.stream.indexOf('-') + 1),
      ];
      if (category === 'family') families.add(id);
      if (category === 'policy') policies.add(id);
      done += 1;
      if (done % 500 === 0) onProgress(done, total);
    }
    const ledger = new Ledger(store);
    const now = clock.now();
    for (const id of families) {
      const { details } = (await ledger.family(id)).state;
      if (details?.backEnd !== undefined && details.mode === 'driven') onObject(details.backEnd);
    }
    return [
      fine('log', `the log opens; all ${total} events are what was written`),
      ofClock(now, await store.newestRecordedAt()),
      ofReadModel(places, total, sqlite.openDatabase),
      ...(await ofHolds(ledger, now)),
      ...(await ofDeclared(ledger, families, policies, now)),
      await ofLocalVersions(places, ledger, families),
    ];
  } catch (error) {
    return [logProblem(error)];
  } finally {
    await log?.close();
  }
}

function ofClock(now: number, newest: number): Finding {
  const ahead = newest - now;
  if (ahead > BEHIND_MS) {
    return problem(
      'clock',
      `this machine's clock is ${coarse(ahead)} behind the newest record`,
      'set the clock (NTP): emit, revoke and destroy wait until it is right',
    );
  }
  return -ahead > FAR_PAST_MS
    ? warning(
        'clock',
        `the newest record is ${coarse(-ahead)} old`,
        'where nothing happened that is well; else ask whether this clock, or this copy of the log, is the right one',
      )
    : fine('clock', 'the clock fits the newest record');
}

function ofReadModel(
  places: Places,
  total: number,
  openDatabase: (path: string, options: { readonly readOnly: true }) => SqlDatabase,
): Finding {
  if (!existsSync(places.readModel))
    return notLookedAt('read-model', 'there is no read model yet; a start makes it');
  try {
    const db = openDatabase(places.readModel, { readOnly: true });
    try {
      const row = db.prepare('SELECT min(tree_size) AS reached FROM keyturn_checkpoints').get();
      const behind = total - Number(row?.['reached'] ?? 0);
      return behind <= 0
        ? fine('read-model', 'the read model shows every event')
        : warning(
            'read-model',
            `the read model is ${behind} events behind`,
            'a start, or a moment, catches it up; if not: keyturn rebuild',
          );
    } finally {
      db.close();
    }
  } catch {
    return problem(
      'read-model',
      'the read model cannot be read',
      'keyturn rebuild: it is made anew from the log, nothing is lost',
    );
  }
}

async function ofHolds(ledger: Ledger, now: number): Promise<readonly Finding[]> {
  const { state } = await ledger.holds();
  const found: Finding[] = [];
  if (state.restore !== undefined) {
    found.push(
      problem(
        'hold.restore',
        `every rotation is held: ${state.restore.reason}`,
        'compare the back ends with what is recorded, then: keyturn holds confirm restore --reason "…"',
      ),
    );
  }
  if (state.integrity !== undefined) {
    found.push(
      problem(
        'hold.integrity',
        `rotations are held: ${state.integrity.reason}`,
        'look into it: keyturn status',
      ),
    );
  }
  if (state.clock !== undefined) {
    found.push(problem('hold.clock', `rotations are held: ${state.clock.reason}`, 'set the clock (NTP)'));
  }
  const freezes = state.freezes.filter(
    (freeze) =>
      freeze.liftedAt === undefined &&
      freeze.from <= now &&
      (freeze.until === undefined || now < freeze.until),
  );
  if (freezes.length > 0) {
    found.push(
      warning(
        'hold.freeze',
        `frozen: ${listed(freezes.map(({ name }) => name))}`,
        'that is somebody’s decision; forward steps of what it covers wait for its end',
      ),
    );
  }
  return found.length === 0 ? [fine('holds', 'nothing holds rotations')] : found;
}

async function ofDeclared(
  ledger: Ledger,
  familyIds: ReadonlySet<string>,
  policyIds: ReadonlySet<string>,
  now: number,
): Promise<readonly Finding[]> {
  const families: FamilyState[] = [];
  for (const id of familyIds) families.push((await ledger.family(id)).state);
  const bound: BoundPolicy[] = [];
  const waiting: string[] = [];
  for (const id of policyIds) {
    const { state } = await ledger.policy(id);
    const policy = boundAt(state, now);
    if (policy !== undefined) bound.push(policy);
    if (!state.retired && state.details !== undefined && state.boundSince === undefined)
      waiting.push(state.details.name);
  }
  const known = families.filter(({ details }) => details !== undefined);
  const driven = known.filter(({ details }) => details?.mode === 'driven');
  const named = (some: readonly FamilyState[]): string =>
    listed(some.map(({ details }) => `${details?.environment ?? ''}/${details?.name ?? ''}`));
  const about = (id: string, some: readonly FamilyState[], what: string, mend: string): readonly Finding[] =>
    some.length === 0 ? [] : [warning(id, `${what}: ${named(some)}`, mend)];

  const withoutConsumer = driven.filter(({ consumers }) => consumers.length === 0);
  // What a planned rotation is refused for. Consumers have a finding of their own.
  const withoutRunbook = driven.filter((family) =>
    runbookCompleteness(family).missing.some((field) => field !== 'consumers'),
  );
  const endless = driven.filter(({ consumers }) =>
    consumers.some(
      (each) => each.roles.includes('verifier') && each.cacheTtl === undefined && !each.neverRefreshes,
    ),
  );
  const withoutPolicy = known.filter(
    ({ details }) => details !== undefined && selectPolicy(bound, details) === undefined,
  );
  const found = [
    ...about(
      'family.consumers',
      withoutConsumer,
      'driven, and nobody is known to use it',
      'declare its consumers: keyturn apply -f FILE; a planned rotation is refused without',
    ),
    ...about(
      'family.runbook',
      withoutRunbook,
      'driven, and its runbook has gaps',
      'fill them in: keyturn apply -f FILE; a planned rotation is refused without',
    ),
    ...about(
      'consumer.cache',
      endless,
      'a verifier has declared no cache TTL, so no window can be told',
      'declare cacheTtl, or neverRefreshes where it is so: keyturn apply -f FILE',
    ),
    ...about(
      'policy.none',
      withoutPolicy,
      'no policy in force says when',
      'define one and let somebody else approve it: keyturn policies',
    ),
    ...(waiting.length === 0
      ? []
      : [
          warning(
            'policy.waiting',
            `waits for approval, and binds nobody until then: ${listed(waiting)}`,
            'somebody other than its author: keyturn approve POLICY',
          ),
        ]),
  ];
  return found.length === 0
    ? [
        fine(
          'declared',
          `${known.length} ${known.length === 1 ? 'family' : 'families'} declared, with consumers, runbooks and policies`,
        ),
      ]
    : found;
}

/** The local back end beside the record; a family whose rotation runs is between the two, and is left out. */
async function ofLocalVersions(
  places: Places,
  ledger: Ledger,
  familyIds: ReadonlySet<string>,
): Promise<Finding> {
  const { STORE_FILE, versionsIn } = await import('#custody/local');
  if (!existsSync(join(places.custody, STORE_FILE)))
    return notLookedAt('back-end.versions', 'there is no local back end to compare with the record');
  const differing: string[] = [];
  let compared = 0;
  for (const { familyId, versions } of versionsIn(places.custody)) {
    if (!familyIds.has(familyId)) {
      differing.push(`${familyId} (not on record at all)`);
      continue;
    }
    const { state } = await ledger.family(familyId);
    if (state.slot?.open === true) continue;
    compared += 1;
    const name = `${state.details?.environment ?? ''}/${state.details?.name ?? ''}`;
    const unequal = versions.filter(({ versionId, accepted, emittingShare, contained }) => {
      const recorded = state.versions.find((each) => each.versionId === versionId);
      const [isAccepted, share] = [accepted && !contained, emittingShare];
      return (
        isAccepted !== (recorded?.accepted ?? false) ||
        (isAccepted && share !== (recorded?.emittingShare ?? 0))
      );
    });
    const gone = state.versions.filter(
      ({ versionId, accepted }) => accepted && !versions.some((each) => each.versionId === versionId),
    );
    const ids = [...unequal, ...gone].map(({ versionId }) => versionId);
    if (ids.length > 0) differing.push(`${name} (${listed(ids)})`);
  }
  return differing.length === 0
    ? fine(
        'back-end.versions',
        `the local back end holds what is recorded, in ${compared} ${compared === 1 ? 'family' : 'families'}`,
      )
    : problem(
        'back-end.versions',
        `the local back end does not hold what is recorded: ${listed(differing)}`,
        'look at each: keyturn families NAME. After a restore the back end is right and the record is older: rotate these families anew once the hold is confirmed',
      );
}

function listed(names: readonly string[]): string {
  const more = names.length - NAMED;
  return `${names.slice(0, NAMED).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
