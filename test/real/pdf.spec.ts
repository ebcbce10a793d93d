import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { jest } from '@jest/globals';
import { renderRotationRecord } from '#evidence';
import { ManualClock } from '#platform/testing';
import {
  containmentStream,
  familyStream,
  rotationStream,
  type ContainmentEvent,
  type FamilyEvent,
  type RotationEvent,
} from '#rotation';
import { haveRealPart } from '../support/real-parts.js';
import { World } from '../support/world.js';

jest.setTimeout(120_000);

const CASES = 2;
const poppler = haveRealPart('poppler', CASES);
const qpdf = haveRealPart('qpdf', CASES);

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
