import { pointer } from './field-error.js';

it('names a field by a JSON pointer that stays short', () => {
  expect(pointer(['a/b', 'c~d', 0])).toBe('/a~1b/c~0d/0');
  expect(pointer(['x'.repeat(1000)]).length).toBeLessThan(70);
});
