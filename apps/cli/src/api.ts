import { z } from 'zod';

/**
 * What is read of the service's answers. Loose: what a newer service adds passes through to `--json`; what is missing is
 * said at once, and not in the middle of a table.
 */

const familyRef = z.looseObject({ id: z.string(), qualifiedName: z.string() });

const windowSchema = z.looseObject({
  required: z.string(),
  binding: z.string(),
  endsAt: z.string().nullable(),
});

export const rotationSchema = z.looseObject({
  id: z.string(),
  family: familyRef,
  strategy: z.string(),
  trigger: z.string(),
  reason: z.string(),
  requestedAt: z.string().nullable(),
  phase: z.string(),
  ended: z.boolean(),
  imported: z.boolean(),
  illustrative: z.boolean(),
  paused: z.boolean(),
  suspended: z.looseObject({ code: z.string(), reason: z.string(), person: z.string() }).nullable(),
  waitsFor: z.string().nullable(),
  wakeAt: z.string().nullable(),
  approvals: z.looseObject({ required: z.number(), by: z.array(z.string()) }),
  incoming: z.string().nullable(),
  outgoing: z.array(z.string()),
  confirmations: z.array(
    z.looseObject({
      kind: z.string(),
      consumer: z.string(),
      version: z.string().nullable(),
      confirmed: z.number(),
      of: z.number(),
      missing: z.boolean(),
    }),
  ),
  windows: z.looseObject({ accept: windowSchema, drain: windowSchema }).nullable(),
  emergency: z
    .looseObject({
      compromisedVersions: z.array(z.string()),
      discoveredAt: z.string(),
      approvalDueAt: z.string(),
      reviewDueAt: z.string(),
      approved: z.boolean(),
      refused: z.looseObject({ by: z.string(), at: z.string(), reason: z.string() }).nullable().optional(),
      reviewed: z.boolean(),
    })
    .nullable(),
  trustEndsAt: z.string().nullable(),
  /** Of emission: how much of it the new version has. */
  emittingShare: z.number().nullish(),
  plan: z
    .looseObject({ cohorts: z.array(z.looseObject({ share: z.number(), hold: z.string() })).optional() })
    .nullish(),
  exceptions: z.array(z.string()),
  next: z.array(z.string()),
});
export type Rotation = z.output<typeof rotationSchema>;

export const missedSchema = z.looseObject({
  id: z.string(),
  kind: z.string(),
  family: z.looseObject({ id: z.string(), qualifiedName: z.string() }).nullable(),
  rotation: z.string().nullable(),
  policy: z.looseObject({ id: z.string(), name: z.string() }).nullable(),
  what: z.string(),
  due: z.string(),
  settled: z.looseObject({ at: z.string(), how: z.string(), by: z.string() }).nullable(),
});

export const familySchema = z.looseObject({
  id: z.string(),
  qualifiedName: z.string(),
  environment: z.string(),
  name: z.string(),
  description: z.string().nullable(),
  kind: z.string(),
  protects: z.string(),
  mode: z.string(),
  overlap: z.string(),
  owner: z.looseObject({
    role: z.string(),
    deputy: z.string().optional(),
    escalation: z.string().optional(),
  }),
  team: z.string(),
  backEnd: z.looseObject({ instance: z.string(), object: z.string() }).nullable(),
  illustrative: z.boolean(),
  consumers: z.array(
    z.looseObject({
      id: z.string(),
      name: z.string(),
      roles: z.array(z.string()),
      cacheTtl: z.string().nullable(),
      neverRefreshes: z.boolean(),
      thirdParty: z.boolean(),
      instances: z.number(),
    }),
  ),
  versions: z.array(
    z.looseObject({
      versionId: z.string(),
      algorithm: z.string().optional(),
      createdAt: z.string().optional(),
      accepted: z.boolean(),
      emittingShare: z.number().optional(),
      compromised: z.boolean(),
      destroyed: z.boolean(),
      contained: z.boolean().optional(),
    }),
  ),
  custodians: z
    .array(
      z.looseObject({
        subject: z.string(),
        knows: z.string().optional(),
        acknowledgedAt: z.string().nullish(),
        leftAt: z.string().nullish(),
        settledBy: z.string().nullish(),
      }),
    )
    .optional(),
  current: z.string().nullable(),
  runningRotation: z.string().nullable(),
  coverageStart: z.string().nullable(),
  drift: z
    .looseObject({
      id: z.string(),
      observedAt: z.string(),
      differences: z.array(z.string()),
      more: z.number(),
    })
    .nullable()
    .optional(),
  registrationOwed: z
    .looseObject({ due: z.string(), missing: z.array(z.string()) })
    .nullable()
    .optional(),
  deviations: z
    .array(
      z.looseObject({
        id: z.string(),
        departs: z.looseObject({}),
        reason: z.string(),
        until: z.string(),
        approvedBy: z.string().nullable(),
      }),
    )
    .optional(),
  revision: z.number(),
});
export type Family = z.output<typeof familySchema>;

export const policySchema = z.looseObject({
  id: z.string(),
  name: z.string(),
  selector: z.looseObject({
    protection: z.string().optional(),
    kind: z.string().optional(),
    environment: z.string().optional(),
  }),
  status: z.string(),
  author: z.string(),
  boundSince: z.string().nullable(),
  /** Of what waits for approval, or binds: what an approver names. */
  termsRevision: z.number().optional(),
  standing: z
    .array(
      z.looseObject({
        approval: z.string(),
        status: z.string(),
        strategies: z.array(z.string()),
        until: z.string(),
        reason: z.string(),
      }),
    )
    .optional(),
  details: z.looseObject({
    terms: z.looseObject({ stopEmitting: z.string(), stopAccepting: z.string(), approvals: z.number() }),
  }),
});
export type Policy = z.output<typeof policySchema>;

const datesShape = {
  acceptEndsAt: z.string().nullish(),
  earliestEmit: z.string().nullish(),
  earliestRevoke: z.string().nullish(),
  earliestCompleted: z.string().nullish(),
  steps: z.array(z.looseObject({ step: z.string(), earliest: z.string().nullable() })).optional(),
};

export const previewSchema = z.looseObject({
  plan: z.looseObject({
    incoming: z.string().optional(),
    outgoing: z.array(z.string()),
    approvals: z.number(),
    windows: z
      .looseObject({
        accept: z.looseObject({ required: z.string(), binding: z.string() }),
        drain: z.looseObject({ required: z.string(), binding: z.string() }),
      })
      .optional(),
    outage: z.looseObject({ predicted: z.string(), binding: z.string() }).optional(),
    cohorts: z.array(z.looseObject({ share: z.number(), hold: z.string() })).optional(),
    policy: z.looseObject({ name: z.string() }).optional(),
    trustTerm: z.string().optional(),
    exceptions: z.array(z.string()),
  }),
  request: z.looseObject({
    emergency: z.looseObject({ compromisedVersions: z.array(z.string()), contain: z.boolean() }).optional(),
  }),
  whoBreaks: z.array(z.string()),
  holds: z
    .array(z.looseObject({ what: z.string(), reason: z.string().nullish(), until: z.string().nullish() }))
    .optional(),
  supersedes: z.string().optional(),
  dates: z.looseObject(datesShape).optional(),
  ...datesShape,
});
export type Preview = z.output<typeof previewSchema>;

export const timelineSchema = z.looseObject({
  entries: z.array(
    z.looseObject({
      /** What a correction names. */
      eventId: z.string(),
      treeSize: z.number(),
      type: z.string(),
      at: z.string(),
      recordedAt: z.string(),
      instantNotRecorded: z.boolean(),
      title: z.string(),
      detail: z.string(),
      actorName: z.string(),
      doneBy: z.string().optional(),
      provenance: z.string(),
      kind: z.string(),
      minor: z.boolean().optional(),
    }),
  ),
  targets: z.array(
    z.looseObject({
      name: z.string(),
      within: z.union([z.string(), z.number()]),
      actualAt: z.union([z.string(), z.number()]).nullish(),
      verdict: z.string(),
    }),
  ),
  known: z.number().nullish(),
  treeSize: z.number(),
});
export type Timeline = z.output<typeof timelineSchema>;
export type TimelineLine = Timeline['entries'][number];

/** A line of the timeline of everything: it says whose it is. */
export const followedSchema = timelineSchema.shape.entries.element.extend({
  rotation: z.string().nullish(),
  family: familyRef.optional(),
});
export type FollowedLine = z.output<typeof followedSchema>;

/** Why a stream ended. */
export const streamEndSchema = z.looseObject({ code: z.string(), detail: z.string() });

export const dueSchema = z.looseObject({
  kind: z.string().optional(),
  /** Of something that is owed: what tells it from others of its kind. */
  key: z.string().optional(),
  rotation: z.string().nullish(),
  /** `null`: owed for a policy, which is no one family's. */
  family: familyRef.nullable(),
  policy: z.looseObject({ name: z.string() }).nullish(),
  illustrative: z.boolean().optional(),
  status: z.string(),
  due: z.string().nullish(),
  since: z.string().nullish(),
  overdueDays: z.number().nullish(),
  basis: z.string().nullish(),
  provenance: z.string().nullish(),
  what: z.string(),
});
export type Due = z.output<typeof dueSchema>;

export const containmentSchema = z.looseObject({
  id: z.string(),
  family: z.string(),
  status: z.string(),
  versions: z.array(z.string()),
  trustEndsAt: z.string().nullable(),
  suspendedFor: z.string().nullable(),
  waitsFor: z.string().nullish(),
});
export type Containment = z.output<typeof containmentSchema>;

export const destructionSchema = z.looseObject({
  id: z.string(),
  family: z.string(),
  status: z.string(),
  versions: z.array(z.string()),
  notBefore: z.string().nullable(),
  suspendedFor: z.string().nullable(),
  waitsFor: z.string().nullable(),
});
export type Destruction = z.output<typeof destructionSchema>;

export const tokenSchema = z.looseObject({
  id: z.string(),
  subject: z.string(),
  name: z.string().optional(),
  label: z.string(),
  roles: z.array(z.string()),
  status: z.string(),
  expiresAt: z.string().nullish(),
  /** There once, in the answer that made it. */
  token: z.string().optional(),
});

export const freezeSchema = z.looseObject({
  id: z.string(),
  name: z.string(),
  reason: z.string(),
  status: z.string(),
  from: z.string(),
  until: z.string().nullable(),
  liftedAt: z.string().nullish(),
  scope: z.looseObject({
    environments: z.array(z.string()).optional(),
    teams: z.array(z.string()).optional(),
    kinds: z.array(z.string()).optional(),
    families: z.array(z.string()).optional(),
  }),
});
export type Freeze = z.output<typeof freezeSchema>;

export const holdsSchema = z.looseObject({
  open: z.array(
    z.looseObject({
      hold: z.string(),
      reason: z.string(),
      since: z.string(),
      holds: z.string(),
      next: z.string(),
    }),
  ),
  freezes: z.array(freezeSchema),
});
export type Holds = z.output<typeof holdsSchema>;

export const progressSchema = z.looseObject({
  done: z.number().optional(),
  total: z.number().optional(),
  finished: z.boolean().optional(),
  /** Said in the stream: the status line had left already. */
  error: z.string().optional(),
});
