import { z } from 'zod';
import type { EventDefinitions, NewEventOf, RecordedEventOf } from '#eventlog';
import { backEndRefSchema, lineSchema, uuidSchema, versionIdSchema } from './vocabulary.js';

const found = z.object({ family: uuidSchema, versionId: versionIdSchema });

/** One stream a back end: what its families' objects hold, against the record. */
export const inventoryEvents = {
  InventoryReconciled: {
    version: 1,
    about:
      'What a back end holds was compared with the record, for every family it has an object of. Recorded when something changed, and once a day.',
    schema: z.object({
      backEnd: backEndRefSchema.shape.instance,
      families: z.int().min(0),
      /** Versions on record that are not destroyed. */
      expected: z.int().min(0),
      missing: z.int().min(0),
      extra: z.int().min(0),
      /** Families whose object could not be read: nothing is said of them. */
      unreadable: z.int().min(0),
      /** The first of each; the counts say how many there are. */
      missingVersions: z.array(found).max(100),
      extraVersions: z.array(found).max(100),
      unreadableFamilies: z.array(z.object({ family: uuidSchema, why: lineSchema })).max(100),
    }),
  },
} as const satisfies EventDefinitions;

export type NewInventoryEvent = NewEventOf<typeof inventoryEvents>;
export type InventoryEvent = RecordedEventOf<typeof inventoryEvents>;
export type Inventory = NewInventoryEvent['data'];
