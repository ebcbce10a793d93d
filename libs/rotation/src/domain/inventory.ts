import type { Inventory, InventoryEvent, NewInventoryEvent } from './inventory.events.js';

/** As of the newest reconciliation of one back end. */
export interface InventoryState {
  readonly last?: Inventory & { readonly at: number };
}

export const noInventory: InventoryState = {};

/** So that a quiet year is some hundred events and not a million. */
export const AT_LEAST_EVERY_MS = 86_400_000;
/** Of each list. */
export const MOST_LISTED = 100;

export function evolveInventory(_state: InventoryState, event: InventoryEvent): InventoryState {
  return { last: { ...event.data, at: event.recordedAt } };
}

/** Nothing where it says what is on record already, and that is younger than a day. */
export function decideInventory(
  found: Inventory,
  { last }: InventoryState,
  now: number,
): readonly NewInventoryEvent[] {
  if (last !== undefined && now - last.at < AT_LEAST_EVERY_MS && says(found) === says(last)) return [];
  return [{ type: 'InventoryReconciled', data: found, provenance: 'observed' }];
}

/** In what order families were looked at means nothing. */
function says(inventory: Inventory): string {
  const { backEnd: _backEnd, missingVersions, extraVersions, unreadableFamilies, ...counts } = inventory;
  const sorted = (list: readonly object[]): readonly string[] =>
    list.map((entry) => JSON.stringify(entry)).sort();
  const { families, expected, missing, extra, unreadable } = counts;
  return JSON.stringify([
    families,
    expected,
    missing,
    extra,
    unreadable,
    sorted(missingVersions),
    sorted(extraVersions),
    sorted(unreadableFamilies),
  ]);
}
