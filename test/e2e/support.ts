import { randomUUID } from 'node:crypto';
import { formatInstant } from '#eventlog';
import { RotationRunner, type FamilyView, type RotationViewJson, type Wake } from '#rotation';
import type { Answer, StartedService } from '../../apps/service/src/testing/started-service.js';
import { COMPLETE_RUNBOOK } from '../support/runbook.js';

/** What the specs of this folder share: bodies that are accepted as they are, and a hand that drives rotations. */

type Json = Readonly<Record<string, unknown>>;

export const EVERYWHERE = { environments: 'all', teams: 'all' };

/** A family Keyturn drives, under a name and an object of its own. */
export function familyBody(change: Json = {}): Json {
  const name = `family ${randomUUID().slice(0, 8)}`;
  return {
    name,
    environment: 'staging',
    kind: 'asymmetric-key',
    algorithm: 'ES256',
    protects: 'application-account',
    usage: 'sign',
    overlap: 'dual',
    mode: 'driven',
    authority: { kind: 'keyturn' },
    owner: { role: 'Platform on-call' },
    team: 'platform',
    backEnd: { instance: 'local', object: `keys/${name.replace(' ', '-')}` },
    artefactLife: 'PT15M',
    ...change,
  };
}

export function policyBody(effectiveFrom: number, change: Json = {}, terms: Json = {}): Json {
  return {
    name: `policy ${randomUUID().slice(0, 8)}`,
    selector: {},
    terms: {
      stopEmitting: 'P90D',
      stopAccepting: 'P120D',
      margins: { clockSkew: 'PT30S', safety: 'PT5M' },
      approvals: 1,
      settle: 'PT1H',
      watch: 'PT1H',
      emergency: { approvalWithin: 'P1D', reviewWithin: 'P1D', targets: [] },
      ...terms,
    },
    basis: {
      setBy: 'CISO',
      riskAnalysis: 'RA-7',
      reviewedOn: '2026-01-01',
      nextReview: '2027-01-01',
    },
    effectiveFrom: formatInstant(effectiveFrom),
    ...change,
  };
}

export const wish = (change: Json = {}): Json => ({ reason: 'the policy asks for a new key', ...change });

/** The answer's body, after its status was the expected one. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- what the API answers is JSON, read as the view it is
export function bodyOf<T>(answer: Answer, status: number): T {
  if (answer.status !== status) throw new Error(`${answer.status} instead of ${status}: ${answer.text}`);
  const body: T = JSON.parse(answer.text);
  return body;
}

/** A service, the people around it, and a runner that looks when it is told to. */
export class Stage {
  readonly runner: RotationRunner;

  private constructor(
    readonly service: StartedService,
    readonly approver: string,
  ) {
    const { ledger, backEnds } = service.keyturn;
    this.runner = new RotationRunner({
      ledger,
      backEnds,
      worker: 'e2e#1',
      othersAreDead: (worker) => worker !== 'e2e#1',
    });
  }

  static async on(service: StartedService): Promise<Stage> {
    const { token } = await service.tokenWith(['approver', 'viewer']);
    return new Stage(service, token);
  }

  get now(): number {
    return this.service.clock.now();
  }

  post(path: string, body: unknown, options: Json = {}): Promise<Answer> {
    return this.service.call('POST', `/api/v1${path}`, { body, ...options });
  }

  get(path: string): Promise<Answer> {
    return this.service.call('GET', `/api/v1${path}`);
  }

  async family(change: Json = {}, consumers: readonly Json[] = CONSUMERS): Promise<FamilyView> {
    let family = bodyOf<FamilyView>(await this.post('/families', familyBody(change)), 201);
    for (const consumer of consumers) {
      const named = { ...consumer, name: `${String(consumer['name'])} of ${family.name}` };
      family = bodyOf(await this.post(`/families/${family.id}/consumers`, named), 201);
    }
    return family;
  }

  async request(familyId: string, change: Json = {}): Promise<RotationViewJson> {
    if (change['deviation'] === undefined) await this.fillRunbook(familyId);
    return bodyOf(await this.post(`/families/${familyId}/rotations`, wish(change)), 201);
  }

  /** A driven family is rotated by a complete runbook. */
  async fillRunbook(familyId: string): Promise<void> {
    const family = bodyOf<FamilyView>(await this.get(`/families/${familyId}`), 200);
    if (family.runbookMissing.length === 0) return;
    bodyOf(
      await this.service.call('PUT', `/api/v1/families/${familyId}/runbook`, {
        body: COMPLETE_RUNBOOK,
        headers: { 'idempotency-key': `runbook ${familyId}` },
      }),
      200,
    );
  }

  async approve(rotationId: string): Promise<void> {
    bodyOf(await this.post(`/rotations/${rotationId}/approve`, {}, { token: this.approver }), 200);
  }

  async rotation(id: string): Promise<RotationViewJson> {
    await this.service.keyturn.readModel.caughtUp();
    return bodyOf(await this.get(`/rotations/${id}`), 200);
  }

  /** Looks once, as far as it goes without time or people. */
  async look(rotationId: string): Promise<Wake> {
    const wake = await this.runner.advance(rotationId);
    await this.service.keyturn.readModel.caughtUp();
    return wake;
  }

  /** Confirms what is asked for now. */
  async confirmMissing(rotation: RotationViewJson): Promise<number> {
    const asked = rotation.confirmations.filter(
      ({ kind, missing, version }) =>
        missing && version !== null && (kind === 'emission') === rotation.phase.startsWith('emitting'),
    );
    for (const { kind, consumer, version } of asked) {
      const body = { kind, consumer, version, instances: [`${consumer}-1`] };
      bodyOf(await this.post(`/rotations/${rotation.id}/confirmations`, body), 200);
    }
    return asked.length;
  }

  /** Drives a rotation, over as many confirmations and windows as it takes, until it is in a phase. */
  async driveTo(rotationId: string, phase: RotationViewJson['phase']): Promise<RotationViewJson> {
    for (let turn = 0; turn < 30; turn += 1) {
      const wake = await this.look(rotationId);
      const rotation = await this.rotation(rotationId);
      if (rotation.phase === phase) return rotation;
      if (rotation.phase === 'requested' && rotation.emergency === null) {
        await this.approve(rotationId);
        continue;
      }
      if ((await this.confirmMissing(rotation)) > 0) continue;
      if (wake.finished || wake.until === undefined) {
        throw new Error(`it stays ${rotation.phase}: ${wake.finished ? 'finished' : wake.waitsFor}`);
      }
      this.service.clock.advance(Math.max(0, wake.until - this.now));
    }
    throw new Error(`it never became ${phase}`);
  }

  /** A family whose first key emits. */
  async familyWithKey(
    change: Json = {},
    consumers: readonly Json[] = CONSUMERS,
    asked: Json = {},
  ): Promise<FamilyView> {
    const { id } = await this.family(change, consumers);
    const { id: rotation } = await this.request(id, asked);
    await this.driveTo(rotation, 'completed');
    await this.look(rotation);
    return bodyOf(await this.get(`/families/${id}`), 200);
  }
}

export const CONSUMERS: readonly Json[] = [
  { name: 'issuer', roles: ['emitter'] },
  { name: 'mobile-app', roles: ['verifier'], cacheTtl: 'P1D' },
];
