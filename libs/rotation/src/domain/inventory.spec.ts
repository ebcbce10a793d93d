import { describe, expect, it } from '@jest/globals';
import { recorded } from '#eventlog/testing';
import { AT_LEAST_EVERY_MS, decideInventory, evolveInventory, noInventory } from './inventory.js';
import type { Inventory } from './inventory.events.js';

const AT = Date.parse('2026-03-02T09:00:00.000Z');
const A = '11111111-1111-4111-8111-111111111111';
const B = '22222222-2222-4222-8222-222222222222';
const FOUND: Inventory = {
  backEnd: 'vault.prod-eu',
  families: 2,
  expected: 4,
  missing: 0,
  extra: 2,
  unreadable: 0,
  missingVersions: [],
  extraVersions: [
    { family: A, versionId: '4' },
    { family: B, versionId: '2' },
  ],
  unreadableFamilies: [],
};

describe('an inventory', () => {
  const [first] = decideInventory(FOUND, noInventory, AT);
  if (first === undefined) throw new Error('the first is recorded');
  const event = recorded(first, { revision: 0, recordedAt: AT, actor: 'kit' });
  const state = evolveInventory(noInventory, event);

  it('is recorded the first time, as observed', () => {
    expect(first).toEqual({ type: 'InventoryReconciled', data: FOUND, provenance: 'observed' });
  });

  it('is recorded once a day where nothing changed, in whatever order families were looked at', () => {
    const turned: Inventory = { ...FOUND, extraVersions: [...FOUND.extraVersions].reverse() };
    expect(decideInventory(turned, state, AT + AT_LEAST_EVERY_MS - 1)).toEqual([]);
    expect(decideInventory(turned, state, AT + AT_LEAST_EVERY_MS)).toHaveLength(1);
  });

  it.each<readonly [string, Partial<Inventory>]>([
    ['another version is extra', { extraVersions: [{ family: A, versionId: '5' }] }],
    ['a count that the lists do not show', { extra: 140 }],
    ['a family more', { families: 3 }],
    ['one became unreadable', { unreadable: 1, unreadableFamilies: [{ family: A, why: 'it is sealed' }] }],
  ])('is recorded at once where %s', (_name, change) => {
    expect(decideInventory({ ...FOUND, ...change }, state, AT + 1)).toHaveLength(1);
  });
});
