import type { ConsumerView, FamilyView } from '#rotation';
import type { RunbookInput } from '../runbook-page.js';
import { idOf } from './history.js';

/** Runbook pages as people would have them: filled, empty, and of more text than a page can hold. */

const FAMILY_ID = idOf('family');
const CURRENT = idOf('current version');

export function consumerOf(name: string, change: Partial<ConsumerView> = {}): ConsumerView {
  return {
    id: idOf(name),
    name,
    roles: ['verifier'],
    cacheTtl: 'PT1H',
    refreshDelay: null,
    deployPropagation: null,
    neverRefreshes: false,
    thirdParty: false,
    instances: 1,
    ...change,
  };
}

const family: FamilyView = {
  id: FAMILY_ID,
  qualifiedName: 'production/orders-signing',
  environment: 'production',
  name: 'orders-signing',
  description: 'Signs the session tokens of the order front end.',
  kind: 'asymmetric-key',
  algorithm: 'ES256',
  strengthBits: 256,
  protects: 'application-account',
  usage: 'sign',
  overlap: 'dual',
  mode: 'driven',
  authority: { kind: 'keyturn' },
  owner: {
    role: 'Payments platform lead',
    deputy: 'Payments SRE on call',
    escalation: 'Head of engineering',
  },
  team: 'payments',
  backEnd: { instance: 'local', object: 'keys/orders-signing' },
  artefactLife: 'PT1H',
  frameworks: ['SOC 2'],
  illustrative: false,
  schedule: null,
  registrationOwed: null,
  deviations: [],
  runbook: {
    scope:
      'Signs the session tokens that the order front end hands to browsers and to the mobile app. Nothing else may use it.',
    storage:
      'The private key never leaves the back end. Public keys are fetched from the JWKS document by the gateways; the partner pulls the same document through its own cache.',
    blastRadius:
      'Everybody is signed out when it is revoked too early. The partner’s reconciliation stops until it has fetched the new key; call its operations desk first.',
    rolloutOrder: 'Staging first, then production in the morning of a working day.',
    verification:
      'Share of traffic by kid on the gateway dashboard; 401 by client; a login in the mobile app that was not restarted since yesterday.',
    rollbackPlan:
      'keyturn rollback while it is emitting or draining. Decided by the lead or the deputy, on a 401 rate above 0.1 % for five minutes.',
    cadence: 'Every 90 days, not in the last week of a quarter.',
    nextReview: '2026-09-01',
  },
  consumers: [
    consumerOf('orders-api', { roles: ['emitter', 'verifier'], instances: 6, cacheTtl: 'PT10M' }),
    consumerOf('checkout-gateway', { instances: 4 }),
    consumerOf('mobile-app', { cacheTtl: 'P1D' }),
    consumerOf('reconciliation of the partner', { thirdParty: true, cacheTtl: 'PT6H' }),
  ],
  runbookMissing: [],
  lastReview: null,
  drift: null,
  custodians: [],
  retired: false,
  versions: [
    {
      versionId: CURRENT,
      algorithm: 'ES256',
      strengthBits: 256,
      fingerprint: 'a'.repeat(64),
      createdAt: '2026-01-05T09:00:00.000Z',
      accepted: true,
      emittingShare: 100,
      compromised: false,
      destroyed: false,
      contained: false,
    },
  ],
  current: CURRENT,
  runningRotation: null,
  coverageStart: '2025-06-01T00:00:00.000Z',
  revision: 12,
};

const windowOf = (required: string, binding: string) => ({
  computed: required,
  required,
  terms: [],
  binding,
});

export function runbookInput(
  change: Partial<FamilyView> = {},
  around: Partial<Omit<RunbookInput, 'family'>> = {},
): RunbookInput {
  return {
    logId: idOf('log'),
    treeSize: 4_711,
    asOf: Date.parse('2026-03-02T09:00:00.000Z'),
    family: { ...family, ...change },
    windows: {
      accept: windowOf('P1DT5M30S', 'mobile-app caches its keys for P1D'),
      drain: windowOf('P2D', 'twice the longest cache, P1D, is more than all terms together'),
    },
    due: { status: 'ok', due: '2026-04-05T09:00:00.000Z', overdueDays: null },
    policy: {
      name: 'Signing keys, 90 days',
      revision: 3,
      stopEmitting: 'P90D',
      stopAccepting: 'P97D',
      departures: [],
    },
    backEndKind: 'local',
    ...around,
  };
}

/** A family of which nobody has written anything down. */
export function emptyRunbook(): RunbookInput {
  const { policy: _, ...input } = runbookInput({
    description: null,
    algorithm: null,
    strengthBits: null,
    mode: 'tracked',
    authority: { kind: 'nobody' },
    owner: { role: 'not recorded' },
    backEnd: null,
    runbook: {},
    consumers: [],
    versions: [],
    current: null,
  });
  const { backEndKind: __, ...rest } = input;
  return {
    ...rest,
    windows: { none: 'no back end is named, so nothing could be rotated' },
    due: { status: 'not-observed', due: null, overdueDays: null },
  };
}

/** Every text as long as it may be (vocabulary: lines of 500, texts of 8,000 characters, names of 120). */
export function longRunbook(filler: (characters: number) => string): RunbookInput {
  const text = filler(8_000);
  const name = filler(120).replaceAll('/', '-');
  return runbookInput(
    {
      name,
      qualifiedName: `production-${'x'.repeat(49)}/${name}`,
      environment: `production-${'x'.repeat(49)}`,
      description: text,
      owner: { role: filler(500), deputy: filler(500), escalation: filler(500) },
      team: filler(120),
      backEnd: { instance: `vault.${'p'.repeat(74)}`, object: `keys/${'o'.repeat(195)}` },
      authority: { kind: 'pipeline', name: filler(500) },
      illustrative: true,
      runbook: {
        scope: text,
        storage: text,
        blastRadius: text,
        rolloutOrder: text,
        verification: text,
        rollbackPlan: text,
        cadence: text,
        nextReview: '2026-01-01',
      },
      consumers: Array.from({ length: 60 }, (_, index) =>
        consumerOf(filler(118) + String(index).padStart(2, '0'), {
          thirdParty: index % 3 === 0,
          neverRefreshes: index % 7 === 0,
          instances: 1 + index,
        }),
      ),
      versions: [
        {
          versionId: filler(200),
          createdAt: '2025-01-05T09:00:00.000Z',
          accepted: true,
          emittingShare: 100,
          compromised: false,
          destroyed: false,
          contained: false,
        },
      ],
      current: filler(200),
      runningRotation: idOf('rotation'),
    },
    {
      windows: {
        accept: windowOf('P1DT5M30S', filler(500)),
        drain: windowOf('P2D', filler(500)),
      },
      policy: { name: filler(120), revision: 3, stopEmitting: 'P90D', stopAccepting: 'P97D', departures: [] },
      due: { status: 'overdue', due: '2025-04-05T09:00:00.000Z', overdueDays: 331 },
    },
  );
}
