import { jest } from '@jest/globals';
import { request } from 'node:http';
import { connect } from 'node:net';
import { startService, type Answer, type StartedService } from './testing/started-service.js';

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
const post = (raw: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}): Promise<Answer> =>
  service.call('POST', '/api/v1/tokens', { raw, headers });

/** Every refusal is a problem, whoever refused. */
const problem = (status: number, code: string) => ({
  status,
  type: `urn:keyturn:problem:${code}`,
  code,
  contentType: 'application/problem+json',
  said: status,
});

function problemIn({ status, headers, body }: Answer) {
  const { type, code, status: said } = body;
  return { status, type, code, contentType: headers.get('content-type'), said };
}

describe('a body that does not fit', () => {
  it('hears of every field at once, and of the names that are known', async () => {
    const body = {
      ...order,
      roles: ['viewer', 'god'],
      label: 7,
      lable: 'x',
      subject: { name: 'Ada', kind: 'person', age: 3 },
    };
    const answer = await service.call('POST', '/api/v1/tokens', { body });
    expect(problemIn(answer)).toEqual(problem(422, 'request.invalid'));
    const errors = new Map(
      (Array.isArray(answer.body['errors']) ? answer.body['errors'] : []).map(
        (error: { field: string; message: string }) => [error.field, error.message],
      ),
    );
    expect([...errors.keys()].sort()).toEqual(expect.arrayContaining(['/label', '/lable', '/roles/1']));
    expect(errors.get('/lable')).toContain('accepted: subject, roles, scope, label, expiresAt');
    expect(answer.text).not.toContain('god');
  });

  it.each([
    ['no object', '[]', 422, 'request.invalid'],
    ['null', 'null', 422, 'request.invalid'],
    ['no JSON', '{"label": canary', 400, 'json.malformed'],
    ['chunked garbage', '\u0000\u0001\u0002', 400, 'json.malformed'],
    ['10,000 arrays deep', `${'['.repeat(10_000)}${']'.repeat(10_000)}`, 400, 'json.too-deep'],
    ['10,000 objects deep', `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`, 400, 'json.too-deep'],
    ['__proto__', '{"__proto__": {"roles": ["admin"]}}', 400, 'json.forbidden-name'],
    ['constructor.prototype', '{"constructor": {"prototype": {"x": 1}}}', 400, 'json.forbidden-name'],
    ['a lone surrogate', '{"label": "\\ud800"}', 422, 'value.invalid'],
    ['too big an integer', '{"label": 9007199254740993}', 422, 'value.invalid'],
    ['a fraction', '{"label": 1.5}', 422, 'value.invalid'],
    ['infinity', '{"label": 1e400}', 422, 'value.invalid'],
    ['a name like an integer', '{"10": 1}', 422, 'value.invalid'],
    ['100,000 elements', `{"roles": [${'"x",'.repeat(100_000)}"x"]}`, 422, 'request.invalid'],
  ])('%s', async (_, raw, status, code) => {
    const answer = await post(raw);
    expect(problemIn(answer)).toEqual(problem(status, code));
    expect(answer.text.length).toBeLessThan(20_000);
    expect(answer.text).not.toContain('canary');
  });

  it('brackets in a string are no depth', async () => {
    const answer = await post(JSON.stringify({ ...order, label: `\\"${'['.repeat(100)}` }));
    expect(answer.status).toBe(201);
  });

  it('bytes that are not UTF-8', async () => {
    expect(problemIn(await post(new Uint8Array([0x7b, 0xff, 0x7d])))).toEqual(problem(400, 'json.malformed'));
  });

  it('10 MB', async () => {
    const answer = await post('x'.repeat(10 * 1024 * 1024)).catch((error: unknown) => error);
    // The server may cut the upload off before its answer is read; a second look shows the answer.
    if (answer instanceof Error)
      expect(problemIn(await declaring(10 * 1024 * 1024))).toEqual(problem(413, 'body.too-large'));
    else expect(answer).toMatchObject({ status: 413, body: { code: 'body.too-large' } });
  });

  it.each([
    'text/plain',
    'application/xml',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
  ])('%s', async (type) => {
    expect(problemIn(await post('a=b', { 'content-type': type }))).toEqual(
      problem(415, 'content-type.unsupported'),
    );
  });
});

/** Declares a length and sends nothing of it. */
function declaring(length: number): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = {
      'content-type': 'application/json',
      'content-length': String(length),
      'idempotency-key': 'large',
      authorization: `Bearer ${service.token}`,
    };
    const sent = request(`${service.url}/api/v1/tokens`, { method: 'POST', headers }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      response.on('end', () => {
        const body: Record<string, unknown> = JSON.parse(text);
        const type = String(response.headers['content-type']);
        resolve({
          status: response.statusCode ?? 0,
          text,
          body,
          headers: new Headers({ 'content-type': type }),
        });
      });
    });
    sent.on('error', reject);
    sent.flushHeaders();
  });
}

/** Sends bytes as they are and gives back what came. */
function bytes(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(service.port, '127.0.0.1', () => socket.write(text));
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk.toString();
    });
    socket.on('close', () => {
      resolve(answer);
    });
    socket.on('error', reject);
  });
}

describe('an address that leads nowhere', () => {
  it('is 404 and is not quoted', async () => {
    const answer = await service.call('GET', '/api/v1/canary?token=canary');
    expect(problemIn(answer)).toEqual(problem(404, 'route.not-found'));
    expect(answer.text).not.toContain('canary');
  });

  it('is 404 for a method nobody serves', async () => {
    expect(problemIn(await service.call('PUT', '/api/v1/tokens', { body: {} }))).toEqual(
      problem(404, 'route.not-found'),
    );
  });

  it('is 400 where it is malformed', async () => {
    expect(problemIn(await service.call('GET', '/api/%E0%A4%A'))).toEqual(problem(400, 'request.malformed'));
    expect(problemIn(await service.call('DELETE', '/api/v1/tokens/..%2fetc'))).toEqual(
      problem(400, 'path.invalid'),
    );
  });

  it.each([
    '/api/v1/log/events?after=-1&limt=3',
    '/api/v1/me?known=3',
    '/api/v1/families/nobody/windows?now=1',
  ])('is 400 for a query nobody knows: %s', async (path) => {
    expect(problemIn(await service.call('GET', path))).toEqual(problem(400, 'query.invalid'));
  });

  it('is let be where it is public: others fetch that, and pass a cache so', async () => {
    expect((await service.call('GET', '/health/live?at=1')).status).toBe(200);
  });
});

describe('what is hardly HTTP', () => {
  it('gets a problem and a closed connection', async () => {
    const answer = await bytes('NONSENSE\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1.1 400 /);
    expect(answer).toContain('application/problem+json');
  });

  it('16 KiB of headers are enough', async () => {
    const answer = await bytes(
      `GET /health/live HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1.1 4\d\d /);
  });
});

it('was none of it an event or the end of the service', async () => {
  expect((await service.call('GET', '/health/ready')).status).toBe(200);
});
