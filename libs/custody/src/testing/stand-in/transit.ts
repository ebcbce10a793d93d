import { NO_CONTENT, NOT_THERE, found, instant, secondsOf, textOf, unsupported } from './face.js';
import { Refusal } from './refusal.js';
import type { Answer, Ask, Body, Engine } from './face.js';
import { hmacOf, isSigned, KEY_TYPES, makeKey, pemOf, publicKeyOf, signed } from './transit-crypto.js';
import { requireLimits, requireTrim, type Key, type Version } from './transit-key.js';

/** Until it lasts: whoever turns the same key meanwhile fails, with a version in memory only. */
const WRITTEN_MS = 3;
const SOFT_DELETED = 'refusing to use soft-deleted key';

export class TransitEngine implements Engine {
  /** Of the node that leads; it believes this before what lasts. A standby reads what came to it. */
  readonly #memory = new Map<string, Key>();

  constructor(private readonly leads: boolean) {}

  answer(ask: Ask): Answer | Promise<Answer> {
    const [face = '', name = '', then = '', more] = ask.path.split('/');
    if (face === 'keys' && name === '' && ask.method === 'LIST') return this.#listed(ask);
    if (face === 'export' && name === 'public-key' && ask.method === 'GET')
      return exported(this.#required(ask, then, NOT_THERE), ask, more);
    const action = `${ask.method} ${face}${then === '' || face !== 'keys' ? '' : `/${then}`}`;
    switch (action) {
      case 'POST keys':
        return this.#created(ask, name);
      case 'GET keys':
        return shown(this.#required(ask, name, NOT_THERE));
      case 'DELETE keys':
        return this.#deleted(ask, name);
      case 'POST keys/rotate':
        return this.#rotated(ask, name);
      case 'POST keys/config':
        return this.#limited(ask, name);
      case 'POST keys/trim':
        return this.#trimmed(ask, name);
      case 'DELETE keys/soft-delete':
        return this.#softDeleted(ask, name, true);
      case 'POST keys/soft-delete-restore':
        return this.#softDeleted(ask, name, false);
      case 'POST sign':
        return signature(this.#required(ask, name, Refusal.of(400, 'signing key not found')), ask.body);
      case 'POST verify':
        return verified(
          this.#required(ask, name, Refusal.of(400, 'signature verification key not found')),
          ask.body,
        );
      case 'POST hmac':
        return mac(this.#required(ask, name, Refusal.of(400, 'HMAC key not found')), ask.body);
      default:
        throw unsupported(ask);
    }
  }

  stop(): void {
    this.#memory.clear();
  }

  #find({ storage }: Ask, name: string): Key | undefined {
    const known = this.#memory.get(name);
    if (known !== undefined) return known;
    const key = storage.read<Key>(`key/${name}`);
    if (key !== undefined && this.leads) this.#memory.set(name, key);
    return key;
  }

  #required(ask: Ask, name: string, otherwise: Refusal): Key {
    const key = this.#find(ask, name);
    if (key === undefined) throw otherwise;
    return key;
  }

  #listed({ storage }: Ask): Answer {
    const keys = storage.list('key/');
    if (keys.length === 0) throw NOT_THERE;
    return found({ keys: [...keys].sort() });
  }

  #write({ storage }: Ask, key: Key, warnings?: readonly string[]): Answer {
    storage.put(`key/${key.name}`, key);
    return shown(key, warnings);
  }

  /** One that is there is shown as it is, whatever was asked for. */
  async #created(ask: Ask, name: string): Promise<Answer> {
    const type = textOf(ask.body['type']) || 'aes256-gcm96';
    const autoRotate = secondsOf(ask.body['auto_rotate_period']) ?? 0;
    if (autoRotate > 0 && autoRotate < 3_600)
      throw Refusal.of(400, 'auto rotate period must be 0 to disable or at least an hour');
    const wanted = KEY_TYPES.find((each) => each === type);
    if (wanted === undefined) throw Refusal.of(400, `unknown key type ${type}`);
    const there = this.#find(ask, name);
    if (there !== undefined) return shown(there);
    const first: Version = { ...(await makeKey(wanted)), creation_time: instant() };
    const meanwhile = this.#find(ask, name);
    if (meanwhile !== undefined) return shown(meanwhile);
    const key: Key = {
      name,
      type: wanted,
      versions: { 1: first },
      latest: 1,
      minDecryption: 1,
      minEncryption: 0,
      minAvailable: 0,
      deletionAllowed: false,
      autoRotate,
      softDeleted: false,
    };
    const answer = this.#write(ask, key);
    if (this.leads) this.#memory.set(name, key);
    return answer;
  }

  /** Each call adds a version, in memory first. */
  async #rotated(ask: Ask, name: string): Promise<Answer> {
    const key = this.#required(ask, name, Refusal.of(400, 'key not found'));
    if (key.softDeleted) throw Refusal.several(500, SOFT_DELETED);
    const made = await makeKey(key.type);
    key.latest += 1;
    key.versions[key.latest] = { ...made, creation_time: instant() };
    const answer = this.#write(ask, key);
    await new Promise((done) => setTimeout(done, WRITTEN_MS));
    return answer;
  }

  #limited(ask: Ask, name: string): Answer {
    const key = this.#required(ask, name, Refusal.of(400, `no existing key named ${name} could be found`));
    const { body } = ask;
    const minDecryption = Object.hasOwn(body, 'min_decryption_version')
      ? Math.max(Number(body['min_decryption_version'] ?? 0), 1)
      : key.minDecryption;
    const minEncryption = Object.hasOwn(body, 'min_encryption_version')
      ? Number(body['min_encryption_version'] ?? 0)
      : key.minEncryption;
    requireLimits(key, minDecryption, minEncryption);
    const after = {
      minDecryption,
      minEncryption,
      deletionAllowed:
        body['deletion_allowed'] === undefined ? key.deletionAllowed : body['deletion_allowed'] === true,
      autoRotate: secondsOf(body['auto_rotate_period']) ?? key.autoRotate,
    };
    const changes = Object.entries(after).some(([name, value]) => Reflect.get(key, name) !== value);
    // An unchanged one writes nothing down.
    if (!changes) return shown(key);
    return this.#write(ask, Object.assign(key, after));
  }

  #trimmed(ask: Ask, name: string): Answer {
    const key = this.#required(ask, name, Refusal.of(400, 'invalid key name'));
    const least = Number(ask.body['min_available_version'] ?? 0);
    requireTrim(key, least);
    key.minAvailable = least;
    key.versions = Object.fromEntries(
      Object.entries(key.versions).filter(([number]) => Number(number) >= least),
    );
    return this.#write(ask, key);
  }

  #softDeleted(ask: Ask, name: string, gone: boolean): Answer {
    const key = this.#find(ask, name);
    if (key === undefined) return NO_CONTENT;
    if (key.softDeleted === gone)
      return shown(key, [gone ? 'key was already marked as soft deleted' : 'key was not soft deleted']);
    key.softDeleted = gone;
    return this.#write(ask, key);
  }

  #deleted(ask: Ask, name: string): Answer {
    const refuse = (why: string): Refusal => Refusal.of(400, `error deleting policy ${name}: ${why}`);
    const key = this.#required(ask, name, refuse('could not delete key; not found'));
    if (!key.deletionAllowed) throw refuse('deletion is not allowed for this key');
    ask.storage.remove(`key/${name}`);
    this.#memory.delete(name);
    return NO_CONTENT;
  }
}

function shown(key: Key, warnings?: readonly string[]): Answer {
  const { type } = key;
  const keys = Object.entries(key.versions)
    .filter(([number]) => Number(number) >= key.minDecryption)
    .map(([number, version]) => [
      number,
      {
        certificate_chain: '',
        creation_time: version.creation_time,
        name: type === 'ecdsa-p256' ? 'P-256' : type,
        public_key: publicKeyOf(type, version),
      },
    ]);
  return found(
    {
      name: key.name,
      type,
      keys: Object.fromEntries(keys),
      latest_version: key.latest,
      min_decryption_version: key.minDecryption,
      min_encryption_version: key.minEncryption,
      min_available_version: key.minAvailable,
      deletion_allowed: key.deletionAllowed,
      auto_rotate_period: key.autoRotate,
      soft_deleted: key.softDeleted,
      exportable: false,
      supports_signing: true,
    },
    warnings,
  );
}

/** 0, null and nothing mean the newest. */
function versionFor(key: Key, body: Body, what: string): readonly [number, Version] {
  const asked = body['key_version'];
  const number = asked === true ? 1 : Number(asked ?? 0) || key.latest;
  if (number < key.minEncryption)
    throw Refusal.several(
      500,
      `requested version for ${what} is less than the minimum encryption key version`,
    );
  if (number > key.latest)
    throw Refusal.several(500, `requested version for ${what} is higher than the latest key version`);
  const version = key.versions[number];
  if (version === undefined) throw Refusal.several(500, 'no such key version');
  return [number, version];
}

function signature(key: Key, body: Body): Answer {
  if (key.softDeleted) throw Refusal.several(500, SOFT_DELETED);
  const [number, version] = versionFor(key, body, 'signing');
  return found({ signature: `vault:v${number}:${signed(key.type, version, body)}`, key_version: number });
}

/** Which version an artefact names, and that one, if it still counts. */
function artefact(key: Key, text: string, what: string): readonly [Version, string] {
  const [, version, value] = /^vault:v(\d+):(.+)$/.exec(text) ?? [];
  const number = Number(version);
  if (value === undefined) throw Refusal.of(400, `invalid ${what}: no prefix`);
  if (number > key.latest) throw Refusal.of(400, `invalid ${what}: version is too new`);
  const made = key.versions[number];
  if (number < key.minDecryption || made === undefined)
    throw Refusal.of(400, 'ciphertext or signature version is disallowed by policy (too old)');
  return [made, value];
}

function verified(key: Key, body: Body): Answer {
  if (key.softDeleted) throw Refusal.of(400, SOFT_DELETED);
  const [version, value] = artefact(key, textOf(body['signature']), 'signature');
  return found({ valid: isSigned(key.type, version, body, value) });
}

function mac(key: Key, body: Body): Answer {
  if (key.softDeleted) throw Refusal.of(400, SOFT_DELETED);
  const number = Number(body['key_version'] ?? 0) || key.latest;
  const version = key.versions[number];
  if (version === undefined || (key.minEncryption > 0 && number < key.minEncryption))
    throw Refusal.of(400, 'cannot generate HMAC: version is too old (disallowed by policy)');
  return found({ hmac: `vault:v${number}:${hmacOf(version, body)}` });
}

function exported(key: Key, { query }: Ask, number: string | undefined): Answer {
  if (key.softDeleted) throw Refusal.several(500, SOFT_DELETED);
  const pem = query.get('format') === 'pem';
  const asked = number === 'latest' ? key.latest : Number(number ?? 0);
  if (asked > 0 && asked < key.minDecryption)
    throw Refusal.of(400, 'version for export is below minimum decryption version');
  const keys = Object.entries(key.versions)
    .filter(([each]) => Number(each) >= key.minDecryption && (asked === 0 || Number(each) === asked))
    .map(([each, version]) => [each, pem ? pemOf(version) : publicKeyOf(key.type, version)]);
  if (keys.length === 0) throw NOT_THERE;
  return found({ name: key.name, type: key.type, keys: Object.fromEntries(keys) });
}
