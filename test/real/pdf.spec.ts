import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { jest } from '@jest/globals';
import { PAPERS, renderEmergencyCard, renderRotationRecord, renderRunbook } from '#evidence';
import { longRunbook, runbookInput } from '../../libs/evidence/src/testing/runbooks.js';
import { ManualClock } from '#platform/testing';
import {
  containmentStream,
  familyStream,
  rotationStream,
  type ContainmentEvent,
  type FamilyEvent,
  type RotationEvent,
} from '#rotation';
import { haveRealPart } from '#platform/testing';
import { World } from '../support/world.js';

jest.setTimeout(120_000);

const CASES = 2;
const PAGES = 8;
const poppler = haveRealPart('poppler', CASES + PAGES);
const qpdf = haveRealPart('qpdf', CASES + PAGES);

/** Records of rotations that really ran, read by tools that share nothing with what drew them. */
const paths = new Map<string, string>();

async function draw(world: World, familyId: string, rotationId: string, name: string): Promise<void> {
  // The category of a stream decides its event types.
  const rotationEvents = (await world.facts(rotationStream(rotationId))) as readonly RotationEvent[];
  const containment = (await world.rotation(rotationId)).emergency?.containment;
  const last = rotationEvents.at(-1);
  const pdf = await renderRotationRecord({
    logId: world.store.logId,
    treeSize: last?.treeSize ?? 0,
    asOf: last?.recordedAt ?? 0,
    familyId,
    rotationId,
    familyEvents: (await world.facts(familyStream(familyId))) as readonly FamilyEvent[],
    rotationEvents,
    containmentEvents:
      containment === undefined
        ? []
        : ((await world.facts(containmentStream(containment))) as readonly ContainmentEvent[]),
    names: { [world.requester]: 'Rae Requester', [world.approver]: 'Abe Approver' },
  });
  const path = join(mkdtempSync(join(tmpdir(), 'keyturn-pdf-')), `${name}.pdf`);
  writeFileSync(path, pdf);
  paths.set(name, path);
}

beforeAll(async () => {
  const world = await World.open({ clock: new ManualClock('2026-03-02T09:00:00.000Z') });
  try {
    const { id: family } = await world.registerFamily({
      name: 'session-signing-key',
      algorithm: 'ES256',
      artefactLife: 'PT1H',
    });
    await world.registerConsumer(family, { name: 'issuer', roles: ['emitter'] });
    await world.registerConsumer(family, { name: 'gateway', roles: ['verifier'], cacheTtl: 'PT5M' });
    for (const name of ['first', 'graceful']) {
      const { id } = await world.request(family);
      await world.approve(id);
      await world.leapToEnd(id);
      if (name === 'graceful') await draw(world, family, id, name);
    }
    const { id } = await world.emergency(family);
    await world.leapToEnd(id);
    await draw(world, family, id, 'emergency');
  } finally {
    await world.close();
  }
});

afterAll(() => {
  for (const path of paths.values()) rmSync(dirname(path), { recursive: true, force: true });
});

const names = ['graceful', 'emergency'] as const;

(qpdf ? it.each(names) : it.skip.each(names))('qpdf finds nothing wrong with the %s record', (name) => {
  const told = execFileSync('qpdf', ['--check', paths.get(name) ?? ''], { encoding: 'utf8' });
  expect(told).toContain('No syntax or stream encoding errors found');
});

(poppler ? it.each(names) : it.skip.each(names))(
  'poppler reads the %s record: tagged, fonts embedded, text',
  (name) => {
    const path = paths.get(name) ?? '';
    const info = execFileSync('pdfinfo', [path], { encoding: 'utf8' });
    expect(info).toMatch(/Tagged:\s+yes/);
    const fonts = execFileSync('pdffonts', [path], { encoding: 'utf8' }).split('\n').slice(2).filter(Boolean);
    expect(fonts.length).toBeGreaterThan(0);
    for (const font of fonts) expect(font).toMatch(/\s(yes)\s+(yes|no)\s+(yes)\s+\d+/);
    const text = execFileSync('pdftotext', ['-layout', path, '-'], { encoding: 'utf8' });
    expect(text).toContain('session-signing-key');
    expect(text).toContain('Rae Requester');
    expect(text).toMatch(/page 1 of \d/i);
  },
);

/** Pages for the wall: one page, and no line over another. */
const walls = PAPERS.flatMap((paper) =>
  (['runbook', 'card'] as const).flatMap((kind) =>
    (['as written', 'as long as it may be'] as const).map((fill) => ({ paper, kind, fill })),
  ),
);

async function drawWall({ paper, kind, fill }: (typeof walls)[number]): Promise<string> {
  const words = 'Gateways fetch the keys by themselves; nobody copies (or sends) them. ';
  const input =
    fill === 'as written'
      ? runbookInput()
      : longRunbook((characters) => words.repeat(200).slice(0, characters).trim());
  const path = join(mkdtempSync(join(tmpdir(), 'keyturn-pdf-')), `${kind}-${paper}.pdf`);
  writeFileSync(path, await (kind === 'runbook' ? renderRunbook : renderEmergencyCard)(input, paper));
  paths.set(path, path);
  return path;
}

interface Word {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
  readonly text: string;
}

/** Pairs of words that lie over each other by more than a hair. */
function overlaps(words: readonly Word[]): readonly string[] {
  return words.flatMap((one, index) =>
    words
      .slice(index + 1)
      .filter(
        (other) =>
          Math.min(one.right, other.right) - Math.max(one.left, other.left) > 0.5 &&
          // The boxes of poppler are as high as the font's lines, not as its letters.
          Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > 4,
      )
      .map((other) => `"${one.text}" and "${other.text}"`),
  );
}

(poppler ? it.each(walls) : it.skip.each(walls))(
  'poppler reads the $kind on $paper, $fill: one page, nothing over anything, nothing outside',
  async (wall) => {
    const path = await drawWall(wall);
    const info = execFileSync('pdfinfo', [path], { encoding: 'utf8' });
    expect(info).toMatch(/Pages:\s+1\n/);
    expect(info).toMatch(/Tagged:\s+yes/);
    const boxes = execFileSync('pdftotext', ['-bbox', path, '-'], { encoding: 'utf8' });
    const [, width = '0', height = '0'] = /<page width="([\d.]+)" height="([\d.]+)">/u.exec(boxes) ?? [];
    const found = [
      ...boxes.matchAll(
        /<word xMin="([\d.-]+)" yMin="([\d.-]+)" xMax="([\d.-]+)" yMax="([\d.-]+)">([^<]*)</gu,
      ),
    ].map(([, left, top, right, bottom, text = '']): Word => ({
      left: Number(left),
      top: Number(top),
      right: Number(right),
      bottom: Number(bottom),
      text,
    }));
    expect(found.length).toBeGreaterThan(150);
    expect(overlaps(found)).toEqual([]);
    const outside = found.filter(
      (word) => word.left < 30 || word.right > Number(width) - 30 || word.bottom > Number(height) - 20,
    );
    // The band of example data alone stands at the edge.
    expect(outside.map(({ text }) => text)).toEqual([]);
    // The control: a word moved onto the next one is seen.
    const [first, second] = found;
    if (first !== undefined && second !== undefined)
      expect(
        overlaps([
          first,
          { ...second, left: first.left, right: first.right, top: first.top, bottom: first.bottom },
        ]),
      ).toHaveLength(1);
  },
);

(qpdf ? it.each(walls) : it.skip.each(walls))(
  'qpdf finds nothing wrong with the $kind on $paper, $fill',
  async (wall) => {
    const told = execFileSync('qpdf', ['--check', await drawWall(wall)], { encoding: 'utf8' });
    expect(told).toContain('No syntax or stream encoding errors found');
  },
);
