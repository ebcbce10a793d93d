import { formatInstant, type NewEvent } from '#eventlog';
import type { KeyBackend } from '#custody';
import { derivedId } from '#platform';
import {
  causeOf,
  emergencyContainmentId,
  ENDED,
  familyDecider,
  missingConfirmations,
  rotationDecider,
  TERMS_WITHOUT_POLICY,
  type CommandContext,
  type FamilyDetails,
  type FamilyState,
  type HoldsState,
  type Ledger,
  type PolicyTerms,
  type RotationCommand,
  type RotationRequest,
  type RotationState,
  type Wake,
} from '#rotation';
import { RegisterConsumer, RegisterConsumerHandler } from '#rotation/application';

/**
 * Every strategy as a script: what is asked for, and what people do when the record has come to a point. Whether a turn is
 * due is read from the record alone, so a script goes on where a dead worker, or another one, left it. The crash matrix, the two
 * workers and the interference proof all play this table; a new process or strategy is one more row.
 */

/** What a script is played on: a core, its clock, and one worker of it. */
export interface Stage {
  readonly ledger: Ledger;
  readonly backEnd: KeyBackend;
  readonly familyId: string;
  readonly now: () => number;
  /** Goes to a later instant. */
  readonly jumpTo: (instant: number) => void;
  /** One decision of the rotation. */
  readonly advance: (rotationId: string) => Promise<Wake>;
  readonly advanceContainment: (containmentId: string) => Promise<Wake>;
  /** A command with a fixed id: a repeat after a death is the same command. */
  readonly context: (label: string) => CommandContext;
  /** Said at a script's own first turn: what came before, the plain run of its strategy plays too. */
  readonly diverged?: () => void;
}

export interface Seen {
  readonly rotation: RotationState;
  readonly family: FamilyState;
  readonly holds: HoldsState;
}

export interface Turn {
  readonly due: (seen: Seen) => boolean;
  readonly act: (stage: Stage, seen: Seen) => Promise<void>;
}

export interface Script {
  readonly name: string;
  /** Whether its family can have two versions accepted at once. */
  readonly overlap: 'dual' | 'none';
  readonly request: (seen: { readonly family: FamilyState; readonly now: number }) => RotationRequest;
  readonly turns: readonly Turn[];
  readonly ends: RotationState['phase'];
}

const ALL_DAYS = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'] as const;

export const SCRIPT_TERMS: PolicyTerms = {
  ...TERMS_WITHOUT_POLICY,
  margins: { clockSkew: 'PT1S', safety: 'PT1S' },
  settle: 'PT10M',
  watch: 'PT1M',
  // Opens an hour after a script begins, so that a cutover is seen waiting for it.
  changeWindows: [{ weekdays: [...ALL_DAYS], from: '10:00', to: '23:59', timeZone: 'UTC' }],
};

/** What a family of the scripts looks like; the name, the object and whether it overlaps are added. */
export const SCRIPT_FAMILY = {
  environment: 'test',
  kind: 'asymmetric-key',
  algorithm: 'ES256',
  protects: 'other',
  usage: 'sign',
  mode: 'driven',
  authority: { kind: 'keyturn' },
  owner: { role: 'platform' },
  team: 'platform',
  artefactLife: 'PT1H',
  illustrative: true,
} as const satisfies Partial<FamilyDetails>;

const base = {
  trigger: 'manual',
  reason: 'a proof',
  requestedBy: 'subject-requester',
  policy: {
    id: '00000000-0000-4000-8000-000000000001',
    revision: 1,
    name: 'the proofs',
    terms: SCRIPT_TERMS,
  },
} as const;

function asking(request: Partial<RotationRequest>): Script['request'] {
  return () => ({ ...base, strategy: 'graceful', ...request });
}

/** 25, 50, 75 and 100 %, half an hour each. */
export const SHORT_COHORTS = [25, 50, 75, 100].map((share) => ({
  share,
  hold: share === 100 ? 'PT0S' : 'PT30M',
}));
const ROLLING: Partial<RotationRequest> = { strategy: 'rolling', cohorts: SHORT_COHORTS };

/** Records a command of a person on a rotation; refused where the decider refuses it. */
export async function ask(
  stage: Stage,
  rotationId: string,
  command: RotationCommand,
  subject?: string,
): Promise<void> {
  const context = stage.context(`${rotationId}-${JSON.stringify(command)}`);
  await stage.ledger.decideAndAppend(
    () => stage.ledger.rotation(rotationId),
    (state) => rotationDecider.decide(command, state),
    (state) => causeOf(subject === undefined ? context : { ...context, subject }, state.correlationId),
  );
}

/** Takes the family's slot; the runner completes the opening, as after a crash between the two. */
export async function open(stage: Stage, label: string, request: RotationRequest): Promise<string> {
  const { ledger, familyId } = stage;
  const context = { ...stage.context(label), subject: request.requestedBy };
  const rotation = derivedId(ledger.logId, context.commandId);
  const { state: before } = await ledger.rotation(rotation);
  await ledger.decideAndAppend(
    () => ledger.family(familyId),
    (state) => {
      const known =
        before.exists ||
        state.slot?.rotation === rotation ||
        state.closed.some((closed) => closed.rotation === rotation);
      return known ? [] : familyDecider.decide({ type: 'OpenRotation', rotation, request }, state);
    },
    () => causeOf(context),
  );
  return rotation;
}

async function appendTo(
  stage: Stage,
  label: string,
  at: Parameters<Ledger['append']>[0],
  events: readonly NewEvent[],
): Promise<void> {
  await stage.ledger.append(at, events, causeOf(stage.context(label)));
}

/** Nothing of this family goes forward for two hours. */
export async function freeze(stage: Stage): Promise<void> {
  const { history } = await stage.ledger.holds();
  const from = stage.now();
  await appendTo(stage, 'freeze', history, [
    {
      type: 'FreezeDeclared',
      data: {
        freeze: derivedId(stage.ledger.logId, 'freeze', stage.familyId),
        name: 'a release',
        reason: 'a proof',
        from: formatInstant(from),
        until: formatInstant(from + 7_200_000),
        scope: { families: [stage.familyId] },
      },
    },
  ]);
}

/** A verifier nobody had told of: its cache is longer than all others'. */
export async function lateVerifier(stage: Stage, family: FamilyState): Promise<void> {
  await new RegisterConsumerHandler(stage.ledger).execute(
    new RegisterConsumer(stage.context('late-verifier'), stage.familyId, {
      name: `late-verifier-of-${family.details?.name ?? ''}`,
      roles: ['verifier'],
      cacheTtl: 'PT20M',
      neverRefreshes: false,
      thirdParty: false,
      instances: 1,
    }),
  );
}

function emergencyRequest(
  family: FamilyState,
  now: number,
  compromised: readonly string[],
  contain = true,
): RotationRequest {
  const accepted = family.versions.filter((version) => version.accepted).map((version) => version.versionId);
  return {
    ...base,
    strategy: 'emergency',
    trigger: 'compromise',
    emergency: {
      compromisedVersions: [...(compromised.length === 0 ? accepted : compromised)],
      discoveredAt: formatInstant(now),
      contain,
      incident: 'INC-1',
    },
  };
}

export async function declareEmergency(
  stage: Stage,
  { family, rotation }: Pick<Seen, 'family' | 'rotation'>,
  leaked: 'old' | 'both' = 'old',
  contain = true,
): Promise<void> {
  const before = rotation.plan?.emittingBefore;
  const incoming = rotation.generated?.versionId;
  const compromised = [before, ...(leaked === 'both' ? [incoming] : [])].filter((id) => id !== undefined);
  await open(stage, 'emergency', emergencyRequest(family, stage.now(), compromised, contain));
}

type Phase = RotationState['phase'];

const planned = ({ rotation }: Seen): boolean => rotation.emergency === undefined;

function rollBackIn(phase: Phase, share?: number): Turn {
  return {
    due: (seen) =>
      planned(seen) &&
      seen.rotation.phase === phase &&
      seen.rotation.rollback === undefined &&
      (share === undefined || seen.rotation.switched?.share === share),
    act: (stage, { rotation, family }) => rollBack(stage, rotation, family),
  };
}

export function rollBack(stage: Stage, rotation: RotationState, family: FamilyState): Promise<void> {
  return ask(stage, rotation.rotationId, {
    type: 'RollBackRotation',
    reason: 'a proof',
    compromised: family.compromised,
    destroyed: [],
    reversible: true,
  });
}

function emergencyIn(phase: Phase, share?: number, leaked: 'old' | 'both' = 'old'): Turn {
  return {
    due: (seen) =>
      planned(seen) &&
      seen.rotation.phase === phase &&
      (share === undefined || seen.rotation.switched?.share === share),
    act: (stage, seen) => declareEmergency(stage, seen, leaked),
  };
}

/** People take the switch of emission over; they do it in the back end, or only say so. */
function attestedEmit(done: boolean): readonly Turn[] {
  return [
    {
      due: ({ rotation }) =>
        rotation.emergency === undefined &&
        rotation.rollback === undefined &&
        rotation.abandon === undefined &&
        rotation.phase === 'accepting' &&
        !rotation.attestedSteps.includes('emit') &&
        rotation.switched === undefined,
      act: (stage, { rotation }) =>
        ask(stage, rotation.rotationId, {
          type: 'SwitchToAttested',
          step: 'emit',
          reason: 'a proof',
          now: stage.now(),
        }),
    },
    {
      due: ({ rotation }) =>
        rotation.attestedSteps.includes('emit') &&
        rotation.switched === undefined &&
        rotation.acceptance.length > 0,
      act: async (stage, { rotation, family }) => {
        const { rotationId, plan } = rotation;
        if (done) {
          const { history } = await stage.ledger.rotation(rotationId);
          await stage.backEnd.switchEmission(
            {
              object: plan?.backEnd.object ?? '',
              familyId: family.familyId,
              key: `people/${rotationId}/emit`,
              attemptId: derivedId(stage.ledger.logId, 'people', rotationId),
              fence: { slot: family.slot?.openedRevision ?? 0, step: history.revision },
              signal: new AbortController().signal,
            },
            { to: plan?.incoming ?? '' },
          );
        }
        await ask(stage, rotationId, {
          type: 'AttestStep',
          step: 'emit',
          attestation: { evidence: { link: 'https://changes.example/CHG-1' } },
          now: stage.now(),
        });
      },
    },
  ];
}

const NOTHING: readonly Turn[] = [];

function script(
  name: string,
  request: Partial<RotationRequest>,
  turns: readonly Turn[],
  ends: Phase,
  overlap: Script['overlap'] = 'dual',
): Script {
  return { name, overlap, request: asking(request), turns, ends };
}

export const SCRIPTS: readonly Script[] = [
  script('graceful', {}, NOTHING, 'completed'),
  script('rolling', ROLLING, NOTHING, 'completed'),
  script(
    'rehearsal',
    { strategy: 'rehearsal', windows: { accept: 'PT1M', drain: 'PT2M' } },
    NOTHING,
    'completed',
  ),
  script(
    'rehearsal-rolling',
    { ...ROLLING, strategy: 'rehearsal', rehearses: 'rolling', windows: { accept: 'PT1M', drain: 'PT2M' } },
    NOTHING,
    'completed',
  ),
  script('cutover', { strategy: 'cutover' }, NOTHING, 'completed', 'none'),
  script('cutover-rollback', { strategy: 'cutover' }, [rollBackIn('watching')], 'rolled-back', 'none'),
  script('rollback-accepting-of-rolling', ROLLING, [rollBackIn('accepting')], 'rolled-back'),
  script('rollback-between-cohorts', ROLLING, [rollBackIn('emitting', 50)], 'rolled-back'),
  script('rollback-revoked', {}, [rollBackIn('revoked')], 'rolled-back'),
  script('rollback-watching', {}, [rollBackIn('watching')], 'rolled-back'),
  script(
    'abandon',
    {},
    [
      {
        due: (seen) =>
          planned(seen) && seen.rotation.phase === 'accepting' && seen.rotation.abandon === undefined,
        act: (stage, { rotation }) =>
          ask(stage, rotation.rotationId, { type: 'AbandonRotation', reason: 'a proof' }),
      },
    ],
    'abandoned',
  ),
  {
    name: 'emergency',
    overlap: 'dual',
    request: ({ family, now }) => emergencyRequest(family, now, []),
    turns: NOTHING,
    ends: 'completed',
  },
  {
    name: 'emergency-without-overlap',
    overlap: 'none',
    request: ({ family, now }) => emergencyRequest(family, now, []),
    turns: NOTHING,
    ends: 'completed',
  },
  script('emergency-over-rolling', ROLLING, [emergencyIn('emitting', 50)], 'superseded'),
  script('emergency-over-rolling-both', ROLLING, [emergencyIn('emitting', 50, 'both')], 'superseded'),
  script('emergency-over-cutover', { strategy: 'cutover' }, [emergencyIn('emitting')], 'superseded', 'none'),
  script('attested', {}, attestedEmit(true), 'completed'),
  script('attested-not-done', {}, attestedEmit(false), 'completed'),
  script(
    'amended',
    {},
    [
      {
        due: ({ rotation, family }) => rotation.phase === 'draining' && family.consumers.length < 3,
        act: (stage, { family }) => lateVerifier(stage, family),
      },
    ],
    'completed',
  ),
  script(
    'frozen',
    {},
    [
      {
        due: ({ rotation, holds, family }) =>
          rotation.phase === 'accepting' &&
          !holds.freezes.some((each) => each.scope.families?.includes(family.familyId)),
        act: (stage) => freeze(stage),
      },
    ],
    'completed',
  ),
];

/** More decisions than any script needs. */
const MOST_ROUNDS = 600;

/**
 * Confirms, with all instances, what a planned rotation waits for now. In an emergency nobody is waited for, and what
 * people confirm there races with the saga: nobody does.
 */
export async function confirmAsked(stage: Stage, rotation: RotationState): Promise<boolean> {
  const { plan } = rotation;
  // People come when nothing is in flight, so that histories compare.
  const busy = rotation.steps.open !== undefined;
  if (plan === undefined || rotation.emergency !== undefined || busy || ENDED.includes(rotation.phase)) {
    return false;
  }
  // Between cohorts too: a verifier that joined meanwhile is waited for.
  const whole = rotation.switched?.share === 100;
  const accepts = rotation.accepted !== undefined && !whole && rotation.rollback === undefined;
  const emits = rotation.returned?.to ?? rotation.switched?.to;
  const back = rotation.rollback !== undefined && rotation.returned === undefined;
  const asked = [
    ...(accepts && rotation.abandon === undefined
      ? missingConfirmations(rotation, 'acceptance-confirmations').map(
          (id) => ['ConfirmAcceptance', id, plan.incoming] as const,
        )
      : []),
    ...(emits === undefined || back
      ? []
      : missingConfirmations(rotation, 'emission-confirmations').map(
          (id) => ['ConfirmEmission', id, emits] as const,
        )),
  ];
  for (const [type, consumerId, versionId] of asked) {
    const of = plan.consumers.find((consumer) => consumer.consumerId === consumerId)?.instances ?? 1;
    await ask(stage, rotation.rotationId, {
      type,
      consumerId,
      versionId: versionId ?? '',
      instances: Array.from({ length: of }, (_, index) => `instance-${index + 1}`),
    });
  }
  return asked.length > 0;
}

async function see(stage: Stage, rotationId: string): Promise<Seen> {
  const { ledger, familyId } = stage;
  const [rotation, family, holds] = await Promise.all([
    ledger.rotation(rotationId),
    ledger.family(familyId),
    ledger.holds(),
  ]);
  return { rotation: rotation.state, family: family.state, holds: holds.state };
}

export interface Played {
  /** Of the script's own rotation, and of the one that superseded it. */
  readonly rotations: readonly string[];
  /** How the script's own rotation ended. */
  readonly phase: RotationState['phase'];
}

/** Plays a script from wherever the record stands to its end; time jumps to what is waited for. */
export async function playScript(stage: Stage, script: Script): Promise<Played> {
  const { ledger, familyId } = stage;
  const opened = await ledger.family(familyId);
  const first = await open(stage, script.name, script.request({ family: opened.state, now: stage.now() }));
  for (let round = 0; round < MOST_ROUNDS; round += 1) {
    const { state: family } = await ledger.family(familyId);
    const newest = family.slot?.rotation ?? first;
    const rotations = newest === first ? [first] : [first, newest];
    if (await turn(stage, script, newest)) continue;
    let sleeping = true;
    let until: number | undefined;
    let waitsFor = '';
    for (const id of [newest, ...rotations.filter((each) => each !== newest)]) {
      const wake = await stage.advance(id);
      if (wake.finished) continue;
      if (wake.waitsFor === 'its turn') sleeping = false;
      waitsFor = wake.waitsFor;
      if (wake.until !== undefined) until = Math.min(until ?? Infinity, wake.until);
      if (!sleeping) break;
    }
    if (!sleeping) continue;
    const { rotation } = await see(stage, newest);
    if (rotation.emergency?.containment !== undefined) {
      const wake = await stage.advanceContainment(emergencyContainmentId(ledger.logId, newest));
      if (!wake.finished) {
        waitsFor ||= wake.waitsFor;
        until = Math.min(until ?? Infinity, wake.until ?? Infinity);
      }
    }
    if (
      rotation.phase === 'requested' &&
      rotation.emergency === undefined &&
      rotation.approvals.length === 0
    ) {
      const approved = await approve(stage, rotation);
      if (approved) continue;
    }
    if (waitsFor === '') return { rotations, phase: (await see(stage, first)).rotation.phase };
    if (await turnIsDue(stage, script, newest)) continue;
    if (await confirmAsked(stage, rotation)) continue;
    if (until === undefined || until === Infinity) {
      throw new Error(`${script.name} waits for ${waitsFor} and nobody comes (${rotation.phase})`);
    }
    stage.jumpTo(until);
  }
  throw new Error(`${script.name} does not end`);
}

async function approve(stage: Stage, rotation: RotationState): Promise<boolean> {
  if ((rotation.plan?.approvals ?? 0) === 0) return false;
  const subject = 'subject-approver';
  await ask(stage, rotation.rotationId, { type: 'ApproveRotation', subject, now: stage.now() }, subject);
  return true;
}

async function turnIsDue(stage: Stage, script: Script, rotationId: string): Promise<boolean> {
  const seen = await see(stage, rotationId);
  return seen.rotation.exists && script.turns.some((each) => each.due(seen));
}

async function turn(stage: Stage, script: Script, rotationId: string): Promise<boolean> {
  const seen = await see(stage, rotationId);
  const due = seen.rotation.exists ? script.turns.find((each) => each.due(seen)) : undefined;
  if (due === undefined) return false;
  stage.diverged?.();
  await due.act(stage, seen);
  return true;
}
