import { jest } from '@jest/globals';
import { PERMISSIONS_OF, ROLES } from '#access';
import type { RouteAccess } from './http/access.guard.js';
import { startService, type StartedService } from './testing/started-service.js';

// A starting service is slow where the machine is busy.
jest.setTimeout(30_000);

/** Every route and what it asks. A route that is not here fails the run: decide, then write it down. */
const TABLE: Readonly<Record<string, RouteAccess>> = {
  'GET /': 'public',
  'GET /health/live': 'public',
  'GET /health/ready': 'public',
  'GET /jwks/:familyId': 'public',
  'GET /metrics': 'metrics:read',
  'GET /api/v1/back-ends': 'family:read',
  'GET /api/docs': 'public',
  'GET /api/docs/openapi.json': 'public',
  'POST /api/v1/tokens/bootstrap': 'public',
  'GET /api/v1/me': 'any-token',
  'GET /api/v1/tokens': 'token:admin',
  'POST /api/v1/tokens': 'token:admin',
  'DELETE /api/v1/tokens/:id': 'token:admin',
  'GET /api/v1/log/events': 'log:read',
  'GET /api/v1/families': 'family:read',
  'POST /api/v1/families': 'family:write',
  'GET /api/v1/families/:family': 'family:read',
  'GET /api/v1/families/:family/runbook.pdf': 'family:read',
  'GET /api/v1/families/:family/emergency-card.pdf': 'family:read',
  'PUT /api/v1/families/:family/runbook': 'family:write',
  'GET /api/v1/families/:family/timeline': 'rotation:read',
  'PUT /api/v1/families/:family/classification': 'family:write',
  'POST /api/v1/families/:family/deviations': 'family:write',
  'POST /api/v1/families/:family/deviations/:deviation/approve': 'policy:approve',
  'POST /api/v1/families/:family/deviations/:deviation/close': 'family:write',
  'PUT /api/v1/families/:family/schedule': 'family:write',
  'PUT /api/v1/families/:family/owner': 'family:write',
  'POST /api/v1/families/:family/consumers': 'family:write',
  'PUT /api/v1/families/:family/consumers/:consumer': 'family:write',
  'DELETE /api/v1/families/:family/consumers/:consumer': 'family:write',
  'GET /api/v1/families/:family/windows': 'family:read',
  'GET /api/v1/families/:family/policy': 'policy:read',
  'GET /api/v1/families/:family/schedule': 'schedule:read',
  // The use case asks for rotation:request or emergency:declare, once it knows which of them it is.
  'POST /api/v1/families/:family/rotations': 'rotation:read',
  'POST /api/v1/families/:family/containments': 'containment:apply',
  'POST /api/v1/emergencies': 'emergency:declare',
  'GET /api/v1/rotations': 'rotation:read',
  'GET /api/v1/rotations/:rotation': 'rotation:read',
  'POST /api/v1/rotations/:rotation/approve': 'rotation:approve',
  'POST /api/v1/rotations/:rotation/reject': 'rotation:approve',
  'POST /api/v1/rotations/:rotation/confirmations': 'rotation:confirm',
  'POST /api/v1/rotations/:rotation/telemetry': 'rotation:confirm',
  'POST /api/v1/rotations/:rotation/overrides': 'rotation:operate',
  'POST /api/v1/rotations/:rotation/rollback': 'rotation:operate',
  'POST /api/v1/rotations/:rotation/steps/:step/switch-to-attested': 'rotation:operate',
  'POST /api/v1/rotations/:rotation/steps/:step/attest': 'rotation:confirm',
  'POST /api/v1/rotations/:rotation/pause': 'rotation:operate',
  'POST /api/v1/rotations/:rotation/resume': 'rotation:operate',
  'POST /api/v1/rotations/:rotation/abandon': 'rotation:operate',
  'POST /api/v1/rotations/:rotation/retry': 'rotation:operate',
  'POST /api/v1/rotations/:rotation/notes': 'rotation:operate',
  'POST /api/v1/rotations/:rotation/review': 'rotation:operate',
  'GET /api/v1/rotations/:rotation/timeline': 'rotation:read',
  'GET /api/v1/rotations/:rotation/timeline/stream': 'rotation:read',
  'GET /api/v1/timeline/stream': 'rotation:read',
  'GET /api/v1/rotations/:rotation/record.pdf': 'rotation:read',
  'GET /api/v1/policies': 'policy:read',
  'POST /api/v1/policies': 'policy:write',
  'GET /api/v1/policies/:policy': 'policy:read',
  'PUT /api/v1/policies/:policy': 'policy:write',
  'POST /api/v1/policies/:policy/approve': 'policy:approve',
  'POST /api/v1/policies/:policy/standing-approvals': 'policy:approve',
  'POST /api/v1/policies/:policy/standing-approvals/:approval/revoke': 'policy:approve',
  'POST /api/v1/policies/:policy/retire': 'policy:write',
  'GET /api/v1/schedule': 'schedule:read',
  'GET /api/v1/obligations': 'schedule:read',
  'GET /api/v1/schedule/overdue': 'schedule:read',
  'GET /api/v1/schedule/owed': 'schedule:read',
  'GET /api/v1/consumers': 'family:read',
  'POST /api/v1/families/:family/compromises/clear': 'containment:apply',
  'POST /api/v1/families/:family/destructions': 'destruction:request',
  'PUT /api/v1/families/:family/custodians/:subject': 'family:write',
  'POST /api/v1/families/:family/custodians/acknowledge': 'family:read',
  'PUT /api/v1/families/:family/authority': 'family:write',
  'POST /api/v1/families/:family/reviews': 'family:write',
  'POST /api/v1/families/:family/retire': 'family:write',
  'POST /api/v1/families/:family/drift/accept': 'rotation:operate',
  'POST /api/v1/families/:family/exposures': 'containment:apply',
  'POST /api/v1/families/:family/corrections': 'family:write',
  'POST /api/v1/people/:subject/departure': 'token:admin',
  'POST /api/v1/rotations/:rotation/corrections': 'rotation:operate',
  'POST /api/v1/rotations/:rotation/confirmations/withdraw': 'rotation:confirm',
  'GET /api/v1/containments': 'rotation:read',
  'GET /api/v1/destructions': 'rotation:read',
  'GET /api/v1/containments/:containment': 'rotation:read',
  'GET /api/v1/freezes': 'rotation:read',
  'POST /api/v1/freezes': 'freeze:write',
  'POST /api/v1/freezes/:freeze/lift': 'freeze:write',
  'GET /api/v1/holds': 'rotation:read',
  'POST /api/v1/holds/:hold/confirm': 'hold:confirm',
  'POST /api/v1/containments/:containment/lift': 'containment:apply',
  'POST /api/v1/containments/:containment/retry': 'containment:apply',
  'POST /api/v1/containments/:containment/attest': 'containment:apply',
  'GET /api/v1/destructions/:destruction': 'rotation:read',
  'POST /api/v1/destructions/:destruction/approve': 'destruction:approve',
  'POST /api/v1/destructions/:destruction/reject': 'destruction:approve',
  'POST /api/v1/destructions/:destruction/retry': 'destruction:request',
  'PUT /api/v1/destructions/:destruction/token': 'destruction:approve',
  'POST /api/v1/destructions/:destruction/attest': 'destruction:request',
  'POST /api/v1/imports': 'import:run',
  'POST /api/v1/read-model/rebuild': 'readmodel:rebuild',
  'POST /api/v1/hook/test': 'hook:test',
};

let service: StartedService;
const tokens = new Map<string, string>();

beforeAll(async () => {
  service = await startService();
  for (const role of ROLES) tokens.set(role, (await service.tokenWith([role])).token);
});

afterAll(async () => {
  await service.stop();
});

it('has a row for every route of the router, and a route for every row', () => {
  const routed = Object.fromEntries(
    service.routes.map(({ method, url, access }) => [`${method} ${url}`, access]),
  );
  expect(routed).toEqual(TABLE);
});

const cells = Object.entries(TABLE).flatMap(([route, access]) =>
  [...ROLES, 'nobody' as const].map((role): [string, string, RouteAccess] => [role, route, access]),
);

it.each(cells)('%s %s', async (role, route, access) => {
  const [method = '', pattern = ''] = route.split(' ');
  const path = pattern.replaceAll(/:\w+/g, '00000000-0000-4000-8000-000000000000');
  const token = tokens.get(role) ?? null;
  const { status, body } = await service.call(method, path, {
    token,
    ...(method === 'POST' ? { body: {} } : {}),
  });
  const known = ROLES.find((each) => each === role);
  if (access === 'public')
    expect([401, 403]).not.toContain(body['code'] === 'access.code-refused' ? 0 : status);
  else if (known === undefined) expect([status, body['code']]).toEqual([401, 'access.unauthenticated']);
  else if (access === 'any-token' || PERMISSIONS_OF[known].includes(access))
    expect([401, 403]).not.toContain(status);
  else expect([status, body['code']]).toEqual([403, 'access.forbidden']);
});

it('refuses a HEAD as it refuses its GET', async () => {
  expect((await service.call('HEAD', '/api/v1/tokens', { token: null })).status).toBe(401);
});
