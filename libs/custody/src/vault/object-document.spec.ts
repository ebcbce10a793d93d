import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { SecretValue, systemClock } from '#platform';
import { byDepth } from '#platform/testing';
import { BackendError, type Attempt, type Fence } from '../key-backend.js';
import { openLocalKeyBackend, type LocalKeyBackend } from '../local/index.js';
import {
  applied,
  done,
  emptyDocument,
  entered,
  LEDGER_LENGTH,
  objectDocumentSchema,
  observedVersions,
  raised,
  repeatOf,
  versionsOf,
  type Change,
  type ObjectDocument,
} from './object-document.js';

/**
 * The local back end keeps the rules of the port in a database, this document keeps them in one value: whatever is asked of both,
 * in whatever order, by whatever attempt, they answer the same and end the same.
 */

const RUNS = byDepth({ check: 40, slice: 150, full: 600 });
const VERSIONS = ['v-1', 'v-2', 'v-3'] as const;
const OBJECT = 'transit/keys/orders';
const FAMILY = 'family-1';

type Wish =
  | Exclude<Change, { effect: 'generate' }>
  | { readonly effect: 'generate'; readonly versionId: string }
  | { readonly effect: 'raise' };
interface Asked {
  readonly wish: Wish;
  /** The number of an earlier attempt whose key is used again, if there was one. */
  readonly repeats: number | undefined;
  readonly fence: 'newer' | 'older' | 'same';
  readonly family: string;
}

const version = fc.constantFrom(...VERSIONS, 'nobody');
const versions = fc.uniqueArray(version, { minLength: 1, maxLength: 2 });
const wish: fc.Arbitrary<Wish> = fc.oneof(
  { weight: 4, arbitrary: version.map((versionId): Wish => ({ effect: 'generate', versionId })) },
  {
    weight: 4,
    arbitrary: versions.map((each): Wish => ({ effect: 'publish', versions: each, maxAgeSeconds: 300 })),
  },
  { weight: 4, arbitrary: version.map((to): Wish => ({ effect: 'switch-emission', to })) },
  { weight: 1, arbitrary: version.map((to): Wish => ({ effect: 'cut-over', to, maxAgeSeconds: 60 })) },
  { weight: 3, arbitrary: versions.map((each): Wish => ({ effect: 'withdraw', versions: each })) },
  { weight: 2, arbitrary: versions.map((each): Wish => ({ effect: 're-accept', versions: each })) },
  { weight: 1, arbitrary: versions.map((each): Wish => ({ effect: 'contain', versions: each })) },
  { weight: 1, arbitrary: versions.map((each): Wish => ({ effect: 'destroy', versions: each })) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(versions, fc.nat(6))
      .map(([each, key]): Wish => ({ effect: 'lift', versions: each, containedBy: `key-${key}` })),
  },
  { weight: 1, arbitrary: fc.constant<Wish>({ effect: 'raise' }) },
);
const asked: fc.Arbitrary<Asked> = fc.record({
  wish,
  repeats: fc.option(fc.nat(8), { nil: undefined, freq: 5 }),
  fence: fc.constantFrom<Asked['fence']>('newer', 'newer', 'newer', 'newer', 'older', 'same'),
  family: fc.constantFrom(FAMILY, FAMILY, FAMILY, FAMILY, 'family-2'),
});

/** The same requests, as attempts. */
function attemptsOf(list: readonly Asked[]): readonly (Asked & { readonly attempt: Attempt })[] {
  return list.map((each, index) => {
    const step = { newer: index + 2, older: index, same: index + 1 }[each.fence];
    const fence: Fence = { slot: 1, step };
    const key = each.repeats !== undefined && each.repeats < index ? `key-${each.repeats}` : `key-${index}`;
    const signal = new AbortController().signal;
    const attempt = {
      object: OBJECT,
      familyId: each.family,
      key,
      attemptId: `attempt-${index}`,
      fence,
      signal,
    };
    return { ...each, attempt };
  });
}

async function askLocal(local: LocalKeyBackend, one: Wish, attempt: Attempt): Promise<string> {
  switch (one.effect) {
    case 'raise':
      await local.observe(OBJECT, { raise: attempt });
      return 'done';
    case 'generate':
      await local.generate(attempt, { versionId: one.versionId, algorithm: 'HS256' });
      return 'done';
    case 'publish':
      await local.publish(attempt, one);
      return 'done';
    case 'switch-emission':
      await local.switchEmission(attempt, one);
      return 'done';
    case 'cut-over':
      await local.cutOver(attempt, one);
      return 'done';
    case 'withdraw':
      await local.withdraw(attempt, one);
      return 'done';
    case 're-accept':
      await local.reAccept(attempt, one);
      return 'done';
    case 'contain':
      await local.contain(attempt, one);
      return 'done';
    case 'lift':
      await local.lift(attempt, one);
      return 'done';
    case 'destroy':
      await local.destroy(attempt, one);
      return 'done';
  }
}

const classOf = (error: unknown): string => {
  if (error instanceof BackendError) return error.errorClass;
  throw error;
};

/** What a back end does with the document: enter, look for a repeat, decide, and keep the raised fence where a rule refuses. */
function askDocument(
  document: ObjectDocument,
  one: Wish,
  attempt: Attempt,
): { readonly document: ObjectDocument; readonly said: string } {
  let reached = document;
  try {
    if (one.effect === 'raise') return { document: raised(document, OBJECT, attempt), said: 'done' };
    const change: Change =
      one.effect === 'generate'
        ? {
            effect: 'generate',
            made: {
              versionId: one.versionId,
              engine: one.versionId,
              algorithm: 'HS256',
              strengthBits: 256,
              fingerprint: 'f',
              createdAt: '2026-03-01T00:00:00.000Z',
            },
          }
        : one;
    const inside = entered(document, attempt, one.effect);
    const repeat = repeatOf(
      inside,
      attempt,
      one.effect,
      one.effect === 'generate' ? undefined : versionsOf(change),
    );
    reached = inside;
    if (repeat !== undefined) return { document: reached, said: 'done' };
    return { document: done(reached, attempt, change, '2026-03-01T00:00:00.000Z'), said: 'done' };
  } catch (error) {
    return { document: reached, said: classOf(error) };
  }
}

const stateOf = (
  list: readonly {
    versionId: string;
    accepted: boolean;
    emittingShare: number;
    contained: boolean;
    destroyed: boolean;
  }[],
) =>
  Object.fromEntries(
    list.map(({ versionId, accepted, emittingShare, contained, destroyed }) => [
      versionId,
      { accepted, emittingShare, contained, destroyed },
    ]),
  );

it(`${RUNS} random histories: the document answers and ends as the local back end does`, async () => {
  let kept = 0;
  let taken = 0;
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(asked, { minLength: 5, maxLength: 40 }), async (list) => {
      const directory = mkdtempSync(join(tmpdir(), 'keyturn-document-'));
      const local = openLocalKeyBackend({
        directory,
        masterKey: new SecretValue(Buffer.alloc(32, 7)),
        clock: systemClock,
      });
      try {
        let document = emptyDocument;
        for (const { wish: one, attempt } of attemptsOf(list)) {
          const theirs = await askLocal(local, one, attempt).catch(classOf);
          const ours = askDocument(document, one, attempt);
          expect([one, ours.said]).toEqual([one, theirs]);
          document = objectDocumentSchema.parse(JSON.parse(JSON.stringify(ours.document)));
          expect(document).toEqual(ours.document);
          const seen = await local.observe(OBJECT, { key: attempt.key });
          expect(stateOf(observedVersions(document))).toEqual(stateOf(seen.versions));
          if (theirs === 'done') taken += 1;
          else refused += 1;
        }
      } finally {
        local.close();
        rmSync(directory, { recursive: true });
      }
      kept += 1;
    }),
    { numRuns: RUNS },
  );
  process.stdout.write(
    `object document: ${kept} of ${RUNS} histories; ${taken} requests taken, ${refused} refused alike\n`,
  );
  expect(kept).toBe(RUNS);
  expect(Math.min(taken, refused)).toBeGreaterThan(RUNS);
});

it('stays within the megabyte a server takes, after ten years of rotations every day', () => {
  let document: ObjectDocument = emptyDocument;
  const signal = new AbortController().signal;
  for (let day = 0; day < 400; day += 1) {
    const versionId = `0198c0de-0000-7000-8000-${String(day).padStart(12, '0')}`;
    const attempt = (step: string) => ({
      object: OBJECT,
      familyId: FAMILY,
      key: `rotation-${versionId}/${step}`,
      attemptId: versionId,
      fence: { slot: day, step: 1 },
      signal,
    });
    const made = {
      versionId,
      engine: String(day),
      algorithm: 'ES256' as const,
      strengthBits: 256,
      fingerprint: 'f'.repeat(64),
      createdAt: '2026-03-01T00:00:00.000Z',
    };
    const at = '2026-03-01T00:00:00.000Z';
    document = done(document, attempt('generate'), { effect: 'generate', made }, at);
    document = done(
      document,
      attempt('accept'),
      { effect: 'publish', versions: [versionId], maxAgeSeconds: 300 },
      at,
    );
    document = done(document, attempt('emit'), { effect: 'switch-emission', to: versionId }, at);
  }
  expect(document.ledger).toHaveLength(LEDGER_LENGTH);
  expect(JSON.stringify(document).length).toBeLessThan(512 * 1024);
});

it('asks the rules before an engine is asked: what they refuse changes nothing', () => {
  const attempt = { object: OBJECT, familyId: FAMILY, key: 'k', attemptId: 'a' };
  expect(() => applied(emptyDocument, attempt, { effect: 'withdraw', versions: ['x'] })).toThrow(
    'Nothing was ever made in transit/keys/orders',
  );
});
