import { expect } from '@jest/globals';
import type { Line } from './measured.js';

const MISMATCH = 'check-and-set parameter did not match the current version';
const cas = (number: unknown, data: unknown = { a: 'b' }) => ({ options: { cas: number }, data });

/** vault-http.md, KV v2. */
export const KV_LINES: readonly Line[] = [
  [
    'a write by compare-and-set happens once, and our own earlier success is a mismatch, too',
    async (on) => {
      const { data } = on.secret();
      expect((await on.ask('POST', data, cas(0))).data).toMatchObject({ version: 1, destroyed: false });
      expect(await on.told('POST', data, cas(0))).toEqual([400, MISMATCH]);
      expect((await on.ask('GET', data)).data).toMatchObject({ data: { a: 'b' }, metadata: { version: 1 } });
      const all = await Promise.all(Array.from({ length: 16 }, () => on.told('POST', data, cas(1))));
      expect(all.filter(([status]) => status === 200)).toHaveLength(1);
      expect(all.filter(([, text]) => text === MISMATCH)).toHaveLength(15);
    },
  ],
  [
    'cas 0 is refused over what was deleted or destroyed, and right again without metadata; null counts as 0',
    async (on) => {
      const secret = on.secret();
      await on.ask('POST', secret.data, cas(0));
      await on.ask('DELETE', secret.data);
      expect(await on.told('POST', secret.data, cas(0))).toEqual([400, MISMATCH]);
      await on.ask('POST', secret.destroy, { versions: [1] });
      expect(await on.told('POST', secret.data, cas(null))).toEqual([400, MISMATCH]);
      expect((await on.ask('DELETE', secret.metadata)).status).toBe(204);
      expect((await on.ask('POST', secret.data, cas(null))).data['version']).toBe(1);
    },
  ],
  [
    'a write says what is wrong with it, and a misspelt option compares nothing',
    async (on) => {
      const { data, metadata } = on.secret();
      expect(await on.told('POST', data, cas('x'))).toEqual([400, 'error parsing check-and-set parameter']);
      expect(await on.told('POST', data, { options: { cas: 0 } })).toEqual([400, 'no data provided']);
      expect(await on.told('POST', `${data}/`, cas(0))).toEqual([
        400,
        "cannot write to a path ending in '/'",
      ]);
      expect((await on.ask('POST', data, { options: { CAS: 7 }, data: {} })).status).toBe(200);
      await on.ask('POST', metadata, { cas_required: true });
      expect(await on.told('POST', data, { data: {} })).toEqual([
        400,
        'check-and-set parameter required for this call',
      ]);
    },
  ],
  [
    'delete, undelete and destroy answer 204 and prove nothing',
    async (on) => {
      const secret = on.secret();
      const nobody = on.secret();
      await on.ask('POST', secret.data, cas(0));
      for (const each of [secret.delete, secret.undelete, secret.destroy, nobody.destroy, nobody.undelete])
        expect((await on.ask('POST', each, { versions: [77] })).status).toBe(204);
      expect((await on.ask('DELETE', nobody.data)).status).toBe(204);
      expect((await on.ask('GET', secret.data)).status).toBe(200);
      expect(await on.told('POST', secret.delete, {})).toEqual([400, 'No version number provided']);
      expect(await on.told('POST', secret.destroy, {})).toEqual([400, 'no version number provided']);
      await on.ask('POST', secret.destroy, { versions: [1] });
      expect((await on.ask('POST', secret.undelete, { versions: [1] })).status).toBe(204);
      expect((await on.ask('GET', secret.metadata)).data['versions']).toMatchObject({
        1: { destroyed: true },
      });
    },
  ],
  [
    'what is deleted is a 404 with what was known of it, what was never there a plain one',
    async (on) => {
      const secret = on.secret();
      expect(await on.ask('GET', secret.data)).toMatchObject({ status: 404, body: { errors: [] } });
      await on.ask('POST', secret.data, cas(0, { x: { y: 'z' }, empty: {}, list: [1] }));
      expect((await on.ask('GET', secret.subkeys)).data['subkeys']).toEqual({
        x: { y: null },
        empty: null,
        list: null,
      });
      await on.ask('DELETE', secret.data);
      const metadata = { version: 1, destroyed: false, deletion_time: expect.stringContaining('T') };
      expect(await on.ask('GET', secret.data)).toMatchObject({ status: 404, data: { data: null, metadata } });
      expect(await on.ask('GET', secret.subkeys)).toMatchObject({
        status: 404,
        data: { subkeys: null, metadata },
      });
      expect(await on.ask('PATCH', secret.data, { data: {} })).toMatchObject({
        status: 404,
        data: { version: 1 },
      });
      await on.ask('POST', secret.undelete, { versions: [1] });
      expect((await on.ask('GET', secret.data)).status).toBe(200);
    },
  ],
  [
    'a patch changes what it names, and null takes away',
    async (on) => {
      const { data } = on.secret();
      expect(await on.ask('PATCH', data, { data: {} })).toMatchObject({ status: 404, body: {} });
      await on.ask('POST', data, cas(0, { keep: 1, go: 2, deep: { a: 1, b: 2 } }));
      expect(await on.told('PATCH', data, cas(0, {}))).toEqual([400, MISMATCH]);
      const patch = cas(1, { go: null, deep: { b: null, c: 3 } });
      expect((await on.ask('PATCH', data, patch)).data['version']).toBe(2);
      expect((await on.ask('GET', data)).data['data']).toEqual({ keep: 1, deep: { a: 1, c: 3 } });
      const plain = { 'Content-Type': 'application/json' };
      expect((await on.ask('PATCH', data, { data: {} }, { headers: plain })).status).toBe(415);
    },
  ],
  [
    'a version that max_versions cuts off vanishes without a mark: the rollback target, too',
    async (on) => {
      const { data, metadata } = on.secret();
      await on.ask('POST', metadata, { max_versions: 2 });
      for (const number of [0, 1, 2]) await on.ask('POST', data, cas(number));
      expect(await on.ask('GET', `${data}?version=1`)).toMatchObject({ status: 404, body: { errors: [] } });
      const shown = (await on.ask('GET', metadata)).data;
      expect(shown).toMatchObject({ oldest_version: 2, current_version: 3 });
      expect(Object.keys(Object(shown['versions']))).toEqual(['2', '3']);
      await on.ask('POST', metadata, { max_versions: 1 });
      expect((await on.ask('GET', `${data}?version=2`)).status).toBe(200);
      await on.ask('POST', data, cas(3));
      expect((await on.ask('GET', `${data}?version=2`)).status).toBe(404);
      const ten = on.secret();
      for (let number = 0; number < 12; number += 1) await on.ask('POST', ten.data, cas(number));
      expect((await on.ask('GET', `${ten.data}?version=2`)).status).toBe(404);
      expect((await on.ask('GET', `${ten.data}?version=3`)).status).toBe(200);
    },
  ],
  [
    'metadata: custom metadata is replaced whole, patched by name, and has a compare-and-set of its own',
    async (on) => {
      const { metadata } = on.secret();
      const first = { custom_metadata: { a: '1' } };
      expect(await on.ask('PATCH', metadata, first)).toMatchObject({ status: 404, body: {} });
      // One that sets nothing is done, whatever is there, and compares nothing.
      expect((await on.ask('PATCH', metadata, {})).status).toBe(204);
      expect((await on.ask('POST', metadata, { metadata_cas: 3 })).status).toBe(204);
      expect(await on.told('POST', metadata, { ...first, metadata_cas: 3 })).toEqual([
        400,
        'metadata_cas must be 0 when creating new metadata',
      ]);
      await on.ask('POST', metadata, { custom_metadata: { a: '1', b: '2' } });
      await on.ask('POST', metadata, { custom_metadata: { c: '3' } });
      const patch = { custom_metadata: { d: '4', c: null }, metadata_cas: 2 };
      expect((await on.ask('PATCH', metadata, patch)).status).toBe(204);
      expect((await on.ask('GET', metadata)).data).toMatchObject({
        custom_metadata: { d: '4' },
        current_metadata_version: 3,
        current_version: 0,
      });
      expect((await on.told('PATCH', metadata, patch))[1]).toBe(
        'metadata check-and-set parameter does not match the current version',
      );
      expect((await on.ask('PATCH', metadata, { custom_metadata: { n: 1 } })).status).toBe(500);
    },
  ],
  [
    'deletion_time is set when it is written, and lists end at the next slash',
    async (on) => {
      const { data, metadata } = on.secret();
      await on.ask('POST', metadata, { delete_version_after: '1h' });
      expect((await on.ask('POST', data, cas(0))).data['deletion_time']).toContain('T');
      expect((await on.ask('GET', data)).status).toBe(200);
      expect((await on.ask('GET', metadata)).data['delete_version_after']).toBe('1h0m0s');
      await on.ask('POST', `${data}-list/one/two`, cas(0));
      expect((await on.ask('GET', `${metadata}-list?list=true`)).data['keys']).toEqual(['one/']);
      expect((await on.ask('GET', `${metadata}-none?list=true`)).status).toBe(404);
    },
  ],
];
