import { UNLIMITED } from '../domain/permissions.js';
import type { TokenDirectory, TokenEntry } from '../application/token-directory.js';
import { RememberedTokens } from './remembered-tokens.js';

const entry = (tokenHash: string, change: Partial<TokenEntry> = {}): TokenEntry => ({
  tokenId: `id of ${tokenHash}`,
  tokenHash,
  subject: 'ada',
  name: 'Ada',
  roles: ['operator'],
  scope: UNLIMITED,
  label: '',
  bootstrap: false,
  issuedAt: 0,
  issuedBy: 'ada',
  ...change,
});

/** Rows that change beneath; what is asked of them is counted. */
function rows(some: readonly TokenEntry[]): {
  readonly directory: TokenDirectory;
  readonly asked: () => number;
  readonly put: (row: TokenEntry) => void;
} {
  const byHash = new Map(some.map((each) => [each.tokenHash, each]));
  let asked = 0;
  const directory: TokenDirectory = {
    tokenByHash: (hash) => {
      asked += 1;
      return byHash.get(hash);
    },
    token: () => undefined,
    tokens: () => [...byHash.values()],
    tokensAfter: (_after, limit) => [...byHash.values()].slice(0, limit),
    subject: () => undefined,
    subjects: () => [],
  };
  return { directory, asked: () => asked, put: (row) => byHash.set(row.tokenHash, row) };
}

describe('remembered tokens', () => {
  it('look a token up once, until something is recorded of tokens', () => {
    const { directory, asked, put } = rows([entry('a')]);
    const tokens = new RememberedTokens(directory);
    expect([tokens.tokenByHash('a'), tokens.tokenByHash('a')]).toEqual([entry('a'), entry('a')]);
    expect(asked()).toBe(1);
    put(entry('a', { revokedAt: 5 }));
    tokens.forget();
    expect(tokens.tokenByHash('a')?.revokedAt).toBe(5);
  });

  it('never remember that there is none: a token issued now is let in now', () => {
    const { directory, put } = rows([]);
    const tokens = new RememberedTokens(directory);
    expect(tokens.tokenByHash('a')).toBeUndefined();
    put(entry('a'));
    expect(tokens.tokenByHash('a')).toEqual(entry('a'));
  });

  it('remember nothing where the log is not what was written', () => {
    const { directory, put } = rows([entry('a')]);
    const tokens = new RememberedTokens(directory);
    tokens.tokenByHash('a');
    tokens.stopRemembering();
    tokens.tokenByHash('a');
    put(entry('a', { revokedAt: 7 }));
    expect(tokens.tokenByHash('a')?.revokedAt).toBe(7);
  });

  it('keep no more than a thousand', () => {
    const all = Array.from({ length: 1_500 }, (_, number) => entry(String(number)));
    const { directory, asked } = rows(all);
    const tokens = new RememberedTokens(directory);
    for (const { tokenHash } of all) tokens.tokenByHash(tokenHash);
    tokens.tokenByHash('0');
    expect(asked()).toBe(1_501);
  });
});
