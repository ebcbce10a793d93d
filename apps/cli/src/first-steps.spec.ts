import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { takeLock, LOCK_FILE } from '#eventlog/sqlite';
import { placesOf } from '#service/places';
import { loadConfig } from '#platform';
import { ownFolder } from './testing/own-folder.js';
import { FAMILY, FAMILY_ID, POLICY, PREVIEW, ROTATION, ROTATION_ID } from './testing/examples.js';
import { run, type RunOptions } from './testing/run-in.js';
import {
  problem,
  startStandIn,
  type StandInRoutes,
  type StandInService,
} from './testing/stand-in-service.js';

const ROTATIONS = `POST /families/${FAMILY_ID}/rotations`;
const BY_NAME = 'GET /families/production%2Fsession-jwt';
const FREEZE = {
  id: '8d0f1f7e-1111-4111-8111-111111111111',
  name: 'year end',
  reason: 'no changes',
  status: 'in force',
  from: '2026-02-01T00:00:00.000Z',
  until: null,
  liftedAt: null,
  scope: {},
};
const page = (...items: readonly unknown[]) => ({ body: { items, next: null, treeSize: 42 } });

let standIn: StandInService | undefined;
afterEach(async () => {
  await standIn?.close();
  standIn = undefined;
});

async function runAgainst(routes: StandInRoutes, argv: readonly string[], options: RunOptions = {}) {
  await standIn?.close();
  standIn = await startStandIn(routes);
  return {
    ...(await run(argv, { url: standIn.url, ...options })),
    asked: standIn.asked(),
    seen: standIn.seen,
  };
}

describe('emergency', () => {
  it.each([
    ['--team', 'payments'],
    ['--back-end', 'local'],
    ['--knew', 'x'],
    ['--path', '/etc/key'],
    ['--environment', 'demo'],
  ])('takes no %s beside a family', async (name, value) => {
    const { code, err } = await run(['emergency', 'demo/roll', name, value, '--yes']);
    expect({ code, named: err.includes(name) }).toEqual({ code: 2, named: true });
  });

  it('says first that a family is missing', async () => {
    const { code, err } = await run(['emergency']);
    expect(code).toBe(2);
    expect(err).toContain('name a family');
    expect(err).not.toContain('--yes');
  });

  it('shows each consumer once in the count, why one cannot be shown apart, and no field of the API', async () => {
    const other = { ...FAMILY, id: `2${FAMILY_ID.slice(1)}`, qualifiedName: 'production/new' };
    const { out } = await runAgainst(
      {
        'GET /families': page(FAMILY, other),
        [ROTATIONS]: { body: { ...PREVIEW, whoBreaks: ['api: what it emitted …', 'api: may refuse …'] } },
        [`POST /families/${other.id}/rotations`]: {
          status: 409,
          body: problem(
            409,
            'emergency.nothing-compromised',
            'none: name them in emergency.compromisedVersions',
          ),
        },
      },
      ['emergency', '--team', 'identity', '--dry-run'],
    );
    expect(out).toContain('EMERGENCY for 2 families');
    expect(out).toMatch(/production\/session-jwt\s+k1\s+1 consumer\b/);
    expect(out).toMatch(/production\/new\s+–\s+not known/);
    expect(out).toContain('production/new: cannot be shown: none: name them in keyturn emergency');
    expect(out).not.toContain('compromisedVersions');
    const one = await runAgainst({ 'GET /families': page(FAMILY), [ROTATIONS]: { body: PREVIEW } }, [
      'emergency',
      '--team',
      'identity',
      '--dry-run',
    ]);
    expect(one.out).toContain('EMERGENCY for one family');
  });

  it('skips what is declared, and names the one that failed with its own error and its own command', async () => {
    const other = { ...FAMILY, id: `2${FAMILY_ID.slice(1)}`, qualifiedName: 'production/new key' };
    const routes: StandInRoutes = {
      'GET /families': page(FAMILY, other),
      [ROTATIONS]: {
        status: 409,
        body: {
          ...problem(409, 'emergency.already-declared', 'already'),
          details: { rotation: ROTATION_ID },
        },
      },
      [`POST /families/${other.id}/rotations`]: {
        status: 409,
        body: problem(409, 'emergency.no-version', 'none: name them in emergency.compromisedVersions'),
      },
    };
    const argv = ['emergency', '--team', 'identity', '--reason', 'team laptop stolen'];
    const { code, out, err, seen } = await runAgainst(routes, [...argv, '--yes']);
    expect(code).toBe(4);
    expect(out).toContain(`production/session-jwt  already declared: rotation ${ROTATION_ID}`);
    expect(out).toContain('production/new key  none: name them in keyturn emergency FAMILY --compromised');
    expect(out).toContain(
      'keyturn emergency "production/new key" --unless-declared --reason "team laptop stolen" --compromised VERSION --yes',
    );
    expect(out).toContain('0 of 2 emergencies are declared, 1 were before.');
    expect(err).toContain('1 could not be declared: production/new key.');
    expect(out + err).not.toContain('run it again');
    // What is declared is looked at and not asked for once more; each that is asked for is asked for once.
    const asked = seen.filter(({ method }) => method === 'POST');
    expect(asked.map(({ body }) => Object(body).emergency.unlessDeclared)).toEqual([true, true, true]);
    const look = await runAgainst(routes, [...argv, '--dry-run']);
    expect(look.out).toContain(`production/session-jwt: already declared: rotation ${ROTATION_ID}`);
  });
});

it('a preview, and a rotation that waits, name the freeze that holds them, with its end', async () => {
  const until = '2026-03-05T00:00:00.000Z';
  const holds = [{ what: 'the freeze year-end', reason: 'no changes', until, steps: ['generate'] }];
  const routes = (rotation: unknown): StandInRoutes => ({
    [BY_NAME]: { body: FAMILY },
    [ROTATIONS]: { body: { ...PREVIEW, holds } },
    [`GET /rotations/${ROTATION_ID}`]: { body: rotation },
  });
  const argv = ['rotate', 'production/session-jwt', '--dry-run'];
  const preview = await runAgainst(routes(ROTATION), argv);
  expect(preview.out).toMatch(/held by\s+the freeze year-end until 2026-03-05.*: no changes/);
  const waits = { ...ROTATION, waitsFor: 'held: the freeze year-end: no changes', wakeAt: until };
  const status = await runAgainst(routes(waits), ['status', ROTATION_ID]);
  expect(status.out).toMatch(/held by\s+the freeze year-end until 2026-03-05.*: no changes/);
});

describe('the version that is to be made', () => {
  it('has no name in a preview, nor before it is there', async () => {
    const routes = (rotation: unknown) => ({
      [BY_NAME]: { body: FAMILY },
      [`GET /rotations/${ROTATION_ID}`]: { body: rotation },
    });
    const preview = await runAgainst({ [BY_NAME]: { body: FAMILY }, [ROTATIONS]: { body: PREVIEW } }, [
      'rotate',
      'production/session-jwt',
      '--dry-run',
    ]);
    expect(preview.out).toContain('k1 → a new version');
    const asked = await runAgainst(routes({ ...ROTATION, phase: 'approved' }), ['status', ROTATION_ID]);
    expect(asked.out).toContain('k1 → a new version');
    const made = await runAgainst(routes({ ...ROTATION, phase: 'generated' }), ['status', ROTATION_ID]);
    expect(made.out).toContain('k1 → k2');
  });
});

describe('commands that are printed', () => {
  it('can be pasted, whatever the family is called', async () => {
    const { out } = await runAgainst(
      {
        'POST /people/6fa459ea-ee8a-4ca4-894e-db77e160355e/departure': {
          body: { families: [{ ...FAMILY, qualifiedName: 'demo/Demo session MAC' }] },
        },
      },
      ['left', '6fa459ea-ee8a-4ca4-894e-db77e160355e'],
    );
    expect(out).toContain('keyturn rotate "demo/Demo session MAC" --trigger');
  });
});

describe('freezes', () => {
  it('that were lifted are said to be, by name and by id', async () => {
    const lifted = { ...FREEZE, status: 'lifted', liftedAt: '2026-02-03T10:00:00.000Z' };
    for (const name of ['year end', '8d0f1f7e']) {
      const { code, err, asked } = await runAgainst({ 'GET /freezes': page(lifted) }, [
        'freeze',
        'lift',
        name,
        '--reason',
        'r',
      ]);
      expect({ code, asked }).toEqual({ code: 1, asked: ['GET /freezes'] });
      expect(err).toContain('was lifted already, at 2026-02-03 10:00 UTC');
    }
    const { err } = await runAgainst({ 'GET /freezes': page(lifted) }, [
      'freeze',
      'lift',
      'other',
      '--reason',
      'r',
    ]);
    expect(err).toContain('there is no freeze "other"');
  });

  it('name the family they cover', async () => {
    const declared = { ...FREEZE, scope: { families: [FAMILY_ID] } };
    const { out } = await runAgainst({ 'POST /freezes': { status: 201, body: declared } }, [
      'freeze',
      'declare',
      'year end',
      '--reason',
      'r',
      '--family',
      'production/session-jwt',
    ]);
    expect(out).toContain('Covers production/session-jwt.');
  });
});

describe('what is wrong is called by its name', () => {
  it('a policy that is not there', async () => {
    const { code, err } = await runAgainst({ 'GET /policies': page(POLICY) }, [
      'standing',
      'grant',
      'nope',
      '--until',
      '90d',
      '--reason',
      'r',
    ]);
    expect(code).toBe(1);
    expect(err).toContain('there is no policy "nope"');
    expect(err).not.toContain('destruction');
  });

  it('a backup that is not there', async () => {
    const nowhere = join(ownFolder(), 'nope');
    const { code, err } = await run(['restore', nowhere]);
    expect(code).toBe(1);
    expect(err).toContain(`there is no ${nowhere}`);
    expect(err).not.toContain('manifest');
  });

  it('the option that is wrong, not the field of the API', async () => {
    const { code, err } = await run([
      'token',
      'create',
      '--name',
      'x',
      '--role',
      'viewer',
      '--expires',
      '2020-01-01T00:00:00Z',
    ]);
    expect(code).toBe(2);
    expect(err).toContain('--expires');
    expect(err).not.toContain('expiresAt');
  });

  it('a service that runs on the files a rekey needs', async () => {
    const dataDir = ownFolder();
    const places = placesOf(loadConfig({ KEYTURN_DATA_DIR: dataDir }));
    for (const folder of [places.log, places.custody]) mkdirSync(folder, { recursive: true });
    const lock = takeLock(join(places.log, LOCK_FILE));
    try {
      const { code, err } = await run(['local', 'rekey'], { env: { KEYTURN_DATA_DIR: dataDir } });
      expect(code).toBe(1);
      expect(err).toContain('stop the service first');
      expect(err).not.toContain('KEYTURN_URL');
    } finally {
      lock.release();
    }
  });

  it('neither a data directory nor a service: doctor ends with a problem', async () => {
    const { code, out } = await run(['doctor']);
    expect(code).toBe(1);
    expect(out).toContain('✖ there is no ');
    expect(out).toContain('1 to mend');
    const elsewhere = await runAgainst(
      { 'GET /../../health/ready': { body: {} }, 'GET /health/ready': { body: {} } },
      ['doctor'],
    );
    expect(elsewhere.out).toContain('- there is no ');
  });
});

describe('people', () => {
  const ADA = '6fa459ea-ee8a-4ca4-894e-db77e160355e';
  const token = { id: 't-1', subject: ADA, name: 'Ada', label: 'l', roles: ['admin'], status: 'active' };
  const departure = { [`POST /people/${ADA}/departure`]: { body: { families: [] } } };

  it('are shown with the id that commands ask for', async () => {
    const { out } = await runAgainst({ 'GET /tokens': page(token) }, ['token', 'list']);
    expect(out).toMatch(new RegExp(`Ada +${ADA}`));
  });

  it('may be named where only one has the name; an id asks nobody', async () => {
    const other = { ...token, id: 't-2' };
    const named = await runAgainst({ ...departure, 'GET /tokens': page(token, other) }, ['left', 'Ada']);
    expect([named.code, named.asked.at(-1)]).toEqual([0, `POST /people/${ADA}/departure`]);
    expect((await runAgainst(departure, ['left', ADA])).asked).toEqual([`POST /people/${ADA}/departure`]);
    const two = { ...token, subject: `7${ADA.slice(1)}` };
    const twice = await runAgainst({ ...departure, 'GET /tokens': page(token, two) }, ['left', 'Ada']);
    expect([twice.code, twice.asked]).toEqual([1, ['GET /tokens']]);
    expect(twice.err).toContain(ADA);
    const nobody = await runAgainst({ ...departure, 'GET /tokens': page(token) }, ['left', 'Grace']);
    expect([nobody.code, nobody.asked]).toEqual([1, ['GET /tokens']]);
  });
});

describe('what a page shows', () => {
  it('of a rolling rotation: its cohorts, and how far it is', async () => {
    const cohorts = [
      { share: 10, hold: 'P1D' },
      { share: 100, hold: 'PT0S' },
    ];
    const rolling = {
      ...ROTATION,
      strategy: 'rolling',
      phase: 'emitting',
      emittingShare: 10,
      plan: { cohorts },
    };
    const { out } = await runAgainst({ [`GET /rotations/${ROTATION_ID}`]: { body: rolling } }, [
      'status',
      ROTATION_ID,
    ]);
    expect(out).toMatch(/cohorts +10 % for 1 d, 100 % for/);
    expect(out).toMatch(/emission +10 % with k2/);
  });

  it('of a family: an approved deviation, as such, and who knows it', async () => {
    const shown = {
      ...FAMILY,
      deviations: [
        {
          id: 'd1d1d1d1-1',
          departs: { stopEmitting: 'P180D' },
          reason: 'RA-12',
          until: '2026-09-01T00:00:00.000Z',
          approvedBy: 'x',
        },
      ],
      custodians: [
        { subject: 's-1', knows: 'typed it in', acknowledgedAt: null, leftAt: null, settledBy: null },
      ],
    };
    const { out } = await runAgainst({ [BY_NAME]: { body: shown } }, ['families', 'production/session-jwt']);
    expect(out).toMatch(/deviation +d1d1d1d1 {2}stopEmitting, until 2026-09-01 00:00 UTC, approved: RA-12/);
    expect(out).toMatch(/custodian +s-1 knows: typed it in; not acknowledged/);
    const bound = { policy: { name: 'PCI' }, why: 'because' };
    const policy = await runAgainst(
      { [BY_NAME]: { body: shown }, [`GET /families/${FAMILY_ID}/policy`]: { body: bound } },
      ['policies', '--for', 'production/session-jwt'],
    );
    expect(policy.out).toContain('approved: RA-12');
  });

  it('of an emergency on a path: its name to be, its steps, what is owed', async () => {
    const { code, out } = await run([
      'emergency',
      '--path',
      '/etc/app/key',
      '--environment',
      'demo',
      '--dry-run',
    ]);
    expect(code).toBe(0);
    expect(out).toContain('demo/unregistered etc app key');
    expect(out).toContain('generate → ');
    expect(out).toContain('post-incident review');
  });
});
