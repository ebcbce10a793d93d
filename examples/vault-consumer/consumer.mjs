// How an application follows Keyturn through a Vault or OpenBao: plain Node 20, and `jose` for the verifier alone. docs/vault.md has the
// policies it needs. `vault` is { address, token }; a namespace goes into X-Vault-Namespace beside the token.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { createRemoteJWKSet, jwtVerify } from 'jose';

async function ask({ address, token }, path, body) {
  const answer = await fetch(`${address}/v1/${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { 'X-Vault-Token': token },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: AbortSignal.timeout(5_000),
  });
  // What was sent is not in it, and stays out of the log.
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return (await answer.json()).data;
}

/** Which version of an object is used now. `engine` is the server's own name for it: transit's number, or ROLE@TIME of a pair. */
export async function usedVersion(vault, object, documents = 'keyturn/data/objects') {
  const { data } = await ask(vault, `${documents}/${object}`);
  const used = data.versions.find(({ emittingShare }) => emittingShare > 0);
  if (used === undefined) throw new Error(`${object}: no version is used`);
  return { versionId: used.versionId, engine: used.engine };
}

/** transit: an ES256 token, signed with exactly the version that is used. Read `used` again once its cache is over. */
export async function signToken(vault, object, used, claims) {
  const unsigned = [{ alg: 'ES256', typ: 'JWT', kid: used.versionId }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  const { signature } = await ask(vault, object.replace('/keys/', '/sign/'), {
    input: Buffer.from(unsigned).toString('base64'),
    key_version: used.engine, // a string: the emitter's policy asks for one
    hash_algorithm: 'sha2-256',
    marshaling_algorithm: 'jws',
  });
  return `${unsigned}.${signature.slice(signature.lastIndexOf(':') + 1)}`;
}

/** A verifier asks Keyturn's JWKS, never Vault: what is contained is out of it at once. cacheMs is the family's cacheTtl. */
export function tokenVerifier(jwksUrl, cacheMs) {
  const keys = createRemoteJWKSet(new URL(jwksUrl), { cacheMaxAge: cacheMs, cooldownDuration: cacheMs });
  return async (token) => (await jwtVerify(token, keys)).payload;
}

/** KV v2, keyed document: make with `emit`, accept all of `accept`. */
export async function readSecret(vault, object) {
  const { data } = await ask(vault, object);
  return {
    emit: data.emit,
    accepted: new Map(data.accept.map((version) => [version, data.keys[version]])),
  };
}

export function makeMac({ emit, accepted }, text) {
  const key = accepted.get(emit);
  if (key === undefined) throw new Error('no version is used');
  return createHmac('sha256', key).update(text).digest('base64url');
}

export function acceptsMac({ accepted }, text, mac) {
  const given = Buffer.from(mac, 'base64url');
  return [...accepted.values()].some((key) => {
    const expected = createHmac('sha256', key).update(text).digest();
    return expected.length === given.length && timingSafeEqual(expected, given);
  });
}

/** A database pair: the login of the role that is used now. A pool opens new connections with it, and lets old ones end by their age. */
export async function readLogin(vault, object) {
  const { engine } = await usedVersion(vault, object);
  const [mount] = object.split('/static-roles/');
  const role = engine.slice(0, engine.lastIndexOf('@'));
  const { username, password } = await ask(vault, `${mount}/static-creds/${role}`);
  return { username, password };
}
