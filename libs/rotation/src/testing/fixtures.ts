import type { FamilyConsumer } from '../domain/family.decider.js';
import type { FamilyDetails, RotationRequest } from '../domain/family.events.js';
import { TERMS_WITHOUT_POLICY } from '../domain/plan.js';
import type { PolicyTerms } from '../domain/policy.events.js';
import type { VersionSnapshot } from '../domain/vocabulary.js';

/** Ids, families and consumers as small as the rules allow. */

export const START = Date.parse('2026-03-02T09:00:00.000Z');

export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

export function someUuid(number: number): string {
  return `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
}

export const FAMILY_ID = someUuid(1);
export const REQUESTER = 'subject-requester';
export const APPROVER = 'subject-approver';

export function someDetails(changes: Partial<FamilyDetails> = {}): FamilyDetails {
  return {
    name: 'Session tokens',
    environment: 'production',
    kind: 'asymmetric-key',
    algorithm: 'ES256',
    protects: 'application-account',
    usage: 'sign',
    overlap: 'dual',
    mode: 'driven',
    authority: { kind: 'keyturn' },
    owner: { role: 'Platform on call', deputy: 'Platform lead' },
    team: 'Platform',
    backEnd: { instance: 'local', object: 'keys/session' },
    artefactLife: 'PT1H',
    illustrative: true,
    ...changes,
  };
}

/** Every field of the page filled. */
export function someRunbook(): Readonly<Record<string, string>> {
  return {
    scope: 'signs sessions',
    storage: 'the local back end',
    blastRadius: 'everybody signs in again',
    rolloutOrder: 'accept, emit, revoke',
    verification: 'an old token is refused',
    rollbackPlan: 'the platform lead decides',
    cadence: 'every 90 days',
    nextReview: '2030-01-01',
  };
}

export function someConsumer(number: number, changes: Partial<FamilyConsumer> = {}): FamilyConsumer {
  return {
    consumerId: someUuid(100 + number),
    name: `consumer-${number}`,
    roles: ['emitter', 'verifier'],
    cacheTtl: 'PT10M',
    neverRefreshes: false,
    thirdParty: false,
    instances: 1,
    ...changes,
  };
}

/** One that signs, one that checks, one that does both. */
export function someConsumers(): readonly FamilyConsumer[] {
  return [
    someConsumer(1, { name: 'api', roles: ['emitter'], instances: 2, deployPropagation: 'PT2M' }),
    someConsumer(2, { name: 'gateway', roles: ['verifier'], cacheTtl: 'PT10M', refreshDelay: 'PT1M' }),
    someConsumer(3, { name: 'worker', roles: ['emitter', 'verifier'], cacheTtl: 'PT30M' }),
  ];
}

export function someTerms(changes: Partial<PolicyTerms> = {}): PolicyTerms {
  return { ...TERMS_WITHOUT_POLICY, ...changes };
}

export function someRequest(changes: Partial<RotationRequest> = {}): RotationRequest {
  return {
    strategy: 'graceful',
    trigger: 'scheduled',
    reason: 'the quarter is over',
    requestedBy: REQUESTER,
    ...changes,
  };
}

export function someVersion(versionId: string, changes: Partial<VersionSnapshot> = {}): VersionSnapshot {
  return {
    versionId,
    algorithm: 'ES256',
    createdAt: '2026-01-01T00:00:00.000Z',
    accepted: true,
    emittingShare: 100,
    compromised: false,
    destroyed: false,
    ...changes,
  };
}
