import type { TokenDirectory, TokenEntry } from '../application/token-directory.js';

/** Most tokens that are remembered; all are forgotten together. */
const MOST = 1_000;

/**
 * Tokens that were looked up, until something is recorded that may change one: every request carries a token, and hardly
 * any changes them. `forget` is called before anybody can ask again after such a record was folded.
 */
export class RememberedTokens implements TokenDirectory {
  readonly #known = new Map<string, TokenEntry>();
  #remembers = true;

  constructor(private readonly directory: TokenDirectory) {}

  forget(): void {
    this.#known.clear();
  }

  /** From now on every look-up is made: where the log is not what was written, rows go without an event that says so. */
  stopRemembering(): void {
    this.#remembers = false;
    this.forget();
  }

  tokenByHash(hash: string): TokenEntry | undefined {
    const known = this.#known.get(hash);
    if (known !== undefined) return known;
    const entry = this.directory.tokenByHash(hash);
    // Guesses are not kept: they would drive out what is real.
    if (entry === undefined || !this.#remembers) return entry;
    if (this.#known.size >= MOST) this.#known.clear();
    this.#known.set(hash, entry);
    return entry;
  }

  token(tokenId: string): TokenEntry | undefined {
    return this.directory.token(tokenId);
  }

  tokens(): readonly TokenEntry[] {
    return this.directory.tokens();
  }

  tokensAfter(...asked: Parameters<TokenDirectory['tokensAfter']>): readonly TokenEntry[] {
    return this.directory.tokensAfter(...asked);
  }

  subject(subject: string): ReturnType<TokenDirectory['subject']> {
    return this.directory.subject(subject);
  }

  subjects(): ReturnType<TokenDirectory['subjects']> {
    return this.directory.subjects();
  }
}
