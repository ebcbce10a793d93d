import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { openDatabase, openSqliteEventLog } from '#eventlog/sqlite';
import { openEventStore } from '#eventlog/kit';
import { BackendError, type Algorithm, type Attempt, type KeyBackend } from '#custody';
import { loadMasterKey, openLocalKeyBackend } from '#custody/local';
import { armFailpoint, derivedId, observeFailpoints, systemIds, type Clock, type Instant } from '#platform';
import {
  BackEnds,
  claimEvents,
  holdEvents,
  telemetryEvents,
  containmentEvents,
  destructionEvents,
  personEvents,
  ENDED,
  familyEvents,
  importEvents,
  Ledger,
  policyEvents,
  rotationEvents,
  RotationRunner,
  stepEvents,
  type CommandContext,
  type Wake,
} from '#rotation';
import {
  AskContainment,
  AskContainmentHandler,
  AskDestruction,
  AskDestructionHandler,
  RecordDeparture,
  RecordDepartureHandler,
  RequestDestruction,
  RequestDestructionHandler,
  ReviseFamily,
  ReviseFamilyHandler,
  AskRotation,
  AskRotationHandler,
  ChangePolicy,
  ChangePolicyHandler,
  ContainVersions,
  ContainVersionsHandler,
  DefinePolicy,
  DefinePolicyHandler,
  ImportHistory,
  ImportHistoryHandler,
  RegisterConsumer,
  RegisterConsumerHandler,
  RegisterFamily,
  RegisterFamilyHandler,
  RequestRotation,
  RequestRotationHandler,
  type RotationAsk,
  type RotationWish,
} from '#rotation/application';
import { COMPLETE_RUNBOOK } from '../../support/runbook.js';
import type { VaultProcess } from '../../support/vault-custody.js';
import { playScript, SCRIPT_FAMILY, SCRIPTS, type Script, type Stage } from '../../support/scripts.js';

/**
 * One process of the crash matrix: opens a data directory, plays a scenario as far as it is not on record yet, and may be
 * told to die at a failpoint. Played again after a death it goes on from what is on disk; nothing else is remembered.
 * Time is virtual (it starts at the newest record and jumps to what is waited for), so a case takes a fraction of a second.
 */

class VirtualClock implements Clock {
  #now: Instant;

  constructor(start: Instant) {
    this.#now = start;
  }

  now(): Instant {
    return this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  jumpTo(instant: Instant): void {
    this.#now = Math.max(this.#now, instant);
  }
}

const START = Date.parse('2026-03-01T09:00:00.000Z');
const REQUESTER = '6a1d6a56-3c6e-4c6a-8f5e-0a6c7c1f2d33';
const APPROVER = 'd6646945-7446-516c-9f17-05fa9a386cb3';

export type Sabotage = 'none' | 'no-observing' | 'double-effect';

/**
 * Broken on purpose: the matrix must see it. `no-observing`: a takeover neither looks nor is recognised by its key.
 * `double-effect`: every effect is performed twice under different keys.
 */
function sabotaged(backEnd: KeyBackend, sabotage: Sabotage): KeyBackend {
  if (sabotage === 'none') return backEnd;
  const forget = (attempt: Attempt, suffix: string): Attempt => ({
    ...attempt,
    key: `${attempt.key}#${suffix}`,
  });
  return new Proxy(backEnd, {
    get(target, property, receiver) {
      const value: unknown = Reflect.get(target, property, receiver);
      if (typeof value !== 'function') return value;
      if (property === 'observe') {
        return async (object: string) => {
          const { entry: _entry, ...seen } = await target.observe(object);
          return { ...seen, versions: [] };
        };
      }
      if (!EFFECTS.includes(String(property))) return value.bind(target);
      return async (attempt: Attempt, input: unknown) => {
        if (sabotage === 'no-observing') return value.call(target, forget(attempt, attempt.attemptId), input);
        try {
          await value.call(target, forget(attempt, 'again'), input);
        } catch (error) {
          if (!(error instanceof BackendError)) throw error;
        }
        return value.call(target, attempt, input);
      };
    },
  });
}

const EFFECTS = [
  'generate',
  'publish',
  'switchEmission',
  'withdraw',
  'reAccept',
  'cutOver',
  'contain',
  'lift',
  'destroy',
];

/**
 * Said where a scenario leaves what another one plays too: the matrix takes the deaths after it, the whole product of
 * `test:full` takes all.
 */
type Diverged = () => void;

/** Where the key of the family lies. */
interface Driven {
  readonly instance: string;
  readonly object: string;
  readonly algorithm: Algorithm;
}

const LOCAL: Driven = { instance: 'local', object: 'keys/crash', algorithm: 'ES256' };

interface Story {
  readonly driven: Driven;
  readonly diverged: Diverged;
  readonly clock: VirtualClock;
  readonly ledger: Ledger;
  readonly runner: RotationRunner;
  readonly backEnds: BackEnds;
  readonly ids: {
    readonly policy: string;
    readonly family: string;
    /** The one that cannot overlap. */
    readonly cutover: string;
    readonly emitter: string;
    readonly verifier: string;
  };
  readonly context: (label: string, subject?: string) => CommandContext;
}

function contexts(logId: string): Story['context'] {
  return (label, subject = REQUESTER) => ({
    subject,
    commandId: derivedId(logId, 'crash', subject, label),
    requestHash: '0'.repeat(64),
    via: 'cli',
  });
}

async function setUp(story: Story): Promise<void> {
  const { ledger, backEnds, context } = story;
  await new DefinePolicyHandler(ledger).execute(
    new DefinePolicy(context('policy'), {
      name: 'crash matrix',
      selector: { environment: 'test' },
      terms: {
        stopEmitting: 'P90D',
        stopAccepting: 'P120D',
        margins: { clockSkew: 'PT1S', safety: 'PT1S' },
        approvals: 1,
        settle: 'PT10M',
        watch: 'PT1M',
        emergency: { approvalWithin: 'P1D', reviewWithin: 'P1D', targets: [] },
      },
      basis: {
        setBy: 'the crash matrix',
        riskAnalysis: 'none: a test',
        reviewedOn: '2026-01-01',
        nextReview: '2027-01-01',
      },
      effectiveFrom: new Date(START).toISOString(),
    }),
  );
  await new ChangePolicyHandler(ledger).execute(
    new ChangePolicy(context('policy-approval', APPROVER), story.ids.policy, { type: 'approve' }),
  );
  await new RegisterFamilyHandler(ledger, backEnds).execute(
    new RegisterFamily(context('family'), {
      name: 'crash signing key',
      environment: 'test',
      kind: story.driven.algorithm === 'HS256' ? 'shared-secret' : 'asymmetric-key',
      algorithm: story.driven.algorithm,
      protects: 'other',
      usage: story.driven.algorithm === 'HS256' ? 'mac' : 'sign',
      overlap: 'dual',
      mode: 'driven',
      authority: { kind: 'keyturn' },
      owner: { role: 'platform' },
      team: 'platform',
      backEnd: { instance: story.driven.instance, object: story.driven.object },
      artefactLife: 'PT1H',
      illustrative: true,
    }),
  );
  const runbook = { type: 'ReviseRunbook', runbook: COMPLETE_RUNBOOK } as const;
  await new ReviseFamilyHandler(ledger).execute(
    new ReviseFamily(context('runbook'), story.ids.family, runbook),
  );
  const consumers = new RegisterConsumerHandler(ledger);
  await consumers.execute(
    new RegisterConsumer(context('emitter'), story.ids.family, {
      name: 'issuer',
      roles: ['emitter'],
      neverRefreshes: false,
      thirdParty: false,
      instances: 1,
    }),
  );
  await consumers.execute(
    new RegisterConsumer(context('verifier'), story.ids.family, {
      name: 'gateway',
      roles: ['verifier'],
      cacheTtl: 'PT5M',
      neverRefreshes: false,
      thirdParty: false,
      instances: 2,
    }),
  );
}

/** A family that can only be cut over, with its first version. */
async function setUpCutover(story: Story): Promise<void> {
  const { ledger, backEnds, context, ids } = story;
  await new RegisterFamilyHandler(ledger, backEnds).execute(
    new RegisterFamily(context('family-cutover'), {
      ...SCRIPT_FAMILY,
      name: 'crash cutover key',
      overlap: 'none',
      backEnd: { instance: 'local', object: 'keys/crash-cutover' },
    }),
  );
  const runbook = { type: 'ReviseRunbook', runbook: COMPLETE_RUNBOOK } as const;
  await new ReviseFamilyHandler(ledger).execute(
    new ReviseFamily(context('runbook-cutover'), ids.cutover, runbook),
  );
  const consumers = new RegisterConsumerHandler(ledger);
  for (const [name, role, instances] of [
    ['old issuer', 'emitter', 1],
    ['old gateway', 'verifier', 2],
  ] as const) {
    await consumers.execute(
      new RegisterConsumer(context(name), ids.cutover, {
        name,
        roles: [role],
        neverRefreshes: false,
        thirdParty: false,
        instances,
      }),
    );
  }
  const cutover = SCRIPTS.find((script) => script.name === 'cutover');
  if (cutover === undefined) throw new Error('there is no script that cuts over');
  await playScript(stageOf(story, cutover), { ...cutover, name: 'first-cutover' });
}

/** What a script is played on here: one decision a turn, so that it can step in between any two. */
function stageOf(story: Story, { overlap }: Pick<Script, 'overlap'>): Stage {
  const { ledger, backEnds, clock, runner, ids, context } = story;
  const familyId = overlap === 'none' ? ids.cutover : ids.family;
  let first = true;
  return {
    ledger,
    backEnd: backEnds.get(overlap === 'none' ? LOCAL.instance : story.driven.instance),
    familyId,
    now: () => clock.now(),
    jumpTo: (instant) => {
      clock.jumpTo(instant);
    },
    advance: (id) => runner.advance(id, familyId, 1),
    advanceContainment: (id) => runner.advanceContainment(id, familyId),
    context: (label) => context(label),
    diverged: () => {
      if (first) story.diverged();
      first = false;
    },
  };
}

/** What a scenario does when the rotation has come to a phase; each ask has a fixed command id. */
interface Turn {
  readonly at: string;
  readonly ask: RotationAsk;
  readonly subject?: string;
}

function rotationIdOf(story: Story, label: string): string {
  return derivedId(story.ledger.logId, story.context(label).commandId);
}

async function request(story: Story, label: string, wish: RotationWish): Promise<string> {
  const id = rotationIdOf(story, label);
  const { state } = await story.ledger.family(story.ids.family);
  // Already opened: what is missing of it is the runner's to complete, not the command's.
  const known = state.slot?.rotation === id || state.closed.some((closed) => closed.rotation === id);
  if (!known && !(await story.ledger.rotation(id)).state.exists) {
    const policies = { policyIds: () => Promise.resolve([story.ids.policy]) };
    await new RequestRotationHandler(story.ledger, story.backEnds, policies).execute(
      new RequestRotation(story.context(label), story.ids.family, wish),
    );
  }
  return id;
}

/** Plays one rotation to its end: confirms when asked, jumps the clock to what is waited for. */
async function play(
  story: Story,
  rotationId: string,
  label: string,
  turns: readonly Turn[],
  until?: string,
): Promise<void> {
  const { ledger, runner, clock, ids, context } = story;
  const asks = new AskRotationHandler(ledger, story.backEnds);
  const asked = new Set<Turn>();
  for (let round = 0; round < 400; round += 1) {
    const before = await ledger.rotation(rotationId);
    const turn = turns.find((each) => !asked.has(each) && each.at === before.state.phase);
    if (turn !== undefined && before.state.exists) {
      asked.add(turn);
      story.diverged();
      if (!(await alreadyAsked(story, rotationId, turn))) {
        const asking = context(`${label}-${turn.at}-${turn.ask.type}`, turn.subject);
        await asks.execute(new AskRotation(asking, rotationId, turn.ask));
      }
    }
    // One decision at a time, so that a scenario can step in between any two.
    const wake = await runner.advance(rotationId, ids.family, 1);
    const { state } = await ledger.rotation(rotationId);
    if (until !== undefined && state.phase === until) return;
    // Its turn comes before anybody confirms.
    if (turns.some((each) => !asked.has(each) && each.at === state.phase)) continue;
    // What people do in an emergency races with the saga; here they come when it has done its part.
    const theirTurn = state.emergency === undefined || state.phase === 'watching';
    if (
      state.phase === 'requested' &&
      state.emergency === undefined &&
      !turns.some((each) => each.at === 'requested')
    ) {
      await asks.execute(
        new AskRotation(context(`${label}-approve`, APPROVER), rotationId, { type: 'approve' }),
      );
      continue;
    }
    if (wake.finished) return;
    const { plan } = state;
    if (
      state.accepted !== undefined &&
      plan?.incoming !== undefined &&
      state.acceptance.length === 0 &&
      theirTurn &&
      state.rollback === undefined &&
      !ENDED.includes(state.phase)
    ) {
      await asks.execute(
        new AskRotation(context(`${label}-accepts`), rotationId, {
          type: 'confirm',
          kind: 'acceptance',
          consumerId: ids.verifier,
          versionId: plan.incoming,
          instances: ['gateway-1', 'gateway-2'],
        }),
      );
      continue;
    }
    const target = state.returned?.to ?? state.switched?.to;
    if (target !== undefined && state.emission.length === 0 && theirTurn && !ENDED.includes(state.phase)) {
      await asks.execute(
        new AskRotation(context(`${label}-emits-${target}`), rotationId, {
          type: 'confirm',
          kind: 'emission',
          consumerId: ids.emitter,
          versionId: target,
          instances: ['issuer-1'],
        }),
      );
      continue;
    }
    // `its turn` is the end of a single-turn advance: there is more to decide at once.
    if (wake.waitsFor !== 'its turn' && wake.until !== undefined) clock.jumpTo(wake.until);
    if (wake.waitsFor !== 'its turn' && wake.until === undefined) {
      throw new Error(`${label} waits for ${wake.waitsFor} and nobody comes (phase ${state.phase})`);
    }
  }
  throw new Error(`${label} did not end`);
}

async function alreadyAsked(story: Story, rotationId: string, turn: Turn): Promise<boolean> {
  const { state } = await story.ledger.rotation(rotationId);
  return turn.ask.type === 'rollback' ? state.rollback !== undefined : false;
}

const GRACEFUL: RotationWish = { strategy: 'graceful', trigger: 'manual', reason: 'the crash matrix' };
const EMERGENCY: RotationWish = {
  strategy: 'emergency',
  trigger: 'compromise',
  reason: 'the crash matrix',
  emergency: { contain: true, incident: 'INC-1' },
};

const ROLLBACK_PHASES = ['requested', 'approved', 'generated', 'accepting', 'emitting', 'draining'] as const;

async function graceful(story: Story): Promise<void> {
  await play(story, await request(story, 'graceful', GRACEFUL), 'graceful', []);
}

async function emergencyOver(story: Story, phase: string): Promise<void> {
  const running = await request(story, 'graceful', GRACEFUL);
  const { state } = await story.ledger.family(story.ids.family);
  if (state.slot?.rotation === running) await play(story, running, 'graceful', [], phase);
  story.diverged();
  await play(story, await request(story, 'emergency', EMERGENCY), 'emergency', []);
  // The superseded one may still hold what it claimed.
  await story.runner.advance(running, story.ids.family);
}

async function contain(
  story: Story,
): Promise<{ readonly containment: string; readonly versions: readonly string[] }> {
  const { ledger, runner, ids, context } = story;
  const { state } = await ledger.family(ids.family);
  const versions = state.versions.filter((version) => version.accepted).map((version) => version.versionId);
  const containment = derivedId(ledger.logId, context('contain').commandId);
  if (!state.suspected.some((suspicion) => suspicion.containment === containment)) {
    await new ContainVersionsHandler(ledger).execute(
      new ContainVersions(context('contain'), ids.family, { versions, reason: 'the crash matrix' }),
    );
  }
  if ((await ledger.containment(containment)).state.applied === undefined) {
    await runner.advanceContainment(containment, ids.family);
  }
  return { containment, versions };
}

async function toTheEnd({ clock }: Story, advance: () => Promise<Wake>): Promise<void> {
  for (let round = 0; round < 100; round += 1) {
    const wake = await advance();
    if (wake.finished) return;
    if (wake.until === undefined) throw new Error(`it waits for ${wake.waitsFor} and nobody comes`);
    clock.jumpTo(wake.until);
  }
  throw new Error('it did not end');
}

type Scenario = (story: Story, directory: string) => Promise<void>;

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'empty-log': () => Promise.resolve(),
  setup: setUp,
  // The first rotation of a family: there is nothing old yet.
  template: async (story) => {
    await setUp(story);
    await play(story, await request(story, 'first', GRACEFUL), 'first', []);
    await setUpCutover(story);
  },
  ...Object.fromEntries(
    SCRIPTS.map((script): [string, Scenario] => [
      script.name,
      async (story) => {
        const { phase } = await playScript(stageOf(story, script), script);
        if (phase !== script.ends) throw new Error(`${script.name} ended ${phase}, not ${script.ends}`);
      },
    ]),
  ),
  graceful,
  ...Object.fromEntries(
    ROLLBACK_PHASES.map((phase): [string, Scenario] => [
      `rollback-${phase}`,
      async (story) => {
        await play(story, await request(story, 'graceful', GRACEFUL), 'graceful', [
          { at: phase, ask: { type: 'rollback', reason: 'the crash matrix' } },
        ]);
      },
    ]),
  ),
  emergency: async (story) => {
    await play(story, await request(story, 'emergency', EMERGENCY), 'emergency', []);
  },
  'emergency-over-accepting': (story) => emergencyOver(story, 'accepting'),
  'emergency-over-draining': (story) => emergencyOver(story, 'draining'),
  contain: async (story) => {
    await contain(story);
  },
  lift: async (story) => {
    const { ledger, runner, ids, context } = story;
    const { containment, versions } = await contain(story);
    story.diverged();
    const change = { type: 'ClearCompromise', versions, reason: 'the crash matrix' } as const;
    await new ReviseFamilyHandler(ledger).execute(new ReviseFamily(context('clear'), ids.family, change));
    const ask = { type: 'lift', reason: 'the crash matrix' } as const;
    await new AskContainmentHandler(ledger).execute(new AskContainment(context('lift'), containment, ask));
    await toTheEnd(story, () => runner.advanceContainment(containment, ids.family));
  },
  departure: async (story) => {
    const { ledger, ids, context } = story;
    const subject = derivedId(ledger.logId, 'a custodian');
    story.diverged();
    const change = { type: 'AssignCustodian', subject, knows: 'the crash matrix' } as const;
    if (!(await ledger.family(ids.family)).state.custodians.some((each) => each.subject === subject)) {
      await new ReviseFamilyHandler(ledger).execute(new ReviseFamily(context('assign'), ids.family, change));
    }
    const directory = { familiesOf: () => Promise.resolve([ids.family]) };
    await new RecordDepartureHandler(ledger, directory).execute(
      new RecordDeparture(context('left'), subject),
    );
  },
  destruction: async (story) => {
    const { ledger, runner, ids, context } = story;
    await graceful(story);
    story.diverged();
    const { state } = await ledger.family(ids.family);
    const versions = state.versions
      .filter((version) => !version.accepted)
      .map((version) => version.versionId);
    const wish = { versions, reason: 'the crash matrix' };
    const { id } = await new RequestDestructionHandler(ledger).execute(
      new RequestDestruction(context('destroy'), ids.family, wish),
    );
    // Approved once; a second approval would be refused, naming the first.
    if ((await ledger.destruction(id)).state.status === 'requested') {
      await new AskDestructionHandler(ledger, story.backEnds).execute(
        new AskDestruction(context('destroy-approval', APPROVER), id, { type: 'approve' }),
      );
    }
    await toTheEnd(story, () => runner.advanceDestruction(id));
  },
  import: async (story) => {
    await new ImportHistoryHandler(story.ledger, story.backEnds).execute(
      new ImportHistory(story.context('import'), 'stockease.json', readFileSync('examples/stockease.json')),
    );
  },
};

/** What a child reports on standard output. */
export interface Report {
  readonly passed: readonly string[];
  /** How many of `passed` another scenario passes in the same way. */
  readonly divergedAt: number;
  readonly streams: Readonly<
    Record<string, readonly { readonly type: string; readonly provenance: string; readonly data: unknown }[]>
  >;
  readonly effects: readonly { readonly key: string; readonly effect: string; readonly versions: string }[];
  /** Of each family. */
  readonly served: readonly unknown[];
}

/** Loaded where it is needed alone: what a server is asked with would be a third of a child's life. */
async function vaultOf(file: string, clock: Clock, kept: string): Promise<VaultProcess> {
  const [{ readBackEnds }, support] = await Promise.all([
    import('#custody/vault'),
    import('../../support/vault-custody.js'),
  ]);
  return new support.VaultProcess(readBackEnds(file), clock, kept);
}

/** One playing, from opening the directory to closing it; every one is a new incarnation of the worker. */
async function playOnce(given: readonly string[]): Promise<Report> {
  const [directory = '', scenario = '', failpointName = '', hit = '1', sabotage = 'none'] = given;
  const [file = '', object = ''] = given.slice(5);
  const log = await openSqliteEventLog({ directory });
  let newest = START;
  for await (const event of log.readAll()) {
    const recordedAt = /"recordedAt":"([^"]+)"/.exec(event.record)?.[1];
    if (recordedAt !== undefined) newest = Math.max(newest, Date.parse(recordedAt));
  }
  const clock = new VirtualClock(newest);
  const store = await openEventStore({
    log,
    clock,
    ids: systemIds,
    definitions: [
      familyEvents,
      holdEvents,
      telemetryEvents,
      policyEvents,
      rotationEvents,
      stepEvents,
      containmentEvents,
      destructionEvents,
      personEvents,
      claimEvents,
      importEvents,
    ],
  });
  const local = openLocalKeyBackend({
    directory,
    masterKey: loadMasterKey({ file: join(directory, 'master.key') }),
    clock,
  });
  const ledger = new Ledger(store);
  const context = contexts(store.logId);
  const vault = file === '' ? undefined : await vaultOf(file, clock, join(directory, 'kept'));
  const all = [local, ...Object.values(vault?.backEnds ?? {})];
  const backEnds = new BackEnds(all.map((each) => sabotaged(each, parseSabotage(sabotage))));
  const worker = `crash#${systemIds.random()}`;
  const named = (name: string): string => derivedId(store.logId, 'consumer-name', 'test', name);
  const passed: string[] = [];
  let divergedAt = 0;
  const story: Story = {
    driven:
      file === ''
        ? LOCAL
        : object.includes('/keys/')
          ? { instance: 'vault.saga', object, algorithm: 'ES256' }
          : { instance: 'vault.saga-kv', object, algorithm: 'HS256' },
    diverged: () => {
      divergedAt = passed.length;
    },
    clock,
    ledger,
    backEnds,
    context,
    // The log's lock is held by us: every other incarnation is dead.
    runner: new RotationRunner({ ledger, backEnds, worker, othersAreDead: (other) => other !== worker }),
    ids: {
      policy: derivedId(store.logId, context('policy').commandId),
      family: derivedId(store.logId, context('family').commandId),
      cutover: derivedId(store.logId, context('family-cutover').commandId),
      emitter: named('issuer'),
      verifier: named('gateway'),
    },
  };
  const played = SCENARIOS[scenario];
  if (played === undefined) throw new Error(`there is no scenario ${scenario}`);
  // On a server each case has an object of its own, so that no template can hold its first version.
  if (vault !== undefined) {
    await setUp(story);
    await play(story, await request(story, 'first', GRACEFUL), 'first', []);
  }
  observeFailpoints((name) => {
    passed.push(name);
  });
  if (failpointName !== '') armFailpoint(failpointName, Number(hit));
  await played(story, directory);
  observeFailpoints(undefined);

  const streams: Record<string, { type: string; provenance: string; data: unknown }[]> = {};
  for await (const logged of log.readAll()) {
    const event = store.decode(logged);
    const events = (streams[event.stream] ??= []);
    events.push({ type: event.type, provenance: event.provenance, data: event.data });
  }
  const kids = vault?.served(story.ids.family)?.toSorted();
  await vault?.close();
  local.close();
  await log.close();
  const custody = openDatabase(join(directory, 'custody.sqlite'), { readOnly: true });
  const effects = custody
    .prepare('SELECT key, effect, versions FROM ledger ORDER BY key')
    .all()
    .map((row) => ({
      key: String(row['key']),
      effect: String(row['effect']),
      versions: String(row['versions']),
    }));
  custody.close();
  const report: Report = {
    passed,
    divergedAt,
    streams,
    effects,
    served:
      vault === undefined
        ? [story.ids.family, story.ids.cutover].map((id) => servedDocument(directory, id))
        : [kids],
  };
  return report;
}

function parseSabotage(text: string): Sabotage {
  return text === 'no-observing' || text === 'double-effect' ? text : 'none';
}

/** The document as verifiers get it. */
function servedDocument(directory: string, familyId: string): unknown {
  try {
    return JSON.parse(readFileSync(join(directory, 'jwks', `${familyId}.json`), 'utf8'));
  } catch {
    return null;
  }
}

/** `--serve`: goes on with what others left, a directory a line, so that only the dying ones need a process each. */
async function main(): Promise<void> {
  const given = process.argv.slice(2);
  if (given[0] !== '--serve') {
    process.stdout.write(JSON.stringify(await playOnce(given)));
    return;
  }
  for await (const line of createInterface({ input: process.stdin })) {
    const asked: readonly string[] = JSON.parse(line);
    const answer = await playOnce(asked).then(
      (report) => ({ report }),
      (error: unknown) => ({
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      }),
    );
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}

await main();
