import * as fc from 'fast-check';
import { asStored } from './as-stored.js';

describe('a value as it would come back from JSON', () => {
  it('has no property that is undefined, however deep, and null where an array had nothing', () => {
    const value = { a: undefined, b: [1, undefined, { c: undefined, d: 2 }], e: { f: undefined } };
    expect(Object.keys(asStored(value, undefined))).toEqual(['b', 'e']);
    expect(JSON.stringify(asStored(value, undefined))).toBe('{"b":[1,null,{"d":2}],"e":{}}');
  });

  it('leaves alone what the state before it already held', () => {
    const shared = { deep: [1, 2, 3] };
    const before = { shared, moved: 1 };
    const after = asStored({ shared, moved: 2 }, before);
    expect(after.shared).toBe(shared);
  });

  it('law: equal to stringify and parse, key order too', () => {
    const json = fc.jsonValue({ maxDepth: 4 });
    const holed = fc.dictionary(fc.string(), fc.option(json, { nil: undefined }));
    fc.assert(
      fc.property(holed, holed, (value, before) => {
        const stored: unknown = JSON.parse(JSON.stringify(value));
        expect(JSON.stringify(asStored(value, before))).toBe(JSON.stringify(stored));
      }),
    );
  });
});
