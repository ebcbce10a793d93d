import * as fc from 'fast-check';
import { packAppends, packOutcomes, unpackAppends, unpackOutcomes, type Settled } from './writer-messages.js';

const text = fc.string({ unit: 'binary' });
const revision = fc.integer({ min: -1, max: Number.MAX_SAFE_INTEGER });
const event = fc.record({ revision, id: text, type: text, record: text, body: text, leaf: text });
const append = fc.record({
  id: fc.nat(),
  request: fc.record({ stream: text, expected: revision, events: fc.array(event, { maxLength: 5 }) }),
});
const outcome = fc.oneof(
  fc.record({
    kind: fc.constant('stored' as const),
    outcome: fc.constantFrom('appended' as const, 'repeated' as const),
    revision,
    treeSize: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  }),
  fc.record({ kind: fc.constant('wrong-revision' as const), actual: revision }),
  fc.record({ kind: fc.constant('unavailable' as const), message: text }),
  fc.record({ kind: fc.constant('corrupt' as const), message: text }),
);

describe('messages to and from the writer', () => {
  it('bring every append as it was sent, also over a structured clone', () => {
    fc.assert(
      fc.property(fc.array(append, { maxLength: 6 }), (appends) => {
        expect(unpackAppends(structuredClone(packAppends(appends)))).toEqual(appends);
      }),
    );
  });

  it('bring every outcome to the append it belongs to, in the order they were asked in', () => {
    fc.assert(
      fc.property(fc.array(outcome, { maxLength: 8 }), (outcomes) => {
        const settled: Settled[] = outcomes.map((each, id) => ({ id, outcome: each }));
        expect(unpackOutcomes(structuredClone(packOutcomes(settled)))).toEqual(settled);
      }),
    );
  });
});
