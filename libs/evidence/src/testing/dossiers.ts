import type { NewFamilyEvent, NewRotationEvent, RotationPlan } from '#rotation';
import type { RotationDossier } from '../dossier.js';
import { History, idOf } from './history.js';

type DataOf<Event extends { readonly type: string }, Type extends string> =
  Extract<Event, { readonly type: Type }> extends { readonly data: infer Data } ? Data : never;
type FamilyDetails = DataOf<NewFamilyEvent, 'FamilyRegistered'>;
type Confirmation = DataOf<NewRotationEvent, 'AcceptanceConfirmed'>;

const ALICE = idOf('alice');
const BOB = idOf('bob');
const CAROL = idOf('carol');
const NAMES = { [ALICE]: 'Alice Moreau', [BOB]: 'Bob Tanaka', [CAROL]: 'Carol Østergård' };

const OLD = 'orders-2025-08';
const NEW = 'orders-2025-11';

const family: FamilyDetails = {
  name: 'orders-signing',
  environment: 'production',
  kind: 'asymmetric-key',
  algorithm: 'RS256',
  strengthBits: 2048,
  protects: 'pan-in-transit',
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
  backEnd: { instance: 'vault.prod-eu', object: 'transit/keys/orders-signing' },
  artefactLife: 'PT1H',
  illustrative: false,
};

const terms: RotationPlan['terms'] = {
  stopEmitting: 'P90D',
  stopAccepting: 'P97D',
  margins: { clockSkew: 'PT1M', safety: 'PT1H' },
  approvals: 1,
  settle: 'PT1H',
  watch: 'PT1H',
  emergency: { approvalWithin: 'P1D', reviewWithin: 'P1D', targets: [] },
};

const plan: RotationPlan & { readonly windows: NonNullable<RotationPlan['windows']> } = {
  sagaVersion: 1,
  strategy: 'graceful',
  backEnd: { instance: 'vault.prod-eu', object: 'transit/keys/orders-signing' },
  algorithm: 'RS256',
  incoming: NEW,
  outgoing: [OLD],
  emittingBefore: OLD,
  leftAccepted: [],
  consumers: [
    consumer('orders-api', ['emitter', 'verifier'], 3),
    consumer('checkout-gateway', ['verifier'], 4),
    consumer('mobile-app', ['verifier'], 1, { refreshTerm: 'P1D', thirdParty: true }),
  ],
  maxAgeSeconds: 300,
  policy: { id: idOf('policy'), revision: 3, name: 'Signing keys, 90 days' },
  terms,
  windows: {
    accept: {
      computed: 'P1DT1H11M',
      required: 'P1DT1H11M',
      terms: [
        { name: 'cache', consumer: 'mobile-app', duration: 'P1D' },
        { name: 'refresh', consumer: 'mobile-app', duration: 'PT10M' },
        { name: 'clock-skew', duration: 'PT1M' },
        { name: 'safety', duration: 'PT1H' },
      ],
      binding: 'mobile-app caches its JWKS for 24 h',
    },
    drain: {
      computed: 'P2D',
      required: 'P2D',
      terms: [
        { name: 'artefact-life', duration: 'PT1H' },
        { name: 'cache', consumer: 'mobile-app', duration: 'P1D' },
        { name: 'clock-skew', duration: 'PT1M' },
        { name: 'safety', duration: 'PT1H' },
      ],
      binding: 'never less than 2 × the longest cache (24 h, mobile-app)',
    },
  },
  trustTerm: 'P1DT1H11M',
  approvals: 1,
  steps: ['generate', 'accept', 'emit', 'revoke', 'verify'],
  versionsBefore: [
    {
      versionId: OLD,
      algorithm: 'RS256',
      strengthBits: 2048,
      fingerprint: 'SHA256:2f6c1b0a9d8e7f60514233241506f7e8d9cab1a2',
      createdAt: '2025-08-14T09:00:00.000Z',
      accepted: true,
      emittingShare: 100,
      compromised: false,
      destroyed: false,
    },
  ],
  exceptions: [],
};

function consumer(
  name: string,
  roles: RotationPlan['consumers'][number]['roles'],
  instances: number,
  more: Partial<RotationPlan['consumers'][number]> = {},
): RotationPlan['consumers'][number] {
  return {
    consumerId: idOf(name),
    name,
    roles,
    instances,
    refreshTerm: 'PT10M',
    emitterPropagation: 'PT5M',
    thirdParty: false,
    neverRefreshes: false,
    ...more,
  };
}

function confirms(name: string, versionId: string, ...instances: string[]): Confirmation {
  return { consumerId: idOf(name), versionId, instances };
}

function started(
  step: 'generate' | 'accept' | 'emit' | 'revoke' | 'verify' | 'return' | 'withdraw' | 'contain',
  attempt = 1,
) {
  return {
    type: 'StepStarted' as const,
    data: {
      step,
      attempt,
      worker: 'worker-a#7f3a',
      leaseUntil: '2026-01-01T00:00:00.000Z',
      view: {},
      observesFirst: attempt > 1,
    },
  };
}

const requested: DataOf<NewRotationEvent, 'RotationRequested'> = {
  family: idOf('family'),
  strategy: 'graceful',
  trigger: 'scheduled',
  reason: 'The 90 days of the policy end on 2025-11-12.',
  requestedBy: ALICE,
};

function planned(
  details: Partial<FamilyDetails> = {},
  names: Readonly<Record<string, string>> = {},
): History {
  return new History({ ...NAMES, ...names }, 4200).family(
    { at: '2025-08-14T08:00:00Z', by: ALICE },
    { type: 'FamilyRegistered', data: { ...family, ...details } },
  );
}

function upToEmitting(history: History): History {
  return history
    .rotation({ at: '2025-11-10T08:00:00Z', by: ALICE }, { type: 'RotationRequested', data: requested })
    .rotation({ at: '2025-11-10T08:00:01Z' }, { type: 'RotationPlanned', data: plan })
    .rotation(
      { at: '2025-11-10T09:12:00Z', by: BOB },
      { type: 'RotationApproved', data: { note: 'CAB-1182' } },
    )
    .rotation({ at: '2025-11-10T09:12:02Z' }, started('generate'))
    .rotation(
      { at: '2025-11-10T09:12:04Z' },
      {
        type: 'KeyGenerated',
        data: {
          versionId: NEW,
          algorithm: 'RS256',
          strengthBits: 2048,
          fingerprint: 'SHA256:91ab03c4d5e6f708192a3b4c5d6e7f8091a2b3c4',
          settledBy: 'answer',
        },
      },
    )
    .rotation({ at: '2025-11-10T09:12:05Z' }, started('accept'))
    .rotation(
      { at: '2025-11-10T09:12:20Z' },
      {
        type: 'StepFailed',
        data: {
          step: 'accept',
          attempt: 1,
          performed: 'unknown',
          errorClass: 'unknown',
          reason: 'no answer within 15 s from vault.prod-eu',
        },
      },
    )
    .rotation({ at: '2025-11-10T09:13:00Z' }, started('accept', 2))
    .rotation(
      { at: '2025-11-10T09:13:02Z', provenance: 'observed' },
      {
        type: 'DualAcceptDeployed',
        data: { versions: [OLD, NEW], settledBy: 'observation' },
      },
    )
    .rotation(
      { at: '2025-11-10T10:00:00Z', by: CAROL, provenance: 'confirmed' },
      { type: 'AcceptanceConfirmed', data: confirms('orders-api', NEW, 'a', 'b') },
    )
    .rotation(
      { at: '2025-11-10T10:20:00Z', by: CAROL, provenance: 'confirmed' },
      { type: 'AcceptanceConfirmed', data: confirms('orders-api', NEW, 'c') },
    )
    .rotation(
      { at: '2025-11-10T11:00:00Z', by: CAROL, provenance: 'confirmed' },
      { type: 'AcceptanceConfirmed', data: confirms('checkout-gateway', NEW, '1', '2', '3', '4') },
    )
    .rotation(
      {
        at: '2025-11-11T08:30:00Z',
        by: CAROL,
        provenance: 'attested',
        occurredAt: '2025-11-11T07:00:00Z',
      },
      { type: 'AcceptanceConfirmed', data: confirms('mobile-app', NEW, 'store release 8.2') },
    )
    .rotation(
      { at: '2025-11-11T10:24:10Z' },
      {
        type: 'GateEvaluated',
        data: {
          gate: 'accept-window',
          required: 'P1DT1H11M',
          actual: 'P1DT1H11M8S',
          binding: 'mobile-app caches its JWKS for 24 h',
        },
      },
    )
    .rotation({ at: '2025-11-11T10:24:12Z' }, started('emit'))
    .rotation(
      { at: '2025-11-11T10:24:13Z' },
      {
        type: 'EmitterSwitched',
        data: { from: OLD, to: NEW, share: 100, settledBy: 'answer' },
      },
    )
    .rotation(
      { at: '2025-11-11T10:40:00Z', by: CAROL, provenance: 'confirmed' },
      { type: 'EmissionConfirmed', data: confirms('orders-api', NEW, 'a', 'b', 'c') },
    );
}

export function gracefulDossier(details: Partial<FamilyDetails> = {}): RotationDossier {
  return upToEmitting(planned(details))
    .rotation(
      { at: '2025-11-13T10:40:05Z' },
      {
        type: 'GateEvaluated',
        data: {
          gate: 'drain-window',
          required: 'P2D',
          actual: 'P2DT5S',
          binding: 'never less than 2 × the longest cache',
        },
      },
    )
    .rotation({ at: '2025-11-13T10:40:06Z' }, started('revoke'))
    .rotation(
      { at: '2025-11-13T10:40:08Z' },
      {
        type: 'OldKeyRevoked',
        data: { versions: [OLD], trustEndsAt: '2025-11-14T11:51:08.000Z', settledBy: 'answer' },
      },
    )
    .rotation(
      { at: '2025-11-13T10:41:00Z' },
      {
        type: 'OldKeyRejectionVerified',
        data: {
          refused: [{ versionId: OLD, how: 'verify answered invalid' }],
          accepted: [{ versionId: NEW, how: 'verify answered valid' }],
        },
      },
    )
    .rotation({ at: '2025-11-13T11:41:00Z' }, { type: 'RotationCompleted', data: { leftAccepted: [] } })
    .dossier();
}

export function rolledBackDossier(): RotationDossier {
  return upToEmitting(planned())
    .rotation(
      { at: '2025-11-11T13:05:00Z', by: CAROL },
      {
        type: 'RollbackRequested',
        data: { reason: 'checkout-gateway answers 401 to 4 % of requests signed with the new key.' },
      },
    )
    .rotation({ at: '2025-11-11T13:05:02Z' }, started('return'))
    .rotation({ at: '2025-11-11T13:05:05Z' }, { type: 'EmissionReturned', data: { from: NEW, to: OLD } })
    .rotation(
      { at: '2025-11-11T13:20:00Z', by: CAROL, provenance: 'confirmed' },
      { type: 'EmissionConfirmed', data: confirms('orders-api', OLD, 'a', 'b', 'c') },
    )
    .rotation({ at: '2025-11-13T13:20:10Z' }, started('withdraw'))
    .rotation({ at: '2025-11-13T13:20:12Z' }, { type: 'NewKeyWithdrawn', data: { versions: [NEW] } })
    .rotation({ at: '2025-11-13T13:20:13Z' }, { type: 'RotationRolledBack', data: {} })
    .dossier();
}

export function emergencyDossier(): RotationDossier {
  return planned()
    .rotation(
      { at: '2025-12-02T02:09:00Z', by: ALICE },
      {
        type: 'RotationRequested',
        data: {
          ...requested,
          strategy: 'emergency',
          trigger: 'compromise',
          reason: 'The signing key was found in a public repository.',
          supersedes: idOf('superseded'),
          emergency: {
            compromisedVersions: [OLD],
            discoveredAt: '2025-12-02T02:05:00.000Z',
            exposedFrom: '2025-11-28T16:40:00.000Z',
            incident: 'INC-2291',
            contain: true,
          },
        },
      },
    )
    .rotation(
      { at: '2025-12-02T02:09:00Z' },
      {
        type: 'RotationPlanned',
        data: {
          ...plan,
          strategy: 'emergency',
          approvals: 0,
          windows: {
            accept: { ...plan.windows.accept, required: 'PT0S' },
            drain: { ...plan.windows.drain, required: 'PT0S' },
          },
        },
      },
    )
    .rotation(
      { at: '2025-12-02T02:09:00Z', by: ALICE },
      {
        type: 'EmergencyDeclared',
        data: {
          compromisedVersions: [OLD],
          discoveredAt: '2025-12-02T02:05:00.000Z',
          exposedFrom: '2025-11-28T16:40:00.000Z',
          incident: 'INC-2291',
          contain: true,
          containment: idOf('containment'),
          targets: [
            { name: 'emergency declared', fact: 'EmergencyDeclared', within: 'PT5M' },
            { name: 'new key on all servers', fact: 'DualAcceptDeployed', within: 'PT15M' },
            { name: 'old key denied', fact: 'ContainmentApplied', within: 'PT20M' },
            { name: 'sessions ended', fact: 'SessionsInvalidated', within: 'PT30M' },
            { name: 'sign-in verified', fact: 'ReauthenticationVerified', within: 'PT45M' },
            { name: 'rotation done', fact: 'RotationCompleted', within: 'PT1H' },
            { name: 'review held', fact: 'PostIncidentReviewed', within: 'P1D' },
          ],
          approvalDueAt: '2025-12-03T02:09:00.000Z',
          reviewDueAt: '2025-12-03T02:05:00.000Z',
          decisions: [
            'The accept window is cut to zero: mobile-app may refuse new tokens for up to 24 h.',
            'The drain window is cut to zero: tokens signed with orders-2025-08 stop working at once.',
            'No approval before the rotation; it is owed until 2025-12-03 02:09 UTC.',
          ],
        },
      },
    )
    .containment(
      { at: '2025-12-02T02:09:01Z', by: ALICE },
      {
        type: 'ContainmentRequested',
        data: {
          family: idOf('family'),
          backEnd: plan.backEnd,
          versions: [OLD],
          reason: 'The signing key was found in a public repository.',
          incident: 'INC-2291',
          rotation: idOf('rotation'),
          trustTerm: 'P1DT1H11M',
        },
      },
    )
    .containment({ at: '2025-12-02T02:09:02Z' }, started('contain'))
    .containment(
      { at: '2025-12-02T02:09:04Z' },
      {
        type: 'ContainmentApplied',
        data: { versions: [OLD], trustEndsAt: '2025-12-03T03:20:04.000Z', settledBy: 'answer' },
      },
    )
    .rotation({ at: '2025-12-02T02:09:05Z' }, started('generate'))
    .rotation(
      { at: '2025-12-02T02:09:06Z' },
      {
        type: 'StepFailed',
        data: {
          step: 'generate',
          attempt: 1,
          performed: 'no',
          errorClass: 'transient',
          reason: 'vault.prod-eu is sealed',
        },
      },
    )
    .rotation({ at: '2025-12-02T02:22:00Z' }, started('generate', 2))
    .rotation(
      { at: '2025-12-02T02:22:02Z' },
      {
        type: 'KeyGenerated',
        data: {
          versionId: NEW,
          algorithm: 'RS256',
          strengthBits: 2048,
          fingerprint: 'SHA256:91ab03c4d5e6f708',
        },
      },
    )
    .rotation({ at: '2025-12-02T02:22:05Z' }, { type: 'DualAcceptDeployed', data: { versions: [NEW] } })
    .rotation({ at: '2025-12-02T02:22:07Z' }, started('emit'))
    .rotation(
      { at: '2025-12-02T02:22:08Z' },
      { type: 'EmitterSwitched', data: { from: OLD, to: NEW, share: 100 } },
    )
    .rotation({ at: '2025-12-02T02:22:10Z' }, started('revoke'))
    .rotation(
      { at: '2025-12-02T02:22:11Z' },
      {
        type: 'OldKeyRevoked',
        data: { versions: [OLD], trustEndsAt: '2025-12-03T03:33:11.000Z' },
      },
    )
    .rotation(
      { at: '2025-12-02T02:22:40Z' },
      {
        type: 'OldKeyRejectionVerified',
        data: { refused: [{ versionId: OLD, how: 'verify answered invalid' }], accepted: [] },
      },
    )
    .rotation(
      { at: '2025-12-02T02:41:00Z', by: BOB, provenance: 'attested', occurredAt: '2025-12-02T02:33:00Z' },
      { type: 'SessionsInvalidated', data: { note: 'All sessions in the session store dropped.' } },
    )
    .rotation({ at: '2025-12-02T02:58:00Z' }, { type: 'RotationCompleted', data: { leftAccepted: [] } })
    .rotation(
      { at: '2025-12-02T09:15:00Z', by: BOB },
      { type: 'RotationApproved', data: { note: 'Right call.' } },
    )
    .dossier();
}

/** Only what stands as a fact in the StockEase playbook: no plan, no emitter switch, nobody's request. */
export function stockEaseDossier(): RotationDossier {
  const imported = (occurredAt?: string) => ({
    at: '2026-01-05T12:00:00Z',
    by: ALICE,
    provenance: 'imported' as const,
    ...(occurredAt === undefined ? {} : { occurredAt }),
  });
  return new History(NAMES, 12)
    .family(
      { at: '2026-01-05T11:00:00Z', by: ALICE },
      {
        type: 'FamilyRegistered',
        data: {
          ...family,
          name: 'StockEase session JWT',
          kind: 'shared-secret',
          algorithm: 'HS256',
          strengthBits: 256,
          protects: 'application-account',
          usage: 'mac',
          mode: 'tracked',
          authority: { kind: 'nobody' },
          owner: { role: 'Security engineering' },
        },
      },
    )
    .rotation(imported('2025-11-13T09:00:00Z'), {
      type: 'KeyGenerated',
      data: { versionId: 'current', algorithm: 'HS256', strengthBits: 256, by: 'automation@stockease.com' },
    })
    .rotation(imported('2025-11-13T10:00:00Z'), {
      type: 'NoteAdded',
      data: { note: 'Dual-key deployment started.' },
    })
    .rotation(imported('2025-11-13T11:00:00Z'), {
      type: 'DualAcceptDeployed',
      data: { versions: ['previous', 'current'] },
    })
    .rotation(imported('2025-11-20T14:00:00Z'), {
      type: 'TelemetryRecorded',
      data: {
        from: '2025-11-19T14:00:00.000Z',
        to: '2025-11-20T14:00:00.000Z',
        current: 2847,
        previous: 52,
        invalid: 2,
        note: 'Monitoring complete.',
      },
    })
    .rotation(imported('2025-11-20T15:00:00Z'), { type: 'OldKeyRevoked', data: { versions: ['previous'] } })
    .rotation(imported(), {
      type: 'NoteAdded',
      data: { note: 'About 52 users had to log in again; no downtime.' },
    })
    .rotation(imported('2025-11-21T09:00:00Z'), { type: 'NoteAdded', data: { note: 'Post-rotation audit.' } })
    .dossier();
}

/** 300 events and 40 consumers: tables that go over many pages, and a note longer than one. */
export function longDossier(): RotationDossier {
  const consumers = Array.from({ length: 40 }, (_, index) =>
    consumer(
      `service-${String(index + 1).padStart(2, '0')}-with-a-rather-long-name.payments.internal`,
      ['verifier'],
      5,
    ),
  );
  const history = planned()
    .rotation({ at: '2025-11-10T08:00:00Z', by: ALICE }, { type: 'RotationRequested', data: requested })
    .rotation({ at: '2025-11-10T08:00:01Z' }, { type: 'RotationPlanned', data: { ...plan, consumers } })
    .rotation(
      { at: '2025-11-10T09:12:05Z' },
      {
        type: 'KeyGenerated',
        data: { versionId: NEW, algorithm: 'RS256', strengthBits: 2048 },
      },
    )
    .rotation({ at: '2025-11-10T09:13:00Z' }, { type: 'DualAcceptDeployed', data: { versions: [OLD, NEW] } })
    .rotation(
      { at: '2025-11-10T09:14:00Z', by: BOB, provenance: 'attested' },
      {
        type: 'NoteAdded',
        data: { note: 'A long note about what was seen in the gateways. '.repeat(160).trim() },
      },
    );
  for (let index = 0; index < 295; index += 1) {
    const { consumerId } = consumers[index % consumers.length] ?? plan.consumers[0] ?? { consumerId: '' };
    const at = new Date(Date.parse('2025-11-10T10:00:00Z') + index * 60_000).toISOString();
    history.rotation(
      { at, by: CAROL, provenance: 'confirmed' },
      {
        type: 'AcceptanceConfirmed',
        data: { consumerId, versionId: NEW, instances: [`instance-${Math.floor(index / consumers.length)}`] },
      },
    );
  }
  return history.dossier();
}

/** Names in other scripts, text that looks like markup, and characters that would reorder a line. */
export function foreignDossier(): RotationDossier {
  const requester = idOf('foreign');
  return planned(
    {
      name: 'Ключ подписи заказов',
      illustrative: true,
      owner: { role: 'Υπεύθυνη ασφάλειας Ελένη Παπαδοπούλου', deputy: 'محمد علي', escalation: '王芳 👩‍💻' },
    },
    { [requester]: 'דוד כהן' },
  )
    .rotation(
      { at: '2025-11-10T08:00:00Z', by: requester },
      {
        type: 'RotationRequested',
        data: {
          ...requested,
          requestedBy: requester,
          reason:
            '<b>Bold?</b> {{7*7}} %PDF-1.4 (endstream) </script>\u202Eesrever \\u0041 & “quotes” – naïve façade ½ → ✓',
        },
      },
    )
    .rotation(
      { at: '2025-11-10T08:00:01Z' },
      {
        type: 'RotationPlanned',
        data: { ...plan, exceptions: ['No runbook: 王芳 was asked.', 'Блок <i>italic</i>'] },
      },
    )
    .dossier();
}
