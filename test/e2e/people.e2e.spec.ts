import { jest } from '@jest/globals';
import type { FamilyView, RotationViewJson } from '#rotation';
import { startService, type StartedService } from '../../apps/service/src/testing/started-service.js';
import { bodyOf, Stage } from './support.js';

/** Steps that people perform: an attested family, a step taken over, and an emergency on a secret nobody registered. */

// A starting service is slow where the machine is busy.
jest.setTimeout(60_000);

let service: StartedService;
let stage: Stage;

beforeAll(async () => {
  service = await startService();
  stage = await Stage.on(service);
});

afterAll(async () => {
  await service.stop();
});

const EVIDENCE = { link: 'https://change.example/CHG-7' };
const PEOPLES = { mode: 'attested', authority: { kind: 'nobody' }, backEnd: undefined };

function attest(id: string, step: string, body: Readonly<Record<string, unknown>> = {}) {
  return stage.post(`/rotations/${id}/steps/${step}/attest`, { evidence: EVIDENCE, ...body });
}

interface Problem {
  readonly code: string;
  readonly detail: string;
}

/** Attests whatever is asked for, and lets people confirm and time pass in between. */
async function toItsEnd(
  id: string,
  made: Readonly<Record<string, unknown>> = {},
): Promise<readonly string[]> {
  const attested: string[] = [];
  for (let turn = 0; turn < 40; turn += 1) {
    const wake = await stage.look(id);
    if (wake.finished) return attested;
    const [, step] = /^an attestation of (.+)$/.exec(wake.waitsFor) ?? [];
    if (step !== undefined) {
      bodyOf(await attest(id, step, step === 'generate' ? made : {}), 200);
      attested.push(step);
      continue;
    }
    if ((await stage.confirmMissing(await stage.rotation(id))) > 0) continue;
    if (wake.until === undefined) throw new Error(`it waits for ${wake.waitsFor}`);
    service.clock.advance(Math.max(0, wake.until - stage.now));
  }
  throw new Error('it never ended');
}

it('an attested family is rotated by people: every step waits for its evidence', async () => {
  const family = await stage.family(PEOPLES);
  const { id } = await stage.request(family.id);
  await stage.approve(id);
  await stage.look(id);
  const before = service.keyturn.readModel.treeSize();
  const bare = await attest(id, 'generate', { evidence: {} });
  expect(bodyOf<Problem>(bare, 422)).toMatchObject({ code: 'attestation.no-evidence' });
  expect(bodyOf<Problem>(await attest(id, 'accept'), 409)).toMatchObject({ code: 'step.not-open' });
  expect(service.keyturn.readModel.treeSize()).toBe(before);

  const made = { generated: { versionId: 'AKIA-7', algorithm: 'provider key' }, by: 'Payments on call' };
  expect(await toItsEnd(id, made)).toEqual(['generate', 'accept', 'emit']);
  const over = await stage.rotation(id);
  expect(over).toMatchObject({ phase: 'completed', incoming: 'AKIA-7' });
  // The second one has something to revoke.
  const next = await stage.request(family.id);
  await stage.approve(next.id);
  expect(await toItsEnd(next.id, { generated: { versionId: 'AKIA-8' } })).toEqual([
    'generate',
    'accept',
    'emit',
    'revoke',
    'verify',
  ]);
  const versions = bodyOf<FamilyView>(await stage.get(`/families/${family.id}`), 200).versions;
  expect(versions.map(({ versionId, accepted }) => [versionId, accepted])).toEqual([
    ['AKIA-7', false],
    ['AKIA-8', true],
  ]);
});

it('a step of a driven family is taken over with a reason, and refused where it is not to be done', async () => {
  const family = await stage.familyWithKey();
  const { id } = await stage.request(family.id);
  await stage.approve(id);
  expect(bodyOf<Problem>(await attest(id, 'generate'), 409)).toMatchObject({ code: 'step.not-attested' });
  const taken = await stage.post(`/rotations/${id}/steps/generate/switch-to-attested`, { reason: 'sealed' });
  bodyOf(taken, 200);
  const wake = await stage.look(id);
  expect(wake).toMatchObject({ waitsFor: 'an attestation of generate' });
  const early = await stage.post(`/rotations/${id}/steps/return/switch-to-attested`, { reason: 'x' });
  expect(bodyOf<Problem>(early, 409)).toMatchObject({ code: 'step.not-open' });
  // What is attested and is not so in the back end is performed after all.
  bodyOf(await attest(id, 'generate'), 200);
  await stage.driveTo(id, 'accepting');
  const titles = bodyOf<{ entries: readonly { title: string }[] }>(
    await stage.get(`/rotations/${id}/timeline`),
    200,
  ).entries.map(({ title }) => title);
  expect(titles).toContain('People take over: generate');
  expect(titles).toContain('The back end does not show what was attested');
});

it('an emergency on a secret nobody registered writes it down, runs by attestation, and owes what was skipped', async () => {
  const path = '/etc/app/stripe.key';
  const body = { path, environment: 'production', reason: 'seen in a support ticket', incident: 'INC-7' };
  const options = { key: 'one-emergency' };
  const declared = bodyOf<RotationViewJson>(await stage.post('/emergencies', body, options), 201);
  // Sent again, it is the same one.
  expect(bodyOf<RotationViewJson>(await stage.post('/emergencies', body, options), 201).id).toBe(declared.id);
  expect(declared.emergency?.compromisedVersions).toEqual(['as-found']);
  const family = bodyOf<FamilyView>(await stage.get(`/families/${declared.family.id}`), 200);
  expect(family).toMatchObject({ mode: 'attested', environment: 'production' });
  expect(family.description).toContain(path);
  expect(await toItsEnd(declared.id)).toEqual(['generate', 'accept', 'emit', 'revoke', 'verify']);
  const over = await stage.rotation(declared.id);
  expect(over.phase).toBe('completed');
  expect(over.emergency).toMatchObject({ approved: false, reviewed: false });
});

it('what is missing in such a declaration is named, and nothing is written', async () => {
  const before = service.keyturn.readModel.treeSize();
  const answer = await stage.post('/emergencies', { path: 'x', reason: 'y' });
  expect(bodyOf<{ errors: readonly { field: string }[] }>(answer, 422).errors).toMatchObject([
    { field: '/environment' },
  ]);
  expect(service.keyturn.readModel.treeSize()).toBe(before);
});
