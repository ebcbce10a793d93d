import { z } from 'zod';
import { instantSchema, type EventDefinitions, type NewEventOf, type RecordedEventOf } from '#eventlog';
import { durationSchema } from './duration.js';
import type { rotationEvents } from './rotation.events.js';
import { stepReferenceSchema, type NewStepEvent, type StepEvent } from './step.events.js';
import { backEndRefSchema, lineSchema, textSchema, uuidSchema, versionIdSchema } from './vocabulary.js';

/**
 * A containment is a process of its own. Applying it needs no slot, lifting it takes the family's (contracts, Processes beside a
 * rotation).
 */
export const containmentEvents = {
  ContainmentRequested: {
    version: 1,
    about: 'Versions are to be denied at once, before a new key exists.',
    schema: z.object({
      family: uuidSchema,
      backEnd: backEndRefSchema,
      versions: z.array(versionIdSchema).min(1).max(100),
      reason: textSchema,
      incident: lineSchema.optional(),
      /** The emergency that asked for it. */
      rotation: uuidSchema.optional(),
      /** How long a verifier may go on trusting what it holds; absent where no bound is known. */
      trustTerm: durationSchema.optional(),
    }),
  },
  ContainmentApplied: {
    version: 1,
    about:
      'The back end denies these versions from now on; verifiers may still trust what they hold until the bound.',
    schema: stepReferenceSchema.extend({
      versions: z.array(versionIdSchema).min(1).max(100),
      /** The computed upper bound; absent where none is known. */
      trustEndsAt: instantSchema.optional(),
    }),
  },
  ContainmentSuspended: {
    version: 1,
    about: 'The containment needs a person.',
    schema: z.object({ code: z.string().max(80), reason: lineSchema, person: lineSchema }),
  },
  ContainmentRetried: { version: 1, about: 'A person wants it tried again.', schema: z.object({}) },
  ContainmentLiftRequested: {
    version: 1,
    about: 'The suspicion is cleared: the versions are to be accepted again where they were.',
    schema: z.object({ family: uuidSchema, reason: textSchema }),
  },
  ContainmentLiftWithdrawn: {
    version: 1,
    about: 'It stays: before it was lifted, a version of it was suspected again, or confirmed.',
    schema: z.object({ reason: lineSchema }),
  },
  ContainmentLifted: {
    version: 1,
    about: 'What this containment denied is no longer denied by it.',
    schema: stepReferenceSchema.extend({ versions: z.array(versionIdSchema).min(1).max(100) }),
  },
} as const satisfies EventDefinitions;

/** Attested in these streams too. */
type AttestedEvents = Pick<typeof rotationEvents, 'Attested'>;

export type NewContainmentEvent =
  NewEventOf<typeof containmentEvents> | NewEventOf<AttestedEvents> | NewStepEvent;
export type ContainmentEvent =
  RecordedEventOf<typeof containmentEvents> | RecordedEventOf<AttestedEvents> | StepEvent;
