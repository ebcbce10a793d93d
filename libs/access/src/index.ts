export { authenticate, type Authentication, type Unauthenticated } from './application/authenticate.js';
export {
  BOOTSTRAP_LIFETIME_MS,
  BOOTSTRAP_ROLES,
  ExchangeBootstrap,
  OpenBootstrap,
  type ExchangeCommand,
  type OneTimeSignIn,
} from './application/bootstrap.js';
export { IssueToken, type IssuedToken, type IssueTokenCommand } from './application/issue-token.js';
export { RecordLogRead, type LogRead } from './application/record-log-read.js';
export { RevokeToken, type RevokeTokenCommand } from './application/revoke-token.js';
export type { SubjectEntry, TokenDirectory, TokenEntry } from './application/token-directory.js';
export {
  accessEvents,
  displayNameSchema,
  subjectIdSchema,
  subjectKindSchema,
  type AccessEvent,
  type NewAccessEvent,
  type SubjectKind,
} from './domain/access.events.js';
export {
  allows,
  covers,
  PERMISSIONS,
  permissionsOf,
  PERMISSIONS_OF,
  ROLES,
  roleSchema,
  scopeSchema,
  UNLIMITED,
  UNSCOPED_PERMISSIONS,
  type Permission,
  type Principal,
  type Role,
  type Scope,
  type Target,
} from './domain/permissions.js';
export { accessProjection, isAccessEvent, tokenDirectory } from './infrastructure/access.projection.js';
export { RememberedTokens } from './infrastructure/remembered-tokens.js';
