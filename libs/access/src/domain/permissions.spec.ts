import {
  allows,
  covers,
  PERMISSIONS,
  PERMISSIONS_OF,
  ROLES,
  UNLIMITED,
  type Permission,
  type Role,
} from './permissions.js';

/** Written out a second time, by hand: a change of the table must be meant. */
const LETTERS: Readonly<Record<Permission, string>> = {
  //                     viewer auditor operator approver responder admin agent
  'family:read': '       x      x       x        x        x         x     -',
  'family:write': '      -      -       x        -        -         x     -',
  'rotation:read': '     x      x       x        x        x         x     x',
  'rotation:request': '  -      -       x        -        -         -     -',
  'rotation:approve': '  -      -       -        x        -         -     -',
  'rotation:operate': '  -      -       x        -        x         -     -',
  'rotation:confirm': '  -      -       x        -        x         -     x',
  'emergency:declare': ' -      -       -        -        x         -     -',
  'containment:apply': ' -      -       -        -        x         -     -',
  'freeze:write': '      -      -       x        -        x         -     -',
  'hold:confirm': '      -      -       x        -        x         -     -',
  'destruction:request': '-     -       x        -        -         -     -',
  'destruction:approve': '-     -       -        x        -         -     -',
  'policy:read': '       x      x       x        x        x         x     -',
  'policy:write': '      -      -       -        -        -         x     -',
  'policy:approve': '    -      -       -        x        -         -     -',
  'import:run': '        -      -       x        -        -         x     -',
  'token:admin': '       -      -       -        -        -         x     -',
  'log:read': '          -      x       -        -        -         -     -',
  'schedule:read': '     x      x       x        x        x         x     -',
  'evidence:read': '     -      x       -        -        -         -     -',
  'metrics:read': '      x      x       x        x        x         x     -',
  'readmodel:rebuild': ' -      -       -        -        -         x     -',
};

const cells = PERMISSIONS.flatMap((permission) => {
  const marks = LETTERS[permission].trim().split(/\s+/);
  return ROLES.map((role, column): [Role, Permission, boolean] => [role, permission, marks[column] === 'x']);
});

describe('role × permission', () => {
  it.each(cells)('%s %s: %s', (role, permission, allowed) => {
    expect(allows({ roles: [role], scope: UNLIMITED }, permission)).toBe(allowed);
  });

  it('refuses whoever has no role', () => {
    for (const permission of PERMISSIONS)
      expect(allows({ roles: [], scope: UNLIMITED }, permission)).toBe(false);
  });

  it('lets an auditor read everything and change nothing', () => {
    const reading = PERMISSIONS.filter((permission) => permission.endsWith(':read'));
    expect([...PERMISSIONS_OF.auditor].sort()).toEqual([...reading].sort());
  });
});

describe('scope', () => {
  const staging = {
    roles: ['operator', 'auditor', 'admin'] as const,
    scope: { environments: ['staging'], teams: 'all' as const },
  };

  it('is asked where the target is known', () => {
    expect(allows(staging, 'family:write')).toBe(true);
    expect(allows(staging, 'family:write', { environment: 'staging', team: 'payments' })).toBe(true);
    expect(allows(staging, 'family:write', { environment: 'production' })).toBe(false);
    expect(allows(staging, 'policy:write', 'everything')).toBe(false);
  });

  it('asks both parts', () => {
    const narrow = {
      roles: ['operator'] as const,
      scope: { environments: ['staging'], teams: ['payments'] },
    };
    expect(allows(narrow, 'family:write', { environment: 'staging', team: 'payments' })).toBe(true);
    expect(allows(narrow, 'family:write', { environment: 'staging', team: 'search' })).toBe(false);
    expect(allows(narrow, 'family:write', { environment: 'production', team: 'payments' })).toBe(false);
  });

  it('keeps a narrow token out of what reaches over all of them', () => {
    expect(allows(staging, 'log:read')).toBe(false);
    expect(allows(staging, 'readmodel:rebuild')).toBe(false);
    expect(allows(staging, 'hold:confirm')).toBe(false);
    expect(allows({ ...staging, scope: UNLIMITED }, 'log:read')).toBe(true);
  });

  it('never lets a token give away more than it has', () => {
    expect(covers(UNLIMITED, staging.scope)).toBe(true);
    expect(covers(staging.scope, UNLIMITED)).toBe(false);
    expect(covers({ environments: ['a', 'b'], teams: 'all' }, { environments: ['b'], teams: ['t'] })).toBe(
      true,
    );
    expect(covers({ environments: ['a'], teams: ['t'] }, { environments: ['a'], teams: 'all' })).toBe(false);
  });
});
