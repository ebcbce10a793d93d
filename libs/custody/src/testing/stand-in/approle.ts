import { randomUUID } from 'node:crypto';
import {
  NO_CONTENT,
  NOT_THERE,
  bodyOf,
  found,
  listOf,
  secondsOf,
  textOf,
  unsupported,
  type Answer,
  type Ask,
  type Engine,
} from './face.js';
import { Refusal } from './refusal.js';
import { authOf, issue } from './tokens.js';

interface Role {
  readonly name: string;
  readonly roleId: string;
  readonly settings: Readonly<Record<string, unknown>>;
}

/** Refused logins after which a role is locked, for everybody. */
const LOCKED_AFTER = 5;
const BAD = 'invalid role or secret ID';

/** `auth/approle`: roles, secret ids, logins, and the lock after too many bad ones. */
export class AppRole implements Engine {
  exists({ path, storage }: Ask): boolean {
    const [, name, more] = path.split('/');
    return more !== undefined || storage.read(`role/${name}`) !== undefined;
  }

  answer(ask: Ask): Answer {
    const { method, path, storage, body } = ask;
    if (method === 'POST' && path === 'login') return login(ask);
    const [face, name = '', more = ''] = path.split('/');
    if (face !== 'role') throw unsupported(ask);
    const role = storage.read<Role>(`role/${name}`);
    if (method === 'POST' && more === '') {
      const roleId = role?.roleId ?? randomUUID();
      const after: Role = { name, roleId, settings: { ...role?.settings, ...body } };
      storage.put(`role/${name}`, after);
      storage.put(`id/${roleId}`, name);
      return NO_CONTENT;
    }
    if (role === undefined) throw NOT_THERE;
    if (method === 'GET' && more === 'role-id') return found({ role_id: role.roleId });
    if (method === 'GET' && more === '') return found(role.settings);
    if (method === 'POST' && more === 'secret-id') {
      const secretId = randomUUID();
      const uses = Number(body['num_uses'] ?? role.settings['secret_id_num_uses'] ?? 0);
      storage.put(`secret/${name}/${secretId}`, { uses });
      return found({ secret_id: secretId, secret_id_num_uses: uses, secret_id_ttl: 0 });
    }
    throw unsupported(ask);
  }
}

function login(ask: Ask): Answer {
  const { storage } = ask;
  const { role_id, secret_id } = bodyOf(ask.body);
  const roleId = textOf(role_id);
  if (roleId === '') throw Refusal.of(500, 'missing role_id');
  const bad = storage.read<number>(`bad/${roleId}`) ?? 0;
  if (bad >= LOCKED_AFTER) throw Refusal.of(403, 'permission denied');
  const name = storage.read<string>(`id/${roleId}`) ?? '';
  const role = storage.read<Role>(`role/${name}`);
  const key = `secret/${name}/${textOf(secret_id)}`;
  const secret = storage.read<{ uses: number }>(key);
  if (role === undefined || secret === undefined) {
    if (role !== undefined) storage.put(`bad/${roleId}`, bad + 1);
    return { status: 400, plain: { errors: [BAD] } };
  }
  if (secret.uses === 1) storage.remove(key);
  else if (secret.uses > 1) storage.put(key, { uses: secret.uses - 1 });
  storage.remove(`bad/${roleId}`);
  const { settings } = role;
  const policies = listOf(settings['token_policies'] ?? []);
  const bare = settings['token_no_default_policy'] === true;
  const token = issue(storage.within(''), {
    policies: bare ? policies : ['default', ...policies],
    ttl: secondsOf(settings['token_ttl']) || 2_764_800,
    explicitMax: secondsOf(settings['token_max_ttl']) ?? 0,
    type: settings['token_type'] === 'batch' ? 'batch' : 'service',
  });
  return { status: 200, auth: authOf(token) };
}
