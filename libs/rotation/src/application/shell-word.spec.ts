import { execFileSync } from 'node:child_process';
import * as fc from 'fast-check';
import { shellWord } from './shell-word.js';

describe('shellWord', () => {
  it('leaves alone what is one word anyway, and quotes the rest so that people can still read it', () => {
    expect(shellWord('production/session-jwt')).toBe('production/session-jwt');
    expect(shellWord('demo/Demo session MAC')).toBe('"demo/Demo session MAC"');
    expect(shellWord('$HOME')).toBe("'$HOME'");
    expect(shellWord('')).toBe("''");
  });

  it('is read by a shell as exactly the one word it was made of', () => {
    const text = fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 20 }),
      fc.string({ unit: fc.constantFrom(...Array.from('ab \'"$`\\!*?~#;&|<>()[]{}\n')), maxLength: 12 }),
    );
    fc.assert(
      fc.property(
        fc.array(
          text.filter((each) => !each.includes('\0')),
          { minLength: 1, maxLength: 30 },
        ),
        (words) => {
          const read = execFileSync('sh', ['-c', `printf '%s\\0' ${words.map(shellWord).join(' ')}`], {
            encoding: 'utf8',
          });
          expect(read.split('\0').slice(0, -1)).toEqual(words);
        },
      ),
      { numRuns: 20 },
    );
  });
});
