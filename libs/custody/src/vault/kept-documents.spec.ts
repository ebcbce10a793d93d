import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { KeptDocuments } from './kept-documents.js';
import { applied, done, emptyDocument, type Change, type ObjectDocument } from './object-document.js';

const OBJECT = 'transit/keys/jwt';
const FAMILY = '6f0c1c4e-7a52-4c55-9d1e-1f3a8d0b7c11';
const AT = '2026-03-01T00:00:00Z';
const by = (key: string) => ({ object: OBJECT, familyId: FAMILY, key, attemptId: `of ${key}` });

function made(versionId: string): Change {
  return {
    effect: 'generate',
    made: {
      versionId,
      engine: versionId,
      algorithm: 'EdDSA',
      strengthBits: 256,
      fingerprint: 'f'.repeat(64),
      createdAt: AT,
      publicJwk: { kty: 'OKP', crv: 'Ed25519', x: versionId },
    },
  };
}

const both = [
  made('k1'),
  made('k2'),
  { effect: 'publish', versions: ['k1', 'k2'], maxAgeSeconds: 60 },
].reduce(
  (document: ObjectDocument, change, index) => applied(document, by(String(index)), change as Change),
  emptyDocument,
);
const contained = (key: string): ObjectDocument =>
  done(both, by(key), { effect: 'contain', versions: ['k1'] }, AT);

describe('what verifiers are served while the server is away', () => {
  let folder: string;
  let kept: KeptDocuments;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'keyturn-kept-'));
    kept = new KeptDocuments(folder);
    kept.put(OBJECT, 3, both);
  });
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const kids = (of = kept): readonly string[] => {
    const { keys }: { keys: { kid: string }[] } = JSON.parse(of.served(FAMILY)?.body.toString('utf8') ?? '');
    return keys.map(({ kid }) => kid);
  };

  it('is without a contained version at once, with its other ones, also after a restart', () => {
    expect(kids()).toEqual(['k1', 'k2']);
    const before = kept.served(FAMILY)?.etag;
    kept.leaveOut(OBJECT, 'c/contain', ['k1']);
    expect(kids()).toEqual(['k2']);
    expect(kept.served(FAMILY)?.etag).not.toBe(before);
    expect(kids(new KeptDocuments(folder))).toEqual(['k2']);
    expect([kept.lists(OBJECT, ['k1']), kept.lists(OBJECT, ['k1', 'k2'])]).toEqual([false, true]);
  });

  it('stays without it while the server does not know the containment, and agrees with what is known', () => {
    kept.leaveOut(OBJECT, 'c/contain', ['k1']);
    kept.put(OBJECT, 4, both);
    expect(kids()).toEqual(['k2']);
    expect(kept.agrees(OBJECT, 4, both)).toBe(true);
    expect(kept.agrees(OBJECT, 3, both)).toBe(false);
  });

  it('is the document’s affair once that one knows it, and comes back with the lift', () => {
    kept.leaveOut(OBJECT, 'c/contain', ['k1']);
    const known = contained('c/contain');
    kept.put(OBJECT, 4, known);
    expect(kids()).toEqual(['k2']);
    const lift = { effect: 'lift', versions: ['k1'], containedBy: 'c/contain' } as const;
    kept.put(OBJECT, 5, done(known, by('c/lift'), lift, AT));
    expect(kids()).toEqual(['k1', 'k2']);
  });

  it('one containment that the server knows takes nothing from another that it does not', () => {
    kept.leaveOut(OBJECT, 'c/contain', ['k1']);
    kept.leaveOut(OBJECT, 'd/contain', ['k1']);
    const known = contained('c/contain');
    const lift = { effect: 'lift', versions: ['k1'], containedBy: 'c/contain' } as const;
    kept.put(OBJECT, 5, done(known, by('c/lift'), lift, AT));
    expect(kids()).toEqual(['k2']);
  });

  it('says which version of an object was seen last, and which file it is in', () => {
    expect([kept.newest(OBJECT)?.cas, kept.newest('transit/keys/other')]).toEqual([3, undefined]);
    kept.put(OBJECT, 2, both);
    expect(new KeptDocuments(folder).newest(OBJECT)?.cas).toBe(3);
    expect(existsSync(join(dirname(folder), kept.nameOf(OBJECT)))).toBe(true);
  });

  it('keeps what it has of an object whose server was put back, however far that one has come since', () => {
    const back = (cas: number, document: ObjectDocument, of = kept): boolean =>
      of.isPutBack(OBJECT, of.newest(OBJECT), { cas, document });
    const fewer = { ...both, versions: both.versions.slice(0, 1) };
    expect([back(3, both), back(4, fewer)]).toEqual([false, false]);
    expect(back(3, fewer)).toBe(true);
    kept.put(OBJECT, 9, fewer);
    expect([kids(), back(9, fewer), back(9, fewer, new KeptDocuments(folder))]).toEqual([
      ['k1', 'k2'],
      true,
      true,
    ]);
    expect([back(3, both), back(4, fewer)]).toEqual([false, false]);
    const other = new KeptDocuments(join(folder, 'another-machine'));
    other.put(OBJECT, 3, both);
    expect(back(2, both, other)).toBe(true);
  });

  it('holds for an object that this machine has never seen', () => {
    const other = new KeptDocuments(join(folder, 'another-machine'));
    other.leaveOut(OBJECT, 'c/contain', ['k1']);
    expect(other.served(FAMILY)).toBeUndefined();
    other.put(OBJECT, 3, both);
    expect(kids(other)).toEqual(['k2']);
  });
});
