import { BlockList, isIP } from 'node:net';
import { isAbsolute, join, resolve } from 'node:path';
import { z } from 'zod';
import { SecretValue } from './secret-value.js';

/** Where the data is kept unless told. */
export const DEFAULT_DATA_DIR = './.keyturn';
/** Keyturn's port unless told. */
export const DEFAULT_PORT = 7411;
/** Nobody but this machine, unless told. */
export const DEFAULT_HOST = '127.0.0.1';

/** What the environment says, read once. Frozen; whatever is secret is a `SecretValue`. */
export interface Config {
  /** Absolute. */
  readonly dataDir: string;
  readonly port: number;
  readonly host: string;
  /** Addresses or CIDR ranges whose `X-Forwarded-*` headers are believed; empty: nobody's. */
  readonly trustedProxies: readonly string[];
  readonly eventStore: 'sqlite';
  /** Absolute. Not read where `masterKey` is given. */
  readonly masterKeyFile: string;
  readonly masterKey?: SecretValue;
  /** What `keyturn local rekey` seals with from then on; nothing else reads it. */
  readonly newMasterKey?: SecretValue;
  /** Absolute. The file that names the back ends beside the local one; absent: there are none. */
  readonly backEndsFile?: string;
  /** Where the CLI finds the service. */
  readonly url: string;
  /** What the CLI signs in with. */
  readonly token?: SecretValue;
  readonly log: 'json' | 'pretty' | 'silent';
  /** Where alarms are sent; absent: nowhere. */
  readonly hook?: HookConfig;
}

/** A signed POST, or a command with its arguments. */
export type HookConfig =
  | {
      readonly kind: 'post';
      /** Its path may open a door, so it is kept like a secret. */
      readonly url: SecretValue;
      readonly secret: { readonly value: SecretValue } | { readonly file: string };
    }
  | {
      readonly kind: 'command';
      readonly argv: readonly [string, ...string[]];
      /** The few of our own variables a program needs; none of Keyturn's. */
      readonly environment: Readonly<Record<string, string | undefined>>;
    };

export interface ConfigProblem {
  readonly variable: string;
  /** The rule that is broken; never the value. */
  readonly message: string;
}

/** The environment cannot be used. Names every variable that is wrong and the rule it breaks, never a value. */
export class ConfigError extends Error {
  readonly code = 'config.invalid';
  constructor(readonly problems: readonly ConfigProblem[]) {
    super(problems.map(({ variable, message }) => `${variable} ${message}`).join('\n'));
    this.name = 'ConfigError';
  }
}

/** Said to the test set-up (CONTRIBUTING.md), and inherited by the processes it starts. */
const NOT_OURS = ['KEYTURN_REQUIRE_REAL'];

/**
 * What of NODE_DEBUG may stand. Of the others Node prints pieces of what passes through connections (`stream`), or the addresses it asks
 * (`fetch`, `undici`), and which ones do is its own to change.
 */
const QUIET_SECTIONS = ['esm', 'module', 'source_map', 'timer'];

/** Reads KEYTURN_* once. The only place in which the environment is looked at. */
export function loadConfig(env: Readonly<Record<string, string | undefined>> = process.env): Config {
  const given = Object.fromEntries(
    Object.entries(env).filter(
      // Compose files write `NAME=` for what is not set.
      ([name, value]) => name.startsWith(PREFIX) && value !== undefined && value.trim() !== '',
    ),
  );
  const problems: ConfigProblem[] = Object.keys(given)
    .filter((name) => !Object.hasOwn(variables, name) && !NOT_OURS.includes(name))
    .map((name) => ({ variable: name, message: `is not known; did you mean ${closestTo(name)}?` }));
  if (!quiet(env['NODE_DEBUG'])) {
    problems.push({
      variable: 'NODE_DEBUG',
      message: `makes Node print what passes through connections, and tokens and passwords with it: unset it (only ${QUIET_SECTIONS.join(', ')} may stand there)`,
    });
  }
  const known = Object.fromEntries(Object.entries(given).filter(([name]) => Object.hasOwn(variables, name)));
  const parsed = environment.safeParse(known);
  if (!parsed.success) {
    // Our own messages only: zod's would not quote the value either, but nobody promises that for ever.
    for (const issue of parsed.error.issues) {
      problems.push({ variable: issue.path.map(String).join('.'), message: issue.message });
    }
  }
  if (!parsed.success || problems.length > 0) throw new ConfigError(problems);
  const values = parsed.data;
  const dataDir = resolve(values.KEYTURN_DATA_DIR);
  return Object.freeze({
    dataDir,
    port: values.KEYTURN_PORT,
    host: values.KEYTURN_HOST,
    trustedProxies: Object.freeze(values.KEYTURN_TRUSTED_PROXY),
    eventStore: values.KEYTURN_EVENTSTORE,
    masterKeyFile: resolve(values.KEYTURN_MASTER_KEY_FILE ?? join(dataDir, 'master.key')),
    ...(values.KEYTURN_MASTER_KEY === undefined ? {} : { masterKey: values.KEYTURN_MASTER_KEY }),
    ...(values.KEYTURN_NEW_MASTER_KEY === undefined ? {} : { newMasterKey: values.KEYTURN_NEW_MASTER_KEY }),
    ...(values.KEYTURN_BACK_ENDS === undefined ? {} : { backEndsFile: resolve(values.KEYTURN_BACK_ENDS) }),
    url: values.KEYTURN_URL ?? `http://${DEFAULT_HOST}:${values.KEYTURN_PORT}`,
    ...(values.KEYTURN_TOKEN === undefined ? {} : { token: values.KEYTURN_TOKEN }),
    log: values.KEYTURN_LOG,
    ...hookIn(values, env),
  });
}

/** Whether nobody but this machine reaches an address. */
export function isLoopback(host: string): boolean {
  const family = isIP(host);
  if (family === 0) return host === 'localhost';
  return loopback.check(host, family === 4 ? 'ipv4' : 'ipv6');
}

const PREFIX = 'KEYTURN_';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

const secret = z.string().transform((text) => new SecretValue(text));

const variables = {
  KEYTURN_DATA_DIR: z.string().default(DEFAULT_DATA_DIR),
  KEYTURN_PORT: z
    .string()
    .refine((text) => /^\d{1,5}$/.test(text) && Number(text) <= 65_535, {
      error: 'must be a port between 0 and 65535 (0: any free one)',
    })
    .transform(Number)
    .default(DEFAULT_PORT),
  KEYTURN_HOST: z
    .string()
    .refine((text) => isIP(text) !== 0 || text === 'localhost', {
      error: 'must be an IP address to listen on, such as 127.0.0.1',
    })
    .default(DEFAULT_HOST),
  KEYTURN_TRUSTED_PROXY: z
    .string()
    .transform((text) => text.split(',').map((part) => part.trim()))
    .refine((parts) => parts.every(isAddressRange), {
      error: 'must be IP addresses or CIDR ranges, separated by commas, such as 10.0.0.5 or 10.0.0.0/24',
    })
    .default([]),
  KEYTURN_EVENTSTORE: z
    .string()
    .superRefine((text, context) => {
      if (text === 'sqlite') return;
      const message = /^(?:esdb|kurrentdb)(?:\+discover)?:\/\//.test(text)
        ? 'names a cluster: the distributed log comes later, this version knows sqlite only'
        : 'must be sqlite';
      context.addIssue({ code: 'custom', message });
    })
    .transform(() => 'sqlite' as const)
    .default('sqlite'),
  KEYTURN_MASTER_KEY_FILE: z.string().optional(),
  KEYTURN_MASTER_KEY: secret.optional(),
  KEYTURN_NEW_MASTER_KEY: secret.optional(),
  KEYTURN_BACK_ENDS: z.string().optional(),
  KEYTURN_URL: z
    .string()
    .refine(isServiceUrl, {
      error: 'must be an http:// or https:// address without a user, such as http://127.0.0.1:7411',
    })
    .transform((text) => text.replace(/\/+$/, ''))
    .optional(),
  KEYTURN_TOKEN: secret.optional(),
  KEYTURN_LOG: z
    .enum(['json', 'pretty', 'silent'], { error: 'must be json, pretty or silent' })
    .default('json'),
  KEYTURN_HOOK_URL: z
    .string()
    .refine(isHookUrl, {
      error:
        'must be an https:// address without a user, or http:// on this machine only (127.0.0.1, ::1, localhost)',
    })
    .transform((text) => new SecretValue(text))
    .optional(),
  KEYTURN_HOOK_COMMAND: z
    .string()
    .transform((text, context): readonly [string, ...string[]] => {
      const argv = argvIn(text);
      if (argv !== undefined) return argv;
      context.addIssue({
        code: 'custom',
        message:
          'must be a JSON array of the program, as an absolute path, and its arguments, such as ["/usr/local/bin/page","--team","sec"]',
      });
      return z.NEVER;
    })
    .optional(),
  KEYTURN_HOOK_SECRET: secret.optional(),
  KEYTURN_HOOK_SECRET_FILE: z.string().optional(),
};

const environment = z.object(variables).superRefine((values, context) => {
  const wrong = (variable: string, message: string): void => {
    context.addIssue({ code: 'custom', path: [variable], message });
  };
  const secrets = [values.KEYTURN_HOOK_SECRET, values.KEYTURN_HOOK_SECRET_FILE].filter(
    (each) => each !== undefined,
  ).length;
  if (values.KEYTURN_HOOK_URL !== undefined && values.KEYTURN_HOOK_COMMAND !== undefined) {
    wrong('KEYTURN_HOOK_COMMAND', 'and KEYTURN_HOOK_URL are both set: there is one hook');
  }
  if (secrets === 2) {
    wrong('KEYTURN_HOOK_SECRET', 'and KEYTURN_HOOK_SECRET_FILE are both set: which one holds the secret?');
  }
  if (values.KEYTURN_HOOK_URL !== undefined && secrets === 0) {
    wrong(
      'KEYTURN_HOOK_URL',
      'needs KEYTURN_HOOK_SECRET_FILE or KEYTURN_HOOK_SECRET: what is posted is signed',
    );
  }
  if (values.KEYTURN_HOOK_URL === undefined && secrets > 0) {
    wrong(
      values.KEYTURN_HOOK_SECRET === undefined ? 'KEYTURN_HOOK_SECRET_FILE' : 'KEYTURN_HOOK_SECRET',
      'is set, but KEYTURN_HOOK_URL is not: there is nothing to sign',
    );
  }
  if (!isLoopback(values.KEYTURN_HOST) && values.KEYTURN_TRUSTED_PROXY.length === 0) {
    context.addIssue({
      code: 'custom',
      path: ['KEYTURN_HOST'],
      message:
        'is not a loopback address: tokens would cross the network in the clear. Put a proxy with TLS before Keyturn and name it in KEYTURN_TRUSTED_PROXY',
    });
  }
  if (values.KEYTURN_MASTER_KEY !== undefined && values.KEYTURN_MASTER_KEY_FILE !== undefined) {
    context.addIssue({
      code: 'custom',
      path: ['KEYTURN_MASTER_KEY'],
      message: 'and KEYTURN_MASTER_KEY_FILE are both set: which one holds the key?',
    });
  }
});

/** Node takes a list with commas, large and small letters, and stars that stand for anything. */
function quiet(sections: string | undefined): boolean {
  return (sections ?? '')
    .split(',')
    .map((section) => section.trim().toLowerCase())
    .every((section) => section === '' || QUIET_SECTIONS.includes(section));
}

function isAddressRange(text: string): boolean {
  const [address = '', prefix, ...more] = text.split('/');
  const family = isIP(address);
  if (family === 0 || more.length > 0) return false;
  if (prefix === undefined) return true;
  return /^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128);
}

function hookIn(
  values: z.output<typeof environment>,
  env: Readonly<Record<string, string | undefined>>,
): { readonly hook?: HookConfig } {
  const { KEYTURN_HOOK_URL: url, KEYTURN_HOOK_COMMAND: argv } = values;
  if (argv !== undefined) {
    const passed = ['PATH', 'HOME', 'LANG', 'TZ', 'SystemRoot'].map((name) => [name, env[name]]);
    return { hook: { kind: 'command', argv, environment: Object.fromEntries(passed) } };
  }
  const { KEYTURN_HOOK_SECRET: value, KEYTURN_HOOK_SECRET_FILE: file } = values;
  if (url === undefined) return {};
  if (value !== undefined) return { hook: { kind: 'post', url, secret: { value } } };
  return file === undefined ? {} : { hook: { kind: 'post', url, secret: { file: resolve(file) } } };
}

function isHookUrl(text: string): boolean {
  if (!isServiceUrl(text)) return false;
  const { protocol, hostname } = new URL(text);
  return protocol === 'https:' || isLoopback(hostname.replaceAll(/[[\]]/g, ''));
}

/** No shell reads it: the program and each argument stand for themselves. */
function argvIn(text: string): readonly [string, ...string[]] | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const parsed = z.array(z.string().max(4_096)).min(1).max(100).safeParse(value);
  const [program, ...rest] = parsed.data ?? [];
  return program === undefined || !isAbsolute(program) ? undefined : [program, ...rest];
}

function isServiceUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password } = new URL(text);
  return (protocol === 'http:' || protocol === 'https:') && username === '' && password === '';
}

function closestTo(name: string): string {
  const ranked = Object.keys(variables).map((known) => ({ known, distance: distanceBetween(name, known) }));
  return ranked.reduce((best, each) => (each.distance < best.distance ? each : best)).known;
}

/** Levenshtein. */
function distanceBetween(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= to.length; j += 1) {
      const substituted = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(substituted, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
