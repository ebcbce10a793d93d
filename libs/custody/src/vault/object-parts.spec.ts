import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '#platform';
import { VaultBackEnds } from './open-vault.js';
import type { BackEndSettings } from './engines.js';

/** What no second family may have. No server is asked: there is none. */
describe('what an object is made of', () => {
  const server = (name: string, change: object = {}) => ({
    name,
    address: new URL('https://vault.example.com:8200'),
    documents: { mount: 'keyturn', folder: 'objects' },
    login: { kind: 'token-file', file: '/nowhere' } as const,
    fence: { role: 'f', policies: ['f'] },
    ...change,
  });
  const connections = {
    main: { kind: 'postgresql', host: 'db.example.com', port: 5432, database: 'app', tls: {} },
  } as const;
  const BACK_ENDS: readonly BackEndSettings[] = [
    { instance: 'vault.keys', server: 'eu', engine: 'transit' },
    { instance: 'vault.db', server: 'eu', engine: 'database', connections },
    { instance: 'vault.paths', server: 'eu', engine: 'kv', layout: 'paths' },
    { instance: 'vault.document', server: 'eu', engine: 'kv', layout: 'document' },
    { instance: 'vault.fields', server: 'other-login', engine: 'kv', layout: 'fields' },
    { instance: 'vault.team', server: 'team', engine: 'kv', layout: 'single' },
    { instance: 'vault.us', server: 'us', engine: 'kv', layout: 'document' },
  ];
  let directory: string;
  let vault: VaultBackEnds;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'keyturn-parts-'));
    const us = { address: new URL('https://us.example.com') };
    const servers = [
      server('eu'),
      server('other-login'),
      server('team', { namespace: 'team1' }),
      server('us', us),
    ];
    vault = new VaultBackEnds({ settings: { servers, backEnds: BACK_ENDS }, directory, clock: systemClock });
  });
  afterAll(async () => {
    await vault.close();
    rmSync(directory, { recursive: true, force: true });
  });

  const claims = (instance: string, object: string) =>
    vault.all.find(({ declaration }) => declaration.instance === instance)?.claims?.(object) ?? [];
  const shared = (
    left: readonly [instance: string, object: string],
    right: readonly [instance: string, object: string],
  ) => {
    const places = claims(...right).map(({ place }) => place);
    return claims(...left).flatMap(({ part, place }) => (places.includes(place) ? [part] : []));
  };

  it('says each part, and where it lies', () => {
    const at = 'https://vault.example.com:8200';
    expect(claims('vault.keys', 'transit/keys/jwt')).toEqual([
      { part: 'transit/keys/jwt', place: `${at}/transit/keys/jwt` },
    ]);
    expect(claims('vault.db', 'db/static-roles/b/a').map(({ part }) => part)).toEqual([
      'db/static-roles/a',
      'db/static-roles/b',
    ]);
    expect(claims('vault.paths', 'secret/data/x').map(({ part }) => part)).toEqual([
      'secret/data/x',
      'secret/data/x/blue',
      'secret/data/x/green',
    ]);
  });

  it.each([
    ['a pair the other way round', 'db/static-roles/a/b', 'db/static-roles/b/a', 2],
    ['a role with another one', 'db/static-roles/a/b', 'db/static-roles/c/a', 1],
    ['other roles', 'db/static-roles/a/b', 'db/static-roles/c/d', 0],
    ['the same names on another mount', 'db/static-roles/a/b', 'db2/static-roles/a/b', 0],
  ])('a pair and %s', (_what, left, right, count) => {
    expect(shared(['vault.db', left], ['vault.db', right])).toHaveLength(count);
  });

  it.each([
    ['one path under two layouts', ['vault.paths', 'secret/data/x'], ['vault.document', 'secret/data/x'], 1],
    ['one of two paths', ['vault.paths', 'secret/data/x'], ['vault.document', 'secret/data/x/blue'], 1],
    [
      'one of two paths, by another login',
      ['vault.fields', 'secret/data/x/green'],
      ['vault.paths', 'secret/data/x'],
      1,
    ],
    ['beside two paths', ['vault.paths', 'secret/data/x'], ['vault.document', 'secret/data/x/red'], 0],
    ['two paths in a path', ['vault.paths', 'secret/data/x'], ['vault.paths', 'secret/data/x/blue'], 1],
    [
      'inside of a namespace and from outside',
      ['vault.team', 'kv/data/x'],
      ['vault.document', 'team1/kv/data/x'],
      1,
    ],
    ['one path in two namespaces', ['vault.team', 'kv/data/x'], ['vault.document', 'kv/data/x'], 0],
    ['one path on two servers', ['vault.us', 'kv/data/x'], ['vault.document', 'kv/data/x'], 0],
  ] as const)('%s', (_what, left, right, count) => {
    expect(shared(left, right)).toHaveLength(count);
    expect(shared(right, left)).toHaveLength(count);
  });

  it('refuses what is named as nothing is there', () => {
    for (const object of ['db/static-roles/a', 'db/static-roles/a/a', 'db/roles/a/b'])
      expect(() => claims('vault.db', object)).toThrow('MOUNT/static-roles/BLUE/GREEN');
    expect(() => claims('vault.keys', 'jwt')).toThrow('jwt');
  });
});
