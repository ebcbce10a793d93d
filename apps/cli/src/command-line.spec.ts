import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ownFolder } from './testing/own-folder.js';
import {
  COMPLETED,
  FAMILY,
  FAMILY_ID,
  POLICY,
  PREVIEW,
  ROTATION,
  ROTATION_ID,
  SUSPENDED,
} from './testing/examples.js';
import { run, TOKEN, type RunOptions } from './testing/run-in.js';
import {
  problem,
  startStandIn,
  type StandInRoutes,
  type StandInService,
} from './testing/stand-in-service.js';

const BY_NAME = 'GET /families/production%2Fsession-jwt';
const ROTATIONS = `POST /families/${FAMILY_ID}/rotations`;
const ONE = `GET /rotations/${ROTATION_ID}`;
const family: StandInRoutes = { [BY_NAME]: { body: FAMILY } };
const page = (...items: readonly unknown[]) => ({
  body: { items, next: null, treeSize: 42, asOf: '2026-03-01T12:00:00.000Z' },
});

let standIn: StandInService | undefined;
afterEach(async () => {
  await standIn?.close();
  standIn = undefined;
});

async function runAgainst(routes: StandInRoutes, argv: readonly string[], options: RunOptions = {}) {
  // One at a time: a stand-in nobody closes keeps the run from ending.
  await standIn?.close();
  standIn = await startStandIn(routes);
  const ran = await run(argv, { url: standIn.url, ...options });
  // Whatever happens, the token is never shown.
  expect(ran.out + ran.err).not.toContain(TOKEN);
  return { ...ran, seen: standIn.seen, asked: standIn.asked() };
}

const NOT_HELD = { body: { open: [], freezes: [] } };
const CALM: StandInRoutes = {
  'GET /holds': NOT_HELD,
  'GET /schedule/owed': page(),
  'GET /containments': page(),
  'GET /policies': page(),
  'GET /destructions': page(),
  'GET /families': page(),
};

describe('exit codes', () => {
  it('2 for wrong usage, before anything is sent', async () => {
    for (const argv of [
      [],
      ['rotat'],
      ['rotate'],
      ['rotate', 'production/x', '--trigger', 'boredom'],
      ['rotate', 'production/x', '--accept-window', 'soon'],
      ['rotate', 'production/x', '--deviation-reason', 'only half of it'],
      ['confirm', ROTATION_ID, '--consumer', 'api'],
      ['replay', ROTATION_ID, '--speed', 'fast'],
      ['rollback', 'not-hex', '--reason', 'x'],
      ['emergency', 'production/x'],
      ['emergency', 'production/x', '--compromised', 'k1', '--all', '--yes'],
      ['token', 'create', '--role', 'viewer'],
      ['token', 'create', '--name', 'x', '--role', 'king'],
      ['import', '/does/not/exist.json'],
      ['serve', '--port', '70000'],
      ['status', '--idempotency-key', 'x'],
    ]) {
      const ran = await run(argv);
      expect({ argv, code: ran.code, silent: ran.err === '' }).toEqual({ argv, code: 2, silent: false });
    }
  });

  it('2 where the environment cannot be used, naming the variable', async () => {
    const { code, err } = await run(['status'], { env: { KEYTURN_PORT: 'seventy' } });
    expect(code).toBe(2);
    expect(err).toContain('KEYTURN_PORT: must be a port');
    expect(err).not.toContain('seventy');
  });

  it('1 for what a rule refuses, with the reason and the field', async () => {
    const refusal = {
      ...problem(409, 'rotation.already-running', 'production/session-jwt is being rotated already'),
      errors: [{ field: '/strategy', message: 'only an emergency supersedes' }],
    };
    const { code, err, out } = await runAgainst({ ...family, [ROTATIONS]: { status: 409, body: refusal } }, [
      'rotate',
      'production/session-jwt',
    ]);
    expect(code).toBe(1);
    expect(out).toBe('');
    expect(err).toContain('Conflict (rotation.already-running)');
    expect(err).toContain('  /strategy: only an emergency supersedes');
  });

  it('1 for what does not exist', async () => {
    expect((await runAgainst({}, ['families', 'production/nothing'])).code).toBe(1);
  });

  it('3 for a service that cannot be reached', async () => {
    const { code, err } = await run(['status']);
    expect(code).toBe(3);
    expect(err).toContain('KEYTURN_URL');
  });

  it('3 for a service that fails, and for an answer nobody can read', async () => {
    const failing = { status: 500, body: problem(500, 'internal.error', 'Something went wrong here') };
    expect(
      (await runAgainst({ ...family, [ROTATIONS]: failing }, ['rotate', 'production/session-jwt'])).code,
    ).toBe(3);
    await standIn?.close();
    const strange = { [BY_NAME]: { body: { hello: 'from another service' } } };
    const { code, err } = await runAgainst(strange, ['families', 'production/session-jwt']);
    expect(code).toBe(3);
    expect(err).toContain('Are both of the same version?');
  });

  it('130 for Ctrl-C', async () => {
    const { code, err } = await runAgainst(
      { 'GET /rotations': page(ROTATION), 'GET /schedule/overdue': page(), ...CALM },
      ['status', '--watch'],
      { interruptAfter: 2 },
    );
    expect(code).toBe(130);
    expect(err).toContain('Interrupted');
  });
});

describe('requests', () => {
  it('repeats a safe GET when what failed may pass', async () => {
    const { code, slept } = await runAgainst(
      {
        [BY_NAME]: (times) =>
          times === 0 ? { status: 503, body: problem(503, 'read-model.behind', '…') } : { body: FAMILY },
      },
      ['families', 'production/session-jwt'],
    );
    expect({ code, slept }).toEqual({ code: 0, slept: [200] });
  });

  it('never repeats a POST by itself, and gives the key to do it', async () => {
    const { code, asked, seen, err } = await runAgainst(
      { ...family, [ROTATIONS]: { status: 503, body: problem(503, 'log.unavailable', 'disk full') } },
      ['rotate', 'production/session-jwt'],
    );
    expect(code).toBe(3);
    expect(asked.filter((each) => each === ROTATIONS)).toHaveLength(1);
    const key = seen.at(-1)?.headers['idempotency-key'];
    expect(key).toMatch(/^[0-9a-f-]{36}$/);
    expect(err).toContain(`--idempotency-key ${String(key)}`);
  });

  it('sends the key it was given, and the token', async () => {
    const { seen } = await runAgainst({ ...family, [ROTATIONS]: { status: 201, body: ROTATION } }, [
      'rotate',
      'production/session-jwt',
      '--idempotency-key',
      'again-1',
    ]);
    expect(seen.at(-1)?.headers).toMatchObject({
      'idempotency-key': 'again-1',
      authorization: `Bearer ${TOKEN}`,
    });
  });

  it('carries the token to no other place', async () => {
    const { code, seen } = await runAgainst(
      { [BY_NAME]: { status: 302, headers: { location: 'http://127.0.0.1:9/elsewhere' } } },
      ['families', 'production/session-jwt'],
    );
    expect(code).toBe(3);
    expect(seen.every(({ path }) => path.startsWith('/api/v1/families/'))).toBe(true);
  });

  it('goes through the pages of a list', async () => {
    const { out, seen } = await runAgainst(
      {
        'GET /families': (times) => ({
          body: {
            items: [{ ...FAMILY, id: `${times}${FAMILY_ID.slice(1)}` }],
            next: times === 0 ? 'more' : null,
            treeSize: 42,
          },
        }),
      },
      ['families', '--environment', 'production', '--json'],
    );
    expect(JSON.parse(out)).toMatchObject({ items: [{ name: 'session-jwt' }, {}], treeSize: 42 });
    expect(seen.map(({ path }) => path)).toEqual([
      '/api/v1/families?environment=production',
      '/api/v1/families?environment=production&cursor=more',
    ]);
  });
});

describe('a long list', () => {
  const PAGES = 230;
  const long = (times: number) => ({
    body: {
      items: [{ ...FAMILY, id: `${String(times).padStart(8, '0')}${FAMILY_ID.slice(8)}` }],
      next: times < PAGES - 1 ? `page ${times + 1}` : null,
      treeSize: 42,
    },
  });

  it('is read to its end, however many pages it has', async () => {
    const { code, out } = await runAgainst({ 'GET /families': long }, ['families', '--json']);
    const { items } = JSON.parse(out) as { readonly items: readonly { readonly id: string }[] };
    expect([code, new Set(items.map(({ id }) => id)).size]).toEqual([0, PAGES]);
  });

  it('says on a terminal how far it is, and leaves no trace of it', async () => {
    const { err } = await runAgainst({ 'GET /families': long }, ['families'], { terminal: {} });
    expect(err).toContain('\r\u001B[K229 read …');
    expect(err.endsWith('\r\u001B[K')).toBe(true);
    await standIn?.close();
    expect((await runAgainst({ 'GET /families': long }, ['families'])).err).toBe('');
  });

  it('that goes round in circles is said, not followed', async () => {
    const round = { body: { items: [FAMILY], next: 'again', treeSize: 42 } };
    const { code, err, asked } = await runAgainst({ 'GET /families': round }, ['families']);
    expect([code, asked.length]).toEqual([3, 2]);
    expect(err).toContain('comes back to a page');
  });
});

describe('--json', () => {
  it('writes JSON to the output and nothing anywhere else', async () => {
    const { code, out, err } = await runAgainst({ ...family, [ONE]: { body: ROTATION } }, [
      'status',
      'production/session-jwt',
      '--json',
    ]);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    // All of the view, also what this command does not read.
    expect(JSON.parse(out)).toEqual(ROTATION);
  });

  it('says failures there, too, with what is needed to repeat', async () => {
    const { code, out, err } = await runAgainst(
      { ...family, [ROTATIONS]: { status: 503, body: problem(503, 'log.unavailable', 'disk full') } },
      ['rotate', 'production/session-jwt', '--json', '--idempotency-key', 'k-1'],
    );
    expect({ code, err }).toEqual({ code: 3, err: '' });
    expect(JSON.parse(out)).toMatchObject({
      error: { code: 'log.unavailable' },
      exitCode: 3,
      idempotencyKey: 'k-1',
    });
  });

  it('says wrong usage there, too', async () => {
    const { code, out, err } = await run(['rotate', '--json']);
    expect({ code, err }).toEqual({ code: 2, err: '' });
    expect(JSON.parse(out)).toMatchObject({ error: { code: 'cli.usage' }, exitCode: 2 });
  });
});

describe('naming a rotation', () => {
  it('takes the beginning of its id', async () => {
    const { code, asked } = await runAgainst(
      {
        'GET /rotations/3f2a': { body: ROTATION },
        [`POST /rotations/${ROTATION_ID}/pause`]: { body: ROTATION },
      },
      ['pause', '3f2a', '--reason', 'deploy'],
    );
    expect(code).toBe(0);
    expect(asked).toEqual(['GET /rotations/3f2a', `POST /rotations/${ROTATION_ID}/pause`]);
  });

  it('guesses nothing where that could be two', async () => {
    const twice = problem(409, 'rotation.ambiguous', 'more than one rotation begins with 3f2a');
    const { code, err, asked } = await runAgainst({ 'GET /rotations/3f2a': { status: 409, body: twice } }, [
      'pause',
      '3f2a',
      '--reason',
      'x',
    ]);
    expect(code).toBe(1);
    expect(err).toContain('more than one rotation');
    expect(asked).toEqual(['GET /rotations/3f2a']);
  });

  it('acts on no rotation that ended, when only the family was named', async () => {
    const ended = {
      [BY_NAME]: { body: { ...FAMILY, runningRotation: null } },
      'GET /rotations': page(COMPLETED),
    };
    const { code, err } = await runAgainst(ended, ['rollback', 'production/session-jwt', '--reason', 'x']);
    expect(code).toBe(1);
    expect(err).toContain('no rotation of production/session-jwt is running');
  });
});

describe('rotate', () => {
  it('asks for what was wished, and shows the exact next command', async () => {
    const { code, out, seen } = await runAgainst(
      { ...family, [ROTATIONS]: { status: 201, body: ROTATION } },
      [
        'rotate',
        'production/session-jwt',
        '--reason',
        'quarterly',
        '--trigger',
        'scheduled',
        '--accept-window',
        '36h',
        '--deviation-reason',
        'no clients',
        '--deviation-until',
        '2026-04-01T00:00:00Z',
      ],
    );
    expect(code).toBe(0);
    expect(seen.at(-1)?.body).toEqual({
      strategy: 'graceful',
      trigger: 'scheduled',
      reason: 'quarterly',
      windows: { accept: 'P1DT12H' },
      deviation: { reason: 'no clients', until: '2026-04-01T00:00:00.000Z' },
    });
    expect(out).toContain(`keyturn approve ${ROTATION_ID}`);
  });

  it('starts nothing in a dry run', async () => {
    const { code, out, seen } = await runAgainst({ ...family, [ROTATIONS]: { body: PREVIEW } }, [
      'rotate',
      'production/session-jwt',
      '--dry-run',
    ]);
    expect(code).toBe(0);
    expect(seen.at(-1)?.path).toMatch(/\/rotations\?plan=/);
    expect(out).toContain('nothing is started');
    expect(out).toContain('not before 2026-03-01 12:00 UTC (now)');
  });

  it('waits until it ended', async () => {
    const { code, slept } = await runAgainst(
      {
        ...family,
        [ROTATIONS]: { status: 201, body: ROTATION },
        [ONE]: (times) => ({ body: times === 0 ? ROTATION : COMPLETED }),
      },
      ['rotate', 'production/session-jwt', '--wait'],
    );
    expect({ code, looks: slept.length }).toEqual({ code: 0, looks: 2 });
  });

  it.each([
    ['suspended', SUSPENDED],
    ['rolled back', { ...COMPLETED, phase: 'rolled-back' }],
  ])('ends with 4 where it was %s', async (_name, end) => {
    const { code, out } = await runAgainst(
      { ...family, [ROTATIONS]: { status: 201, body: ROTATION }, [ONE]: { body: end } },
      ['rotate', 'production/session-jwt', '--wait', '--json'],
    );
    expect(code).toBe(4);
    // One JSON value: the rotation as it is.
    expect(JSON.parse(out)).toMatchObject({ id: ROTATION_ID, phase: end.phase });
  });
});

describe('emergency', () => {
  const emergency = {
    ...family,
    [ROTATIONS]: (times: number) => (times === 0 ? { body: PREVIEW } : { status: 201, body: ROTATION }),
  };
  const argv = [
    'emergency',
    'production/session-jwt',
    '--compromised',
    'k1',
    '--discovered-at',
    '20m ago',
    '--incident',
    'INC-1',
    '--no-contain',
  ];

  it('shows who breaks, asks, and declares', async () => {
    const { code, out, questions, seen } = await runAgainst(emergency, argv, { terminal: { answer: 'y' } });
    expect(code).toBe(0);
    expect(questions).toHaveLength(1);
    expect(out).toContain('api: may refuse the new version');
    expect(seen.at(-1)?.body).toEqual({
      strategy: 'emergency',
      trigger: 'compromise',
      reason: 'incident INC-1',
      emergency: {
        compromisedVersions: ['k1'],
        discoveredAt: '2026-03-01T11:40:00.000Z',
        incident: 'INC-1',
        contain: false,
      },
    });
    // The preview must not use up the key of the declaration.
    const [preview, declaration] = seen.filter(({ method }) => method === 'POST');
    expect(preview?.headers['idempotency-key']).not.toBe(declaration?.headers['idempotency-key']);
  });

  it.each(['', 'n', 'what?'])('declares nothing on the answer %j', async (answer) => {
    const { code, seen } = await runAgainst(emergency, argv, { terminal: { answer } });
    expect(code).toBe(4);
    expect(seen.filter(({ method, path }) => method === 'POST' && !path.includes('plan'))).toEqual([]);
  });

  it('asks nobody where nobody is', async () => {
    const { code, seen } = await runAgainst(emergency, argv);
    expect({ code, seen }).toEqual({ code: 2, seen: [] });
  });

  it('with --yes is held up by nothing, a preview that fails included', async () => {
    const failing = {
      ...family,
      [ROTATIONS]: (times: number) =>
        times === 0
          ? { status: 500, body: problem(500, 'internal.error', '…') }
          : { status: 201, body: ROTATION },
    };
    const { code, err, questions } = await runAgainst(failing, [...argv, '--yes']);
    expect({ code, questions }).toEqual({ code: 0, questions: [] });
    expect(err).toContain('Declaring nevertheless');
  });

  it('declares nothing in a dry run', async () => {
    const { code, seen } = await runAgainst(emergency, [...argv, '--dry-run']);
    expect(code).toBe(0);
    expect(seen.filter(({ method }) => method === 'POST')).toHaveLength(1);
  });
});

describe('asking a rotation', () => {
  it.each([
    [['reject', ROTATION_ID, '--reason', 'r'], 'reject', { reason: 'r' }],
    [['rollback', ROTATION_ID, '--reason', 'r'], 'rollback', { reason: 'r' }],
    [['pause', ROTATION_ID, '--reason', 'r'], 'pause', { reason: 'r' }],
    [['resume', ROTATION_ID], 'resume', {}],
    [['retry', ROTATION_ID, '--reason', 'r'], 'retry', { reason: 'r' }],
    [['abandon', ROTATION_ID, '--reason', 'r'], 'abandon', { reason: 'r' }],
    [['note', ROTATION_ID, 'n'], 'notes', { note: 'n' }],
    [['review', ROTATION_ID, '--summary', 's'], 'review', { summary: 's' }],
    [['approve', ROTATION_ID, '--note', 'n'], 'approve', { note: 'n' }],
    [
      [
        'confirm',
        ROTATION_ID,
        '--consumer',
        'api',
        '--kind',
        'acceptance',
        '--version',
        'k2',
        '--instance',
        'a',
        '--instance',
        'b',
      ],
      'confirmations',
      { kind: 'acceptance', consumer: 'api', version: 'k2', instances: ['a', 'b'] },
    ],
    [
      ['override', ROTATION_ID, '--gate', 'emission-confirmations', '--consumer', 'api', '--reason', 'r'],
      'overrides',
      { gate: 'emission-confirmations', consumer: 'api', reason: 'r' },
    ],
  ])('%j', async (argv, action, body) => {
    const post = `POST /rotations/${ROTATION_ID}/${action}`;
    const { code, seen, asked } = await runAgainst(
      { [ONE]: { body: ROTATION }, [post]: { body: SUSPENDED } },
      argv,
    );
    expect(code).toBe(0);
    expect(asked.at(-1)).toBe(post);
    expect(seen.at(-1)?.body).toEqual(body);
  });

  it('reads the rotation where the answer says only where it stands', async () => {
    const placed = { id: ROTATION_ID, stream: 's', revision: 3, changed: true };
    const { out } = await runAgainst(
      { [ONE]: { body: SUSPENDED }, [`POST /rotations/${ROTATION_ID}/retry`]: { body: placed } },
      ['retry', ROTATION_ID],
    );
    expect(out).toContain('Vault refuses the login');
    expect(out).toContain(`keyturn rollback ${ROTATION_ID}`);
  });

  it('approves a policy by its name', async () => {
    const { code, asked } = await runAgainst(
      { 'GET /policies': page(POLICY), [`POST /policies/${POLICY.id}/approve`]: { body: POLICY } },
      ['approve', 'PCI production'],
    );
    expect(code).toBe(0);
    expect(asked).toEqual(['GET /policies', `POST /policies/${POLICY.id}/approve`]);
  });

  describe('environment/name means what waits for a decision', () => {
    const ended = {
      ...ROTATION,
      id: '99999999-9999-4999-8999-999999999999',
      phase: 'completed',
      ended: true,
    };
    const destruction = {
      id: '88888888-8888-4888-8888-888888888888',
      family: FAMILY_ID,
      status: 'requested',
      versions: ['k1'],
      notBefore: null,
      suspendedFor: null,
      waitsFor: 'an approval',
    };

    it.each([
      ['approve', []],
      ['reject', ['--reason', 'not now']],
    ])('%s: a destruction that waits goes before a rotation that ended', async (decision, rest) => {
      const post = `POST /destructions/${destruction.id}/${decision}`;
      const { code, asked } = await runAgainst(
        {
          ...family,
          'GET /rotations': page(ended),
          'GET /destructions': page(destruction),
          [post]: { body: destruction },
        },
        [decision, 'production/session-jwt', ...rest],
      );
      expect([code, asked.at(-1)]).toEqual([0, post]);
    });

    it.each([
      ['approve', []],
      ['reject', ['--reason', 'not now']],
    ])('%s: a rotation that waits goes before both', async (decision, rest) => {
      const post = `POST /rotations/${ROTATION_ID}/${decision}`;
      const { code, asked } = await runAgainst(
        {
          ...family,
          'GET /rotations': page(ended, { ...ROTATION, phase: 'requested' }),
          'GET /destructions': page(destruction),
          [ONE]: { body: ROTATION },
          [post]: { body: ROTATION },
        },
        [decision, 'production/session-jwt', ...rest],
      );
      expect([code, asked.at(-1)]).toEqual([0, post]);
    });
  });

  it('approves nothing it cannot find', async () => {
    const { code, err } = await runAgainst({ 'GET /policies': page() }, ['approve', ROTATION_ID]);
    expect(code).toBe(1);
    expect(err).toContain('there is no rotation, policy or destruction');
  });
});

describe('looking', () => {
  const late = {
    family: { id: FAMILY_ID, qualifiedName: 'production/session-jwt' },
    status: 'overdue',
    due: '2026-02-01T00:00:00.000Z',
    overdueDays: 28,
    basis: 'policy PCI production',
    provenance: 'performed',
    what: 'stop emitting',
  };

  const untold = { ...late, status: 'not-observed', due: null, overdueDays: null };
  const ofPolicy = {
    ...late,
    family: null,
    policy: { id: 'p', name: 'PCI production' },
    what: 'review of the policy',
  };

  it('status shows what is open, what waits for whom, and how much is overdue', async () => {
    const { code, out } = await runAgainst(
      {
        'GET /rotations': page(SUSPENDED),
        'GET /schedule/overdue': page(late, late, untold),
        ...CALM,
      },
      ['status'],
    );
    expect(code).toBe(0);
    // Nobody owes anything, nothing is contained: nothing is said of it.
    expect(out).not.toMatch(/Owed by|Containments/);
    expect(out).toContain('accepting, suspended');
    expect(out).toContain('identity on-call: Vault refuses the login');
    expect(out).toContain(`    keyturn retry ${ROTATION_ID}`);
    // What was never observed is an exception of its own, not one more overdue, and not on time.
    expect(out).toContain('2 overdue');
    expect(out).toContain('1 of which nobody can say');
    expect(out).toContain('EXAMPLE DATA');
  });

  describe('status with nothing under way', () => {
    const owes = (kind: string, what: string, more: object = {}) => ({
      ...late,
      kind,
      what,
      status: 'due-soon',
      due: '2026-03-02T12:00:00.000Z',
      rotation: ROTATION_ID,
      ...more,
    });
    const contained = {
      id: '9c0de000-0000-4000-8000-000000000001',
      family: FAMILY_ID,
      status: 'applied',
      versions: ['k1'],
      trustEndsAt: null,
      suspendedFor: null,
    };
    const destroyed = {
      id: '9d0de000-0000-4000-8000-000000000002',
      family: FAMILY_ID,
      status: 'requested',
      versions: ['k0'],
      notBefore: null,
      suspendedFor: null,
      waitsFor: null,
    };
    const quiet: StandInRoutes = {
      'GET /rotations': page(),
      'GET /schedule/overdue': page(),
      ...CALM,
      [`GET /families/${FAMILY_ID}`]: { body: FAMILY },
    };
    const owing: StandInRoutes = {
      ...quiet,
      'GET /schedule/owed': page(
        owes('emergency-approval', 'approval of an emergency, in retrospect'),
        owes('post-incident-review', 'post-incident review', { status: 'overdue' }),
        owes('runbook-review', 'review of the runbook', { rotation: null }),
        owes('departure', 'rotation: somebody who knew this secret left', { rotation: null }),
        owes('deviation-end', 'a deviation ends', { rotation: null, key: 'dev-1' }),
        owes('policy-review', 'review of the policy', { family: null, policy: { name: 'PCI production' } }),
      ),
      'GET /containments': page(contained, {
        ...contained,
        status: 'suspended',
        suspendedFor: 'Vault refuses',
      }),
      'GET /families': page({
        ...FAMILY,
        drift: {
          id: '9e0de000-0000-4000-8000-000000000000',
          observedAt: '2026-03-01T09:00:00.000Z',
          differences: ['4 was made by nobody on record', 'k0 is no longer there'],
          more: 3,
        },
      }),
      'GET /policies': page(POLICY, { ...POLICY, id: 'b0', name: 'in force', status: 'active' }),
      'GET /destructions': page(destroyed, {
        ...destroyed,
        status: 'approved',
        waitsFor: 'its date',
        notBefore: '2026-04-01T00:00:00.000Z',
      }),
    };

    it('shows what people owe and what is contained, each with its next command', async () => {
      const { code, out } = await runAgainst(owing, ['status']);
      expect(code).toBe(0);
      expect(out).toContain('No rotation is under way.');
      for (const line of [
        'production/session-jwt: approval of an emergency, in retrospect, due 2026-03-02 12:00 UTC (in 1 d)',
        `    keyturn approve ${ROTATION_ID}`,
        'post-incident review, due 2026-03-02 12:00 UTC (in 1 d), overdue',
        `    keyturn review ${ROTATION_ID} --summary "…"`,
        '    keyturn reviewed production/session-jwt --summary "…" --next DATE',
        '    keyturn rotate production/session-jwt --trigger personnel-departure --reason "…"',
        '    keyturn deviation close production/session-jwt dev-1 --reason "…"',
        'policy PCI production: review of the policy',
        'production/session-jwt 9c0de000  k1: in force',
        `    keyturn containment show ${contained.id}`,
        'k1: suspended, Vault refuses',
        `    keyturn containment retry ${contained.id}`,
        'Policies that wait for approval\n  PCI production',
        `    keyturn approve ${POLICY.id}`,
        'production/session-jwt 9d0de000  k0: requested',
        `    keyturn approve ${destroyed.id}`,
        'k0: approved, its date, not before 2026-04-01',
        `    keyturn destruction show ${destroyed.id}`,
        '  production/session-jwt: drift, observed 2026-03-01',
        '    4 was made by nobody on record\n    k0 is no longer there\n    and 3 more',
        '    keyturn drift accept production/session-jwt --reason "…"',
      ]) {
        expect(out).toContain(line);
      }
      expect(out).not.toContain('in force\n    keyturn approve b0');
    });

    it('says the same as fields', async () => {
      const { out } = await runAgainst(owing, ['status', '--json']);
      expect(JSON.parse(out)).toMatchObject({
        owed: [
          { kind: 'emergency-approval', status: 'due-soon', next: `keyturn approve ${ROTATION_ID}` },
          { kind: 'post-incident-review', next: `keyturn review ${ROTATION_ID} --summary "…"` },
          {},
          {},
          {},
          {},
        ],
        containments: [{ status: 'applied', next: `keyturn containment show ${contained.id}` }, {}],
        policiesWaiting: [{ name: 'PCI production', next: `keyturn approve ${POLICY.id}` }],
        destructions: [
          { next: `keyturn approve ${destroyed.id}` },
          { notBefore: '2026-04-01T00:00:00.000Z' },
        ],
      });
    });

    it('shows ten of each, and where the others are', async () => {
      const many = Array.from({ length: 13 }, (_, n) => owes('post-incident-review', `review ${n}`));
      const { out } = await runAgainst(
        { ...quiet, 'GET /schedule/owed': page(...many), 'GET /containments': page() },
        ['status'],
      );
      expect(out).toContain('review 9');
      expect(out).not.toContain('review 10');
      expect(out).toContain('and 3 more: keyturn schedule');
    });
  });

  it('overdue and schedule say what they stand on', async () => {
    const { out } = await runAgainst({ 'GET /schedule/overdue': page(late) }, ['overdue']);
    expect(out).toContain('28 d');
    expect(out).toContain('policy PCI production');
    expect(out).toContain('tree size 42');
    await standIn?.close();
    const { out: all } = await runAgainst({ 'GET /schedule': page(untold, ofPolicy) }, ['schedule']);
    expect(all).toContain('not observed');
    expect(all).toContain('policy PCI production   review of the policy');
  });

  it('report writes the whole file, and no file over another', async () => {
    const file = join(ownFolder(), 'record.pdf');
    const routes = {
      [ONE]: { body: ROTATION },
      [`GET /rotations/${ROTATION_ID}/record.pdf`]: { raw: Buffer.from('%PDF-1.7 …') },
    };
    expect((await runAgainst(routes, ['report', ROTATION_ID, '-o', file])).code).toBe(0);
    expect(readFileSync(file, 'utf8')).toBe('%PDF-1.7 …');
    await standIn?.close();
    expect((await runAgainst(routes, ['report', ROTATION_ID, '-o', file])).code).toBe(1);
    await standIn?.close();
    const missing = `${file}.not`;
    expect(
      (await runAgainst({ [ONE]: { body: ROTATION } }, ['report', ROTATION_ID, '-o', missing])).code,
    ).toBe(1);
    expect(existsSync(missing)).toBe(false);
  });
});

describe('replay', () => {
  const entry = (at: string, title: string, more = {}) => ({
    eventId: title,
    treeSize: 1,
    type: 'X',
    at,
    recordedAt: at,
    instantNotRecorded: false,
    title,
    detail: 'detail',
    actorName: 'Ada',
    provenance: 'performed',
    kind: 'effect',
    ...more,
  });
  const timeline = {
    rotation: ROTATION_ID,
    entries: [
      entry('2026-03-01T10:00:00.000Z', 'Rotation requested'),
      entry('2026-03-01T10:00:01.000Z', 'Step started', { minor: true }),
      entry('2026-03-01T10:01:00.000Z', 'New key generated', { detail: '\u001B[2Jk2' }),
      entry('2026-03-01T09:00:00.000Z', 'Imported note', { instantNotRecorded: true }),
    ],
    targets: [
      {
        name: 'contained',
        fact: 'ContainmentApplied',
        within: 900_000,
        dueAt: '2026-03-01T10:15:00.000Z',
        verdict: 'not recorded',
      },
      {
        name: 'revoked',
        fact: 'OldKeyRevoked',
        within: 'PT1H',
        actualAt: '2026-03-01T10:30:00.000Z',
        verdict: 'met',
      },
    ],
    treeSize: 42,
  };
  const routes = {
    ...family,
    [ONE]: { body: ROTATION },
    [`GET /rotations/${ROTATION_ID}/timeline`]: { body: timeline },
  };

  it('keeps the rhythm on a terminal', async () => {
    const { code, slept } = await runAgainst(routes, ['replay', 'production/session-jwt', '--speed', '60x'], {
      terminal: {},
    });
    expect({ code, slept }).toEqual({ code: 0, slept: [1_000] });
  });

  it('prints at once into a pipe, and never an invented time', async () => {
    const { out, slept } = await runAgainst(routes, ['replay', ROTATION_ID]);
    expect(slept).toEqual([]);
    expect(out).toContain('T+1 min  New key generated');
    expect(out).toMatch(/not recorded\s+Imported note/);
    expect(out).not.toContain('Step started');
    expect(out).not.toContain('\u001B');
    expect(out).toMatch(/contained\s+15 min\s+not recorded\s+not recorded/);
    expect(out).toMatch(/revoked\s+1 h\s+T\+30 min\s+met/);
  });

  it('asks for what was known then, and says so', async () => {
    const then = {
      ...routes,
      [`GET /rotations/${ROTATION_ID}/timeline`]: { body: { ...timeline, known: 42 } },
    };
    const { out, seen } = await runAgainst(then, ['replay', ROTATION_ID, '--known', '42']);
    expect(seen.at(-1)?.path).toContain('?known=42');
    expect(out).toContain('as known at tree size 42');
    expect((await runAgainst(routes, ['replay', ROTATION_ID, '--known', '0'])).code).toBe(2);
    expect((await runAgainst(routes, ['replay', ROTATION_ID, '--known', '4e2'])).code).toBe(2);
  });

  it('shows an earlier state', async () => {
    const { seen } = await runAgainst(routes, [
      'replay',
      ROTATION_ID,
      '--at',
      '2026-03-01T10:30:00Z',
      '--full',
    ]);
    expect(seen.at(-1)?.path).toContain('at=2026-03-01T10%3A30%3A00.000Z');
  });

  it('ends cleanly on Ctrl-C', async () => {
    const { code } = await runAgainst(routes, ['replay', ROTATION_ID], { terminal: {}, interruptAfter: 1 });
    expect(code).toBe(130);
  });
});

describe('tokens', () => {
  const made = {
    id: 't-1',
    subject: 's-1',
    name: 'Ada',
    label: 'first sign-in',
    roles: ['admin'],
    status: 'active',
    token: 'kt_new',
  };

  it('bootstrap --save keeps the token and does not show it', async () => {
    const dataDir = ownFolder();
    const { code, out, seen } = await runAgainst(
      { 'POST /tokens/bootstrap': { status: 201, body: made } },
      ['token', 'bootstrap', '-', '--name', 'Ada', '--save', '--json'],
      { input: 'the-code\n', env: { KEYTURN_DATA_DIR: dataDir } },
    );
    expect(code).toBe(0);
    expect(out).not.toContain('kt_new');
    expect(readFileSync(join(dataDir, 'cli-token'), 'utf8')).toMatch(/^kt_new\n/);
    expect(seen.at(-1)?.body).toEqual({ code: 'the-code', name: 'Ada' });
    // Nobody is signed in yet.
    expect(seen.at(-1)?.headers.authorization).toBeUndefined();
  });

  it('create prints the token alone on the output', async () => {
    const { out, seen } = await runAgainst({ 'POST /tokens': { status: 201, body: made } }, [
      'token',
      'create',
      '--name',
      'ci',
      '--kind',
      'workload',
      '--role',
      'agent',
      '--environment',
      'production',
      '--expires',
      '90d',
    ]);
    expect(out).toBe('kt_new\n');
    expect(seen.at(-1)?.body).toMatchObject({
      subject: { name: 'ci', kind: 'workload' },
      scope: { environments: ['production'], teams: 'all' },
      expiresAt: '2026-05-30T12:00:00.000Z',
    });
  });

  it('revoke sends a DELETE', async () => {
    const { code, asked } = await runAgainst({ 'DELETE /tokens/t-1': { status: 204 } }, [
      'token',
      'revoke',
      't-1',
    ]);
    expect({ code, asked }).toEqual({ code: 0, asked: ['DELETE /tokens/t-1'] });
  });
});

describe('files and streams', () => {
  it('import sends the text of the file as it is', async () => {
    const file = join(ownFolder(), 'history.json');
    writeFileSync(file, '{ "format": 1 }');
    const { code, out, seen } = await runAgainst(
      {
        'POST /imports': {
          status: 201,
          body: { id: 'i', changed: true, counts: { families: 2, events: 31 } },
        },
      },
      ['import', file],
    );
    expect(code).toBe(0);
    expect(out).toContain('families         2');
    expect(seen.at(-1)).toMatchObject({
      path: '/api/v1/imports',
      body: { name: 'history.json', content: '{ "format": 1 }' },
    });
  });

  it('rebuild follows the stream to its end', async () => {
    const lines = '{"done":0,"total":10}\n{"done":10,"total":10}\n';
    const whole = { 'POST /read-model/rebuild': { raw: `${lines}{"finished":true}\n` } };
    const { code, out } = await runAgainst(whole, ['rebuild', '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual({ finished: true, events: 10, by: 'service' });
    await standIn?.close();
    expect((await runAgainst({ 'POST /read-model/rebuild': { raw: lines } }, ['rebuild'])).code).toBe(3);
    await standIn?.close();
    const failed = {
      'POST /read-model/rebuild': { raw: `${lines}{"finished":false,"error":"disk full"}\n` },
    };
    const { code: failure, err } = await runAgainst(failed, ['rebuild']);
    expect(failure).toBe(3);
    expect(err).toContain('disk full');
  });

  it('rebuild makes no data directory where there is none', async () => {
    const { code, err } = await run(['rebuild']);
    expect(code).toBe(1);
    expect(err).toContain('KEYTURN_DATA_DIR');
  });
});
