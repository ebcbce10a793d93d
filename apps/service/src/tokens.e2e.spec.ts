import { jest } from '@jest/globals';
import { startService, type StartedService } from './testing/started-service.js';

// A starting service is slow where the machine is busy.
jest.setTimeout(30_000);

let service: StartedService;

beforeAll(async () => {
  service = await startService();
});

afterAll(async () => {
  await service.stop();
});

const scope = { environments: 'all', teams: 'all' };
const order = { subject: { name: 'Ada', kind: 'person' }, roles: ['viewer'], scope, label: 'laptop' };

describe('the first sign-in', () => {
  it('was exchanged for a person with every role of a person', async () => {
    const { status, body } = await service.call('GET', '/api/v1/me');
    expect(status).toBe(200);
    expect(body).toMatchObject({ subject: service.subject, name: 'First Person', scope });
    expect(body['permissions']).toContain('token:admin');
  });

  it('is made no more, and nothing else is taken for one', async () => {
    const used = await service.keyturn.openBootstrap();
    expect(used).toBeUndefined();
    const forged = { code: `kt1_${'A'.repeat(43)}`, name: 'Mallory' };
    const answer = await service.call('POST', '/api/v1/tokens/bootstrap', {
      body: forged,
      token: null,
      key: null,
    });
    expect(answer.status).toBe(401);
    expect(answer.body['code']).toBe('access.code-refused');
  });
});

describe('who is let in', () => {
  it.each([
    ['no token', null, 'Bearer realm="keyturn"'],
    ['a forged token', `kt_${'A'.repeat(43)}`, 'error="invalid_token"'],
    ['no token of ours', 'eyJhbGciOiJub25lIn0.e30.', 'error="invalid_token"'],
  ])('refuses %s', async (_, token, challenge) => {
    const answer = await service.call('GET', '/api/v1/me', { token });
    expect(answer.status).toBe(401);
    expect(answer.headers.get('www-authenticate')).toContain(challenge);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(answer.body).toMatchObject({ code: 'access.unauthenticated', status: 401, title: 'Unauthorized' });
    expect(answer.body['correlationId']).toBe(answer.headers.get('x-correlation-id'));
  });

  it('refuses an expired and a revoked token', async () => {
    const expiresAt = new Date(service.clock.now() + 60_000).toISOString();
    const short = await service.tokenWith(['viewer'], { expiresAt });
    expect((await service.call('GET', '/api/v1/me', { token: short.token })).status).toBe(200);
    service.clock.advance(60_000);
    const late = await service.call('GET', '/api/v1/me', { token: short.token });
    expect([late.status, late.body['detail']]).toEqual([401, 'This token has expired']);

    const { id, token } = await service.tokenWith(['viewer']);
    expect((await service.call('DELETE', `/api/v1/tokens/${id}`)).status).toBe(204);
    const gone = await service.call('GET', '/api/v1/me', { token });
    expect([gone.status, gone.body['detail']]).toEqual([401, 'This token was revoked']);
  });

  it('says which permission is missing', async () => {
    const { token } = await service.tokenWith(['viewer']);
    const answer = await service.call('GET', '/api/v1/tokens', { token });
    expect(answer.status).toBe(403);
    expect(answer.body).toMatchObject({ code: 'access.forbidden', details: { permission: 'token:admin' } });
  });

  it('keeps a narrow token from the whole log and from giving more than it has', async () => {
    const narrow = { scope: { environments: ['staging'], teams: 'all' } };
    const auditor = await service.tokenWith(['auditor'], narrow);
    const read = await service.call('GET', '/api/v1/log/events', { token: auditor.token });
    expect([read.status, read.body['code']]).toEqual([403, 'access.out-of-scope']);
    const admin = await service.tokenWith(['admin'], narrow);
    const wide = await service.call('POST', '/api/v1/tokens', { body: order, token: admin.token });
    expect([wide.status, wide.body['code']]).toEqual([403, 'access.out-of-scope']);
    const list = await service.call('GET', '/api/v1/tokens', { token: admin.token });
    expect(list.text).not.toContain('First Person');
  });
});

describe('a repeat', () => {
  it('is answered from what is stored, without a new event and without the secret', async () => {
    const first = await service.call('POST', '/api/v1/tokens', { body: order, key: 'one' });
    expect(first.status).toBe(201);
    expect(first.headers.get('cache-control')).toBe('no-store');
    const size = await service.keyturn.log.treeSize();
    // Another order of the same fields is the same request.
    const body = { label: 'laptop', scope, roles: ['viewer'], subject: { kind: 'person', name: 'Ada' } };
    const second = await service.call('POST', '/api/v1/tokens', { body, key: 'one' });
    const { token, ...shown } = first.body;
    expect(token).toMatch(/^kt_/);
    expect(second).toMatchObject({ status: 201 });
    expect(second.body).toEqual(shown);
    expect(await service.keyturn.log.treeSize()).toBe(size);
    expect(first.headers.get('x-correlation-id')).toBe(second.headers.get('x-correlation-id'));
  });

  it('with another body is refused', async () => {
    await service.call('POST', '/api/v1/tokens', { body: order, key: 'two' });
    const answer = await service.call('POST', '/api/v1/tokens', {
      body: { ...order, label: 'phone' },
      key: 'two',
    });
    expect([answer.status, answer.body['code']]).toEqual([422, 'idempotency.key-reused']);
  });

  it('at the same time makes one token', async () => {
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => service.call('POST', '/api/v1/tokens', { body: order, key: 'three' })),
    );
    expect(new Set(answers.map(({ body }) => body['id'])).size).toBe(1);
    expect(answers.filter(({ body }) => body['token'] !== undefined)).toHaveLength(1);
    expect(answers.every(({ status }) => status === 201)).toBe(true);
  });

  it('belongs to one path and one subject', async () => {
    const other = await service.tokenWith(['admin']);
    const mine = await service.call('POST', '/api/v1/tokens', { body: order, key: 'four' });
    const theirs = await service.call('POST', '/api/v1/tokens', {
      body: order,
      key: 'four',
      token: other.token,
    });
    expect(mine.body['id']).not.toBe(theirs.body['id']);
  });

  it('needs a key to be known by', async () => {
    const missing = await service.call('POST', '/api/v1/tokens', { body: order, key: null });
    expect([missing.status, missing.body['code']]).toEqual([400, 'idempotency.key-missing']);
    const long = await service.call('POST', '/api/v1/tokens', { body: order, key: 'x'.repeat(201) });
    expect([long.status, long.body['code']]).toEqual([400, 'idempotency.key-invalid']);
  });

  it('leaves the command as the cause of every event it decided', async () => {
    const answer = await service.call('POST', '/api/v1/tokens', { body: order });
    const { events } = await service.keyturn.store.read(`token-${String(answer.body['id'])}`);
    const { events: named } = await service.keyturn.store.read(`subject-${String(answer.body['subject'])}`);
    const causes = [...events, ...named].map(({ causationId }) => causationId);
    expect(new Set(causes)).toEqual(new Set([answer.headers.get('x-correlation-id')]));
    expect(events[0]?.actor).toBe(service.subject);
    expect(events[0]?.origin).toMatchObject({ via: 'http', address: '127.0.0.1' });
  });
});

it('keeps no secret in the log', async () => {
  const { token } = await service.tokenWith(['viewer']);
  for await (const event of service.keyturn.log.readAll()) {
    expect(`${event.record}${Buffer.from(event.body).toString()}`).not.toContain(token.slice(3));
  }
});
