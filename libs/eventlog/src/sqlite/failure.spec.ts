import { sqlFailure } from './failure.js';

const of = (message: string, fields: object): unknown => Object.assign(new Error(message), fields);
const CODE = { code: 'ERR_SQLITE_ERROR' };

describe('what a failed SQLite call means', () => {
  it.each([
    ['the primary code', of('x', { ...CODE, errcode: 11 }), 'corrupt'],
    ['an extended code', of('x', { ...CODE, errcode: 10 | (4 << 8) }), 'io'],
    [
      'SQLite’s words, where the binding gives no code',
      of('database disk image is malformed', CODE),
      'corrupt',
    ],
    ['other words of SQLite', of('database or disk is full', CODE), 'full'],
    ['words nobody knows', of('no such column: x', CODE), 'other'],
    ['the same words from elsewhere', of('database disk image is malformed', {}), 'other'],
    ['no error at all', 'database disk image is malformed', 'other'],
  ])('%s', (_, error, failure) => {
    expect(sqlFailure(error)).toBe(failure);
  });
});
