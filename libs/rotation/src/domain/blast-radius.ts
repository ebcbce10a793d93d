import { DomainError, formatInstant, parseInstant } from '#eventlog';
import type { DeclaredEmergency, FamilyState } from './family.decider.js';
import type { RotationRequest } from './family.events.js';
import type { VersionSnapshot } from './vocabulary.js';

/**
 * An emergency over everything that one incident reached. It is declared once a family: what an emergency made in answer was
 * never in reach, and a repeat must not call it compromised.
 */

/** A back end's clock may be this far off ours: what it made after a declaration may bear an instant a little before it. */
const CLOCKS_APART_MS = 30_000;

export interface Incident {
  readonly reason: string;
  readonly incident?: string | undefined;
  /** Milliseconds. */
  readonly discoveredAt: number;
}

/** Emergencies of this family that answer the incident: the same one, one still under way, or one declared after the discovery. */
export function answersTo(
  { emergencies = [], slot, closed }: Pick<FamilyState, 'emergencies' | 'slot' | 'closed'>,
  incident: Incident,
): readonly DeclaredEmergency[] {
  const underWay = (rotation: string): boolean => slot?.open === true && slot.rotation === rotation;
  const completed = (rotation: string): boolean =>
    closed.some((each) => each.rotation === rotation && each.outcome === 'completed');
  return emergencies.filter(
    (each) =>
      underWay(each.rotation) ||
      (completed(each.rotation) && (isSame(each, incident) || each.declaredAt >= incident.discoveredAt)),
  );
}

/** By its reference where both name one, else by the reason. */
function isSame(declared: DeclaredEmergency, { reason, incident }: Incident): boolean {
  return declared.incident !== undefined && incident !== undefined
    ? declared.incident === incident
    : declared.reason === reason;
}

/**
 * What the incident can have reached: accepted now, and made neither after the discovery nor after an emergency that answers it. Of
 * which nobody recorded when it was made counts as reached.
 */
export function reached(
  versions: readonly VersionSnapshot[],
  answers: readonly DeclaredEmergency[],
  { discoveredAt }: Pick<Incident, 'discoveredAt'>,
): readonly string[] {
  const madeLater = ({ versionId, createdAt }: VersionSnapshot): boolean => {
    const made = parseInstant(createdAt ?? '');
    if (made === undefined) return false;
    return (
      made > discoveredAt ||
      answers.some(
        ({ versions: then, declaredAt }) => !then.includes(versionId) && made > declaredAt - CLOCKS_APART_MS,
      )
    );
  };
  return versions
    .filter((version) => version.accepted && !madeLater(version))
    .map((version) => version.versionId);
}

/** Refused where emergencies that answer it have all these versions already. */
export function requireUnanswered(answers: readonly DeclaredEmergency[], versions: readonly string[]): void {
  const covered = answers.flatMap((each) => each.versions);
  const newest = answers.at(-1);
  if (newest === undefined || !versions.every((version) => covered.includes(version))) return;
  throw new DomainError(
    'emergency.already-declared',
    `an emergency that answers this is already declared: rotation ${newest.rotation}; for another incident give another incident reference or reason, or name the versions`,
    { field: 'emergency.unlessDeclared', rotation: newest.rotation },
  );
}

/** No version is in reach, and no emergency answers it either. */
export function requireReached(versions: readonly string[], { discoveredAt }: Incident): void {
  if (versions.length > 0) return;
  throw new DomainError(
    'emergency.no-version',
    `no version of this family that is accepted now was there at ${formatInstant(discoveredAt)}, so none was in reach: name in emergency.compromisedVersions what is compromised nevertheless`,
    { field: 'emergency.compromisedVersions' },
  );
}

export function incidentOf(request: Pick<RotationRequest, 'reason' | 'emergency'>): Incident {
  const { emergency, reason } = request;
  return {
    reason,
    incident: emergency?.incident,
    discoveredAt: parseInstant(emergency?.discoveredAt ?? '') ?? 0,
  };
}
