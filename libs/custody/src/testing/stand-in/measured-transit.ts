import { randomUUID } from 'node:crypto';
import { expect } from '@jest/globals';
import { ChaosProxy } from '../chaos-proxy.js';
import { several, type Line, type Measured } from './measured.js';

const TOO_OLD = 'ciphertext or signature version is disallowed by policy (too old)';
const HI = Buffer.from('hi').toString('base64');

const at = (on: Measured, face: string, name: string): string => `${on.transit}/${face}/${name}`;
const keyOf = async (on: Measured, name: string) => (await on.ask('GET', at(on, 'keys', name))).data;
const rotate = (on: Measured, name: string) => on.ask('POST', `${at(on, 'keys', name)}/rotate`);
const config = (
  on: Measured,
  name: string,
  min_decryption_version: unknown,
  min_encryption_version: number,
) => on.told('POST', `${at(on, 'keys', name)}/config`, { min_decryption_version, min_encryption_version });
const trim = (on: Measured, name: string, min_available_version: number) =>
  on.told('POST', `${at(on, 'keys', name)}/trim`, { min_available_version });
const sign = (on: Measured, name: string, more: object = {}) =>
  on.ask('POST', at(on, 'sign', name), { input: HI, ...more });
const verify = (on: Measured, name: string, signature: unknown, more: object = {}) =>
  on.ask('POST', at(on, 'verify', name), { input: HI, signature, ...more });

/** vault-http.md, Transit. */
export const TRANSIT_LINES: readonly Line[] = [
  [
    'creating a key that is there answers 200 with its own parameters',
    async (on) => {
      const name = await on.key('ecdsa-p256');
      const again = await on.ask('POST', at(on, 'keys', name), { type: 'rsa-2048' });
      expect([again.status, again.body['warnings']]).toEqual([200, null]);
      expect(again.data).toMatchObject({ type: 'ecdsa-p256', latest_version: 1, min_encryption_version: 0 });
      expect(await on.told('POST', at(on, 'keys', 'x'), { type: 'nope' })).toEqual([
        400,
        'unknown key type nope',
      ]);
      expect(await on.told('POST', at(on, 'keys', 'x'), { auto_rotate_period: '5m' })).toEqual([
        400,
        'auto rotate period must be 0 to disable or at least an hour',
      ]);
      expect((await on.ask('GET', at(on, 'keys', 'nobody'))).status).toBe(404);
    },
  ],
  [
    'each rotate adds a version, also one whose answer is lost',
    async (on) => {
      const name = await on.key();
      expect((await rotate(on, name)).data['latest_version']).toBe(2);
      expect((await rotate(on, name)).data['latest_version']).toBe(3);
      const proxy = await ChaosProxy.start(on.server.address);
      try {
        proxy.plan({ answer: 'cut' });
        const path = `${at(on, 'keys', name)}/rotate`;
        await expect(on.ask('POST', path, {}, { at: proxy.address })).rejects.toThrow('fetch failed');
        expect((await keyOf(on, name))['latest_version']).toBe(4);
        const dead = { status: 307, headers: { Location: 'http://127.0.0.1:9/v1/x' } };
        proxy.plan({ answer: dead });
        expect((await on.ask('POST', path, {}, { at: proxy.address })).status).toBe(307);
        expect((await keyOf(on, name))['latest_version']).toBe(5);
      } finally {
        await proxy.close();
      }
      expect(await on.told('POST', `${at(on, 'keys', 'nobody')}/rotate`)).toEqual([400, 'key not found']);
    },
  ],
  [
    'config is absolute and can be taken back; null for min_decryption_version opens what was revoked',
    async (on) => {
      const name = await on.key();
      await rotate(on, name);
      const { signature } = (await sign(on, name, { key_version: 1 })).data;
      expect((await config(on, name, 2, 2))[0]).toBe(200);
      expect(Object.keys(Object((await keyOf(on, name))['keys']))).toEqual(['2']);
      expect((await verify(on, name, signature)).errors).toEqual([TOO_OLD]);
      expect((await config(on, name, 2, 2))[0]).toBe(200);
      expect((await config(on, name, null, 2))[0]).toBe(200);
      expect((await verify(on, name, signature)).data['valid']).toBe(true);
      expect(await config(on, name, 1, 4)).toEqual([
        400,
        'cannot set min encryption version of 4, latest key version is 2',
      ]);
      expect(await config(on, name, 2, 1)).toEqual([
        400,
        'cannot set min encryption/decryption values; min encryption version of 1 must be greater than or equal to min decryption version of 2',
      ]);
      expect((await config(on, name, 2, 0))[0]).toBe(200);
      expect(await config(on, 'nobody', 1, 1)).toEqual([400, 'no existing key named nobody could be found']);
    },
  ],
  [
    'a signature names its version; what is too old, too new or of nobody is refused in its own words',
    async (on) => {
      const name = await on.key();
      await rotate(on, name);
      await config(on, name, 1, 2);
      expect((await sign(on, name)).data).toMatchObject({ key_version: 2 });
      const [low, high] = [
        await sign(on, name, { key_version: 1 }),
        await sign(on, name, { key_version: 9 }),
      ];
      expect([low.status, low.errors, high.status, high.errors]).toEqual([
        500,
        [several('requested version for signing is less than the minimum encryption key version')],
        500,
        [several('requested version for signing is higher than the latest key version')],
      ]);
      expect(await verify(on, name, 'vault:v9:AAAA')).toMatchObject({
        status: 400,
        errors: ['invalid signature: version is too new'],
      });
      expect((await sign(on, 'nobody')).errors).toEqual(['signing key not found']);
      expect((await verify(on, 'nobody', 'vault:v1:AAAA')).errors).toEqual([
        'signature verification key not found',
      ]);
      const { hmac } = (await on.ask('POST', at(on, 'hmac', name), { input: HI })).data;
      expect(hmac).toMatch(/^vault:v2:/);
    },
  ],
  [
    'signatures are real: they verify, and with another algorithm or input they do not',
    async (on) => {
      const jws = { marshaling_algorithm: 'jws', hash_algorithm: 'sha2-256' };
      const manners = [
        ['ed25519', {}],
        ['ecdsa-p256', jws],
        ['rsa-2048', { ...jws, signature_algorithm: 'pkcs1v15' }],
        ['rsa-2048', { ...jws, signature_algorithm: 'pss', salt_length: 'hash' }],
      ] as const;
      for (const [type, manner] of manners) {
        const name = await on.key(type);
        const { signature } = (await sign(on, name, manner)).data;
        expect((await verify(on, name, signature, manner)).data['valid']).toBe(true);
        expect((await verify(on, name, signature, { ...manner, input: 'aG8=' })).data['valid']).toBe(false);
        if (type === 'rsa-2048') {
          const other = {
            signature_algorithm:
              'signature_algorithm' in manner && manner.signature_algorithm === 'pss' ? 'pkcs1v15' : 'pss',
          };
          expect((await verify(on, name, signature, { ...manner, ...other })).data['valid']).toBe(false);
        }
        const pem = (await on.ask('GET', `${on.transit}/export/public-key/${name}?format=pem`)).data;
        expect(JSON.stringify(pem)).toContain('BEGIN PUBLIC KEY');
      }
    },
  ],
  [
    'trim wants a min_encryption_version, only goes up, and cannot be taken back',
    async (on) => {
      const name = await on.key();
      await rotate(on, name);
      const minimum = 'minimum available version cannot be';
      expect(await trim(on, name, 1)).toEqual([
        400,
        `${minimum} set when minimum encryption version is not set`,
      ]);
      await config(on, name, 2, 2);
      expect(await trim(on, name, 3)).toEqual([400, `${minimum} greater than minmum encryption version`]);
      expect((await trim(on, name, 2))[0]).toBe(200);
      expect((await trim(on, name, 2))[0]).toBe(200);
      expect(await trim(on, name, 1)).toEqual([400, `${minimum} decremented`]);
      expect(await config(on, name, 1, 2)).toEqual([
        400,
        'min decryption version should not be less then min available version',
      ]);
      expect(await config(on, name, 2, 0)).toEqual([
        400,
        'min encryption version should not be less than min available version',
      ]);
    },
  ],
  [
    'soft-delete stops all use at once and can be taken back; deleting wants to be allowed first',
    async (on) => {
      const name = await on.key();
      const path = at(on, 'keys', name);
      const { signature } = (await sign(on, name)).data;
      expect((await on.ask('DELETE', `${path}/soft-delete`)).data['soft_deleted']).toBe(true);
      expect((await on.ask('DELETE', `${path}/soft-delete`)).body['warnings']).toHaveLength(1);
      const words = 'refusing to use soft-deleted key';
      expect([(await sign(on, name)).status, (await rotate(on, name)).errors]).toEqual([
        500,
        [several(words)],
      ]);
      expect(await verify(on, name, signature)).toMatchObject({ status: 400, errors: [words] });
      await on.ask('POST', `${path}/soft-delete-restore`);
      expect((await verify(on, name, signature)).data['valid']).toBe(true);
      const no = `error deleting policy ${name}:`;
      expect(await on.told('DELETE', path)).toEqual([400, `${no} deletion is not allowed for this key`]);
      await on.ask('POST', `${path}/config`, { deletion_allowed: true });
      expect((await on.ask('DELETE', path)).status).toBe(204);
      expect(await on.told('DELETE', path)).toEqual([400, `${no} could not delete key; not found`]);
    },
  ],
  [
    'rotates at once: one is answered 500, each adds a version, and the loser’s is in memory only',
    async (on) => {
      let phantom = 0;
      for (let tries = 0; tries < 20 && phantom === 0; tries += 1) {
        const name = await on.key();
        const both = await Promise.all([rotate(on, name), rotate(on, name)]);
        expect((await keyOf(on, name))['latest_version']).toBe(3);
        const lost = both.filter(({ status }) => status === 500);
        if (lost.length === 0) continue;
        expect(lost[0]?.errors.join()).toContain('transaction commit failed');
        // An unchanged config writes nothing down.
        await config(on, name, 1, 0);
        await on.server.crash();
        if ((await keyOf(on, name))['latest_version'] === 2) phantom += 1;
      }
      expect(phantom).toBe(1);
    },
  ],
  [
    'a config that changes something writes down what was in memory only',
    async (on) => {
      let kept = 0;
      for (let tries = 0; tries < 20 && kept === 0; tries += 1) {
        const name = randomUUID();
        await on.ask('POST', at(on, 'keys', name), { type: 'ed25519' });
        const both = await Promise.all([rotate(on, name), rotate(on, name)]);
        if (both.every(({ status }) => status === 200)) continue;
        await config(on, name, 1, 1);
        const before = await keyOf(on, name);
        await on.server.crash();
        expect(await keyOf(on, name)).toEqual(before);
        kept += 1;
      }
      expect(kept).toBe(1);
    },
  ],
];
