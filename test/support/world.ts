import { createHash, randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KeyBackend } from '#custody';
import {
  createMasterKeyFile,
  loadMasterKey,
  openLocalKeyBackend,
  type LocalKeyBackend,
} from '#custody/local';
import { openAttestedKeyBackend } from '#custody/attested';
import { formatInstant, type RecordedEvent } from '#eventlog';
import { openEventStore, openReadModel, type EventStore, type ReadModel } from '#eventlog/kit';
import { openSqliteEventLog } from '#eventlog/sqlite';
import { systemClock, systemIds, type Clock } from '#platform';
import { ManualClock } from '#platform/testing';
import {
  BackEnds,
  claimEvents,
  claimsProjection,
  containmentEvents,
  type CustodianDirectory,
  FAMILIES_OF_CUSTODIAN,
  peopleProjection,
  personEvents,
  destructionEvents,
  containmentsProjection,
  destructionsProjection,
  familiesProjection,
  familyEvents,
  holdEvents,
  inventoryEvents,
  telemetryEvents,
  ATTESTED_INSTANCE,
  importEvents,
  Ledger,
  missingConfirmations,
  policiesProjection,
  policyEvents,
  rotationEvents,
  RotationRunner,
  rotationsProjection,
  rotationStream,
  stepEvents,
  TERMS_WITHOUT_POLICY,
  Waker,
  wakeupsProjection,
  type CommandContext,
  type ConsumerDetails,
  type FamilyDetails,
  type FamilyState,
  type Placed,
  type PolicyDetails,
  type PolicyTerms,
  type RotationState,
  type Wake,
} from '#rotation';
import {
  AskContainment,
  AskContainmentHandler,
  AskDestruction,
  AskDestructionHandler,
  ContainVersions,
  ContainVersionsHandler,
  RecordDeparture,
  RecordDepartureHandler,
  CorrectFact,
  CorrectFactHandler,
  RequestDestruction,
  RequestDestructionHandler,
  ReviseFamily,
  ReviseFamilyHandler,
  type ContainmentAsk,
  type DestructionAsk,
  AskRotation,
  AskRotationHandler,
  ChangePolicy,
  ChangePolicyHandler,
  DefinePolicy,
  DefinePolicyHandler,
  RegisterConsumer,
  RegisterConsumerHandler,
  RegisterFamily,
  RegisterFamilyHandler,
  RequestRotation,
  RequestRotationHandler,
  type RotationAsk,
  type RotationWish,
} from '#rotation/application';
import { obligationEvents, obligationsProjection } from '#schedule';
import { COMPLETE_RUNBOOK } from './runbook.js';

export interface WorldOptions {
  /** `systemClock` unless told. Shared by the log, the core and the back end. */
  readonly clock?: Clock;
  /** Log, keys and read model stand here and outlive the world; without it nothing does. */
  readonly directory?: string;
  /** What the core sees instead of the local back end, usually something that stands before it. */
  readonly before?: (real: LocalKeyBackend) => KeyBackend;
  readonly worker?: string;
  /** Back ends that stand beside the local one; whoever opened them closes them. */
  readonly besides?: readonly KeyBackend[];
}

/** Some hours after which a rotation that still waits never ends. */
const MOST_LEAPS = 500;

/**
 * A whole core without HTTP: log, back end, read model, runner, and the use cases as short calls. Nothing in it is a
 * double; it only leaves out Nest. Time passes as the clock it was opened with says.
 */
export class World {
  readonly requester = randomUUID();
  /** Separation of duties needs a second one. */
  readonly approver = randomUUID();
  readonly #closing: (() => Promise<void> | void)[] = [];
  #waker: Waker | undefined;

  private constructor(
    /** Where keys, and of a kept world the log, stand. */
    readonly directory: string,
    readonly clock: Clock,
    readonly store: EventStore,
    readonly readModel: ReadModel,
    readonly backEnd: LocalKeyBackend,
    readonly ledger: Ledger,
    readonly backEnds: BackEnds,
    readonly runner: RotationRunner,
  ) {}

  static async open(options: WorldOptions = {}): Promise<World> {
    const { clock = systemClock, before, besides = [], worker = `world#${randomUUID()}` } = options;
    const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'keyturn-world-'));
    const kept = options.directory !== undefined;
    const log = await openSqliteEventLog(kept ? { directory } : { memory: true }, { inline: true });
    const store = await openEventStore({
      log,
      clock,
      ids: systemIds,
      definitions: [
        familyEvents,
        holdEvents,
        inventoryEvents,
        telemetryEvents,
        policyEvents,
        rotationEvents,
        stepEvents,
        containmentEvents,
        destructionEvents,
        personEvents,
        claimEvents,
        importEvents,
        obligationEvents,
      ],
    });
    const keyFile = join(directory, 'master.key');
    if (!existsSync(keyFile)) createMasterKeyFile(keyFile);
    const backEnd = openLocalKeyBackend({
      directory: join(directory, 'custody'),
      masterKey: loadMasterKey({ file: keyFile }),
      clock,
    });
    const readModel = await openReadModel({
      store,
      path: kept ? join(directory, 'read-model.sqlite') : ':memory:',
      projections: [
        familiesProjection,
        rotationsProjection,
        policiesProjection,
        containmentsProjection,
        destructionsProjection,
        peopleProjection,
        claimsProjection,
        wakeupsProjection,
        obligationsProjection,
      ],
    });
    const ledger = new Ledger(store);
    const backEnds = new BackEnds([
      before?.(backEnd) ?? backEnd,
      openAttestedKeyBackend(ATTESTED_INSTANCE),
      ...besides,
    ]);
    // One process holds the log's lock: every other incarnation is dead.
    const runner = new RotationRunner({ ledger, backEnds, worker, othersAreDead: () => true });
    const world = new World(directory, clock, store, readModel, backEnd, ledger, backEnds, runner);
    world.#closing.push(
      () => readModel.close(),
      () => {
        backEnd.close();
      },
      () => log.close(),
    );
    if (!kept) {
      world.#closing.push(() => {
        rmSync(directory, { recursive: true });
      });
    }
    return world;
  }

  /** Ends what runs, then closes in the order in which one part needs the other. */
  async close(): Promise<void> {
    await (this.#waker?.stop() ?? this.runner.stop());
    for (const close of this.#closing) await close();
  }

  /** Lets rotations advance by themselves, on the real timer: for a world on `systemClock`. */
  startWaker(onError: (id: string, error: unknown) => void): void {
    const { runner, readModel, clock } = this;
    this.#waker = new Waker({ runner, readModel, clock, onError });
    this.#waker.start();
  }

  /** A command of this subject, with an idempotency key of its own. */
  context(subject: string = this.requester): CommandContext {
    const commandId = randomUUID();
    const requestHash = createHash('sha256').update(commandId).digest('hex');
    return { subject, commandId, requestHash, via: 'cli' };
  }

  /** A driven family on the local back end; what a test does not care about is filled in. */
  registerFamily(
    details: Pick<FamilyDetails, 'name' | 'algorithm'> & Partial<FamilyDetails>,
  ): Promise<Placed> {
    const symmetric = details.algorithm === 'HS256';
    return new RegisterFamilyHandler(this.ledger, this.backEnds).execute(
      new RegisterFamily(this.context(), {
        environment: 'production',
        kind: symmetric ? 'shared-secret' : 'asymmetric-key',
        protects: 'other',
        usage: symmetric ? 'mac' : 'sign',
        overlap: 'dual',
        mode: 'driven',
        authority: { kind: 'keyturn' },
        owner: { role: 'platform on-call' },
        team: 'platform',
        backEnd: { instance: 'local', object: `keys/${details.name}` },
        illustrative: false,
        ...details,
      }),
    );
  }

  registerConsumer(
    familyId: string,
    consumer: Pick<ConsumerDetails, 'name' | 'roles'> & Partial<ConsumerDetails>,
  ): Promise<Placed> {
    return new RegisterConsumerHandler(this.ledger).execute(
      new RegisterConsumer(this.context(), familyId, {
        neverRefreshes: false,
        thirdParty: false,
        instances: 1,
        ...consumer,
      }),
    );
  }

  /** A policy in force: written by one subject, approved by another. */
  async policy(
    terms: Partial<PolicyTerms>,
    details: Partial<Pick<PolicyDetails, 'name' | 'selector'>> = {},
  ): Promise<Placed> {
    const defined = await new DefinePolicyHandler(this.ledger).execute(
      new DefinePolicy(this.context(), {
        name: details.name ?? 'test policy',
        selector: details.selector ?? {},
        terms: { ...TERMS_WITHOUT_POLICY, ...terms },
        basis: {
          setBy: 'the test',
          riskAnalysis: 'none: a test',
          reviewedOn: '2026-01-01',
          nextReview: '2027-01-01',
        },
        effectiveFrom: formatInstant(this.clock.now()),
      }),
    );
    const approved = await new ChangePolicyHandler(this.ledger).execute(
      new ChangePolicy(this.context(this.approver), defined.id, { type: 'approve' }),
    );
    // Requests find policies by the read model.
    await this.readModel.caughtUp();
    return approved;
  }

  request(familyId: string, wish: Partial<RotationWish> = {}): Promise<Placed> {
    return this.#request(familyId, { strategy: 'graceful', trigger: 'manual', reason: 'a test', ...wish });
  }

  emergency(
    familyId: string,
    details: Partial<NonNullable<RotationWish['emergency']>> = {},
    wish: Partial<RotationWish> = {},
  ): Promise<Placed> {
    return this.#request(familyId, {
      strategy: 'emergency',
      trigger: 'compromise',
      reason: 'a test: the key leaked',
      ...wish,
      emergency: { contain: true, ...details },
    });
  }

  async #request(familyId: string, wish: RotationWish): Promise<Placed> {
    const { runbook, details } = await this.family(familyId);
    // Whoever tests something else is not held up by an empty page.
    if (details?.mode === 'driven' && Object.keys(runbook).length === 0 && wish.emergency === undefined) {
      await this.reviseFamily(familyId, { type: 'ReviseRunbook', runbook: COMPLETE_RUNBOOK });
    }
    const policies = {
      policyIds: async () =>
        this.readModel.db
          .prepare('SELECT id FROM policies')
          .all()
          .map((row) => String(row.id)),
    };
    return new RequestRotationHandler(this.ledger, this.backEnds, policies).execute(
      new RequestRotation(this.context(), familyId, wish),
    );
  }

  ask(rotationId: string, ask: RotationAsk, subject: string = this.requester): Promise<Placed> {
    return new AskRotationHandler(this.ledger, this.backEnds).execute(
      new AskRotation(this.context(subject), rotationId, ask),
    );
  }

  approve(rotationId: string): Promise<Placed> {
    return this.ask(rotationId, { type: 'approve' }, this.approver);
  }

  rollback(rotationId: string): Promise<Placed> {
    return this.ask(rotationId, { type: 'rollback', reason: 'a test' });
  }

  confirm(
    rotationId: string,
    kind: 'acceptance' | 'emission',
    consumerId: string,
    versionId: string,
    instances: readonly string[] = ['1'],
  ): Promise<Placed> {
    return this.ask(rotationId, { type: 'confirm', kind, consumerId, versionId, instances });
  }

  /** Confirms, with all instances, whatever the rotation waits for now; gives back how many consumers did. */
  async confirmAsked(
    rotationId: string,
    kinds: readonly ('acceptance' | 'emission')[] = ['acceptance', 'emission'],
  ): Promise<number> {
    const state = await this.rotation(rotationId);
    const { plan } = state;
    const accepts = state.accepted !== undefined && state.switched === undefined && !state.rollback;
    const emits = state.returned?.to ?? state.switched?.to;
    const asked = [
      ...(accepts && plan?.incoming !== undefined && kinds.includes('acceptance')
        ? missingConfirmations(state, 'acceptance-confirmations').map(
            (consumerId) => ['acceptance', consumerId, plan.incoming ?? ''] as const,
          )
        : []),
      ...(emits !== undefined && kinds.includes('emission')
        ? missingConfirmations(state, 'emission-confirmations').map(
            (consumerId) => ['emission', consumerId, emits] as const,
          )
        : []),
    ];
    for (const [kind, consumerId, versionId] of asked) {
      const of = plan?.consumers.find((consumer) => consumer.consumerId === consumerId)?.instances ?? 1;
      const instances = Array.from({ length: of }, (_, index) => String(index + 1));
      await this.confirm(rotationId, kind, consumerId, versionId, instances);
    }
    return asked.length;
  }

  contain(familyId: string, versions: readonly string[]): Promise<Placed> {
    return new ContainVersionsHandler(this.ledger).execute(
      new ContainVersions(this.context(), familyId, { versions, reason: 'a test: seen in a log' }),
    );
  }

  askContainment(containmentId: string, ask: ContainmentAsk): Promise<Placed> {
    return new AskContainmentHandler(this.ledger).execute(
      new AskContainment(this.context(), containmentId, ask),
    );
  }

  destroy(
    familyId: string,
    versions: readonly string[],
    wish: Partial<RequestDestruction['wish']> = {},
  ): Promise<Placed> {
    return new RequestDestructionHandler(this.ledger).execute(
      new RequestDestruction(this.context(), familyId, { versions, reason: 'a test', ...wish }),
    );
  }

  askDestruction(
    destructionId: string,
    ask: DestructionAsk,
    subject: string = this.requester,
  ): Promise<Placed> {
    return new AskDestructionHandler(this.ledger, this.backEnds).execute(
      new AskDestruction(this.context(subject), destructionId, ask),
    );
  }

  reviseFamily(familyId: string, change: ReviseFamily['change']): Promise<Placed> {
    return new ReviseFamilyHandler(this.ledger).execute(new ReviseFamily(this.context(), familyId, change));
  }

  async left(subject: string, leftAt?: string): Promise<Placed> {
    await this.readModel.caughtUp();
    const directory: CustodianDirectory = {
      familiesOf: async (of) =>
        this.readModel.db
          .prepare(FAMILIES_OF_CUSTODIAN)
          .all(of)
          .map((row) => String(row.family_id)),
    };
    return new RecordDepartureHandler(this.ledger, directory).execute(
      new RecordDeparture(this.context(), subject, leftAt),
    );
  }

  correct(where: CorrectFact['where'], of: string): Promise<Placed> {
    return new CorrectFactHandler(this.ledger).execute(
      new CorrectFact(this.context(), where, { of, reason: 'a typing slip', correction: 'it was k2' }),
    );
  }

  /** A first rotation to its end: the family has one version, accepted and emitting. */
  async firstVersion(familyId: string): Promise<string> {
    const { id } = await this.request(familyId);
    await this.advance(id);
    await this.approve(id);
    const { plan } = await this.leapToEnd(id);
    return plan?.incoming ?? '';
  }

  advance(rotationId: string): Promise<Wake> {
    return this.runner.advance(rotationId);
  }

  /** To the end on a `ManualClock`: confirms what is asked and leaps to each time the rotation waits for. */
  async leapToEnd(rotationId: string): Promise<RotationState> {
    if (!(this.clock instanceof ManualClock)) throw new Error('only a ManualClock can leap');
    for (let leaps = 0; leaps < MOST_LEAPS; leaps += 1) {
      const wake = await this.advance(rotationId);
      if (wake.finished) return this.rotation(rotationId);
      if ((await this.confirmAsked(rotationId)) > 0) continue;
      if (wake.until === undefined) throw new Error(`it waits for ${wake.waitsFor}, and no time is known`);
      this.clock.advance(Math.max(0, wake.until - this.clock.now()));
    }
    throw new Error(`rotation ${rotationId} does not end`);
  }

  async family(familyId: string): Promise<FamilyState> {
    return (await this.ledger.family(familyId)).state;
  }

  async rotation(rotationId: string): Promise<RotationState> {
    return (await this.ledger.rotation(rotationId)).state;
  }

  /** A stream's facts, or a rotation's own. */
  async facts(streamOrRotationId: string): Promise<readonly RecordedEvent[]> {
    const stream = UUID.test(streamOrRotationId) ? rotationStream(streamOrRotationId) : streamOrRotationId;
    return (await this.store.read(stream)).events;
  }
}

const UUID = /^[0-9a-f]{8}-/;
