import { DomainError } from '#eventlog';
import type { DriftDifference, FamilyEvent, NewFamilyEvent } from './family.events.js';
import { mergeVersions } from './versions.js';
import type { VersionSnapshot } from './vocabulary.js';

/**
 * What a back end shows otherwise than the record has it, though nobody recorded why: somebody, or something, changed it behind
 * Keyturn. It holds what cannot be taken back until it is gone, or a person says that it is known.
 */
export interface Drift {
  readonly eventId: string;
  readonly at: number;
  readonly differences: readonly DriftDifference[];
  /** How many more differ. */
  readonly more: number;
}

export type DriftCommand =
  | {
      readonly type: 'RecordDrift';
      /** Everything that differs now; none: what differed is gone. */
      readonly differences: readonly DriftDifference[];
    }
  | {
      readonly type: 'AcceptDrift';
      /** Id of the `DriftObserved` that was looked at. */
      readonly drift: string;
      readonly reason: string;
    };

/** What an observation shows, as far as it is compared. */
export interface Shown {
  readonly versions: readonly Pick<
    VersionSnapshot,
    'versionId' | 'accepted' | 'emittingShare' | 'destroyed'
  >[];
  /** What the back end itself finds wrong with the object: it turns itself, it accepts what its record withdrew. */
  readonly told: readonly DriftDifference[];
}

/** Most differences that one fact names; one more says how many there are. */
export const MOST_DIFFERENCES = 50;

/**
 * Compares the record with what is shown. While a rotation or a process is under way its own steps move what is accepted and what
 * emits, and they look for themselves: then only versions that came or went are compared, `underWay` being those that are its own.
 */
export function differencesOf(
  recorded: readonly VersionSnapshot[],
  shown: Shown,
  underWay: { readonly versions: readonly string[] } | undefined,
): readonly DriftDifference[] {
  const known = new Map(recorded.map((version) => [version.versionId, version]));
  const seen = new Set(shown.versions.map(({ versionId }) => versionId));
  const own = new Set(underWay?.versions);
  return [
    ...shown.versions.flatMap((version): readonly DriftDifference[] => {
      const { versionId } = version;
      const before = known.get(versionId);
      if (before === undefined) {
        return own.has(versionId) || version.destroyed ? [] : [{ kind: 'extra', versionId }];
      }
      return underWay === undefined ? changed(before, version) : [];
    }),
    ...recorded.flatMap(({ versionId, destroyed }): readonly DriftDifference[] =>
      destroyed || seen.has(versionId) ? [] : [{ kind: 'missing', versionId }],
    ),
    ...shown.told,
  ];
}

function changed(before: VersionSnapshot, now: Shown['versions'][number]): readonly DriftDifference[] {
  const { versionId } = before;
  if (now.destroyed && !before.destroyed) return [{ kind: 'destroyed', versionId }];
  if (before.destroyed) return [];
  return [
    ...(now.accepted && !before.accepted ? [{ kind: 'accepted', versionId } as const] : []),
    ...(!now.accepted && before.accepted ? [{ kind: 'not-accepted', versionId } as const] : []),
    // Where nobody recorded who emits, nothing about it can differ.
    ...(before.emittingShare !== undefined && now.emittingShare !== before.emittingShare
      ? [
          {
            kind: 'emission',
            versionId,
            detail: `${now.emittingShare ?? 0} % instead of ${before.emittingShare} %`,
          } as const,
        ]
      : []),
  ];
}

export function decideDrift(
  command: DriftCommand,
  {
    drift,
    backEnd,
  }: {
    readonly drift?: Drift | undefined;
    readonly backEnd?: { readonly instance: string; readonly object: string } | undefined;
  },
): readonly NewFamilyEvent[] {
  switch (command.type) {
    case 'RecordDrift': {
      const { differences } = command;
      if (same(differences, drift)) return [];
      if (differences.length === 0)
        return [{ type: 'DriftSettled', data: { by: 'back-end' }, provenance: 'observed' }];
      if (backEnd === undefined) return [];
      const named = differences.slice(0, MOST_DIFFERENCES);
      const more = differences.length - named.length;
      return [
        {
          type: 'DriftObserved',
          data: { backEnd, differences: [...named], ...(more > 0 ? { more } : {}) },
          provenance: 'observed',
        },
      ];
    }
    case 'AcceptDrift':
      if (drift === undefined)
        throw new DomainError('drift.none', 'nothing differs from the record: there is no drift to accept');
      if (drift.eventId !== command.drift)
        throw new DomainError(
          'drift.changed',
          `what differs has changed since (${driftText(drift)}): look at it, and accept ${drift.eventId}`,
          { field: 'drift', drift: drift.eventId },
        );
      return [
        {
          type: 'DriftSettled',
          data: { by: 'person', reason: command.reason, accepted: [...drift.differences] },
          provenance: 'attested',
        },
      ];
  }
}

/** What is open, and the record as a person's acceptance puts it right. */
export function evolveDrift(
  state: { readonly drift?: Drift | undefined; readonly versions: readonly VersionSnapshot[] },
  event: FamilyEvent & { readonly type: 'DriftObserved' | 'DriftSettled' },
): { readonly drift: Drift | undefined; readonly versions: readonly VersionSnapshot[] } {
  if (event.type === 'DriftObserved') {
    const { differences, more = 0 } = event.data;
    const drift = { eventId: event.id, at: event.recordedAt, differences, more };
    return { drift, versions: state.versions };
  }
  const put = (event.data.accepted ?? []).flatMap((difference) => putRight(difference, state.versions));
  return { drift: undefined, versions: mergeVersions(state.versions, put) };
}

/** Only what the difference itself says: who emits is for the next rotation to find. */
function putRight(
  { kind, versionId }: DriftDifference,
  versions: readonly VersionSnapshot[],
): readonly VersionSnapshot[] {
  if (versionId === undefined) return [];
  const before = versions.find((version) => version.versionId === versionId);
  switch (kind) {
    case 'extra':
      return before === undefined
        ? [{ versionId, accepted: false, emittingShare: 0, compromised: false, destroyed: false }]
        : [];
    case 'missing':
    case 'destroyed':
      return before === undefined ? [] : [{ ...before, accepted: false, emittingShare: 0, destroyed: true }];
    case 'accepted':
      return before === undefined ? [] : [{ ...before, accepted: true }];
    case 'not-accepted':
      return before === undefined ? [] : [{ ...before, accepted: false, emittingShare: 0 }];
    case 'emission':
    case 'told':
      return [];
  }
}

/** The first few, and how many more. */
export function driftText({ differences, more }: Pick<Drift, 'differences' | 'more'>): string {
  const shown = differences.slice(0, 3).map(differenceText);
  const others = differences.length - shown.length + more;
  return `${shown.join('; ')}${others === 0 ? '' : `; and ${others} more`}`;
}

export function differenceText({ kind, versionId = '', detail }: DriftDifference): string {
  switch (kind) {
    case 'extra':
      return `${versionId} was made by nobody on record`;
    case 'missing':
      return `${versionId} is no longer there`;
    case 'destroyed':
      return `${versionId} is destroyed`;
    case 'accepted':
      return `${versionId} is accepted`;
    case 'not-accepted':
      return `${versionId} is not accepted`;
    case 'emission':
      return `${versionId} emits ${detail ?? 'another share'}`;
    case 'told':
      return detail ?? 'it is not as Keyturn set it';
  }
}

function same(found: readonly DriftDifference[], open: Drift | undefined): boolean {
  const keys = (differences: readonly DriftDifference[]): string =>
    differences
      .slice(0, MOST_DIFFERENCES)
      .map(({ kind, versionId, detail }) => JSON.stringify([kind, versionId, detail]))
      .sort()
      .join();
  const { differences = [], more = 0 } = open ?? {};
  return found.length === differences.length + more && keys(found) === keys(differences);
}
