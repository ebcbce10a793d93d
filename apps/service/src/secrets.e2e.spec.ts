import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
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

const mark = `canary${randomBytes(6).toString('hex')}`;
const CANARIES = [
  `https://ada:${mark}@ci.example.com/run/1`,
  `https://b.s3.amazonaws.com/k?X-Amz-Signature=${mark}`,
  `https://ci.example.com/run?token=${mark}`,
  `kt_${mark.padEnd(43, 'x')}`,
  `-----BEGIN PRIVATE KEY-----\n${mark}`,
];

/** Texts that are taken and not kept: a credential that is shown, and a file with a check of its own. */
const TAKEN: Readonly<Record<string, readonly string[]>> = {
  'POST /api/v1/tokens/bootstrap': ['code'],
  'POST /api/v1/imports': ['content'],
};
/** They have no body that anything is made of. */
const BODYLESS: readonly string[] = ['POST /api/v1/read-model/rebuild'];

const FIELDS = ['reason', 'note', 'summary', 'name', 'path', 'text'];

function bytesUnder(directory: string): Buffer {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((each) =>
    each.isFile(),
  );
  return Buffer.concat(files.map((each) => readFileSync(join(each.parentPath, each.name))));
}

it('no body of any command takes what looks like a secret, and nothing repeats it', async () => {
  const routes = service.routes.filter(
    ({ method, url }) => ['POST', 'PUT', 'PATCH'].includes(method) && !BODYLESS.includes(`${method} ${url}`),
  );
  expect(routes.length).toBeGreaterThan(40);
  const sizeBefore = await service.keyturn.store.log.treeSize();
  for (const { method, url } of routes) {
    const path = url.replace(':step', 'withdraw').replaceAll(/:\w+/g, '00000000-0000-4000-8000-000000000000');
    for (const [index, canary] of CANARIES.entries()) {
      const field = FIELDS[index % FIELDS.length] ?? 'reason';
      const body = { [field]: canary, evidence: { link: canary }, deep: [{ inner: canary }] };
      const answer = await service.call(method, path, { body });
      expect([method, url, answer.status, answer.body['code']]).toEqual([
        method,
        url,
        422,
        'request.invalid',
      ]);
      const errors = answer.body['errors'] as readonly { field: string; message: string }[];
      const named = errors.map((each) => each.field);
      expect([method, url, ...named]).toEqual([method, url, `/${field}`, '/evidence/link', '/deep/0/inner']);
      expect(answer.text).not.toContain(mark);
    }
  }
  expect(await service.keyturn.store.log.treeSize()).toBe(sizeBefore);
  expect(bytesUnder(service.directory).includes(mark)).toBe(false);
});

it('a name that is a value is refused and not repeated', async () => {
  const answer = await service.call('POST', '/api/v1/emergencies', {
    body: { [`kt_${mark.padEnd(43, 'x')}`]: 1 },
  });
  expect([answer.status, answer.body['code']]).toEqual([422, 'request.invalid']);
  expect(answer.text).not.toContain(mark);
});

it.each(Object.entries(TAKEN))(
  'the control: %s takes them in %p and keeps nothing of them',
  async (route, fields) => {
    const [method = '', url = ''] = route.split(' ');
    for (const field of fields) {
      const body = { code: 'none', name: 'a name', content: '{}', [field]: CANARIES[3] };
      const { text } = await service.call(method, url, { body });
      expect(text).not.toContain(mark);
      expect(text).not.toContain(`"/${field}"`);
    }
    expect(bytesUnder(service.directory).includes(mark)).toBe(false);
  },
);

it('the control: what is looked for would be found, and an innocent body is taken', async () => {
  const innocent = `innocent${randomBytes(6).toString('hex')}`;
  await service.tokenWith(['viewer'], { label: innocent });
  expect(bytesUnder(service.directory).includes(innocent)).toBe(true);
});
