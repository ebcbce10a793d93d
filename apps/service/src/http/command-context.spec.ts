import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { checkIdempotencyKey, commandIdOf, requestHashOf } from './command-context.js';

const vectors = z
  .object({
    logId: z.string(),
    ids: z.array(z.object({ what: z.string(), parts: z.array(z.string()), id: z.string() })),
  })
  .parse(JSON.parse(readFileSync('test/fixtures/envelope/vectors.json', 'utf8')));

describe('the command id', () => {
  const commands = vectors.ids.filter(({ what }) => what.startsWith('command'));

  it('has vectors', () => {
    expect(commands.length).toBeGreaterThanOrEqual(2);
  });

  it.each(commands)('$what is as two other implementations made it', ({ parts, id }) => {
    const [subject = '', method = '', url = '', key = ''] = parts;
    expect(commandIdOf({ logId: vectors.logId, subject, method, url, key })).toBe(id);
    expect(commandIdOf({ logId: vectors.logId, subject, method, url: `${url}?plan=1`, key })).toBe(id);
  });
});

describe('the request hash', () => {
  it('is of the RFC 8785 bytes, so that the order of fields is no difference', () => {
    const hash = createHash('sha256').update('{"a":[1,"ü"],"b":null}').digest('hex');
    expect(requestHashOf({ b: null, a: [1, 'ü'] })).toBe(hash);
    expect(requestHashOf({ a: [1, 'ü'], b: null })).toBe(hash);
  });

  it('takes no body for an empty one', () => {
    expect(requestHashOf(undefined)).toBe(requestHashOf({}));
  });

  it.each([['\ud800'], [9007199254740992], [1.5], [{ '1': 1 }]])(
    'refuses what cannot be stored: %j',
    (value) => {
      expect(() => requestHashOf({ value })).toThrow(expect.objectContaining({ code: 'value.invalid' }));
    },
  );
});

it.each([
  [undefined, 'idempotency.key-missing'],
  ['   ', 'idempotency.key-missing'],
  ['x'.repeat(201), 'idempotency.key-invalid'],
  ['schlüssel', 'idempotency.key-invalid'],
])('the key %j is refused', (key, code) => {
  expect(() => checkIdempotencyKey(key)).toThrow(expect.objectContaining({ code }));
});
