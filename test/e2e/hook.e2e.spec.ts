import { readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import { deliveryStream } from '#notify';
import { rotationStream, type FamilyView } from '#rotation';
import { hookOf } from '../../apps/service/src/notify/hook.js';
import { startService, type StartedService } from '../../apps/service/src/testing/started-service.js';
import { bodyOf, policyBody, Stage } from './support.js';

/** Alarms from the record to a real receiver: each once, with one id, and never again by a rebuild. */

jest.setTimeout(60_000);

const SECRET = 'kt-canary-hook-secret-9f31c07e';
const TOKEN = 'kt-canary-in-the-path-5521';

interface Alarm {
  readonly type: string;
  readonly data: { readonly text: string; readonly due?: string; readonly family?: { id: string } };
}

let server: Server;
let service: StartedService;
let stage: Stage;
let family: FamilyView;
let received: { id: string; alarm: Alarm }[] = [];
let status = 204;

const told = (type: string): readonly Alarm[] =>
  received.map(({ alarm }) => alarm).filter((alarm) => alarm.type === `keyturn.${type}`);

async function look(): Promise<void> {
  await service.keyturn.readModel.caughtUp();
  await hookOf(service.keyturn)?.sweep();
  await service.keyturn.readModel.caughtUp();
}

beforeAll(async () => {
  server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (part: string) => {
      body += part;
    });
    request.on('end', () => {
      const alarm = JSON.parse(body) as Alarm;
      received.push({ id: String(request.headers['webhook-id']), alarm });
      response.writeHead(status).end();
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  service = await startService({
    KEYTURN_HOOK_URL: `http://127.0.0.1:${port}/${TOKEN}`,
    KEYTURN_HOOK_SECRET: SECRET,
  });
  stage = await Stage.on(service);
  const policy = bodyOf<{ id: string }>(
    await stage.post('/policies', policyBody(stage.now + 3_600_000)),
    201,
  );
  bodyOf(await stage.post(`/policies/${policy.id}/approve`, {}, { token: stage.approver }), 200);
  service.clock.advance(2 * 3_600_000);
  family = await stage.familyWithKey();
});

afterAll(async () => {
  await service.stop();
  server.closeAllConnections();
  await new Promise((resolve) => {
    server.close(resolve);
  });
});

it('a test alarm is delivered, a repeat of the command sends nothing', async () => {
  const key = 'the same test';
  const first = bodyOf(await stage.post('/hook/test', {}, { key }), 200);
  expect(first).toMatchObject({ delivered: true, attempts: 1, failure: null });
  expect(bodyOf(await stage.post('/hook/test', {}, { key }), 200)).toEqual(first);
  expect(told('hook.test')).toHaveLength(1);
  status = 500;
  const refused = bodyOf(await stage.post('/hook/test', {}), 200);
  expect(refused).toMatchObject({ delivered: false, failure: { outcome: 'refused', reason: 'HTTP 500' } });
  status = 204;
});

it('what is overdue is told once for its due date, whatever is rebuilt', async () => {
  await look();
  expect(told('rotation.overdue')).toHaveLength(0);
  service.clock.advance(100 * 86_400_000);
  await look();
  const [alarm, ...others] = told('rotation.overdue');
  expect(others).toEqual([]);
  expect(alarm?.data.family?.id).toBe(family.id);
  service.clock.advance(86_400_000);
  await look();
  await service.keyturn.rebuildReadModel(() => undefined);
  service.clock.advance(86_400_000);
  await look();
  expect(told('rotation.overdue')).toHaveLength(1);
});

it('a suspended rotation is told at once by name and person, once, and is the cause of its delivery', async () => {
  const { id } = await stage.request(family.id);
  const { store } = service.keyturn;
  const history = await store.read(rotationStream(id));
  const suspended = await store.append(
    history,
    [
      {
        type: 'RotationSuspended',
        data: { code: 'back-end.config', reason: 'the back end refused the key', person: 'Platform on-call' },
      },
    ],
    { actor: 'system', correlationId: id, causationId: history.events[0]?.id ?? '', origin: { via: 'saga' } },
  );
  await look();
  await look();
  const alarms = told('rotation.suspended');
  expect(alarms.map(({ data }) => data)).toEqual([
    {
      text: 'the back end refused the key',
      person: 'Platform on-call',
      rotation: id,
      family: { id: family.id, qualifiedName: family.qualifiedName },
    },
  ]);
  const sent = received.find(({ alarm }) => alarm === alarms[0]);
  const delivery = (await store.read(deliveryStream(sent?.id ?? ''))).events;
  expect(delivery.map(({ type }) => type)).toEqual(['AlarmRaised', 'DeliveryStarted', 'Delivered']);
  expect(delivery[0]?.causationId).toBe(suspended.events[0]?.id);
  expect(delivery[2]?.causationId).toBe(delivery[1]?.id);
});

it('an integrity finding is told once', async () => {
  service.keyturn.integrity.report({ stream: 'family-x', revision: 3, treeSize: 9, what: 'its leaf' });
  await look();
  await look();
  expect(told('log.integrity').map(({ data }) => data.text)).toEqual([
    'event 9 (family-x@3) is not what was written: its leaf',
  ]);
});

it('every delivery has one id, and neither secret nor path is in anything left behind', async () => {
  const ids = new Map<string, Set<string>>();
  for (const { id, alarm } of received) {
    ids.set(id, (ids.get(id) ?? new Set()).add(JSON.stringify(alarm)));
  }
  for (const bodies of ids.values()) expect(bodies.size).toBe(1);
  const files = (folder: string): readonly string[] =>
    readdirSync(folder).flatMap((name) => {
      const path = join(folder, name);
      return statSync(path).isDirectory() ? files(path) : [path];
    });
  for (const path of files(service.directory)) {
    const bytes = readFileSync(path).toString('latin1');
    expect(bytes).not.toContain(SECRET);
    expect(bytes).not.toContain(TOKEN);
  }
  const log = (await stage.get('/log/events?limit=5000')).text;
  expect(log).toContain('keyturn.Delivered');
  expect(log).not.toContain(TOKEN);
});

it('where none is configured, a test says how; who may not, is refused', async () => {
  const { token } = await service.tokenWith(['viewer']);
  const refused = await stage.post('/hook/test', {}, { token });
  expect([refused.status, refused.body['code']]).toEqual([403, 'access.forbidden']);
  const other = await startService();
  try {
    const answer = await other.call('POST', '/api/v1/hook/test', { body: {} });
    expect([answer.status, answer.body['code']]).toEqual([409, 'hook.not-configured']);
  } finally {
    await other.stop();
  }
});
