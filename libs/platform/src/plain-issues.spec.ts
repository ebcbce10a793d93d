import { z } from 'zod';
import { plainIssues } from './plain-issues.js';

const said = (schema: z.ZodType, value: unknown): readonly string[] =>
  (schema.safeParse(value).error?.issues ?? [])
    .flatMap((issue) => plainIssues(issue))
    .map(({ path, message }) => `${path.join('/')} ${message}`);

describe('what is wrong, in plain words', () => {
  it.each([
    ['a field that is missing', z.object({ name: z.string() }), {}, 'name is missing'],
    ['another type', z.object({ count: z.int() }), { count: 'x' }, 'count must be a number'],
    [
      'too long',
      z.object({ name: z.string().max(4) }),
      { name: 'longer' },
      'name must have at most 4 characters',
    ],
    ['too much', z.object({ count: z.number().max(4) }), { count: 5 }, 'count must be at most 4'],
    [
      'no URL',
      z.object({ at: z.url() }),
      { at: 'x' },
      'at must be a URL, such as https://example.com/evidence/17',
    ],
    ['no day', z.object({ on: z.iso.date() }), { on: 'x' }, 'on must be a day, such as 2026-01-31'],
    ['none of these', z.object({ kind: z.enum(['a', 'b']) }), { kind: 'c' }, 'kind must be a or b'],
  ])('%s', (_, schema, value, words) => expect(said(schema, value)).toEqual([words]));

  it('a schema’s own words are left to it', () => {
    const schema = z.object({ id: z.string().regex(/^x/, { message: 'must begin with x' }) });
    expect(said(schema, { id: 'y' })).toEqual(['id must begin with x']);
  });
});
