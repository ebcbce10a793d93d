import type { VersionSnapshot } from './vocabulary.js';

/** Puts snapshots over what was known, by version id; order of first appearance is kept. */
export function mergeVersions(
  known: readonly VersionSnapshot[],
  newer: readonly VersionSnapshot[],
): readonly VersionSnapshot[] {
  const merged = known.map(
    (version) => newer.find((next) => next.versionId === version.versionId) ?? version,
  );
  const added = newer.filter((next) => !known.some((version) => version.versionId === next.versionId));
  return [...merged, ...added];
}

/** Versions a plan carries at most: with the one it makes they are as many as `RotationClosed` holds. */
export const MOST_CARRIED = 99;

/** Nothing can become of it any more in a rotation: nobody is asked to accept it, and nothing emits with it. */
export function isSettled({ accepted, emittingShare, destroyed }: VersionSnapshot): boolean {
  return (emittingShare ?? 0) === 0 && (!accepted || destroyed);
}

/**
 * The versions a plan, and the end of its rotation, write down: a family only ever gets more of them, an event cannot. What is
 * settled stands on record already and stays as it is there. Carried are those that still matter, those the record has
 * otherwise, and as many of the newest it does not know as there is room for. More than `most` where more of them matter.
 */
export function carried(
  versions: readonly VersionSnapshot[],
  recorded: readonly VersionSnapshot[],
  most = MOST_CARRIED,
): readonly VersionSnapshot[] {
  const before = new Map(recorded.map((version) => [version.versionId, version]));
  const matters = (version: VersionSnapshot): boolean => {
    const known = before.get(version.versionId);
    return !isSettled(version) || (known !== undefined && !isSettled(known));
  };
  const room = Math.max(0, most - versions.filter(matters).length);
  const unknown = versions.filter((version) => !matters(version) && !before.has(version.versionId));
  const kept = new Set(room === 0 ? [] : unknown.slice(-room));
  return versions.filter((version) => matters(version) || kept.has(version));
}

export function markCompromised(
  versions: readonly VersionSnapshot[],
  compromised: readonly string[],
): readonly VersionSnapshot[] {
  return versions.map((version) =>
    compromised.includes(version.versionId) ? { ...version, compromised: true } : version,
  );
}

/** What is destroyed stays so, whatever an older snapshot says. */
export function markDestroyed(
  versions: readonly VersionSnapshot[],
  destroyed: readonly string[],
): readonly VersionSnapshot[] {
  return versions.map((version) =>
    destroyed.includes(version.versionId) ? { ...version, destroyed: true } : version,
  );
}

/** The version that emits: the one with the largest share (the newer of two equal ones), or, where nobody recorded who emits, the newest accepted one. */
export function emittingVersion(versions: readonly VersionSnapshot[]): VersionSnapshot | undefined {
  const shares = versions.filter((version) => (version.emittingShare ?? 0) > 0);
  if (shares.length > 0) {
    return shares.reduce((most, version) =>
      (version.emittingShare ?? 0) >= (most.emittingShare ?? 0) ? version : most,
    );
  }
  if (versions.some((version) => version.emittingShare !== undefined)) return undefined;
  const accepted = versions.filter((version) => version.accepted && !version.destroyed);
  return accepted[accepted.length - 1];
}
