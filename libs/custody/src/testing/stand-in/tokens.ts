import { randomBytes } from 'node:crypto';
import {
  NO_CONTENT,
  NOT_THERE,
  found,
  instant,
  listOf,
  secondsOf,
  textOf,
  unsupported,
  type Answer,
  type Ask,
  type Body,
  type Engine,
  type Token,
} from './face.js';
import { Refusal } from './refusal.js';
import type { Transaction } from './storage.js';

interface Role {
  readonly token_type: string;
  readonly token_num_uses: number;
  readonly orphan: boolean;
  readonly renewable: boolean;
  readonly token_no_default_policy: boolean;
  readonly token_explicit_max_ttl: number;
  readonly allowed_policies: readonly string[];
}

/** 32 days: what the server gives at most where nobody says anything. */
const LONGEST = 2_764_800;

const letters = (bytes: number): string => randomBytes(bytes).toString('base64url').replace(/[-_]/g, 'x');
const keyOf = (id: string): string => `token/${id}`;

export type Wanted = Partial<Omit<Token, 'id' | 'createdAt' | 'endsAt'>> & {
  readonly policies: readonly string[];
};

export function issue(storage: Transaction, wanted: Wanted): Token {
  const ttl = wanted.ttl ?? LONGEST;
  const uses = wanted.uses ?? 0;
  const token: Token = {
    type: 'service',
    orphan: true,
    parent: '',
    renewable: true,
    period: 0,
    explicitMax: 0,
    ...wanted,
    uses,
    givenUses: uses,
    ttl,
    id: `${wanted.type === 'batch' ? 'b' : 's'}.${letters(18)}`,
    createdAt: Date.now(),
    endsAt: ttl === 0 ? undefined : Date.now() + ttl * 1_000,
  };
  storage.put(keyOf(token.id), token);
  return token;
}

/** As it is presented; a use is counted. `undefined`: it is not known, over, or used up. */
export function presented(storage: Transaction, id: string): Token | undefined {
  const token = id === '' ? undefined : storage.read<Token>(keyOf(id));
  if (token === undefined || (token.endsAt !== undefined && token.endsAt <= Date.now())) return undefined;
  // -1: this is the last.
  if (token.uses < 0) return undefined;
  if (token.uses === 0) return token;
  const counted = { ...token, uses: token.uses === 1 ? -1 : token.uses - 1 };
  storage.put(keyOf(id), counted);
  return counted;
}

export function authOf(token: Token): Body {
  return {
    client_token: token.id,
    accessor: letters(18),
    policies: token.policies,
    token_policies: token.policies,
    metadata: null,
    lease_duration: token.ttl,
    renewable: token.renewable && token.type === 'service',
    entity_id: '',
    token_type: token.type,
    orphan: token.orphan,
    num_uses: token.givenUses,
  };
}

/** `auth/token`. */
export class TokenMethod implements Engine {
  exists({ path, storage }: Ask): boolean {
    return !path.startsWith('roles/') || storage.read(path) !== undefined;
  }

  answer(ask: Ask): Answer {
    const token = requireToken(ask);
    const tokens = ask.storage.within('');
    const [face = '', name] = ask.path.split('/');
    const given = textOf(ask.body['token']);
    switch (`${ask.method} ${face}`) {
      case 'POST roles':
        return roleSet(ask);
      case 'GET roles':
        return found(ask.storage.read(ask.path) ?? refused(NOT_THERE));
      case 'POST create':
        return { status: 200, auth: authOf(issue(tokens, this.#wanted(ask, token, name))) };
      case 'GET lookup-self':
        return found(shown(token));
      case 'POST lookup':
        return found(shown(tokens.read<Token>(keyOf(given)) ?? refused(Refusal.of(403, 'bad token'))));
      case 'POST renew-self':
        return { status: 200, auth: authOf(renewed(tokens, token)) };
      case 'POST revoke':
        if (given === '') throw Refusal.of(400, 'missing token ID');
        return revoked(tokens, given);
      case 'POST revoke-self':
        return revoked(tokens, token.id);
      default:
        throw unsupported(ask);
    }
  }

  #wanted({ body, storage }: Ask, parent: Token, name: string | undefined): Wanted {
    const role = name === undefined ? undefined : storage.read<Role>(`roles/${name}`);
    if (name !== undefined && role === undefined) throw Refusal.of(400, `unknown role ${name}`);
    const asked = listOf(body['policies'] ?? role?.allowed_policies ?? parent.policies);
    const strange = role !== undefined && asked.some((policy) => !role.allowed_policies.includes(policy));
    if (strange)
      throw Refusal.of(
        400,
        `token policies (${JSON.stringify(asked)}) must be subset of the role's allowed policies (${JSON.stringify(role.allowed_policies)}) or glob policies ([])`,
      );
    const bare = body['no_default_policy'] === true || role?.token_no_default_policy === true;
    const period = secondsOf(body['period']) ?? 0;
    const max = role?.token_explicit_max_ttl ?? secondsOf(body['explicit_max_ttl']) ?? 0;
    const ttl = period || (secondsOf(body['ttl']) ?? LONGEST);
    const orphan = role?.orphan ?? body['no_parent'] === true;
    return {
      policies: bare || asked.includes('root') ? asked : [...new Set(['default', ...asked])],
      type: (role?.token_type ?? body['type']) === 'batch' ? 'batch' : 'service',
      orphan,
      parent: orphan ? '' : parent.id,
      uses: role?.token_num_uses ?? Number(body['num_uses'] ?? 0),
      renewable: role?.renewable ?? body['renewable'] !== false,
      period,
      explicitMax: max,
      ttl: Math.min(ttl, max || Infinity),
    };
  }
}

function requireToken({ token }: Ask): Token {
  return token ?? refused(Refusal.of(403, 'permission denied'));
}

function refused(error: Refusal): never {
  throw error;
}

/** What is left out stays as it was. */
function roleSet({ path, body, storage }: Ask): Answer {
  const before = storage.read<Role>(path);
  const flag = (name: keyof Role, otherwise: boolean): boolean =>
    Object.hasOwn(body, name) ? [true, 'true'].includes(body[name] as boolean | string) : otherwise;
  const role: Role = {
    token_type: textOf(body['token_type'] ?? before?.token_type ?? 'service'),
    token_num_uses: Number(body['token_num_uses'] ?? before?.token_num_uses ?? 0),
    orphan: flag('orphan', before?.orphan ?? false),
    renewable: flag('renewable', before?.renewable ?? true),
    token_no_default_policy: flag('token_no_default_policy', before?.token_no_default_policy ?? false),
    token_explicit_max_ttl: secondsOf(body['token_explicit_max_ttl']) ?? before?.token_explicit_max_ttl ?? 0,
    allowed_policies: listOf(body['allowed_policies'] ?? before?.allowed_policies ?? []),
  };
  storage.put(path, role);
  return NO_CONTENT;
}

function shown(token: Token): Body {
  return {
    id: token.id,
    policies: token.policies,
    type: token.type,
    orphan: token.orphan,
    num_uses: token.uses,
    renewable: token.renewable,
    explicit_max_ttl: token.explicitMax,
    creation_ttl: token.ttl,
    creation_time: Math.floor(token.createdAt / 1_000),
    ttl: token.endsAt === undefined ? 0 : Math.max(Math.floor((token.endsAt - Date.now()) / 1_000), 0),
    expire_time: token.endsAt === undefined ? null : new Date(token.endsAt).toISOString(),
    issue_time: instant(),
    ...(token.renewedAt === undefined ? {} : { last_renewal_time: Math.floor(token.renewedAt / 1_000) }),
  };
}

function renewed(tokens: Transaction, token: Token): Token {
  if (!token.renewable || token.type === 'batch') throw Refusal.of(400, 'lease is not renewable');
  const most = token.createdAt + (token.explicitMax || LONGEST) * 1_000 - Date.now();
  const ttl = Math.max(Math.floor(Math.min(token.ttl * 1_000, most) / 1_000), 0);
  const after = { ...token, endsAt: Date.now() + ttl * 1_000, renewedAt: Date.now() };
  tokens.put(keyOf(token.id), after);
  return { ...after, ttl };
}

/** With every token that was made by it. An unknown one is revoked as well as any. */
function revoked(tokens: Transaction, id: string): Answer {
  if (tokens.read<Token>(keyOf(id))?.type === 'batch')
    throw Refusal.of(400, 'batch tokens cannot be revoked');
  const gone = [id];
  for (const each of gone) {
    if (tokens.read(keyOf(each)) === undefined) continue;
    tokens.remove(keyOf(each));
    for (const child of tokens.list('token/'))
      if (tokens.read<Token>(keyOf(child))?.parent === each) gone.push(child);
  }
  return NO_CONTENT;
}
