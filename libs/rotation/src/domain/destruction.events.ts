import { z } from 'zod';
import { instantSchema, type EventDefinitions, type NewEventOf, type RecordedEventOf } from '#eventlog';
import type { rotationEvents } from './rotation.events.js';
import { stepReferenceSchema, type NewStepEvent, type StepEvent } from './step.events.js';
import { backEndRefSchema, lineSchema, textSchema, uuidSchema, versionIdSchema } from './vocabulary.js';

/** Destroying is a process of its own, with an approval of its own (contracts, Processes beside a rotation). */
export const destructionEvents = {
  DestructionRequested: {
    version: 1,
    about: 'Key material is to be deleted for good, once somebody else approves.',
    schema: z.object({
      family: uuidSchema,
      backEnd: backEndRefSchema,
      versions: z.array(versionIdSchema).min(1).max(100),
      reason: textSchema,
      /** Retention: not before this. */
      notBefore: instantSchema.optional(),
    }),
  },
  DestructionApproved: {
    version: 1,
    about: 'A subject other than the requester approved it.',
    schema: z.object({ note: textSchema.optional() }),
  },
  DestructionRejected: {
    version: 1,
    about: 'It is not to happen; refused, or taken back before it began.',
    schema: z.object({ reason: textSchema }),
  },
  DestructionSuspended: {
    version: 1,
    about: 'The destruction needs a person.',
    schema: z.object({ code: z.string().max(80), reason: lineSchema, person: lineSchema }),
  },
  DestructionRetried: {
    version: 1,
    about: 'A person wants it tried again.',
    schema: z.object({ reason: textSchema.optional() }),
  },
  DestructionTokenSupplied: {
    version: 1,
    about:
      'Somebody who may approve it handed over, in memory alone, what may delete the key material in its server; the back end’s own logins may not.',
    schema: z.object({ endsAt: instantSchema.optional() }),
  },
  OldKeyDestroyed: {
    version: 1,
    about: 'The key material is gone for good; the record of the key is kept.',
    schema: stepReferenceSchema.extend({ versions: z.array(versionIdSchema).min(1).max(100) }),
  },
} as const satisfies EventDefinitions;

/** Attested in these streams too. */
type AttestedEvents = Pick<typeof rotationEvents, 'Attested'>;

export type NewDestructionEvent =
  NewEventOf<typeof destructionEvents> | NewEventOf<AttestedEvents> | NewStepEvent;
export type DestructionEvent =
  RecordedEventOf<typeof destructionEvents> | RecordedEventOf<AttestedEvents> | StepEvent;
