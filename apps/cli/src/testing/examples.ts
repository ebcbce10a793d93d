import type { FamilyView, PolicyView, RotationPlan, RotationViewJson } from '#rotation';

export const FAMILY_ID = '11111111-1111-4111-8111-111111111111';
export const ROTATION_ID = '3f2a91c0-2222-4222-8222-222222222222';

/** Typed as the service's own view: where that grows or changes, these no longer compile. */
export const FAMILY: FamilyView = {
  id: FAMILY_ID,
  qualifiedName: 'production/session-jwt',
  environment: 'production',
  name: 'session-jwt',
  description: null,
  kind: 'asymmetric-key',
  algorithm: 'ES256',
  strengthBits: 256,
  protects: 'application-account',
  usage: 'sign',
  overlap: 'dual',
  mode: 'driven',
  authority: { kind: 'keyturn' },
  owner: { role: 'identity on-call', deputy: 'platform on-call' },
  team: 'identity',
  backEnd: { instance: 'local', object: 'keys/session-jwt' },
  artefactLife: 'PT1H',
  frameworks: [],
  illustrative: true,
  schedule: null,
  registrationOwed: null,
  deviations: [],
  runbook: {},
  consumers: [
    {
      id: '44444444-4444-4444-8444-444444444444',
      name: 'api',
      roles: ['verifier'],
      cacheTtl: 'PT10M',
      refreshDelay: null,
      deployPropagation: null,
      neverRefreshes: false,
      thirdParty: false,
      instances: 3,
    },
  ],
  runbookMissing: [],
  lastReview: null,
  drift: null,
  custodians: [],
  retired: false,
  versions: [
    {
      versionId: 'k1',
      accepted: true,
      emittingShare: 100,
      compromised: false,
      destroyed: false,
      contained: false,
    },
  ],
  current: 'k1',
  runningRotation: ROTATION_ID,
  coverageStart: '2026-01-01T00:00:00.000Z',
  revision: 4,
};

export const ROTATION: RotationViewJson = {
  id: ROTATION_ID,
  family: { id: FAMILY_ID, qualifiedName: 'production/session-jwt' },
  strategy: 'graceful',
  trigger: 'manual',
  reason: 'quarterly',
  requestedBy: '55555555-5555-4555-8555-555555555555',
  requestedAt: '2026-03-01T11:00:00.000Z',
  phase: 'requested',
  ended: false,
  imported: false,
  illustrative: true,
  paused: false,
  suspended: null,
  waitsFor: 'approval by somebody other than the requester',
  wakeAt: null,
  approvals: { required: 1, by: [] },
  incoming: 'k2',
  outgoing: ['k1'],
  confirmations: [],
  emittingShare: null,
  attests: null,
  windows: {
    accept: { required: 'PT24H', binding: 'mobile-app caches its JWKS for 24 h', endsAt: null },
    drain: { required: 'PT48H', binding: 'mobile-app caches its JWKS for 24 h', endsAt: null },
  },
  emergency: null,
  trustEndsAt: null,
  exceptions: [],
  plan: null,
  next: [`keyturn approve ${ROTATION_ID}`],
  revision: 1,
};

export const SUSPENDED: RotationViewJson = {
  ...ROTATION,
  phase: 'accepting',
  waitsFor: null,
  suspended: { code: 'back-end.auth', reason: 'Vault refuses the login', person: 'identity on-call' },
  next: [`keyturn retry ${ROTATION_ID}`, `keyturn rollback ${ROTATION_ID} --reason "…"`],
};

export const COMPLETED: RotationViewJson = {
  ...ROTATION,
  phase: 'completed',
  ended: true,
  waitsFor: null,
  next: [],
};

export const POLICY: Pick<PolicyView, 'id' | 'name' | 'selector' | 'status' | 'author' | 'boundSince'> & {
  readonly details: unknown;
} = {
  id: '66666666-6666-4666-8666-666666666666',
  name: 'PCI production',
  selector: { protection: 'stored-account-data', environment: 'production' },
  status: 'waits for approval',
  author: '55555555-5555-4555-8555-555555555555',
  boundSince: null,
  details: { terms: { stopEmitting: 'P90D', stopAccepting: 'P120D', approvals: 1 } },
};

const PLAN: Pick<RotationPlan, 'incoming' | 'outgoing' | 'approvals' | 'trustTerm' | 'exceptions'> & {
  readonly windows: unknown;
} = {
  incoming: 'k2',
  outgoing: ['k1'],
  approvals: 0,
  windows: {
    accept: { required: 'PT0S', binding: 'cut to zero by the emergency' },
    drain: { required: 'PT0S', binding: 'cut to zero by the emergency' },
  },
  trustTerm: 'PT24H',
  exceptions: ['no policy applies'],
};

export const PREVIEW = {
  plan: PLAN,
  request: { emergency: { compromisedVersions: ['k1'], contain: true } },
  whoBreaks: ['api: may refuse the new version, and trust the old one, for up to PT10M'],
  dates: { earliestRevoke: '2026-03-01T12:00:00.000Z', steps: [{ step: 'generate', earliest: null }] },
};
