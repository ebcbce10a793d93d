import { readJson } from './json-body.js';

function refused(text: string): string {
  try {
    readJson(Buffer.from(text), JSON.parse);
  } catch (error) {
    return error instanceof Error ? error.message : '';
  }
  return 'it was taken';
}

describe('a body that is no JSON', () => {
  it.each([
    ['a comma before the end', '{\n  "name": "x",\n}', ' at line 3, column 1'],
    ['no quotes', '{name: 1}', ' at line 1, column 2'],
    ['cut off', '{"name": ', ': it ends too early'],
    ['cut off in a text', '{"name": "x', ': it ends too early'],
  ])('%s: where', (_what, text, where) => {
    expect(refused(text)).toBe(`The body is not JSON${where}`);
  });

  it('is never quoted', () => {
    for (const text of ['{"key": canary}', 'canary', '{"key": "x" canary', '["canary"']) {
      expect(refused(text)).toMatch(/^The body is not JSON/);
      expect(refused(text)).not.toContain('canary');
    }
  });
});
