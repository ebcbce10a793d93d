import { createLocalJWKSet, decodeProtectedHeader, jwtVerify, type JSONWebKeySet } from 'jose';

/**
 * The demo's traffic: one emitter that signs all the time, and verifiers that fetch the JWKS document over HTTP, keep it
 * for exactly their cache TTL, and verify with `jose`, which shares nothing with Keyturn.
 */

export interface TrafficToken {
  readonly text: string;
  readonly kid: string;
  readonly signedAt: number;
  readonly expiresAt: number;
}

export interface Presented {
  readonly token: TrafficToken;
  readonly verifier: string;
  readonly at: number;
  readonly accepted: boolean;
}

export interface TrafficOptions {
  readonly jwksUrl: string;
  readonly sign: () => Promise<string>;
  readonly lifeMs: number;
  readonly verifiers: readonly { readonly name: string; readonly cacheMs: number }[];
}

const EVERY_MS = 100;

export class Traffic {
  readonly presented: Presented[] = [];
  readonly #options: TrafficOptions;
  #tokens: TrafficToken[] = [];
  #timers: NodeJS.Timeout[] = [];
  readonly #documents = new Map<string, JSONWebKeySet>();
  #busy = false;
  #notSigned = 0;
  #stopped = false;

  constructor(options: TrafficOptions) {
    this.#options = options;
  }

  /** How often nothing could be signed: a contained version is not signed with any more. */
  get notSigned(): number {
    return this.#notSigned;
  }

  async start(): Promise<void> {
    for (const verifier of this.#options.verifiers) {
      await this.#refresh(verifier.name);
      this.#timers.push(
        setInterval(() => {
          void this.#refresh(verifier.name);
        }, verifier.cacheMs),
      );
    }
    this.#timers.push(
      setInterval(() => {
        void this.#tick();
      }, EVERY_MS),
    );
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers = [];
  }

  /** The key ids a verifier holds now. */
  knows(verifier: string, kid: string): boolean {
    return this.#documents.get(verifier)?.keys.some((key) => key.kid === kid) === true;
  }

  /** Unexpired tokens signed by one of these versions. */
  unexpired(kids: readonly string[], now: number): readonly TrafficToken[] {
    return this.#tokens.filter((token) => kids.includes(token.kid) && token.expiresAt > now);
  }

  /** Shows one token to every verifier now. */
  async show(token: TrafficToken): Promise<readonly Presented[]> {
    const shown: Presented[] = [];
    for (const { name } of this.#options.verifiers) {
      const document = this.#documents.get(name);
      if (document === undefined) continue;
      const at = Date.now();
      if (at >= token.expiresAt) continue;
      const accepted = await jwtVerify(token.text, createLocalJWKSet(document), {
        currentDate: new Date(at),
      }).then(
        () => true,
        () => false,
      );
      shown.push({ token, verifier: name, at, accepted });
    }
    this.presented.push(...shown);
    return shown;
  }

  async #refresh(verifier: string): Promise<void> {
    try {
      const response = await fetch(this.#options.jwksUrl, { signal: AbortSignal.timeout(1_000) });
      if (!response.ok) return;
      const document: JSONWebKeySet = JSON.parse(await response.text());
      this.#documents.set(verifier, document);
    } catch {
      // A verifier that cannot fetch goes on with what it holds, as real ones do.
    }
  }

  async #tick(): Promise<void> {
    if (this.#busy || this.#stopped) return;
    this.#busy = true;
    try {
      const signedAt = Date.now();
      const text = await this.#options.sign();
      const token = {
        text,
        kid: decodeProtectedHeader(text).kid ?? '',
        signedAt,
        // A JWT counts whole seconds: it lives at least as long as it says.
        expiresAt: Math.floor(signedAt / 1_000) * 1_000 + this.#options.lifeMs,
      };
      this.#tokens = this.#tokens.filter((each) => each.expiresAt > signedAt);
      this.#tokens.push(token);
      await this.show(token);
      // And an old one, so that what was signed before a switch is seen to the end of its life.
      const [oldest] = this.#tokens;
      if (oldest !== undefined && oldest !== token) await this.show(oldest);
      const middle = this.#tokens[Math.floor(this.#tokens.length / 2)];
      if (middle !== undefined && middle !== token && middle !== oldest) await this.show(middle);
    } catch {
      this.#notSigned += 1;
    } finally {
      this.#busy = false;
    }
  }
}
