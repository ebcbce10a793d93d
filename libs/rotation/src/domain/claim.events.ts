import { z } from 'zod';
import type { EventDefinitions, NewEventOf, RecordedEventOf } from '#eventlog';
import { uuidSchema } from './vocabulary.js';

/** What must be unique is claimed in a stream of its own, at its exact revision, before the fact that uses it. */
export const CLAIM_KINDS = [
  'family-name',
  'consumer-name',
  'object',
  'policy-selector',
  'emitter-switch',
] as const;
export type ClaimKind = (typeof CLAIM_KINDS)[number];

export const claimEvents = {
  Claimed: {
    version: 1,
    about: 'Something that must be unique is taken.',
    schema: z.object({
      kind: z.enum(CLAIM_KINDS),
      /** The stream id of what the claim is for: the fact that uses it stands there. */
      by: z.string().max(100),
      /** For a consumer's name: the id this name stands for. */
      subject: uuidSchema.optional(),
    }),
  },
  Released: {
    version: 1,
    about: 'It is free again.',
    schema: z.object({ by: z.string().max(100), reason: z.string().max(200) }),
  },
} as const satisfies EventDefinitions;

export type NewClaimEvent = NewEventOf<typeof claimEvents>;
export type ClaimEvent = RecordedEventOf<typeof claimEvents>;

export interface ClaimState {
  readonly holder?: string;
  readonly subject?: string;
}

export const freeClaim: ClaimState = {};

export function evolveClaim(_state: ClaimState, event: ClaimEvent): ClaimState {
  switch (event.type) {
    case 'Claimed':
      return {
        holder: event.data.by,
        ...(event.data.subject === undefined ? {} : { subject: event.data.subject }),
      };
    case 'Released':
      return freeClaim;
  }
}
