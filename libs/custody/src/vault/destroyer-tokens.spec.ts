import { jest } from '@jest/globals';
import { SecretValue } from '#platform';
import { haveRealPart, ManualClock } from '#platform/testing';
import { BackendError } from '../key-backend.js';
import { OpenBao } from '../testing/openbao.js';
import { DestroyerTokens } from './destroyer-tokens.js';
import { VaultClient } from './vault-client.js';

jest.setTimeout(120_000);

const real = haveRealPart('openbao', 7);
const KEY = 'destruction-1/destroy';

(real ? describe : describe.skip)('what an approver supplies to destroy with', () => {
  let bao: OpenBao;
  let client: VaultClient;
  let clock: ManualClock;
  let tokens: DestroyerTokens;
  beforeAll(async () => {
    bao = await OpenBao.start();
    await bao.api('PUT', 'sys/policies/acl/destroyer', {
      policy: 'path "transit/keys/+/trim" { capabilities = ["update"] }',
    });
    client = new VaultClient({ instance: 'vault.test', address: bao.address });
  });
  beforeEach(() => {
    clock = new ManualClock(0);
    tokens = new DestroyerTokens(client, clock);
  });
  afterAll(async () => {
    await client.close();
    await bao.stop();
  });

  const wrapped = (policies: readonly string[] = ['destroyer'], more: object = {}) =>
    bao.wrapped('auth/token/create', { policies, ttl: '10m', ...more });
  const known = async (token: SecretValue): Promise<boolean> => {
    const answer = await fetch(new URL('/v1/auth/token/lookup-self', bao.address), {
      headers: { 'X-Vault-Token': token.reveal().toString('utf8') },
    });
    return answer.ok;
  };
  const refusal = async (supplied: SecretValue): Promise<string> => {
    const error: unknown = await tokens.supply(KEY, supplied).catch((thrown: unknown) => thrown);
    if (!(error instanceof BackendError)) throw new Error('it was taken');
    expect(error.message).not.toContain(supplied.reveal().toString('utf8'));
    return `${error.errorClass}: ${error.message}`;
  };

  it('is opened at once, is good for that destruction, and is over with its time', async () => {
    const supplied = await wrapped();
    expect((await tokens.supply(KEY, supplied)).seconds).toBe(600);
    expect(await known(supplied)).toBe(false);
    const held = tokens.of(KEY);
    expect(held !== undefined && (await known(held))).toBe(true);
    expect(tokens.of('destruction-2/destroy')).toBeUndefined();
    clock.advance(599_999);
    expect(tokens.of(KEY)).toBe(held);
    clock.advance(1);
    expect(tokens.of(KEY)).toBeUndefined();
  });

  it('is ended once it has done what it was for', async () => {
    await tokens.supply(KEY, await wrapped());
    const held = tokens.of(KEY);
    await tokens.dismiss(KEY);
    expect(tokens.of(KEY)).toBeUndefined();
    expect(held === undefined || (await known(held))).toBe(false);
  });

  it('is ended where another one is supplied for the same destruction, and serves no other one of the object', async () => {
    await tokens.supply(KEY, await wrapped());
    const first = tokens.of(KEY);
    await tokens.supply('destruction-2/destroy', await wrapped());
    await tokens.supply(KEY, await wrapped());
    expect(first === undefined || (await known(first))).toBe(false);
    // What was never recorded is dropped, and nothing that came after it.
    const unrecorded = await tokens.supply(KEY, await wrapped());
    const newer = await tokens.supply(KEY, await wrapped());
    await unrecorded.drop();
    expect(tokens.of(KEY)).toBeDefined();
    await newer.drop();
    expect(tokens.of(KEY)).toBeUndefined();
    await tokens.supply(KEY, await wrapped());
    const [one, two] = [tokens.of(KEY), tokens.of('destruction-2/destroy')];
    expect(one !== undefined && two !== undefined && one !== two).toBe(true);
  });

  it('is refused where somebody opened it before: whoever did has what was in it', async () => {
    const supplied = await wrapped();
    await tokens.supply(KEY, supplied);
    const other = new DestroyerTokens(client, clock);
    const error: unknown = await other.supply(KEY, supplied).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      errorClass: 'config',
      message: expect.stringContaining('somebody has opened it already'),
    });
  });

  it('is refused unwrapped: nobody could tell who else has seen it', async () => {
    const made = await bao.api<{ auth: { client_token: string } }>('POST', 'auth/token/create', {
      policies: ['destroyer'],
      ttl: '10m',
    });
    const plain = new SecretValue(made.auth.client_token);
    expect(await refusal(plain)).toContain('config: vault.test does not know this wrapping token');
    expect(await known(plain)).toBe(true);
  });

  it('is refused, and ended, where it may do whatever it likes', async () => {
    expect(await refusal(await wrapped(['root']))).toContain('may do whatever it likes');
    expect(tokens.of(KEY)).toBeUndefined();
  });

  it('is refused where there is something else in it', async () => {
    const random = await bao.wrapped('sys/wrapping/wrap', { password: 'x' });
    expect(await refusal(random)).toContain('no token that ends by itself in this wrapping');
  });
});
