import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import { LogCorruptError } from '#eventlog';
import { LOG_FILE } from '#eventlog/sqlite';
import { loadConfig } from '#platform';
import {
  BackEnds,
  RotationRunner,
  rotationStream,
  type FamilyView,
  type PolicyView,
  type RotationViewJson,
} from '#rotation';
import { openKeyturn, serve } from '#service';
import {
  startService,
  type Answer,
  type StartedService,
} from '../../apps/service/src/testing/started-service.js';
import { FaultyBackEnd } from '../support/faulty-back-end.js';
import { bodyOf, EVERYWHERE, familyBody, policyBody, Stage, wish } from './support.js';

// A starting service is slow where the machine is busy.
jest.setTimeout(60_000);

let service: StartedService;
let stage: Stage;
/** One version that emits, no rotation. */
let quiet: FamilyView;
/** A rotation that has published its new version and waits for confirmations. */
let busy: FamilyView;
let running: RotationViewJson;

beforeAll(async () => {
  service = await startService();
  stage = await Stage.on(service);
  quiet = await stage.familyWithKey();
  busy = await stage.familyWithKey();
  running = await stage.driveTo((await stage.request(busy.id)).id, 'accepting');
});

afterAll(async () => {
  await service.stop();
});

const size = (): Promise<number> => service.keyturn.log.treeSize();

interface Refusal {
  readonly status: number;
  readonly code: string;
  /** The field `errors` names. */
  readonly field?: string;
  /** What a person reads. */
  readonly says?: string | RegExp;
}

/** Refused as a problem that says what and where, gives nothing of our inside away, and leaves the log as it was. */
async function proveRefused(ask: () => Promise<Answer>, refusal: Refusal): Promise<Answer> {
  const before = await size();
  const answer = await ask();
  const { status, code, field, says } = refusal;
  expect({ status: answer.status, code: answer.body['code'], said: answer.body['status'] }).toEqual({
    status,
    code,
    said: status,
  });
  expect(answer.headers.get('content-type')).toBe('application/problem+json');
  if (field !== undefined) expect(fieldsOf(answer)).toContain(field);
  if (says !== undefined) expect(answer.body['detail']).toEqual(expect.stringMatching(says));
  expect(answer.text).not.toMatch(/\bat .*\.[jt]s|node_modules|"stack"|\/work\//);
  expect(answer.text.length).toBeLessThan(20_000);
  expect(await size()).toBe(before);
  return answer;
}

function fieldsOf({ body }: Answer): readonly string[] {
  const { errors } = body;
  return Array.isArray(errors) ? errors.map((error: { field: string }) => error.field) : [];
}

const invalid = (field: string): Refusal => ({ status: 422, code: 'request.invalid', field });

describe('a body that does not fit is refused with its field', () => {
  const families = (change: Record<string, unknown>) => () => stage.post('/families', familyBody(change));
  const rotate = (change: Record<string, unknown>) => () =>
    stage.post(`/families/${quiet.id}/rotations`, wish(change));
  const consumer = (change: Record<string, unknown>) => () =>
    stage.post(`/families/${quiet.id}/consumers`, { name: 'api', roles: ['verifier'], ...change });

  it.each([
    ['an unknown field', families({ algorythm: 'ES256' }), '/algorythm'],
    ['an unknown field deep inside', families({ owner: { role: 'x', pager: 'y' } }), '/owner/pager'],
    ['a number for a text', families({ name: 7 }), '/name'],
    ['a text for a list', families({ frameworks: 'pci' }), '/frameworks'],
    ['a list for an object', families({ owner: [] }), '/owner'],
    ['a text for a flag', families({ illustrative: 'yes' }), '/illustrative'],
    ['a word nobody knows', families({ protects: 'everything' }), '/protects'],
    ['a duration in words', families({ artefactLife: '15 minutes' }), '/artefactLife'],
    ['a duration of a month', families({ artefactLife: 'P1M' }), '/artefactLife'],
    ['a duration of a year', families({ artefactLife: 'P1Y' }), '/artefactLife'],
    ['an empty duration', families({ artefactLife: 'P' }), '/artefactLife'],
    ['a negative duration', families({ artefactLife: '-PT5M' }), '/artefactLife'],
    ['a duration longer than anybody lives', families({ artefactLife: 'P99999D' }), '/artefactLife'],
    ['seconds as a number', consumer({ cacheTtl: 300 }), '/cacheTtl'],
    ['no instances', consumer({ instances: 0 }), '/instances'],
    ['a window in months', rotate({ windows: { accept: 'P1M' } }), '/windows/accept'],
    [
      'a deviation until a day',
      rotate({ windows: {}, deviation: { reason: 'x', until: 'tomorrow' } }),
      '/deviation/until',
    ],
    ['no reason', rotate({ reason: '  ' }), '/reason'],
    ['a strategy nobody knows', rotate({ strategy: 'yolo' }), '/strategy'],
    [
      'a path that climbs out',
      families({ backEnd: { instance: 'local', object: '../../etc/passwd' } }),
      '/backEnd/object',
    ],
    ['a name over two lines', families({ name: 'a\nb' }), '/name'],
    ['NUL in a name', families({ name: 'a\u0000b' }), '/name'],
  ])('%s', async (_, ask, field) => {
    await proveRefused(ask, invalid(field));
  });

  it.each(['encrypt', 'wrap'])('a family that would %s: with the reason', async (usage) => {
    const answer = await proveRefused(families({ usage }), invalid('/usage'));
    expect(answer.text).toContain('old ciphertext unreadable');
  });

  it('all that is wrong at once', async () => {
    const answer = await proveRefused(families({ name: 7, artefactLife: 'P1M', extra: 1 }), invalid('/name'));
    expect(fieldsOf(answer)).toEqual(expect.arrayContaining(['/name', '/artefactLife', '/extra']));
  });

  it.each([
    ['10,000 arrays deep', `${'['.repeat(10_000)}${']'.repeat(10_000)}`, 400, 'json.too-deep'],
    ['10,000 objects deep', `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`, 400, 'json.too-deep'],
    ['__proto__', '{"__proto__": {"mode": "driven"}}', 400, 'json.forbidden-name'],
    [
      '__proto__ written with an escape',
      '{"\\u005f_proto__": {"mode": "driven"}}',
      400,
      'json.forbidden-name',
    ],
    ['half a JSON', '{"name": "x"', 400, 'json.malformed'],
    ['a lone surrogate', JSON.stringify(familyBody({ description: '\ud800' })), 422, 'value.invalid'],
    ['2^53', '{"strengthBits": 9007199254740992}', 422, 'value.invalid'],
    ['2^53 + 1', '{"strengthBits": 9007199254740993}', 422, 'value.invalid'],
    ['infinity', '{"strengthBits": 1e400}', 422, 'value.invalid'],
  ])('%s', async (_, raw, status, code) => {
    await proveRefused(() => service.call('POST', '/api/v1/families', { raw }), { status, code });
  });

  it('10 MB', async () => {
    await proveRefused(() => declaring(10 * 1024 * 1024), { status: 413, code: 'body.too-large' });
  });
});

/** Declares a length and sends nothing of it: the answer comes before the body would. */
function declaring(length: number): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = {
      'content-type': 'application/json',
      'content-length': String(length),
      'idempotency-key': randomUUID(),
      authorization: `Bearer ${service.token}`,
    };
    const sent = request(`${service.url}/api/v1/families`, { method: 'POST', headers }, (response) => {
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
        sent.destroy();
      });
    });
    sent.on('error', reject);
    sent.flushHeaders();
  });
}

describe('a window', () => {
  it('below the computed one is refused without a deviation, with what binds it', async () => {
    const answer = await proveRefused(
      () => stage.post(`/families/${quiet.id}/rotations`, wish({ windows: { accept: 'PT1H' } })),
      {
        status: 422,
        code: 'window.below-computed',
        field: '/windows/accept',
        says: /mobile-app.* caches its keys for P1D/,
      },
    );
    expect(answer.body['details']).toMatchObject({ computed: 'P1DT5M30S' });
  });

  it('below the computed one is refused for the drain too', async () => {
    await proveRefused(
      () => stage.post(`/families/${quiet.id}/rotations`, wish({ windows: { drain: 'PT0S' } })),
      { status: 422, code: 'window.below-computed', field: '/windows/drain', says: /deviation/ },
    );
  });

  it('is not shortened by a deviation that has ended', async () => {
    const deviation = { reason: 'x', until: new Date(stage.now - 1).toISOString() };
    await proveRefused(
      () => stage.post(`/families/${quiet.id}/rotations`, wish({ windows: { accept: 'PT1H' }, deviation })),
      { status: 422, code: 'deviation.expired', field: '/deviation/until' },
    );
  });

  it('below the computed one with a deviation is accepted, and then somebody approves it whatever the policy says', async () => {
    const selector = { environment: 'sandbox' };
    const policy = bodyOf<PolicyView>(
      await stage.post('/policies', policyBody(stage.now, { selector }, { approvals: 0 })),
      201,
    );
    bodyOf(await stage.post(`/policies/${policy.id}/approve`, {}, { token: stage.approver }), 200);
    const free = await stage.request((await stage.family({ environment: 'sandbox' })).id);
    expect(free.approvals.required).toBe(0);

    const deviation = { reason: 'the app is offline', until: new Date(stage.now + 86_400_000).toISOString() };
    const departing = await stage.request((await stage.family({ environment: 'sandbox' })).id, {
      windows: { accept: 'PT1H' },
      deviation,
    });
    expect(departing.windows?.accept.required).toBe('PT1H');
    expect(departing.approvals.required).toBeGreaterThanOrEqual(1);
    expect(departing.exceptions.join('\n')).toContain('by deviation');
    await stage.look(departing.id);
    expect((await stage.rotation(departing.id)).phase).toBe('requested');
  });
});

describe('separation of duties compares subjects', () => {
  it('nobody approves what they requested, with no token of theirs', async () => {
    const requested = await stage.request((await stage.family()).id);
    const own: Refusal = { status: 403, code: 'rotation.own-approval' };
    await proveRefused(() => stage.post(`/rotations/${requested.id}/approve`, {}), own);
    const body = {
      subject: { id: service.subject },
      roles: ['approver'],
      scope: EVERYWHERE,
      label: 'second',
    };
    const second = bodyOf<{ token: string; subject: string }>(await stage.post('/tokens', body), 201);
    expect(second.subject).toBe(service.subject);
    await proveRefused(
      () => stage.post(`/rotations/${requested.id}/approve`, {}, { token: second.token }),
      own,
    );
  });

  it('nobody approves a policy they wrote', async () => {
    const body = policyBody(stage.now, { selector: { environment: 'own' } });
    const policy = bodyOf<PolicyView>(await stage.post('/policies', body), 201);
    await proveRefused(() => stage.post(`/policies/${policy.id}/approve`, {}), {
      status: 403,
      code: 'policy.own-approval',
    });
  });
});

describe('a confirmation', () => {
  const confirm = (change: Record<string, unknown>, id = running.id) =>
    stage.post(`/rotations/${id}/confirmations`, {
      kind: 'acceptance',
      consumer: `mobile-app of ${busy.name}`,
      version: running.incoming,
      instances: ['one'],
      ...change,
    });

  it('of another version is refused', async () => {
    await proveRefused(() => confirm({ version: busy.current }), {
      status: 409,
      code: 'confirmation.other-version',
      field: '/version',
    });
  });

  it('of another rotation is refused', async () => {
    const other = await stage.driveTo(
      (await stage.request((await stage.familyWithKey()).id)).id,
      'accepting',
    );
    await proveRefused(() => confirm({ version: other.incoming }), {
      status: 409,
      code: 'confirmation.other-version',
      field: '/version',
      says: /another rotation's/,
    });
    await proveRefused(() => confirm({}, other.id), {
      status: 409,
      code: 'confirmation.unknown-consumer',
      field: '/consumer',
      says: /no consumer .+; it has: ./,
    });
  });

  it('of who does not verify, or by more instances than there are, is refused', async () => {
    await proveRefused(() => confirm({ consumer: `issuer of ${busy.name}` }), {
      status: 409,
      code: 'confirmation.wrong-role',
      field: '/kind',
    });
    await proveRefused(() => confirm({ instances: ['one', 'two'] }), {
      status: 409,
      code: 'confirmation.too-many-instances',
      field: '/instances',
    });
  });

  it('of an emission that has not moved is refused', async () => {
    await proveRefused(() => confirm({ kind: 'emission', consumer: `issuer of ${busy.name}` }), {
      status: 409,
      code: 'confirmation.too-early',
    });
  });
});

describe('a rotation', () => {
  it('has no timeline before its beginning', async () => {
    const at = '2020-01-01T00:00:00.000Z';
    await proveRefused(() => stage.get(`/rotations/${running.id}/timeline?at=${at}`), {
      status: 422,
      code: 'timeline.before-beginning',
      field: '/at',
    });
  });

  it('is asked of its timeline by an instant only', async () => {
    await proveRefused(() => stage.get(`/rotations/${running.id}/timeline?at=yesterday`), {
      status: 400,
      code: 'query.invalid',
      field: '/at',
    });
  });

  it('of a family that is only watched is refused', async () => {
    const { id } = await stage.family(
      { mode: 'tracked', authority: { kind: 'back-end' }, backEnd: undefined },
      [],
    );
    await proveRefused(() => stage.post(`/families/${id}/rotations`, wish()), {
      status: 409,
      code: 'family.not-driven',
    });
  });

  it('does not start beside one that runs', async () => {
    await proveRefused(() => stage.post(`/families/${busy.id}/rotations`, wish()), {
      status: 409,
      code: 'rotation.already-running',
      says: running.id,
    });
  });

  it('has no accept window to cut before its old version was revoked; afterwards it has, once', async () => {
    const { id } = await stage.request((await stage.familyWithKey()).id);
    await stage.driveTo(id, 'emitting');
    const cut = { reason: 'an old client is refused', acceptWindow: 'PT0S' };
    await proveRefused(() => stage.post(`/rotations/${id}/rollback`, cut), {
      status: 422,
      code: 'rollback.no-accept-window',
      field: '/acceptWindow',
    });
    await stage.driveTo(id, 'watching');
    expect(bodyOf<RotationViewJson>(await stage.post(`/rotations/${id}/rollback`, cut), 200).phase).toBe(
      'rolling-back',
    );
  });

  it('carries emergency details only as an emergency', async () => {
    await proveRefused(
      () => stage.post(`/families/${quiet.id}/rotations`, wish({ emergency: { incident: 'INC-1' } })),
      { status: 422, code: 'rotation.not-an-emergency', field: '/emergency' },
    );
  });

  it.each([
    [
      'names a version nobody knows',
      { compromisedVersions: ['nobody-knows'] },
      'version.unknown',
      'compromisedVersions',
    ],
    [
      'was discovered tomorrow',
      { discoveredAt: '2099-01-01T00:00:00Z' },
      'emergency.discovered-later',
      'discoveredAt',
    ],
  ])('an emergency that %s is refused', async (_, emergency, code, field) => {
    await proveRefused(
      () =>
        stage.post(
          `/families/${quiet.id}/rotations`,
          wish({ strategy: 'emergency', trigger: 'compromise', emergency }),
        ),
      { status: 422, code, field: `/emergency/${field}` },
    );
  });

  it('contains only versions that are known', async () => {
    await proveRefused(
      () => stage.post(`/families/${quiet.id}/containments`, { versions: ['nobody-knows'], reason: 'x' }),
      { status: 422, code: 'version.unknown', field: '/versions' },
    );
  });
});

describe('what must be unique', () => {
  it('a back-end object: the second family is refused and hears of the first', async () => {
    await proveRefused(() => stage.post('/families', familyBody({ backEnd: quiet.backEnd })), {
      status: 409,
      code: 'back-end.object-taken',
      field: '/backEnd/object',
      says: quiet.id,
    });
  });

  it('a family name in its environment: the second is refused and hears of the first', async () => {
    await proveRefused(() => stage.post('/families', familyBody({ name: quiet.name })), {
      status: 409,
      code: 'family.name-taken',
      field: '/name',
      says: quiet.id,
    });
  });

  it('a family name is free in another environment', async () => {
    const body = familyBody({ name: quiet.name, environment: 'elsewhere' });
    expect((await stage.post('/families', body)).status).toBe(201);
  });

  it('a policy selector: the second policy is refused and hears of the first', async () => {
    const selector = { kind: 'webhook-secret', environment: 'twice' };
    const first = bodyOf<PolicyView>(await stage.post('/policies', policyBody(stage.now, { selector })), 201);
    await proveRefused(() => stage.post('/policies', policyBody(stage.now, { selector })), {
      status: 409,
      code: 'policy.selector-taken',
      field: '/selector',
      says: first.id,
    });
  });
});

it('a policy is not effective before it was recorded', async () => {
  const body = policyBody(stage.now - 86_400_000, { selector: { environment: 'early' } });
  await proveRefused(() => stage.post('/policies', body), {
    status: 422,
    code: 'policy.effective-too-early',
    field: '/effectiveFrom',
  });
});

describe('a token', () => {
  const refused: Refusal = { status: 401, code: 'access.unauthenticated' };
  const read = (token: string | null) => () => service.call('GET', '/api/v1/families', { token });
  const write = (token: string | null) => () =>
    service.call('POST', '/api/v1/families', { token, body: familyBody() });

  it.each([
    ['none', null],
    ['forged', `kt_${randomBytes(32).toString('base64url')}`],
    ['of another make', 'eyJhbGciOiJub25lIn0.e30.'],
    ['of the right beginning only', 'kt_'],
  ])('%s opens nothing', async (_, token) => {
    await proveRefused(read(token), refused);
    await proveRefused(write(token), refused);
  });

  it('with one character changed opens nothing', async () => {
    const last = service.token.at(-2) === 'A' ? 'B' : 'A';
    await proveRefused(write(`${service.token.slice(0, -2)}${last}${service.token.at(-1) ?? ''}`), refused);
  });

  it('that has expired opens nothing', async () => {
    const expiresAt = new Date(stage.now + 60_000).toISOString();
    const { token } = await service.tokenWith(['operator'], { expiresAt });
    expect((await read(token)()).status).toBe(200);
    service.clock.advance(60_000);
    await proveRefused(write(token), { ...refused, says: /expired/ });
  });

  it('that was revoked opens nothing', async () => {
    const { token, id } = await service.tokenWith(['operator']);
    expect((await read(token)()).status).toBe(200);
    expect((await service.call('DELETE', `/api/v1/tokens/${id}`)).status).toBe(204);
    await proveRefused(write(token), { ...refused, says: /revoked/ });
  });
});

describe('an id nobody knows is 404', () => {
  const id = randomUUID();
  it.each([
    ['GET', `/families/${id}`, undefined, 'family.not-found'],
    ['GET', '/families/nowhere%2Fnobody', undefined, 'family.not-found'],
    ['GET', `/families/${id}/windows`, undefined, 'family.not-found'],
    ['GET', `/families/${id}/schedule`, undefined, 'family.not-found'],
    ['PUT', `/families/${id}/runbook`, {}, 'family.not-found'],
    ['PUT', `/families/${id}/owner`, { role: 'x' }, 'family.not-found'],
    ['POST', `/families/${id}/rotations`, wish(), 'family.not-found'],
    ['POST', `/families/${id}/containments`, { versions: ['a'], reason: 'x' }, 'family.not-found'],
    ['POST', `/families/${id}/consumers`, { name: 'a', roles: ['emitter'] }, 'family.not-found'],
    ['GET', `/rotations/${id}`, undefined, 'rotation.not-found'],
    ['GET', `/rotations/${id}/timeline`, undefined, 'rotation.not-found'],
    ['GET', `/rotations/${id}/record.pdf`, undefined, 'rotation.not-found'],
    ['POST', `/rotations/${id}/rollback`, { reason: 'x' }, 'rotation.not-found'],
    ['POST', `/rotations/${id}/notes`, { note: 'x' }, 'rotation.not-found'],
    ['GET', `/containments/${id}`, undefined, 'containment.not-found'],
    ['GET', `/policies/${id}`, undefined, 'policy.not-found'],
    ['POST', `/policies/${id}/retire`, { reason: 'x' }, 'policy.not-found'],
    ['DELETE', `/tokens/${id}`, undefined, 'token.not-found'],
  ])('%s %s', async (method, path, body, code) => {
    await proveRefused(() => service.call(method, `/api/v1${path}`, body === undefined ? {} : { body }), {
      status: 404,
      code,
    });
  });

  it('a consumer of a family', async () => {
    const body = { name: 'a', roles: ['emitter'] };
    await proveRefused(() => service.call('PUT', `/api/v1/families/${quiet.id}/consumers/${id}`, { body }), {
      status: 404,
      code: 'consumer.not-found',
    });
  });

  it('a JWKS document', async () => {
    await proveRefused(() => service.call('GET', `/jwks/${id}`), { status: 404, code: 'jwks.not-found' });
  });
});

describe('an If-Match', () => {
  const stale = { headers: { 'if-match': '"0"' } };
  const failed: Refusal = { status: 412, code: 'precondition.failed' };

  it('that is stale changes nothing', async () => {
    const put = (path: string, body: unknown) => () =>
      service.call('PUT', `/api/v1${path}`, { body, ...stale });
    await proveRefused(put(`/families/${quiet.id}/runbook`, { scope: 'new' }), failed);
    await proveRefused(put(`/families/${quiet.id}/owner`, { role: 'new' }), failed);
    const consumer = { name: 'never seen before', roles: ['verifier'] };
    await proveRefused(() => stage.post(`/families/${quiet.id}/consumers`, consumer, stale), failed);
    await proveRefused(() => stage.post(`/families/${quiet.id}/rotations`, wish(), stale), failed);
    await proveRefused(() => stage.post(`/rotations/${running.id}/pause`, { reason: 'x' }, stale), failed);
  });

  it('that is weak matches nothing, and one that is none is malformed', async () => {
    const { headers } = await stage.get(`/families/${quiet.id}`);
    const weak = { headers: { 'if-match': `W/${headers.get('etag') ?? ''}` } };
    await proveRefused(() => stage.post(`/families/${quiet.id}/rotations`, wish(), weak), failed);
    const bare = { headers: { 'if-match': '7' } };
    await proveRefused(() => stage.post(`/families/${quiet.id}/rotations`, wish(), bare), {
      status: 400,
      code: 'precondition.invalid',
    });
  });

  it('that is what was read is obeyed', async () => {
    const { headers } = await stage.get(`/families/${quiet.id}`);
    const given = { 'if-match': headers.get('etag') ?? '' };
    const answer = await service.call('PUT', `/api/v1/families/${quiet.id}/runbook`, {
      body: { scope: 'all of it' },
      headers: given,
    });
    expect(answer.status).toBe(200);
  });
});

describe('a repeated request', () => {
  interface Repeated {
    readonly path: string;
    readonly body: Readonly<Record<string, unknown>>;
    readonly other: Readonly<Record<string, unknown>>;
    readonly token?: string;
  }

  it.each<[string, () => Repeated | Promise<Repeated>]>([
    ['a family', () => ({ path: '/families', body: familyBody(), other: familyBody() })],
    [
      'a rotation',
      async () => {
        const { id } = await stage.family();
        await stage.fillRunbook(id);
        return { path: `/families/${id}/rotations`, body: wish(), other: wish({ trigger: 'scheduled' }) };
      },
    ],
    [
      'an emergency',
      async () => ({
        path: `/families/${(await stage.familyWithKey()).id}/rotations`,
        body: wish({ strategy: 'emergency', trigger: 'compromise' }),
        other: wish({ strategy: 'emergency' }),
      }),
    ],
    [
      'an approval',
      async () => ({
        path: `/rotations/${(await stage.request((await stage.family()).id)).id}/approve`,
        body: { note: 'seen' },
        other: {},
        token: stage.approver,
      }),
    ],
    [
      'a confirmation',
      () => {
        const body = {
          kind: 'acceptance',
          consumer: `mobile-app of ${busy.name}`,
          version: running.incoming,
        };
        return {
          path: `/rotations/${running.id}/confirmations`,
          body: { ...body, instances: ['one'] },
          other: { ...body, instances: ['two'] },
        };
      },
    ],
    [
      'a containment',
      async () => {
        const { id, current } = await stage.familyWithKey();
        const body = { versions: [current], reason: 'seen in a log' };
        return { path: `/families/${id}/containments`, body, other: { ...body, reason: 'other' } };
      },
    ],
    [
      'a policy',
      () => {
        const body = policyBody(stage.now, { selector: { environment: 'repeated' } });
        return { path: '/policies', body, other: { ...body, name: 'other' } };
      },
    ],
    ['a note', () => ({ path: `/rotations/${running.id}/notes`, body: { note: 'a' }, other: { note: 'b' } })],
  ])('%s: the same body is answered alike and is no new event, another body is refused', async (_, make) => {
    const { path, body, other, token } = await make();
    const key = randomUUID();
    const options = token === undefined ? { key } : { key, token };
    const empty = await size();
    const first = await stage.post(path, body, options);
    expect([200, 201]).toContain(first.status);
    const after = await size();
    expect(after).toBeGreaterThan(empty);

    const [again, atOnce] = await Promise.all([
      stage.post(path, body, options),
      stage.post(path, body, options),
    ]);
    for (const answer of [again, atOnce]) {
      expect(answer.status).toBe(first.status);
      expect(answer.body).toEqual(first.body);
    }
    const turned = Object.fromEntries(Object.entries(body).reverse());
    expect((await stage.post(path, turned, options)).body).toEqual(first.body);
    expect(await size()).toBe(after);

    await proveRefused(() => stage.post(path, other, options), {
      status: 422,
      code: 'idempotency.key-reused',
    });
  });

  it.each<[string, () => Promise<() => Promise<Answer>>]>([
    [
      'a consumer',
      async () => {
        const { id } = await stage.family({}, []);
        const body = { name: `late of ${id}`, roles: ['verifier'] };
        const { headers } = await stage.get(`/families/${id}`);
        const options = { key: randomUUID(), headers: { 'if-match': headers.get('etag') ?? '' } };
        return () => stage.post(`/families/${id}/consumers`, body, options);
      },
    ],
    [
      'a policy’s approval',
      async () => {
        const body = policyBody(stage.now, { selector: { environment: 'seen' } });
        const { id } = bodyOf<PolicyView>(await stage.post('/policies', body), 201);
        const { headers } = await stage.get(`/policies/${id}`);
        const seen = { 'if-match': headers.get('etag') ?? '' };
        const options = { key: randomUUID(), headers: seen, token: stage.approver };
        return () => stage.post(`/policies/${id}/approve`, {}, options);
      },
    ],
    [
      'a runbook',
      async () => {
        const { id } = await stage.family({}, []);
        const { headers } = await stage.get(`/families/${id}`);
        const seen = { 'if-match': headers.get('etag') ?? '', 'idempotency-key': randomUUID() };
        const options = { body: { scope: 'all' }, headers: seen };
        return () => service.call('PUT', `/api/v1/families/${id}/runbook`, options);
      },
    ],
  ])('%s: the repeat is no conflict with what its first copy changed', async (_, make) => {
    const ask = await make();
    const first = await ask();
    expect([200, 201]).toContain(first.status);
    const after = await size();
    const again = await ask();
    expect({ status: again.status, body: again.body }).toEqual({ status: first.status, body: first.body });
    expect(await size()).toBe(after);
  });

  it('a consumer that was revised in between stays revised', async () => {
    const { id } = await stage.family({}, []);
    const consumer = { name: `api of ${id}`, roles: ['verifier'], cacheTtl: 'PT5M' };
    const key = randomUUID();
    const register = () => stage.post(`/families/${id}/consumers`, consumer, { key });
    const first = bodyOf<FamilyView>(await register(), 201);
    const path = `/api/v1/families/${id}/consumers/${first.consumers[0]?.id ?? ''}`;
    bodyOf(await service.call('PUT', path, { body: { ...consumer, cacheTtl: 'P1D' } }), 200);
    const again = bodyOf<FamilyView>(await register(), 201);
    expect(again.consumers[0]?.cacheTtl).toBe('P1D');
  });

  it('without a key is refused', async () => {
    await proveRefused(() => stage.post('/families', familyBody(), { key: null }), {
      status: 400,
      code: 'idempotency.key-missing',
    });
  });
});

it('an outcome is never refused: a rollback asked for while the emitter is being switched comes after it', async () => {
  const { id } = await stage.request((await stage.familyWithKey()).id);
  const accepting = await stage.driveTo(id, 'accepting');
  await stage.confirmMissing(accepting);
  service.clock.advance(2 * 86_400_000);

  const { ledger, backend } = service.keyturn;
  const slow = new (class extends FaultyBackEnd {
    override async switchEmission(...call: Parameters<FaultyBackEnd['switchEmission']>) {
      const asked = await stage.post(`/rotations/${id}/rollback`, { reason: 'errors rise' });
      expect(asked.status).toBe(200);
      return super.switchEmission(...call);
    }
  })(backend);
  const runner = new RotationRunner({
    ledger,
    backEnds: new BackEnds([slow]),
    worker: 'slow#1',
    othersAreDead: () => true,
  });
  await runner.advance(id);

  const { events } = await ledger.store.read(rotationStream(id));
  const types = events.map((event) => event.type);
  const asked = types.indexOf('RollbackRequested');
  expect(types[asked - 1]).toBe('StepStarted');
  expect(types.slice(asked + 1)).toEqual(['EmitterSwitched', 'StepStarted', 'EmissionReturned']);
  expect((await stage.rotation(id)).phase).toBe('rolling-back');
});

it('a log cut in half is refused in plain words and left as it is', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'keyturn-cut-'));
  try {
    const dataDir = join(directory, 'data');
    const config = loadConfig({ KEYTURN_DATA_DIR: dataDir, KEYTURN_PORT: '0', KEYTURN_LOG: 'silent' });
    const serving = await serve(config, { inlineLog: true, workers: false });
    await serving.stop();
    const path = join(dataDir, LOG_FILE);
    truncateSync(path, Math.floor(statSync(path).size / 2));
    const digest = (): string => createHash('sha256').update(readFileSync(path)).digest('hex');
    const before = digest();
    const refused = await openKeyturn(config).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(LogCorruptError);
    expect(String(refused)).toMatch(/is damaged [^]*Keep the file/);
    expect(digest()).toBe(before);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
