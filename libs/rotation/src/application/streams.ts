import { NIL_UUID } from '#eventlog';
import { derivedId } from '#platform';
import type { ClaimKind } from '../domain/claim.events.js';

/** Stream names and derived ids (contracts.md: Streams; What must be unique is claimed). */

export const familyStream = (id: string): string => `family-${id}`;
export const rotationStream = (id: string): string => `rotation-${id}`;
export const containmentStream = (id: string): string => `containment-${id}`;
export const destructionStream = (id: string): string => `destruction-${id}`;
/** A person's leaving; derived, so that a repeat finds it. */
export function departureStream(logId: string, subject: string): string {
  return `departure-${derivedId(logId, 'departure', subject)}`;
}
export const policyStream = (id: string): string => `policy-${id}`;
export const telemetryStream = (rotationId: string): string => `telemetry-${rotationId}`;
export const importStream = (id: string): string => `import-${id}`;
/** What one back end holds, against the record. */
export function inventoryStream(logId: string, instance: string): string {
  return `inventory-${derivedId(logId, 'inventory', instance)}`;
}

export const HOLDS_STREAM = `holds-${NIL_UUID}`;

export function claimStream(logId: string, kind: ClaimKind, environment: string, value: string): string {
  return `claim-${derivedId(logId, kind, environment, value)}`;
}

/** The version id a new key of a rotation gets: known before it is made, so that a repeat finds it. */
export function incomingVersionId(logId: string, rotationId: string): string {
  return derivedId(logId, 'version', rotationId);
}

/** The containment that belongs to an emergency. */
export function emergencyContainmentId(logId: string, rotationId: string): string {
  return derivedId(logId, 'containment', rotationId);
}

export function idOf(stream: string): string {
  return stream.slice(stream.indexOf('-') + 1);
}
