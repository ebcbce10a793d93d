import { bodyOf, listOf, textOf, type Body, type Method } from './face.js';
import { Refusal } from './refusal.js';

/** Policies in the server's language, as far as deploy/vault and the specs use it; any other word is refused and not passed over. */

export type Capability =
  'create' | 'read' | 'update' | 'patch' | 'delete' | 'list' | 'sudo' | 'deny' | 'root';

interface Rule {
  readonly path: string;
  readonly capabilities: readonly string[];
  readonly allowed: Readonly<Record<string, readonly string[]>> | undefined;
  readonly required: readonly string[];
}

const parsed = new Map<string, readonly Rule[]>();

export function rulesOf(text: string): readonly Rule[] {
  const known = parsed.get(text);
  if (known !== undefined) return known;
  const rules = parse(text);
  parsed.set(text, rules);
  return rules;
}

type Value = string | readonly Value[] | { readonly [name: string]: Value };

function parse(text: string): readonly Rule[] {
  const words =
    text
      .replace(/("(?:[^"\\]|\\.)*")|#[^\n]*|\/\/[^\n]*/g, (_all, quoted: string | undefined) => quoted ?? '')
      .match(/"(?:[^"\\]|\\.)*"|[{}[\],=]|[\w.-]+/g) ?? [];
  let at = 0;
  const next = (): string => {
    at += 1;
    return words[at - 1] ?? '';
  };
  const expect = (word: string): void => {
    const got = next();
    if (got !== word) throw Refusal.of(400, `failed to parse policy: expected ${word}, got ${got}`);
  };
  const plain = (word: string): string => (word.startsWith('"') ? String(JSON.parse(word)) : word);
  function value(): Value {
    const word = next();
    if (word === '[') {
      const list: Value[] = [];
      while (words[at] !== ']') {
        list.push(value());
        if (words[at] === ',') at += 1;
      }
      at += 1;
      return list;
    }
    return word === '{' ? object() : plain(word);
  }
  function object(): Readonly<Record<string, Value>> {
    const found: Record<string, Value> = {};
    while (words[at] !== '}') {
      const name = plain(next());
      expect('=');
      found[name] = value();
      if (words[at] === ',') at += 1;
    }
    at += 1;
    return found;
  }
  const rules: Rule[] = [];
  while (at < words.length) {
    expect('path');
    const path = plain(next());
    expect('{');
    rules.push(ruleOf(path, object()));
  }
  return rules;
}

function ruleOf(path: string, settings: Body): Rule {
  const { capabilities, allowed_parameters, required_parameters, ...more } = settings;
  const [strange] = Object.keys(more);
  if (strange !== undefined) throw Refusal.of(400, `failed to parse policy: the stand-in has no ${strange}`);
  return {
    path,
    capabilities: listOf(capabilities),
    allowed:
      allowed_parameters === undefined
        ? undefined
        : Object.fromEntries(
            Object.entries(bodyOf(allowed_parameters)).map(([name, values]) => [name, listOf(values)]),
          ),
    required: listOf(required_parameters ?? []),
  };
}

function matches(rule: string, path: string): boolean {
  const open = rule.endsWith('*');
  const parts = (open ? rule.slice(0, -1) : rule)
    .split('+')
    .map((each) => each.replace(/[.*?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('[^/]+')}${open ? '.*' : ''}$`).test(path);
}

/** The one that says more comes first: no wildcard, a later one, no star at the end, fewer plus signs, longer. */
function precedes(one: string, other: string): number {
  const weights = [one, other].map((rule) => {
    const wildcard = rule.search(/[+*]/);
    return [
      wildcard === -1 ? Infinity : wildcard,
      rule.endsWith('*') ? 0 : 1,
      -rule.split('+').length,
      rule.length,
    ];
  });
  const [left = [], right = []] = weights;
  const index = left.findIndex((weight, place) => weight !== right[place]);
  return index === -1 ? 0 : (right[index] ?? 0) - (left[index] ?? 0);
}

/** What several policies say of one path, together; only the rules of the path that says most count. */
function rulesFor(policies: readonly string[], path: string): readonly Rule[] {
  const all = policies.flatMap((text) => rulesOf(text)).filter((rule) => matches(rule.path, path));
  const [first] = all.map((rule) => rule.path).sort(precedes);
  return all.filter((rule) => rule.path === first);
}

export function capabilitiesOf(policies: readonly string[], path: string): readonly string[] {
  const found = [...new Set(rulesFor(policies, path).flatMap(({ capabilities }) => capabilities))];
  if (found.length === 0 || found.includes('deny')) return ['deny'];
  return found.sort();
}

const NEEDS: Readonly<Record<Method, Capability>> = {
  GET: 'read',
  LIST: 'list',
  POST: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};

export interface Wish {
  readonly method: Method;
  readonly path: string;
  readonly body: Body;
  /** A first write needs another right than a later one. */
  readonly creates: boolean;
}

export function isAllowed(policies: readonly string[], { method, path, body, creates }: Wish): boolean {
  const asked = method === 'LIST' ? `${path.replace(/\/$/, '')}/` : path;
  const rules = rulesFor(policies, asked);
  const capabilities = rules.flatMap((rule) => rule.capabilities);
  if (capabilities.includes('deny')) return false;
  if (!capabilities.includes(creates && method === 'POST' ? 'create' : NEEDS[method])) return false;
  if (method === 'LIST' || method === 'DELETE') return true;
  // Asked of reads as well.
  if (!rules.every(({ required }) => required.every((name) => Object.hasOwn(body, name)))) return false;
  const limits = rules.map(({ allowed }) => allowed);
  if (limits.length === 0 || limits.includes(undefined)) return true;
  return Object.entries(body).every(([name, value]) =>
    limits.some((allowed) => {
      const values = allowed?.[name];
      return values !== undefined && (values.length === 0 || values.includes(textOf(value)));
    }),
  );
}
