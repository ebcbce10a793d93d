import { Refusal } from './refusal.js';
import type { Transaction } from './storage.js';

/** How requests and answers look between the HTTP face of the stand-in and its engines. */

export type Method = 'GET' | 'LIST' | 'POST' | 'PATCH' | 'DELETE';
export type Body = Readonly<Record<string, unknown>>;

/** Whoever asks. */
export interface Token {
  readonly id: string;
  readonly policies: readonly string[];
  readonly type: 'service' | 'batch';
  readonly orphan: boolean;
  readonly parent: string;
  /** 0: as often as its holder likes. */
  readonly uses: number;
  readonly givenUses: number;
  readonly renewable: boolean;
  readonly period: number;
  readonly explicitMax: number;
  readonly createdAt: number;
  /** Seconds it was given. */
  readonly ttl: number;
  /** Milliseconds since 1970; `undefined`: never. */
  readonly endsAt: number | undefined;
  readonly renewedAt?: number;
}

export interface Ask {
  readonly method: Method;
  /** Below the mount, without a slash before it. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: Body;
  readonly contentType: string;
  /** Absent where nobody has to sign in. */
  readonly token?: Token;
  /** What it may do; `undefined`: everything. */
  readonly policies?: readonly string[];
  /** Of the mount. */
  readonly storage: Transaction;
  /** Whoever asked has gone, or the longest time for a request is over. */
  readonly signal: AbortSignal;
}

export interface Answer {
  readonly status: number;
  readonly data?: unknown;
  readonly auth?: Body;
  readonly warnings?: readonly string[];
  /** In the place of the usual frame; `''`: no body. */
  readonly plain?: Body | '';
}

/** A secrets engine or auth method on one mount of one node. */
export interface Engine {
  /** Of a path whose first write needs `create` and not `update`. */
  exists?(ask: Ask): boolean;
  answer(ask: Ask): Answer | Promise<Answer>;
  /** A standby hands it on unread: it reaches out of the server. */
  reachesOut?(ask: Pick<Ask, 'method' | 'path'>): boolean;
  /** The node is sealed or killed: nothing goes on in the background. */
  stop?(): void;
}

export const NO_CONTENT: Answer = { status: 204 };
export const NOT_THERE: Refusal = Refusal.of(404);

export const found = (data: unknown, warnings?: readonly string[]): Answer => ({
  status: 200,
  data,
  ...(warnings === undefined ? {} : { warnings }),
});

/** What the server does not know is refused, and what the stand-in does not know, too: nobody takes it for done. */
export function unsupported({ method, path }: Pick<Ask, 'method' | 'path'>): Refusal {
  return Refusal.of(405, `unsupported operation: the stand-in has no ${method} ${path}`);
}

export function bodyOf(value: unknown): Body {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};
}

export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '';
}

/** A list, or words with commas between them. */
export function listOf(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.map(textOf);
  return textOf(value)
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '');
}

/** As nanoseconds they are 64 bits. */
const LONGEST_SECONDS = 9_223_372_036;
const SECONDS = { s: 1, m: 60, h: 3_600, d: 86_400 } as const;

/** `20s`, `1h30m`, or a number of seconds; `undefined`: none was given. */
export function secondsOf(value: unknown): number | undefined {
  if (value === undefined || value === null || value === '') return undefined;
  const text = textOf(value);
  if (/^\d+$/.test(text)) return Number(text);
  const parts = [...text.matchAll(/(\d+)([smhd])/g)];
  const seconds = parts.reduce(
    (sum, [, number, unit]) => sum + Number(number) * (SECONDS[unit as keyof typeof SECONDS] ?? 0),
    0,
  );
  if (parts.map(([whole]) => whole).join('') !== text || seconds > LONGEST_SECONDS)
    throw Refusal.of(400, `error converting input: time: invalid duration "${text}"`);
  return seconds;
}

let lastNanos = 0n;

/** Now, RFC 3339 with nanoseconds and no zeros at its end; never the same twice. */
export function instant(): string {
  const now = BigInt(Date.now()) * 1_000_000n + (process.hrtime.bigint() % 1_000_000n);
  lastNanos = now > lastNanos ? now : lastNanos + 1n;
  const seconds = new Date(Number(lastNanos / 1_000_000n)).toISOString().slice(0, 19);
  const fraction = String(lastNanos % 1_000_000_000n)
    .padStart(9, '0')
    .replace(/0+$/, '');
  return fraction === '' ? `${seconds}Z` : `${seconds}.${fraction}Z`;
}
