import { z } from 'zod';
import { instantSchema, type EventDefinitions, type NewEventOf, type RecordedEventOf } from '#eventlog';
import { textSchema, uuidSchema } from './vocabulary.js';

/** A stream of its own beside the rotation, so that a sample a minute does not fill the saga's log. */
export const telemetryEvents = {
  TelemetrySampled: {
    version: 1,
    about: 'Counted uses of a rotation’s versions in a span, as a verifier or a pipeline reported them.',
    schema: z.object({
      rotation: uuidSchema,
      from: instantSchema,
      to: instantSchema,
      current: z.int().min(0),
      previous: z.int().min(0),
      invalid: z.int().min(0),
      /** When an artefact of a previous version was last seen. */
      previousLastSeen: instantSchema.optional(),
      note: textSchema.optional(),
    }),
  },
} as const satisfies EventDefinitions;

export type NewTelemetryEvent = NewEventOf<typeof telemetryEvents>;
export type TelemetryEvent = RecordedEventOf<typeof telemetryEvents>;
