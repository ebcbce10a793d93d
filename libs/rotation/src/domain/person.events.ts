import { z } from 'zod';
import {
  instantSchema,
  parseInstant,
  type EventDefinitions,
  type NewEventOf,
  type RecordedEventOf,
} from '#eventlog';
import { uuidSchema } from './vocabulary.js';

/**
 * A person's leaving, in a stream of its own (derived from the subject), so that what it means for families has one cause:
 * whoever a family knew as its custodian is marked there next, by the command or after a crash by the sweep.
 */
export const personEvents = {
  PersonLeft: {
    version: 1,
    about: 'Somebody left: every secret they knew is to be rotated.',
    schema: z.object({ subject: uuidSchema, leftAt: instantSchema }),
  },
} as const satisfies EventDefinitions;

export type NewPersonEvent = NewEventOf<typeof personEvents>;
export type PersonEvent = RecordedEventOf<typeof personEvents>;

export interface PersonState {
  /** When they left, the last time. */
  readonly leftAt?: number;
  /** When that was recorded: whoever was entrusted with something later came back. */
  readonly recordedAt?: number;
}

export const presentPerson: PersonState = {};

export function evolvePerson(_state: PersonState, event: PersonEvent): PersonState {
  return { leftAt: parseInstant(event.data.leftAt) ?? event.recordedAt, recordedAt: event.recordedAt };
}
