import { inspect } from 'node:util';

/** Key material in memory. It cannot be printed, stringified or inspected; only a back end calls `reveal`. */
export class SecretValue {
  readonly #value: Buffer;

  constructor(value: Buffer | string) {
    this.#value = Buffer.isBuffer(value) ? value : Buffer.from(value, 'utf8');
  }

  /** The bytes themselves. MUST NOT leave libs/custody and libs/access. */
  reveal(): Buffer {
    return this.#value;
  }

  toString(): string {
    return '[redacted]';
  }

  toJSON(): string {
    return '[redacted]';
  }

  [inspect.custom](): string {
    return '[redacted]';
  }
}
