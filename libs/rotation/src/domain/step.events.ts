import { z } from 'zod';
import type { EventDefinitions, NewEventOf, RecordedEventOf } from '#eventlog';
import { instantSchema } from '#eventlog';
import { widened } from './upcasts.js';
import { lineSchema, uuidSchema } from './vocabulary.js';

/** Everything the saga performs, in the stream of a rotation, a containment or a destruction. The step table says what each is. */
export const STEPS = [
  'generate',
  'accept',
  'emit',
  'revoke',
  'verify',
  'return',
  'withdraw',
  'contain',
  /** Re-accept a revoked version, on the way back. */
  'reaccept',
  /** Without overlap: the new version in and the old one out, in one change; and the same change back. */
  'cutover',
  'cutback',
  /** Processes of their own: a containment taken back, key material deleted for good. */
  'lift',
  'destroy',
] as const;
export type StepName = (typeof STEPS)[number];
export const stepSchema = z.enum(STEPS);

/** The revisions a decision was made on; the runner reads them again between intent and effect. */
export const viewRevisionsSchema = z.record(z.string(), z.int().min(-1));

export const stepEvents = {
  StepStarted: {
    version: 2,
    upcast: { 1: widened },
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
      /** Rules that hold others and not this: an emergency, or a way back, names what it passed. */
      passed: z.array(lineSchema).max(20).optional(),
      /** Which part of a step that comes in parts: the share a cohort brings emission to. */
      share: z.int().min(1).max(100).optional(),
    }),
  },
  StepFailed: {
    version: 2,
    upcast: { 1: widened },
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
