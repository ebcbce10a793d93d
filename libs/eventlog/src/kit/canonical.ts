import canonicalizeModule from 'canonicalize';
import { DomainError } from '../recorded-event.js';

/**
 * RFC 8785 text and bytes, for values that survive it: what is written here and parsed again by anyone gives the
 * same bytes. Everything else is refused before it is written (contracts.md, The envelope).
 */

/** Objects and arrays may nest this deep, the value itself counted. */
export const MAX_VALUE_DEPTH = 64;

/** A value that cannot be stored. Names the path and the rule, never the value: it may be a secret. */
export class InvalidValueError extends DomainError {
  constructor(
    /** Such as `data.consumers[2].name`; empty for the value itself. */
    readonly path: string,
    /** The rule that is broken, such as `must be a whole number`. */
    readonly problem: string,
  ) {
    super('value.invalid', `${path === '' ? 'the value' : path} ${problem}`, { path, problem });
    this.name = 'InvalidValueError';
  }
}

/**
 * RFC 8785 text of `value`. Properties that are `undefined` are left out; -0 is written as 0.
 * `path` is what an error calls the value itself.
 */
export function canonicalText(value: unknown, path = ''): string {
  check(value, path, 1);
  const text = canonicalize(value);
  if (text === undefined) throw new InvalidValueError(path, 'must not be undefined');
  return text;
}

/** The UTF-8 bytes of `canonicalText`. */
export function canonicalBytes(value: unknown, path = ''): Uint8Array {
  return encoder.encode(canonicalText(value, path));
}

const encoder = new TextEncoder();

// The package is CommonJS and its types claim an ES default export: what Node imports is the function itself.
const canonicalize: (value: unknown) => string | undefined =
  typeof canonicalizeModule === 'function' ? canonicalizeModule : canonicalizeModule.default;

// JSON.stringify moves such names to the front, so a parsed body would not leave with the bytes it came with.
const INTEGER_NAME = /^(?:0|[1-9]\d*)$/;
const PLAIN_NAME = /^[A-Za-z_$][\w$]*$/;

function check(value: unknown, path: string, depth: number): void {
  switch (typeof value) {
    case 'string':
      if (!value.isWellFormed()) throw new InvalidValueError(path, 'must be well-formed Unicode');
      return;
    case 'number':
      if (!Number.isSafeInteger(value)) {
        throw new InvalidValueError(path, 'must be a whole number within ±(2^53 − 1); write others as text');
      }
      return;
    case 'boolean':
      return;
    case 'object':
      if (value === null) return;
      if (depth > MAX_VALUE_DEPTH) {
        throw new InvalidValueError(path, `must not nest deeper than ${MAX_VALUE_DEPTH}`);
      }
      if (Array.isArray(value)) checkArray(value, path, depth);
      else checkObject(value, path, depth);
      return;
    case 'undefined':
    case 'bigint':
    case 'symbol':
    case 'function':
      throw new InvalidValueError(
        path,
        `must not be ${typeof value === 'undefined' ? '' : 'a '}${typeof value}`,
      );
  }
}

function checkArray(values: readonly unknown[], path: string, depth: number): void {
  // By index: a hole is passed over by `forEach`, but written as null.
  for (let index = 0; index < values.length; index += 1) check(values[index], `${path}[${index}]`, depth + 1);
}

function checkObject(value: object, path: string, depth: number): void {
  if (!isPlain(value)) {
    throw new InvalidValueError(path, 'must be a plain object: no class, date, map or set');
  }
  for (const [name, inner] of Object.entries(value)) {
    const innerPath = join(path, name);
    if (!name.isWellFormed())
      throw new InvalidValueError(path, 'must have well-formed Unicode property names');
    if (name === '__proto__') throw new InvalidValueError(innerPath, 'must not be named __proto__');
    if (INTEGER_NAME.test(name)) {
      throw new InvalidValueError(innerPath, 'must not have a name that looks like an integer');
    }
    if (inner !== undefined) check(inner, innerPath, depth + 1);
  }
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  // Plain in any realm: its prototype is none, or one that has none itself.
  return prototype === null || (typeof prototype === 'object' && Object.getPrototypeOf(prototype) === null);
}

function join(path: string, name: string): string {
  if (!PLAIN_NAME.test(name)) return `${path}[${JSON.stringify(name)}]`;
  return path === '' ? name : `${path}.${name}`;
}
