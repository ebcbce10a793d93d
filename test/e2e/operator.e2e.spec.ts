import { jest } from '@jest/globals';
import { run, type Ran } from '../../apps/cli/src/testing/run-in.js';
import { startService, type StartedService } from '../../apps/service/src/testing/started-service.js';
import type { FamilyView } from '#rotation';
import { Stage } from './support.js';

/** What an operator does from the command line alone, against the service itself: nothing here needs curl. */

// A starting service is slow where the machine is busy.
jest.setTimeout(60_000);

let service: StartedService;
let stage: Stage;
let family: FamilyView;
let other: string;

beforeAll(async () => {
  service = await startService();
  stage = await Stage.on(service);
  family = await stage.family();
  ({ token: other } = await service.tokenWith(['approver', 'viewer']));
  // As a reconciliation would have found them: one that is used, one that only lies there.
  const before = await service.keyturn.store.read(`family-${family.id}`);
  const version = { compromised: false, destroyed: false, source: 'the back end' };
  const provenance = 'observed';
  await service.keyturn.store.append(
    before,
    [
      {
        type: 'VersionObserved',
        data: { versionId: 'k0', accepted: false, emittingShare: 0, ...version },
        provenance,
      },
      {
        type: 'VersionObserved',
        data: { versionId: 'k1', accepted: true, emittingShare: 100, ...version },
        provenance,
      },
    ],
    {
      actor: service.subject,
      correlationId: family.id,
      causationId: family.id,
      origin: { via: 'http' },
    },
  );
  await service.keyturn.settle({ stream: `family-${family.id}`, revision: before.revision + 2 });
});

afterAll(async () => {
  await service.stop();
});

function keyturn(argv: readonly string[], token = service.token): Promise<Ran> {
  return run(argv, { url: service.url, now: stage.now, env: { KEYTURN_TOKEN: token } });
}

async function json(argv: readonly string[], token?: string): Promise<Readonly<Record<string, unknown>>> {
  const { code, out } = await keyturn([...argv, '--json'], token);
  if (code !== 0) throw new Error(`${argv.join(' ')} ended with ${code}: ${out}`);
  const value: Readonly<Record<string, unknown>> = JSON.parse(out);
  return value;
}

it('a containment: found by its family, attested by hand, and not retried where it is not suspended', async () => {
  const name = family.qualifiedName;
  const { id } = await json(['contain', name, '--version', 'k1', '--reason', 'seen in a log']);
  expect(await json(['containment', 'list'])).toMatchObject({ items: [{ id, versions: ['k1'] }] });
  expect(await json(['containment', 'show', name])).toMatchObject({ id, status: 'requested' });
  const refused = await keyturn(['containment', 'retry', String(id).slice(0, 8)]);
  expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('containment.not-suspended')]);
  const attest = ['containment', 'attest', name, '--note', 'blocked at the gateway', '--at', '1s ago'];
  expect(await json(attest)).toMatchObject({ id, status: 'applied' });
  // Applied is open until it is lifted.
  expect(await json(['containment', 'list', '--family', name])).toMatchObject({
    items: [{ status: 'applied' }],
  });
  await json(['lift', String(id), '--family', name, '--clear', 'k1', '--reason', 'a test key']);
  const lifted = ['containment', 'attest', name, '--step', 'lift', '--evidence', 'https://ci.example/1'];
  expect(await json(lifted)).toMatchObject({ status: 'lifted' });
  expect(await json(['containment', 'list'])).toMatchObject({ items: [] });
  expect(await json(['containment', 'list', '--all'])).toMatchObject({ items: [{ id, status: 'lifted' }] });
});

it('a destruction: found, rejected by another, asked for anew, approved', async () => {
  const name = family.qualifiedName;
  const destroy = ['destroy', name, '--version', 'k0', '--reason', 'its retention is over'];
  const first = await json(destroy);
  expect((await keyturn(['destruction', 'list'])).out).toContain(name);
  const shown = await keyturn(['destruction', 'show', name]);
  expect(shown.out).toContain(`keyturn approve ${String(first['id'])}`);
  expect(shown.out).toContain(`keyturn destruction reject ${String(first['id'])}`);
  const hold = ['destruction', 'reject', name, '--reason', 'legal hold'];
  expect(await json(hold, other)).toMatchObject({ id: first['id'], status: 'rejected' });
  expect((await keyturn(['destruction', 'show', name])).code).toBe(1);
  const second = await json(destroy);
  await json(['approve', String(second['id'])], other);
  expect(await json(['destruction', 'show', name])).toMatchObject({ id: second['id'], status: 'approved' });
  const retry = await keyturn(['destruction', 'retry', name]);
  expect([retry.code, retry.err]).toEqual([1, expect.stringContaining('destruction.not-suspended')]);
  // Keyturn holds this key material itself: nobody can say that they destroyed it.
  const attest = await keyturn(['destruction', 'attest', name, '--evidence', 'https://hsm.example/17']);
  expect([attest.code, attest.err]).toEqual([1, expect.stringContaining('step.not-attested')]);
});

it('the facts of a family: authority, exposure, review, a correction', async () => {
  const name = family.qualifiedName;
  const tracked = await stage.family({
    mode: 'tracked',
    backEnd: undefined,
    authority: { kind: 'nobody' },
  });
  const exposed = ['exposure', name, '--version', 'k1', '--scope', 'build logs', '--from', '2h ago'];
  await json([...exposed, '--until', '1h ago', '--incident', 'INC-1']);
  await json(['reviewed', name, '--summary', 'rollback rehearsed', '--next', '2027-03-01']);
  await json([
    'authority',
    tracked.qualifiedName,
    '--to',
    'pipeline',
    '--name',
    'deploy-prod',
    '--reason',
    'so',
  ]);
  expect(await json(['families', tracked.qualifiedName])).toMatchObject({
    authority: { kind: 'pipeline', name: 'deploy-prod' },
  });
  expect(await json(['families', name])).toMatchObject({ runbook: { nextReview: '2027-03-01' } });
  expect((await keyturn(['authority', name, '--to', 'pipeline', '--reason', 'r'])).code).toBe(2);
  // Keyturn drives this one.
  expect((await keyturn(['authority', name, '--to', 'nobody', '--reason', 'r'])).code).toBe(1);
  const { events } = await service.keyturn.store.read(`family-${family.id}`);
  const wrong = events.find(({ type }) => type === 'ExposureScoped');
  const said = ['--reason', 'wrong log', '--correction', 'deploy logs, not build logs'];
  expect((await keyturn(['correct', wrong?.id ?? '', ...said])).code).toBe(2);
  await json(['correct', wrong?.id ?? '', '--family', name, ...said]);
  const after = await service.keyturn.store.read(`family-${family.id}`);
  expect(after.events.at(-1)).toMatchObject({ type: 'FactCorrected', data: { of: wrong?.id } });
  // The fact that was wrong still stands.
  expect(after.events.find(({ id }) => id === wrong?.id)).toEqual(wrong);
});

it('a correction of a rotation names the event its timeline shows', async () => {
  const made = await stage.family();
  const { id } = await stage.request(made.id);
  const full = await keyturn(['replay', id, '--full']);
  const [, event = ''] = /event ([0-9a-f-]{36})/.exec(full.out) ?? [];
  const said = ['--reason', 'wrong ticket', '--correction', 'RA-12'];
  expect((await keyturn(['correct', event, '--rotation', made.qualifiedName, ...said])).code).toBe(0);
  const timeline = await keyturn(['replay', id]);
  expect(timeline.out).toContain('RA-12');
});

it('looks: rotations, windows, the policy that binds, the schedule of one family, whose token it is', async () => {
  const [made, idle] = [await stage.family(), await stage.family()];
  const { id } = await stage.request(made.id);
  const name = made.qualifiedName;
  expect(await json(['rotations', '--family', name])).toMatchObject({ items: [{ id }] });
  expect(await json(['rotations', '--family', name, '--state', 'ended'])).toMatchObject({ items: [] });
  expect((await keyturn(['windows', idle.qualifiedName])).out).toMatch(/accept .+\n.+drain /);
  expect(await json(['policies', '--for', name])).toHaveProperty('why');
  expect(await json(['schedule', name])).toMatchObject({
    items: expect.arrayContaining([
      expect.objectContaining({ kind: 'rotation', family: { id: made.id, qualifiedName: name } }),
    ]),
  });
  expect(await json(['whoami'])).toMatchObject({
    subject: service.subject,
    permissions: expect.arrayContaining(['token:admin']),
  });
});

it('a consumer is taken out once somebody said yes', async () => {
  const made = await stage.family();
  const name = made.qualifiedName;
  const [consumer] = (await service.keyturn.ledger.family(made.id)).state.consumers;
  const remove = ['consumer', 'remove', name, consumer?.name ?? ''];
  expect((await keyturn(remove)).code).toBe(2);
  const no = await run(remove, { url: service.url, env: { KEYTURN_TOKEN: service.token }, terminal: {} });
  expect(no.code).toBe(4);
  const kept = (await service.keyturn.ledger.family(made.id)).state.consumers;
  expect(kept).toContainEqual(consumer);
  const unknown = await keyturn(['consumer', 'remove', name, 'nobody', '--yes']);
  expect([unknown.code, unknown.err]).toEqual([1, expect.stringContaining(consumer?.name ?? '')]);
  await json([...remove, '--yes']);
  expect((await service.keyturn.ledger.family(made.id)).state.consumers).toHaveLength(kept.length - 1);
  const names = await keyturn(['consumer', 'list', '--name', consumer?.name ?? '']);
  expect(names.out).not.toContain(name);
});

it('retires what is used no more, and refuses what still is', async () => {
  const used = await keyturn(['retire', family.qualifiedName, '--reason', 'switched off', '--yes']);
  expect([used.code, used.err]).toEqual([1, expect.stringContaining('family.in-use')]);
  const made = await stage.family();
  expect((await keyturn(['retire', made.qualifiedName, '--reason', 'r'])).code).toBe(2);
  expect(await json(['retire', made.qualifiedName, '--reason', 'r', '--yes'])).toMatchObject({
    retired: true,
  });
});
