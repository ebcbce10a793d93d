import { z } from 'zod';
import type { EventDefinitions, NewEventOf, RecordedEventOf } from '#eventlog';
import { instantSchema } from '#eventlog';
import { lineSchema, uuidSchema } from './vocabulary.js';

/** Everything the saga performs, in a rotation's stream or a containment's. The step table says what each is. */
export const STEPS = [
  'generate',
  'accept',
  'emit',
  'revoke',
  'verify',
  'return',
  'withdraw',
  'contain',
] as const;
export type StepName = (typeof STEPS)[number];
export const stepSchema = z.enum(STEPS);

/** The revisions a decision was made on; the runner reads them again between intent and effect. */
export const viewRevisionsSchema = z.record(z.string(), z.int().min(-1));

export const stepEvents = {
  StepStarted: {
    version: 1,
    about: 'The intent: a worker is about to perform a step. On disk before the effect.',
    schema: z.object({
      step: stepSchema,
      attempt: z.int().min(1),
      /** Name and incarnation of the worker: `<name>#<random per process>`. */
      worker: z.string().max(200),
      leaseUntil: instantSchema,
      /** Streams read for the decision, with their revisions. */
      view: viewRevisionsSchema,
      /** After an earlier attempt the back end is observed before anything is repeated. */
      observesFirst: z.boolean(),
    }),
  },
  StepFailed: {
    version: 1,
    about: 'An attempt ended without its outcome; `performed` says whether the effect may have happened.',
    schema: z.object({
      step: stepSchema,
      attempt: z.int().min(1),
      performed: z.enum(['no', 'unknown']),
      errorClass: z.enum([
        'transient',
        'auth',
        'config',
        'quota',
        'not-found',
        'unknown',
        'fenced',
        'view-moved',
        /** Observed: it did not happen, and is not to be repeated. */
        'not-done',
        /** A verification found the opposite of what it should. */
        'refuted',
      ]),
      reason: lineSchema,
    }),
  },
} as const satisfies EventDefinitions;

export type NewStepEvent = NewEventOf<typeof stepEvents>;
export type StepEvent = RecordedEventOf<typeof stepEvents>;

export const stepReferenceSchema = z.object({
  /** The attempt whose outcome this is: the id of its `StepStarted`. */
  attemptId: uuidSchema.optional(),
  /** `answer`: the back end answered this attempt. `observation`: found done when it was observed. */
  settledBy: z.enum(['answer', 'observation']).optional(),
  /** When the effect was durable there, by the back end's own clock. */
  backEndAt: instantSchema.optional(),
});
