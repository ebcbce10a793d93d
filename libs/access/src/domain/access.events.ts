import { z } from 'zod';
import { instantSchema, type EventDefinitions, type NewEventOf, type RecordedEventOf } from '#eventlog';
import { roleSchema, scopeSchema } from './permissions.js';

const SUBJECT_KINDS = ['person', 'workload'] as const;
export const subjectKindSchema = z.enum(SUBJECT_KINDS);
export type SubjectKind = z.output<typeof subjectKindSchema>;

/** One line, shown to people. */
export const displayNameSchema = z
  .string()
  .trim()
  .min(1)
  .max(120)
  .regex(/^[^\p{Cc}]*$/u, { message: 'must be one line without control characters' });

/** A subject's id, as it stands in `actor`. */
export const subjectIdSchema = z
  .string()
  .regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/, {
    message: 'must be a lower-case UUID',
  });

const tokenHashSchema = z
  .string()
  .regex(/^[0-9a-f]{64}$/, { message: 'must be a SHA-256 in lower-case hex' });

export const REVOCATION_REASONS = ['used', 'replaced', 'revoked'] as const;

/** Streams: `subject-<uuid>`, `token-<uuid>`, `audit-<uuid>` (derived, one per actor, query and hour). */
export const accessEvents = {
  SubjectRegistered: {
    version: 1,
    about: 'A person or workload is known from now on. Names stand here and in SubjectRenamed only.',
    schema: z.object({ name: displayNameSchema, kind: subjectKindSchema }),
  },
  SubjectRenamed: {
    version: 1,
    about: 'A subject goes by another name.',
    schema: z.object({ name: displayNameSchema }),
  },
  AccessTokenIssued: {
    version: 1,
    about: 'A token was given to a subject. Only its SHA-256 is kept.',
    schema: z.object({
      /** `system` for a one-time sign-in, which belongs to nobody yet. */
      subject: z.union([subjectIdSchema, z.literal('system')]),
      tokenHash: tokenHashSchema,
      roles: z.array(roleSchema).min(1),
      scope: scopeSchema,
      label: displayNameSchema,
      expiresAt: instantSchema.optional(),
      /** A one-time sign-in: opens no door, is exchanged once for a token with these roles. */
      bootstrap: z.boolean(),
    }),
  },
  AccessTokenRevoked: {
    version: 1,
    about: 'A token no longer opens anything.',
    schema: z.object({
      /** `used`: a one-time sign-in was exchanged; `replaced`: a newer one was printed. */
      cause: z.enum(REVOCATION_REASONS),
      reason: z.string().trim().min(1).max(500),
    }),
  },
  AuditLogRead: {
    version: 1,
    about: 'The log was read. Recorded once per actor, query and hour.',
    schema: z.object({ query: z.string().min(1).max(200), hour: instantSchema }),
  },
} as const satisfies EventDefinitions;

export type NewAccessEvent = NewEventOf<typeof accessEvents>;
export type AccessEvent = RecordedEventOf<typeof accessEvents>;
