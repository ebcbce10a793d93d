import type { ContainmentEvent, FamilyEvent, RotationEvent } from '#rotation';

/**
 * Everything one record page is made of, as of one tree size. The same dossier gives the same bytes: no clock, no
 * randomness, no look-ups while a page is drawn.
 */
export interface RotationDossier {
  readonly logId: string;
  /** "As of": the first n events of the log. */
  readonly treeSize: number;
  /** `recordedAt` of the newest event within the tree size, milliseconds: the only "now" a page knows. */
  readonly asOf: number;
  readonly familyId: string;
  readonly rotationId: string;
  readonly familyEvents: readonly FamilyEvent[];
  readonly rotationEvents: readonly RotationEvent[];
  /** Of the containments that belong to this rotation. */
  readonly containmentEvents: readonly ContainmentEvent[];
  /** Subject id → name; an id without a name is printed as it is. */
  readonly names: Readonly<Record<string, string>>;
}
