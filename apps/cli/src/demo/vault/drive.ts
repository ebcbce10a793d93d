import type { RotationViewJson } from '#rotation';
import type { DemoClient } from '../demo-client.js';
import type { Consumers } from './consumers.js';

const AT_MOST_MS = 180_000;
const LOOK_MS = 250;

export interface TimelineEntry {
  readonly eventId: string;
  readonly at: string;
  readonly title: string;
  readonly detail: string;
  readonly minor?: boolean;
  readonly kind: string;
}

export interface Driving {
  readonly operator: DemoClient;
  /** Somebody else: nobody approves their own. */
  readonly approver: DemoClient;
  readonly interrupted: AbortSignal;
  /** Absent: nobody uses it yet. */
  readonly consumers?: Consumers;
  onEntry(entry: TimelineEntry): void;
  onPhase(rotation: RotationViewJson): void;
}

/** Requests a rotation and takes it to its end: somebody else approves, and each consumer confirms once it really holds the version. */
export async function driveRotation(
  driving: Driving,
  familyId: string,
  wish: Readonly<Record<string, unknown>>,
): Promise<RotationViewJson> {
  const { operator, approver, consumers } = driving;
  let rotation = await operator.post<RotationViewJson>(`/api/v1/families/${familyId}/rotations`, wish);
  const end = Date.now() + AT_MOST_MS;
  const seen = new Set<string>();
  for (;;) {
    const path = `/api/v1/rotations/${rotation.id}`;
    const { entries } = await operator.get<{ entries: readonly TimelineEntry[] }>(`${path}/timeline`);
    for (const entry of entries.filter(({ eventId }) => !seen.has(eventId))) {
      seen.add(entry.eventId);
      driving.onEntry(entry);
    }
    rotation = await operator.get<RotationViewJson>(path);
    driving.onPhase(rotation);
    if (rotation.ended) return rotation;
    if (rotation.suspended !== null) throw new Error(`it needs a person: ${rotation.suspended.reason}`);
    driving.interrupted.throwIfAborted();
    if (Date.now() > end) throw new Error(`it did not end: ${rotation.phase}, ${rotation.waitsFor ?? ''}`);
    if (rotation.phase === 'requested' && rotation.approvals.by.length < rotation.approvals.required)
      await approver.post(`${path}/approve`, { note: 'demo' });
    for (const { kind, consumer, version, missing } of rotation.confirmations) {
      if (!missing || version === null || !isAskedFor(kind, rotation.phase)) continue;
      if (consumers?.knows(consumer, version) === false) continue;
      const instances = [`${consumer}-1`];
      await operator.post(`${path}/confirmations`, { kind, consumer, version, instances }).catch(notEnded);
    }
    await new Promise((done) => setTimeout(done, LOOK_MS));
  }
}

function isAskedFor(kind: 'acceptance' | 'emission', phase: string): boolean {
  const late = ['emitting', 'revoked', 'watching'];
  return [...late, kind === 'acceptance' ? 'accepting' : 'draining'].includes(phase);
}

/** It may have ended in the same moment; then nobody asks any more. */
function notEnded(error: unknown): void {
  if (!String(error).includes('rotation.ended')) throw error;
}
