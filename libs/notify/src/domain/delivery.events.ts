import { z } from 'zod';
import { instantSchema, type EventDefinitions, type NewEventOf, type RecordedEventOf } from '#eventlog';

export const ALARM_TYPES = [
  'rotation.suspended',
  'containment.suspended',
  'rotation.overdue',
  'obligation.overdue',
  'log.integrity',
  'hook.test',
] as const;

/** What a subscriber is told. Holds names and facts of the record, never a secret value. */
export const alarmSchema = z.object({
  type: z.enum(ALARM_TYPES),
  /** What is alarmed, once: an event's id, or a family with its due date. The delivery's id is made from it. */
  key: z.string().min(1).max(300),
  /** Since when it is so. */
  at: instantSchema,
  text: z.string().min(1).max(1_000),
  family: z.object({ id: z.string().max(40), qualifiedName: z.string().max(200) }).optional(),
  rotation: z.string().max(40).optional(),
  containment: z.string().max(40).optional(),
  /** The role that is asked. */
  person: z.string().max(500).optional(),
  due: instantSchema.optional(),
  illustrative: z.boolean().optional(),
});
export type Alarm = z.output<typeof alarmSchema>;

const attempt = z.int().min(1).max(100);

/** Streams: `delivery-<uuid>`, derived from subscriber and alarm: each alarm is raised once for each subscriber. */
export const deliveryEvents = {
  AlarmRaised: {
    version: 1,
    about: 'A subscriber is to be told of something. What is sent stands here and is never made again.',
    schema: z.object({ subscriber: z.string().max(80), alarm: alarmSchema }),
  },
  DeliveryStarted: {
    version: 1,
    about: 'The intent of one attempt, stored before anything is sent.',
    schema: z.object({ attempt, worker: z.string().max(200), leaseUntil: instantSchema }),
  },
  DeliveryFailed: {
    version: 1,
    about: 'An attempt was not taken. Unknown: it may have arrived; the next one has the same id.',
    schema: z.object({
      attempt,
      outcome: z.enum(['refused', 'unreachable', 'unknown']),
      reason: z.string().max(200),
      /** When it is tried again; absent: it is not. */
      retryAt: instantSchema.optional(),
    }),
  },
  Delivered: {
    version: 1,
    about: 'The subscriber took it.',
    schema: z.object({ attempt, answer: z.string().max(200) }),
  },
  DeliveryAbandoned: {
    version: 1,
    about: 'It was tried as often as it is tried, and never taken.',
    schema: z.object({ attempts: attempt }),
  },
} as const satisfies EventDefinitions;

export type NewDeliveryEvent = NewEventOf<typeof deliveryEvents>;
export type DeliveryEvent = RecordedEventOf<typeof deliveryEvents>;
