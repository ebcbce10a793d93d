import { z } from 'zod';

/** The field's terms as closed lists (docs: design, Words). */

export const uuidSchema = z.string().regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/, {
  message: 'must be a lower-case UUID',
});

/** A `kid`, a Vault version, a label of an imported history. Never a value. */
export const versionIdSchema = z.string().trim().min(1).max(200);

export const nameSchema = z
  .string()
  .trim()
  .min(1)
  .max(120)
  .regex(/^[^\p{Cc}/]+$/u, { message: 'must not hold "/" or control characters' });

export const lineSchema = z
  .string()
  .trim()
  .min(1)
  .max(500)
  .regex(/^[^\p{Cc}]*$/u, { message: 'must be one line without control characters' });

export const textSchema = z.string().trim().min(1).max(8_000);

export const environmentSchema = z
  .string()
  .max(60)
  .regex(/^[a-z][a-z0-9-]*$/, { message: 'must be lower-case letters, digits and "-", such as production' });

export const FAMILY_KINDS = [
  'asymmetric-key',
  'shared-secret',
  'webhook-secret',
  'provider-key',
  'database-credential',
] as const;
export const familyKindSchema = z.enum(FAMILY_KINDS);

/** What a secret stands in front of: policies are selected by it first. */
export const PROTECTIONS = [
  'stored-account-data',
  'ephi',
  'pan-in-transit',
  'application-account',
  'other',
] as const;
export const protectionSchema = z.enum(PROTECTIONS);

export const USAGES = ['sign', 'mac', 'authenticate'] as const;
/** A key's, by its JOSE name; `password`: a version is no key, but what a login presents. */
export const algorithmSchema = z.enum(['RS256', 'ES256', 'EdDSA', 'HS256', 'password']);

/**
 * graceful: two full windows · rolling: emission moves cohort by cohort · emergency: rolls forward at once · rehearsal: a
 * planned one on a family that is not in production, never in a compliance population · cutover: without overlap, in a change
 * window, with its predicted outage.
 */
export const STRATEGIES = ['graceful', 'rolling', 'emergency', 'rehearsal', 'cutover'] as const;

/** What a rehearsal rehearses. */
export const REHEARSED = ['graceful', 'rolling'] as const;

export const TRIGGERS = [
  'scheduled',
  'compromise',
  'personnel-departure',
  'algorithm-weakened',
  'manual',
] as const;
export const triggerSchema = z.enum(TRIGGERS);

/** A version as the log knows it. What was not recorded is absent. */
export const versionSnapshotSchema = z.object({
  versionId: versionIdSchema,
  algorithm: z.string().max(40).optional(),
  strengthBits: z.int().positive().optional(),
  fingerprint: z.string().max(200).optional(),
  /** From `KeyGenerated` or the back end's own creation time: a key's age runs from here. */
  createdAt: z.string().optional(),
  accepted: z.boolean(),
  /** 0–100; absent where nobody recorded who emits. */
  emittingShare: z.int().min(0).max(100).optional(),
  compromised: z.boolean(),
  destroyed: z.boolean(),
});
export type VersionSnapshot = z.output<typeof versionSnapshotSchema>;

export const backEndRefSchema = z.object({
  /** Instance name: `local`, `vault.prod-eu`. */
  instance: z
    .string()
    .max(80)
    .regex(/^[a-z][a-z0-9.-]*$/, { message: 'must be a back-end name such as local or vault.prod-eu' }),
  /** Path inside the back end; belongs to exactly one family. */
  object: z
    .string()
    .max(200)
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*(\/[A-Za-z0-9][A-Za-z0-9._-]*)*$/, {
      message:
        'must be names of letters, digits, ".", "_" and "-" with slashes between them, each beginning with a letter or a digit, such as keys/session-jwt',
    }),
});
export type BackEndRef = z.output<typeof backEndRefSchema>;
