import { z } from 'zod';
import { instantSchema, type EventDefinitions, type NewEventOf, type RecordedEventOf } from '#eventlog';
import { widened } from './upcasts.js';
import {
  environmentSchema,
  familyKindSchema,
  lineSchema,
  nameSchema,
  textSchema,
  uuidSchema,
} from './vocabulary.js';

/** What a freeze covers: every part that is named must hold; nothing named is everything. */
export const freezeScopeSchema = z.object({
  environments: z.array(environmentSchema).min(1).max(50).optional(),
  teams: z.array(nameSchema).min(1).max(50).optional(),
  kinds: z.array(familyKindSchema).min(1).optional(),
  families: z.array(uuidSchema).min(1).max(1_000).optional(),
});
export type FreezeScope = z.output<typeof freezeScopeSchema>;

/**
 * The one stream `holds`: what holds forward steps of every rotation. Never an emergency, never a rollback's way back
 * (contracts, Clocks).
 */
export const holdEvents = {
  FreezeDeclared: {
    version: 1,
    about: 'Forward steps stand still for what this freeze covers.',
    schema: z.object({
      freeze: uuidSchema,
      name: nameSchema,
      reason: textSchema,
      from: instantSchema,
      /** Absent: until it is lifted. */
      until: instantSchema.optional(),
      scope: freezeScopeSchema,
    }),
  },
  FreezeLifted: {
    version: 1,
    about: 'A freeze ended before its time, or had none.',
    schema: z.object({ freeze: uuidSchema, reason: textSchema }),
  },
  ClockHeld: {
    version: 1,
    about:
      'The clock leapt: emit, revoke and destroy wait until it is confirmed, also over a restart. While that hold is open, each further leap is recorded, so that no window counts it.',
    schema: z.object({
      /** `monotonic`: wall and monotonic clock parted. `start`: far past the newest record when the process began. */
      found: z.enum(['monotonic', 'start']),
      /** What the wall clock said, and what it should have said. */
      wall: instantSchema,
      expected: instantSchema,
      reason: lineSchema,
    }),
  },
  ClockConfirmed: {
    version: 2,
    upcast: { 1: widened },
    about: 'The clock is right again, or a person says that it is.',
    schema: z.object({
      by: z.enum(['back-end-clock', 'monotonic', 'person']),
      reason: textSchema.optional(),
      /** What the own clock said then. */
      wall: instantSchema.optional(),
      /** The newest record then. Ahead of `wall`: written while the clock was; from then on known to be so. */
      newestRecordedAt: instantSchema.optional(),
    }),
  },
  IntegrityHeld: {
    version: 1,
    about: 'A hash or proof of the log does not match: emit, revoke and destroy wait for a person.',
    schema: z.object({
      what: lineSchema,
      /** The event it was found at, where one can be named: the first n events are good before it. */
      treeSize: z.int().min(0).optional(),
      stream: z.string().max(100).optional(),
      revision: z.int().min(0).optional(),
    }),
  },
  IntegrityConfirmed: {
    version: 1,
    about: 'A person looked into the finding and lets rotations go on.',
    schema: z.object({ reason: textSchema }),
  },
  RestoreHeld: {
    version: 1,
    about: 'The log is older than its back ends: forward steps wait until a person has compared them.',
    schema: z.object({
      /** `restore`: the command said so. `start`: a back end knew attempts that the log does not. */
      found: z.enum(['restore', 'start']),
      reason: lineSchema,
      backup: z
        .object({
          treeSize: z.int().min(0),
          newestRecordedAt: instantSchema,
          /** SHA-256 (hex) of its manifest. */
          manifest: z.string().regex(/^[0-9a-f]{64}$/),
        })
        .optional(),
    }),
  },
  RestoreConfirmed: {
    version: 1,
    about: 'A person compared log and back ends and lets rotations go on.',
    schema: z.object({ reason: textSchema }),
  },
} as const satisfies EventDefinitions;

export type NewHoldEvent = NewEventOf<typeof holdEvents>;
export type HoldEvent = RecordedEventOf<typeof holdEvents>;
