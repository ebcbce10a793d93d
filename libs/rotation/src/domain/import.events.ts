import { z } from 'zod';
import type { EventDefinitions, NewEventOf, RecordedEventOf } from '#eventlog';
import { lineSchema } from './vocabulary.js';

export const importEvents = {
  ImportStarted: {
    version: 1,
    about: 'A file was found valid as a whole and is being taken over, line by line.',
    schema: z.object({
      /** SHA-256 (hex) of the file's bytes. */
      file: z.string().regex(/^[0-9a-f]{64}$/),
      name: lineSchema,
      lines: z.int().min(1),
    }),
  },
  ImportCompleted: {
    version: 1,
    about: 'Every line of the file stands in the log.',
    schema: z.object({ lines: z.int().min(1) }),
  },
} as const satisfies EventDefinitions;

export type NewImportEvent = NewEventOf<typeof importEvents>;
export type ImportEvent = RecordedEventOf<typeof importEvents>;
