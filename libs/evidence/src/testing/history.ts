import { createHash } from 'node:crypto';
import type { Provenance } from '#eventlog';
import type {
  ContainmentEvent,
  FamilyEvent,
  NewContainmentEvent,
  NewFamilyEvent,
  NewRotationEvent,
  RotationEvent,
} from '#rotation';
import type { RotationDossier } from '../dossier.js';

/** A stable UUID for a name, so that a fixture is the same on every run. */
export function idOf(name: string): string {
  const hex = createHash('sha256').update(name).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

interface When {
  /** `recordedAt`, and the order of the log. */
  readonly at: string;
  readonly by?: string;
  readonly provenance?: Provenance;
  /** Left out: the instant was not recorded. */
  readonly occurredAt?: string;
}

/** Writes a small log by hand: envelopes are filled in, tree sizes count up. */
export class History {
  readonly familyId = idOf('family');
  readonly rotationId = idOf('rotation');
  private readonly familyEvents: FamilyEvent[] = [];
  private readonly rotationEvents: RotationEvent[] = [];
  private readonly containmentEvents: ContainmentEvent[] = [];
  private treeSize: number;
  private newest = 0;

  constructor(
    private readonly names: Readonly<Record<string, string>>,
    firstTreeSize = 1,
  ) {
    this.treeSize = firstTreeSize - 1;
  }

  family(when: When, event: NewFamilyEvent): this {
    this.familyEvents.push({ ...event, ...this.envelope(`family-${this.familyId}`, when) });
    return this;
  }

  rotation(when: When, event: NewRotationEvent): this {
    this.rotationEvents.push({ ...event, ...this.envelope(`rotation-${this.rotationId}`, when) });
    return this;
  }

  containment(when: When, event: NewContainmentEvent): this {
    this.containmentEvents.push({ ...event, ...this.envelope(`containment-${idOf('containment')}`, when) });
    return this;
  }

  dossier(): RotationDossier {
    return {
      logId: idOf('log'),
      treeSize: this.treeSize,
      asOf: this.newest,
      familyId: this.familyId,
      rotationId: this.rotationId,
      familyEvents: this.familyEvents,
      rotationEvents: this.rotationEvents,
      containmentEvents: this.containmentEvents,
      names: this.names,
    };
  }

  private envelope(stream: string, { at, by = 'system', provenance = 'performed', occurredAt }: When) {
    this.treeSize += 1;
    const recordedAt = Date.parse(at);
    this.newest = Math.max(this.newest, recordedAt);
    return {
      id: idOf(`event ${this.treeSize}`),
      schemaVersion: 1,
      stream,
      revision: 0,
      treeSize: this.treeSize,
      recordedAt,
      ...(occurredAt === undefined ? {} : { occurredAt: Date.parse(occurredAt) }),
      actor: by,
      correlationId: this.rotationId,
      causationId: idOf(`cause ${this.treeSize}`),
      provenance,
      origin: { via: 'kit' as const },
    };
  }
}
