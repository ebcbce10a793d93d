import { z } from 'zod';
import { instantSchema, type EventDefinitions, type NewEventOf, type RecordedEventOf } from '#eventlog';
import { lineSchema, uuidSchema } from '#rotation';

/** Anything owed by a date, other than a rotation itself. */
export const OBLIGATION_KINDS = [
  'emergency-approval',
  'post-incident-review',
  'policy-review',
  'runbook-review',
  'departure',
  'deviation-end',
  'reconciliation',
  'registration',
] as const;
export type ObligationKind = (typeof OBLIGATION_KINDS)[number];

/** Streams: `obligation-<uuid>`, derived from kind and key: what was owed is missed once, however often it is looked at. */
export const obligationEvents = {
  ObligationMissed: {
    version: 1,
    about: 'What was owed by a date was not done when the date had passed.',
    schema: z.object({
      kind: z.enum(OBLIGATION_KINDS),
      /** Whose it is, and which of theirs. */
      key: z.string().min(1).max(300),
      family: uuidSchema.optional(),
      rotation: uuidSchema.optional(),
      policy: uuidSchema.optional(),
      what: lineSchema,
      /** In words: what the date stands on. */
      basis: lineSchema,
      due: instantSchema,
    }),
  },
  ObligationSettled: {
    version: 1,
    about: 'What had been missed is owed no more: done late, refused, moved by a revision, or lapsed.',
    schema: z.object({
      how: z.enum(['met', 'refused', 'moved', 'lapsed']),
      /** The fact that settled it. */
      fact: z.object({ id: uuidSchema, type: z.string().max(80) }),
      /** When that fact was recorded, and by whom. */
      settledAt: instantSchema,
      by: z.string().max(80),
    }),
  },
} as const satisfies EventDefinitions;

export type NewObligationEvent = NewEventOf<typeof obligationEvents>;
export type ObligationEvent = RecordedEventOf<typeof obligationEvents>;
