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
