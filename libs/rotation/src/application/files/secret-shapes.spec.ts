import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { findSecrets } from './secret-shapes.js';

/** The fields of a body that are refused. */
function refused(body: unknown): readonly string[] {
  const fields: string[] = [];
  findSecrets(body, (path) => fields.push(path.join('/')));
  return fields;
}

const pair = generateKeyPairSync('ed25519');
const pem = (type: 'private' | 'public'): string =>
  type === 'private'
    ? pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    : pair.publicKey.export({ type: 'spki', format: 'pem' }).toString();

const random = (): string => randomBytes(32).toString('base64url');
const thumbprint = createHash('sha256').update('a key').digest('base64url');

describe('what looks like a secret value', () => {
  it.each([
    ['a private key', pem('private')],
    ['a token of Keyturn', `kt_${random()}`],
    ['a password in a link', 'https://ada:hunter2@ci.example.com/run/1'],
    ['a token before the host of a link', 'https://some-token@git.example.com/run/1'],
    ['a password without a name', 'redis://:hunter2@cache.example.com'],
    ['a password whose separators are encoded', 'see https%3A%2F%2Fada%3Ahunter2%40ci.example.com'],
    ['a signed link of AWS', 'https://b.s3.amazonaws.com/k?X-Amz-Date=20260302T090000Z&X-Amz-Signature=0f'],
    ['a signed link of Google', 'https://storage.googleapis.com/b/o?X-Goog-Signature=0f'],
    ['a signed link of Azure', 'https://a.blob.core.windows.net/c/b?sv=2024-11-04&sig=ab%2Bcd%3D'],
    ['a token in a query', 'see https://ci.example.com/run?id=7&access_token=abc for it'],
    ['a token in a fragment', 'https://app.example.com/#id_token=abc'],
    ['a password in a query', 'https://ci.example.com/?user=ada&password=hunter2'],
  ])('is refused: %s', (_what, text) => {
    expect(refused({ reason: text })).toEqual(['reason']);
    expect(refused({ deep: [{ link: text }] })).toEqual(['deep/0/link']);
  });

  it('32 random bytes are refused, in base64 and in hex; not one in a hundred looks like words', () => {
    const runs = Array.from({ length: 2_000 }, () => randomBytes(32));
    const missed = runs.filter(
      (bytes) =>
        refused({
          base64: bytes.toString('base64'),
          hex: bytes.toString('hex'),
          url: bytes.toString('base64url'),
        }).length < 3,
    );
    // A mixture without any digit, upper or lower case is rare too, and was always let pass.
    expect(missed.length).toBeLessThan(20);
  });

  it.each([
    ['a digest that says what it is', `the image sha256:${createHash('sha256').digest('hex')} held it`],
    ['the fingerprint of an SSH key', `SHA256:${createHash('sha256').digest('base64').replace('=', '')}`],
    ['a UUID', 'rotation-0b6f6a52-1111-4aaa-8bbb-000000000901/OldKeyWithdrawn'],
    ['a commit', 'fixed by 3f786850e387550fdab836ed7e6dc881de23001b'],
    ['a link to a pipeline', 'https://github.com/Acme/Platform/actions/runs/8812345678/job/24187654321'],
    [
      'a link to a ticket',
      'https://jira.example.com/browse/OPS-1234?focusedId=4711&page=Activity#comment-4711',
    ],
    ['a link with an at-sign in its path', 'https://example.com/@ada/posts/1?to=ada@example.com'],
    ['a mail address', 'told ada@example.com: see mailto:ada@example.com'],
    ['an instant', 'between 2026-03-02T09:00:00.000Z and 2026-03-02T10:00:00.000Z'],
    ['a long path', 'kv/data/Production/Payments/SigningKeys/2026-03/jwt-issuer-key-7'],
    ['a public key', pem('public')],
    ['the word token', 'the token: revoked; signature=none was never sent in a query'],
  ])('is let pass: %s', (_what, text) => {
    expect(refused({ reason: text })).toEqual([]);
  });

  it('digests and key ids stand in fields of their own', () => {
    const sha256 = createHash('sha256').digest('hex');
    expect(
      refused({ evidence: { sha256 }, fingerprint: sha256, versions: [thumbprint], versionId: thumbprint }),
    ).toEqual([]);
    // The control: the same texts elsewhere, and a token's own shape anywhere.
    expect(refused({ note: sha256, reason: thumbprint, versions: [`kt_${random()}`] })).toEqual([
      'note',
      'reason',
      'versions/0',
    ]);
  });
});
