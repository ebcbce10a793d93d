import { z } from 'zod';

/**
 * Who may do what: one closed table. What is not written here is refused, also for `admin`: whoever configures
 * Keyturn does not thereby approve, operate or read the log. A person who does several of these has several roles.
 */

export const ROLES = ['viewer', 'auditor', 'operator', 'approver', 'responder', 'admin', 'agent'] as const;
export const roleSchema = z.enum(ROLES);
export type Role = z.output<typeof roleSchema>;

export const PERMISSIONS = [
  'family:read',
  'family:write',
  'rotation:read',
  'rotation:request',
  'rotation:approve',
  /** Pause, resume, roll back, abandon, retry, override, attest. */
  'rotation:operate',
  'rotation:confirm',
  'emergency:declare',
  /** Deny versions, clear a suspicion, lift a containment. */
  'containment:apply',
  /** Declare and lift freezes: rotations stand still, or go on as they would have. */
  'freeze:write',
  /** Say that what holds every rotation (the clock, a finding of the log, a restore) was looked into: they go on. */
  'hold:confirm',
  'destruction:request',
  'destruction:approve',
  'policy:read',
  'policy:write',
  'policy:approve',
  'import:run',
  'token:admin',
  'log:read',
  'schedule:read',
  'evidence:read',
  /** Counts and times over everything, without a name. */
  'metrics:read',
  'readmodel:rebuild',
] as const;
export type Permission = (typeof PERMISSIONS)[number];

const LOOK = ['family:read', 'rotation:read', 'policy:read', 'schedule:read', 'metrics:read'] as const;

/** Role × permission. */
export const PERMISSIONS_OF: Readonly<Record<Role, readonly Permission[]>> = {
  /** Looks at families, rotations, policies and what is due. */
  viewer: LOOK,
  /** Reads everything, the log and the evidence too, and changes nothing. */
  auditor: [...LOOK, 'log:read', 'evidence:read'],
  /** Runs planned rotations, and declares what there is to rotate. */
  operator: [
    ...LOOK,
    'family:write',
    'rotation:request',
    'rotation:operate',
    'rotation:confirm',
    'freeze:write',
    'hold:confirm',
    'destruction:request',
    'import:run',
  ],
  /** Says yes or no. Separation of duties compares subjects, so a role never helps someone to approve a request of their own. */
  approver: [...LOOK, 'rotation:approve', 'destruction:approve', 'policy:approve'],
  /** Works at 2 a.m.: declares, contains and sees it through; asks nobody first. */
  responder: [
    ...LOOK,
    'emergency:declare',
    'containment:apply',
    'rotation:operate',
    'rotation:confirm',
    'freeze:write',
    'hold:confirm',
  ],
  /** Configures: families, policies, imports, tokens. */
  admin: [...LOOK, 'family:write', 'policy:write', 'import:run', 'token:admin', 'readmodel:rebuild'],
  /** A consumer's own workload: says that it has switched, sees the rotations it switches for, and nothing else. */
  agent: ['rotation:read', 'rotation:confirm'],
};

/** What reaches over every environment and team: a token with a narrower scope does not have it. */
export const UNSCOPED_PERMISSIONS: readonly Permission[] = [
  'hold:confirm',
  'log:read',
  'metrics:read',
  'readmodel:rebuild',
];

const names = z
  .array(z.string().trim().min(1).max(120))
  .min(1, { message: 'must name at least one, or be "all"' })
  .max(100);

/** Where a token counts; both must hold. */
export const scopeSchema = z.strictObject({
  environments: z.union([z.literal('all'), names]),
  teams: z.union([z.literal('all'), names]),
});
export type Scope = z.output<typeof scopeSchema>;

export const UNLIMITED: Scope = { environments: 'all', teams: 'all' };

/** Whoever a request comes from: a token, and the subject it stands for. */
export interface Principal {
  /** Person or workload; what separation of duties compares. */
  readonly subject: string;
  readonly name: string;
  readonly tokenId: string;
  readonly roles: readonly Role[];
  readonly scope: Scope;
}

/** What a permission is used on. A part that is left out is not looked at. */
export interface Target {
  readonly environment?: string;
  readonly team?: string;
}

export function permissionsOf(roles: readonly Role[]): readonly Permission[] {
  return PERMISSIONS.filter((permission) => roles.some((role) => PERMISSIONS_OF[role].includes(permission)));
}

/**
 * Whether a principal may. Without a target only the roles are asked: whoever knows the target MUST ask again with it
 * (`everything`: what belongs to no environment and no team, such as a policy for all).
 */
export function allows(
  principal: Pick<Principal, 'roles' | 'scope'>,
  permission: Permission,
  target?: Target | 'everything',
): boolean {
  const { roles, scope } = principal;
  if (!roles.some((role) => PERMISSIONS_OF[role].includes(permission))) return false;
  if (target === 'everything' || UNSCOPED_PERMISSIONS.includes(permission)) {
    return scope.environments === 'all' && scope.teams === 'all';
  }
  if (target === undefined) return true;
  return holds(scope.environments, target.environment) && holds(scope.teams, target.team);
}

/** Whether one scope reaches at least as far as another: nobody gives away more than they have. */
export function covers(outer: Scope, inner: Scope): boolean {
  return isWithin(inner.environments, outer.environments) && isWithin(inner.teams, outer.teams);
}

type Names = Scope['environments'];

function holds(names: Names, name: string | undefined): boolean {
  return names === 'all' || name === undefined || names.includes(name);
}

function isWithin(inner: Names, outer: Names): boolean {
  return outer === 'all' || (inner !== 'all' && inner.every((name) => outer.includes(name)));
}
