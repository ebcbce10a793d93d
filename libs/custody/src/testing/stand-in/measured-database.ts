import { randomUUID } from 'node:crypto';
import { expect } from '@jest/globals';
import { CONNECTION, type DatabasePairs } from '../database-pairs.js';
import type { Postgres } from '../postgres.js';
import { several, type Measured } from './measured.js';

export interface DatabaseGround {
  readonly on: Measured;
  readonly postgres: Postgres;
  readonly pairs: DatabasePairs;
}
type DatabaseLine = readonly [says: string, prove: (ground: DatabaseGround) => Promise<void>];

async function roleOn({ pairs, postgres }: DatabaseGround, rotation_period = '2000000h'): Promise<string> {
  const role = randomUUID().slice(0, 8);
  await postgres.query(`CREATE ROLE "${role}" LOGIN PASSWORD 'before'`);
  await pairs.role(role, { username: role, rotation_period });
  return role;
}

async function getsIn({ postgres }: DatabaseGround, user: string, password: string): Promise<boolean> {
  const session = await postgres.session(user, password).catch(() => undefined);
  await session?.end();
  return session !== undefined;
}

const works = async (ground: DatabaseGround, role: string): Promise<boolean> =>
  getsIn(ground, role, (await ground.pairs.credential(role)).password);

const until = async (so: () => Promise<boolean>, withinMs: number): Promise<number> => {
  const began = Date.now();
  while (!(await so()) && Date.now() < began + withinMs) await new Promise((done) => setTimeout(done, 250));
  return Date.now() - began;
};

/** vault-http.md, database static roles. */
export const DATABASE_LINES: readonly DatabaseLine[] = [
  [
    'a new role changes the password at once, a later write keeps it, and mistakes are told',
    async (ground) => {
      const { on, pairs } = ground;
      const role = await roleOn(ground);
      expect(await getsIn(ground, role, 'before')).toBe(false);
      const { password } = await pairs.credential(role);
      await pairs.role(role, { username: role, rotation_period: '2500000h' });
      expect((await pairs.credential(role)).password).toBe(password);
      const at = `${pairs.mount}/static-roles/`;
      expect((await on.ask('GET', `${at}${role}`)).data).not.toHaveProperty('password');
      const told = (name: string, body: object) =>
        on.told('POST', `${at}${name}`, { db_name: CONNECTION, ...body });
      expect(await told(role, { username: 'x' })).toEqual([400, 'cannot update static account username']);
      expect(await told('new', { username: 'x' })).toEqual([
        400,
        'rotation_period is required to create static accounts',
      ]);
      const [, tooLong] = await told('new', { username: 'x', rotation_period: '3000000h' });
      expect(tooLong).toContain('time: invalid duration');
      expect(await told('new', { username: 'x', rotation_period: '1s' })).toEqual([
        400,
        'rotation_period must be 5 seconds or more',
      ]);
      const [status, text] = await told('new', { username: 'nobody-here', rotation_period: '1h' });
      expect([status, text]).toEqual([500, expect.stringContaining('role "nobody-here" does not exist')]);
      expect(await told('new', { db_name: 'none', username: 'x', rotation_period: '1h' })).toEqual([
        500,
        several('failed to find entry for connection with name: "none"'),
      ]);
      expect(await on.told('GET', `${pairs.mount}/static-creds/nobody`)).toEqual([
        400,
        'unknown role: nobody',
      ]);
      expect(await on.told('POST', `${pairs.mount}/rotate-role/nobody`)).toEqual([
        400,
        'no static role found for role name',
      ]);
      expect((await on.ask('GET', `${at}nobody`)).status).toBe(404);
    },
  ],
  [
    'each rotate makes another password, which the database takes at once',
    async (ground) => {
      const role = await roleOn(ground);
      const { password } = await ground.pairs.credential(role);
      const open = await ground.postgres.session(role, password);
      await ground.pairs.rotate(role);
      expect([await getsIn(ground, role, password), await works(ground, role)]).toEqual([false, true]);
      expect((await open.query('SELECT 1')).rowCount).toBe(1);
      await open.end();
    },
  ],
  [
    'rotates that overlap break the credential with no error that says so; one more, alone, heals it',
    async (ground) => {
      let broken = 0;
      for (let tries = 0; tries < 10 && broken === 0; tries += 1) {
        const role = await roleOn(ground);
        await Promise.allSettled([1, 2, 3].map(() => ground.pairs.rotate(role)));
        if (await works(ground, role)) continue;
        broken += 1;
        await ground.pairs.rotate(role);
        expect(await works(ground, role)).toBe(true);
      }
      expect(broken).toBe(1);
    },
  ],
  [
    'a rotate that failed with the database down succeeds later by itself, and only once',
    async (ground) => {
      const role = await roleOn(ground);
      const before = await ground.pairs.lastRotation(role);
      await ground.postgres.pause();
      const [status, text] = await ground.on.told('POST', `${ground.pairs.mount}/rotate-role/${role}`);
      expect([status, text]).toEqual([
        500,
        expect.stringContaining('retries will continue in the background'),
      ]);
      await ground.postgres.resume();
      expect(await works(ground, role)).toBe(true);
      const turned = async () => (await ground.pairs.lastRotation(role)) !== before;
      expect(await until(turned, 25_000)).toBeGreaterThan(4_000);
      expect([await turned(), await works(ground, role)]).toEqual([true, true]);
    },
  ],
  [
    'a role turns by itself at the end of its period',
    async (ground) => {
      const role = await roleOn(ground, '5s');
      const before = await ground.pairs.lastRotation(role);
      await until(async () => (await ground.pairs.lastRotation(role)) !== before, 20_000);
      expect(await ground.pairs.lastRotation(role)).not.toBe(before);
      await until(() => works(ground, role), 1_000);
      expect(await works(ground, role)).toBe(true);
    },
  ],
];
