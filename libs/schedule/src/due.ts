import type { Provenance } from '#eventlog';
import { parseInstant } from '#eventlog';
import {
  drainStart,
  ENDED,
  milliseconds,
  type PolicyTerms,
  type RotationPlan,
  type RotationState,
  type VersionSnapshot,
} from '#rotation';

/**
 * When a family is due (design, Clocks). A version's age runs from the fact that made it. "Stop emitting" is settled by
 * the last emitter confirmed off the version, "stop accepting" by `OldKeyRevoked`: a request, a generated key, a rollback
 * settle nothing.
 */

export type DueStatus = 'ok' | 'due-soon' | 'overdue' | 'never-rotated' | 'not-observed' | 'no-policy';

/** What a green mark must never hide. Several may hold at once; `status` is the most urgent word. */
export type DueException = 'never-rotated' | 'not-observed' | 'no-policy' | 'compromised-accepted';

/** The fact the clock runs from. */
export interface DueBasis {
  readonly versionId: string;
  readonly fact: 'KeyGenerated' | 'VersionObserved';
  readonly provenance: Provenance;
  readonly at: number;
}

export interface Due {
  readonly status: DueStatus;
  readonly exceptions: readonly DueException[];
  /** The earliest of both, over every version whose clock is not settled. */
  readonly nextDue?: number;
  readonly nextDueIs?: 'stop-emitting' | 'stop-accepting' | 'compromise';
  readonly stopEmittingDue?: number;
  readonly stopAcceptingDue?: number;
  /** Of the oldest version whose clock is not settled, whole days. */
  readonly ageDays?: number;
  /** Whole days past `nextDue`. */
  readonly overdueDays?: number;
  /** Since when the status is what it is; absent where that was not recorded. */
  readonly since?: number;
  readonly basis?: DueBasis;
}

/** What of a rotation that is over still tells of its family's clocks: who made a version, and whether one was replaced. */
export type PastRotation = Pick<RotationState, 'familyId' | 'imported' | 'phase' | 'generated'> & {
  readonly plan?: Pick<RotationPlan, 'outgoing' | 'strategy'> | undefined;
};

export interface DueInput {
  /** As the family's stream has them: what closed rotations left and what was observed. */
  readonly versions: readonly VersionSnapshot[];
  /** The rotation that holds the slot. */
  readonly running?: RotationState | undefined;
  /** The other rotations of the family, imported ones too: where a version's clock came from, and whether one ended. */
  readonly past?: readonly PastRotation[];
  /** Of the policy that selects the family; absent: none does. */
  readonly policyTerms?: PolicyTerms | undefined;
  /** Facts before it drive the clock, labelled `imported`. */
  readonly coverageStart?: number | undefined;
  /** By version id, milliseconds: since when a compromise of it is known. */
  readonly compromisedAt?: Readonly<Record<string, number>> | undefined;
  readonly now: number;
}

export const DAY_MS = 86_400_000;

/** "Due soon" begins this long before the date, or a fifth of the period before it where that is less. */
export const LONGEST_NOTICE_MS = 14 * DAY_MS;

export function dueOf(input: DueInput): Due {
  const { policyTerms: terms, now } = input;
  const running = input.running !== undefined && acts(input.running) ? input.running : undefined;
  const known = knownVersions(input, running);
  const open = known
    .map((version) => openClocks(version, running, now))
    .filter((clocks) => clocks.emits || clocks.accepted);
  const dated = open
    .map((clocks) => ({ ...clocks, basis: basisOf(clocks.version, input, running) }))
    .filter((clocks): clocks is DatedClocks => clocks.basis !== undefined)
    .sort((left, right) => left.basis.at - right.basis.at);
  const oldest = dated[0];

  const undated = open.length > dated.length;
  const exceptions: DueException[] = [
    ...(oldest === undefined || undated ? (['not-observed'] as const) : []),
    ...(oldest === undefined || wasRotated(input, known, open) ? [] : (['never-rotated'] as const)),
    ...(terms === undefined ? (['no-policy'] as const) : []),
    ...(open.some(({ version, accepted }) => version.compromised && accepted)
      ? (['compromised-accepted'] as const)
      : []),
  ];
  const periods = terms === undefined ? [] : dated.flatMap((clocks) => duesOf(clocks, terms));
  const dues = [...periods, ...compromises(open, dated, input)];
  const first = dues.sort((left, right) => left.at - right.at)[0];
  const stopEmitting = dues.find((due) => due.is === 'stop-emitting');
  const stopAccepting = dues.find((due) => due.is === 'stop-accepting');
  const late = first !== undefined && now >= first.at ? first : undefined;
  const basis = first?.basis ?? oldest?.basis;
  return {
    ...judged(exceptions, first, now, input.coverageStart),
    exceptions,
    ...(first === undefined ? {} : { nextDue: first.at, nextDueIs: first.is }),
    ...(stopEmitting === undefined ? {} : { stopEmittingDue: stopEmitting.at }),
    ...(stopAccepting === undefined ? {} : { stopAcceptingDue: stopAccepting.at }),
    ...(oldest === undefined ? {} : { ageDays: wholeDays(now - oldest.basis.at) }),
    ...(late === undefined ? {} : { overdueDays: wholeDays(now - late.at) }),
    ...(basis === undefined ? {} : { basis }),
  };
}

interface Clocks {
  readonly version: VersionSnapshot;
  /** Emits, or may: nobody confirmed that it does not. */
  readonly emits: boolean;
  readonly accepted: boolean;
}

interface DatedClocks extends Clocks {
  readonly basis: DueBasis;
}

interface OpenDue {
  readonly is: NonNullable<Due['nextDueIs']>;
  readonly at: number;
  readonly notice: number;
  /** None: a compromise of a version whose beginning nobody knows. */
  readonly basis?: DueBasis;
}

/** A compromised version that is still accepted was due when the compromise was known: no period of a policy is. */
function compromises(
  open: readonly Clocks[],
  dated: readonly DatedClocks[],
  { compromisedAt }: DueInput,
): readonly OpenDue[] {
  return open.flatMap(({ version, accepted }): readonly OpenDue[] => {
    const at = compromisedAt?.[version.versionId];
    if (!version.compromised || !accepted || at === undefined) return [];
    const basis = dated.find((clocks) => clocks.version === version)?.basis;
    return [{ is: 'compromise', at, notice: 0, ...(basis === undefined ? {} : { basis }) }];
  });
}

function duesOf({ emits, accepted, basis }: DatedClocks, terms: PolicyTerms): readonly OpenDue[] {
  const due = (is: OpenDue['is'], period: number): OpenDue => ({
    is,
    at: basis.at + period,
    notice: Math.min(LONGEST_NOTICE_MS, Math.floor(period / 5)),
    basis,
  });
  return [
    ...(emits ? [due('stop-emitting', milliseconds(terms.stopEmitting))] : []),
    ...(accepted ? [due('stop-accepting', milliseconds(terms.stopAccepting))] : []),
  ];
}

/** The most urgent word that is true, and since when it is. */
function judged(
  exceptions: readonly DueException[],
  first: OpenDue | undefined,
  now: number,
  coverageStart: number | undefined,
): { readonly status: DueStatus; readonly since?: number } {
  const watched = coverageStart === undefined ? {} : { since: coverageStart };
  if (first !== undefined && now >= first.at) return { status: 'overdue', since: first.at };
  // A compromised version that is still accepted was due when it was found out: no later date counts.
  if (exceptions.includes('compromised-accepted')) return { status: 'overdue' };
  if (exceptions.includes('not-observed')) return { status: 'not-observed', ...watched };
  if (exceptions.includes('no-policy')) return { status: 'no-policy', ...watched };
  if (first !== undefined && now >= first.at - first.notice) {
    return { status: 'due-soon', since: first.at - first.notice };
  }
  if (exceptions.includes('never-rotated')) return { status: 'never-rotated', ...watched };
  return first?.basis === undefined ? { status: 'ok' } : { status: 'ok', since: first.basis.at };
}

/** Holds the slot and has not ended. An imported rotation never acts. */
function acts(rotation: RotationState): boolean {
  return rotation.exists && !rotation.imported && !ENDED.includes(rotation.phase);
}

function knownVersions(input: DueInput, running: RotationState | undefined): readonly VersionSnapshot[] {
  const { versions, past = [] } = input;
  const made = running?.generated;
  if (made !== undefined && !versions.some((version) => version.versionId === made.versionId)) {
    return [...versions, made];
  }
  if (versions.length > 0 || running !== undefined) return versions;
  // A history that tells of rotations only: the newest version it tells of is the one in use.
  const told = past
    .filter((rotation) => rotation.imported && !ROLLED_AWAY.includes(rotation.phase))
    .flatMap((rotation) => (rotation.generated === undefined ? [] : [rotation.generated]))
    .sort((left, right) => instantOf(left.createdAt) - instantOf(right.createdAt))
    .at(-1);
  if (told === undefined) return [];
  const { emittingShare: _unknown, ...rest } = told;
  return [{ ...rest, accepted: true }];
}

const ROLLED_AWAY: readonly string[] = ['rolled-back', 'abandoned', 'rejected'];

function instantOf(text: string | undefined): number {
  return (text === undefined ? undefined : parseInstant(text)) ?? 0;
}

/** Which clocks of a version still run. A running rotation's facts stand over what its family's stream says. */
function openClocks(version: VersionSnapshot, running: RotationState | undefined, now: number): Clocks {
  const { versionId } = version;
  if (version.destroyed) return { version, emits: false, accepted: false };
  const isIncoming = running?.generated?.versionId === versionId;
  if (isIncoming && running !== undefined) {
    const trusted = running.accepted !== undefined && running.withdrawn === undefined;
    return {
      version,
      accepted: trusted,
      // Until the last emitter is confirmed back at the old version, the new one may emit.
      emits:
        trusted && running.switched !== undefined && !(running.returned !== undefined && off(running, now)),
    };
  }
  const revoked = running?.revoked?.versions.includes(versionId) === true;
  const left = running?.switched !== undefined && running.returned === undefined && off(running, now);
  const accepted = version.accepted && !revoked;
  const emitted = version.emittingShare === undefined ? version.accepted : version.emittingShare > 0;
  return { version, accepted, emits: emitted && accepted && !left };
}

/** Every emitter of the plan is confirmed where emission last moved to. An unknown emitter confirms nothing. */
function off(rotation: RotationState, now: number): boolean {
  if (rotation.plan?.consumers.some((consumer) => consumer.roles.includes('emitter')) !== true) return false;
  const since = drainStart(rotation);
  return since !== undefined && since.at <= now;
}

/** The rotation that made a version; a rehearsal's work settles nothing, so who asks must ask that too. */
function makerOf(
  { versionId }: VersionSnapshot,
  past: readonly PastRotation[],
  running: RotationState | undefined,
): PastRotation | undefined {
  return [...(running === undefined ? [] : [running]), ...past].find(
    (rotation) => rotation.generated?.versionId === versionId,
  );
}

function isRehearsal(rotation: PastRotation | undefined): boolean {
  return rotation?.plan?.strategy === 'rehearsal';
}

/** What a rehearsal put its version in the place of: that one's clock runs on. */
function rehearsedFrom(
  version: VersionSnapshot,
  { versions, past = [] }: Pick<DueInput, 'versions' | 'past'>,
  running: RotationState | undefined,
): VersionSnapshot | undefined {
  if (!isRehearsal(makerOf(version, past, running))) return undefined;
  return versions
    .filter((each) => {
      const maker = makerOf(each, past, running);
      return (
        instantOf(each.createdAt) < instantOf(version.createdAt) &&
        !isRehearsal(maker) &&
        !ROLLED_AWAY.includes(maker?.phase ?? '')
      );
    })
    .sort((left, right) => instantOf(left.createdAt) - instantOf(right.createdAt))
    .at(-1);
}

function basisOf(
  made: VersionSnapshot,
  { versions, past = [], coverageStart }: DueInput,
  running: RotationState | undefined,
): DueBasis | undefined {
  const version = rehearsedFrom(made, { versions, past }, running) ?? made;
  const at = version.createdAt === undefined ? undefined : parseInstant(version.createdAt);
  if (at === undefined) return undefined;
  const maker = makerOf(version, past, running);
  const before = coverageStart !== undefined && at < coverageStart;
  return {
    versionId: version.versionId,
    fact: maker === undefined ? 'VersionObserved' : 'KeyGenerated',
    provenance:
      maker?.imported === true || before ? 'imported' : maker === undefined ? 'observed' : 'performed',
    at,
  };
}

/** One version was really put in another's place: recorded by a rotation that ended so, or seen in the versions. */
function wasRotated(
  { past = [] }: DueInput,
  all: readonly VersionSnapshot[],
  open: readonly Clocks[],
): boolean {
  const completed = past.some(
    (rotation) =>
      rotation.phase === 'completed' &&
      !isRehearsal(rotation) &&
      (rotation.imported || (rotation.plan?.outgoing.length ?? 0) > 0),
  );
  if (completed) return true;
  const known = all.filter((version) => !isRehearsal(makerOf(version, past, undefined)));
  const emitting = open.findLast(({ emits }) => emits)?.version;
  const current = emitting !== undefined && !known.includes(emitting) ? known.at(-1) : emitting;
  const place = current === undefined ? -1 : known.indexOf(current);
  // A version that was withdrawn by a rollback stands behind the one that stayed, and replaced nothing.
  return known
    .slice(0, Math.max(0, place))
    .some((version) => !version.accepted || version.emittingShare === 0);
}

export function wholeDays(span: number): number {
  return Math.floor(span / DAY_MS);
}
