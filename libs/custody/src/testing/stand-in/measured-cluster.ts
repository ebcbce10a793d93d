import { randomUUID } from 'node:crypto';
import { expect } from '@jest/globals';
import type { Measured } from './measured.js';

/** A node that leads, and one that does not. */
export interface ClusterGround {
  readonly on: Measured;
  readonly leader: URL;
  readonly standby: URL;
  /** The one that leads. */
  readonly kill: () => Promise<void>;
}
type ClusterLine = readonly [says: string, prove: (ground: ClusterGround) => Promise<void>];

const FORWARD = { 'X-Vault-Inconsistent': 'forward-active-node' };
const index = (text: string | null) => ({ 'X-Vault-Index': text ?? '' });
const TRIES = 20;

/** vault-http.md, what standbys do. On a busy machine not every try comes before the standby has caught up. In this order: the last one kills the leader. */
export const CLUSTER_LINES: readonly ClusterLine[] = [
  [
    'a standby reads what is behind, and a write through it right after one on the leader is a false mismatch',
    async ({ on, leader, standby }) => {
      let [stale, mismatches] = [0, 0];
      for (let tries = 0; tries < TRIES; tries += 1) {
        const { data } = on.secret();
        await on.ask('POST', data, { options: { cas: 0 }, data: {} }, { at: leader });
        if ((await on.ask('GET', data, undefined, { at: standby })).status === 404) stale += 1;
        const other = on.secret();
        await on.ask('POST', other.data, { options: { cas: 0 }, data: {} }, { at: leader });
        const second = { options: { cas: 1 }, data: {} };
        const [status, text] = await on.told('POST', other.data, second, { at: standby });
        if (status === 400 && text.includes('did not match')) mismatches += 1;
      }
      expect(Math.min(stale, mismatches)).toBeGreaterThan(0);
    },
  ],
  [
    'with the index and forward-active-node the same reads, writes and rotates are right',
    async ({ on, leader, standby }) => {
      let unknown = 0;
      for (let tries = 0; tries < TRIES; tries += 1) {
        const { data } = on.secret();
        const written = await on.ask('POST', data, { options: { cas: 0 }, data: {} }, { at: leader });
        const headers = { ...index(written.header('x-vault-index')), ...FORWARD };
        expect((await on.ask('GET', data, undefined, { at: standby, headers })).status).toBe(200);
        const key = `${on.transit}/keys/${randomUUID()}`;
        const made = await on.ask('POST', key, { type: 'ed25519' }, { at: leader });
        const [status, text] = await on.told('POST', `${key}/rotate`, {}, { at: standby });
        if (status === 400 && text === 'key not found') unknown += 1;
        const fresh = { ...index(made.header('x-vault-index')), ...FORWARD };
        expect((await on.ask('POST', `${key}/rotate`, {}, { at: standby, headers: fresh })).status).toBe(200);
      }
      expect(unknown).toBeGreaterThan(0);
    },
  ],
  [
    'an index that has not come yet is answered 429 with nothing in it, and not executed',
    async ({ on, leader, standby }) => {
      const { data } = on.secret();
      const first = (await on.ask('POST', data, { data: {} }, { at: leader })).header('x-vault-index');
      const { cluster }: { cluster?: string } = JSON.parse(Buffer.from(first ?? '', 'base64').toString());
      const further = Buffer.from(JSON.stringify({ cluster, value: '99999999' })).toString('base64');
      const said = await on.ask('POST', data, { data: {} }, { at: standby, headers: index(further) });
      expect([said.status, said.errors, said.header('retry-after')]).toEqual([429, [], '1']);
      expect((await on.ask('GET', data, undefined, { at: leader })).data).toMatchObject({
        metadata: { version: 1 },
      });
      expect((await on.ask('GET', 'sys/health', undefined, { at: standby })).status).toBe(429);
    },
  ],
  [
    'with the leader killed a standby still reads, and points writes to the dead one',
    async ({ on, leader, standby, kill }) => {
      const { data } = on.secret();
      await on.ask('POST', data, { data: {} }, { at: leader });
      await new Promise((done) => setTimeout(done, 1_000));
      await kill();
      expect((await on.ask('GET', data, undefined, { at: standby })).status).toBe(200);
      const { status, header } = await on.ask('POST', data, { data: {} }, { at: standby });
      expect([status, header('location')]).toEqual([307, `${leader.origin}/v1/${data}`]);
    },
  ],
];
