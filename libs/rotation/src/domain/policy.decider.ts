import { DomainError, formatInstant, parseInstant, type Decider } from '#eventlog';
import { requireNone, termsProblems } from './cadence.js';
import type {
  NewPolicyEvent,
  PlannedStrategy,
  PolicyDetails,
  PolicyEvent,
  PolicySelector,
  PolicyTerms,
} from './policy.events.js';
import type { FamilyDetails } from './family.events.js';

export interface PolicyState {
  readonly exists: boolean;
  readonly policyId: string;
  readonly details?: PolicyDetails;
  /** Who wrote what waits for approval, or what is in force. */
  readonly author?: string;
  /** Revision of the definition or amendment that `details` is. */
  readonly revision: number;
  /** Since when `details` binds: the later of its approval and its effective-from. Absent: waits for approval. */
  readonly boundSince?: number;
  /** What was approved before the amendment `details` is, oldest first: it binds until that one does. */
  readonly before: readonly {
    readonly details: PolicyDetails;
    readonly revision: number;
    readonly boundSince: number;
  }[];
  readonly standing?: readonly StandingApproval[];
  readonly retired: boolean;
}

/** Planned rotations approved in advance, by a typed approver. */
export interface StandingApproval {
  readonly approval: string;
  /** Of the definition or amendment it was given for. */
  readonly revision: number;
  readonly until: number;
  readonly reason: string;
  readonly strategies: readonly PlannedStrategy[];
  readonly grantedBy: string;
  readonly grantedAt: number;
  readonly revokedAt?: number;
}

export const initialPolicy: PolicyState = {
  exists: false,
  policyId: '',
  revision: -1,
  before: [],
  retired: false,
};

export type PolicyCommand =
  | { readonly type: 'DefinePolicy'; readonly details: PolicyDetails; readonly now: number }
  | { readonly type: 'AmendPolicy'; readonly details: Omit<PolicyDetails, 'selector'>; readonly now: number }
  | {
      readonly type: 'ApprovePolicy';
      readonly subject: string;
      /** The definition or amendment that was read. May be left out only where the policy was never amended. */
      readonly revision?: number;
      readonly note?: string;
    }
  | {
      readonly type: 'GrantStandingApproval';
      readonly approval: string;
      readonly subject: string;
      readonly until: string;
      readonly reason: string;
      readonly strategies: readonly PlannedStrategy[];
      readonly now: number;
    }
  | { readonly type: 'RevokeStandingApproval'; readonly approval: string; readonly reason: string }
  | { readonly type: 'RetirePolicy'; readonly reason: string };

/** How far a policy's effective-from may lie before its recording: a request takes a moment to arrive. */
const EFFECTIVE_TOLERANCE = 60_000;

function notBeforeRecorded(effectiveFrom: string, now: number): void {
  if ((parseInstant(effectiveFrom) ?? 0) < now - EFFECTIVE_TOLERANCE) {
    throw new DomainError(
      'policy.effective-too-early',
      'a policy is never effective before it was recorded',
      {
        field: 'effectiveFrom',
      },
    );
  }
}

function active(state: PolicyState): void {
  if (!state.exists) throw new DomainError('policy.not-found', 'there is no such policy');
  if (state.retired) throw new DomainError('policy.retired', 'this policy was retired');
}

/** Days by name: `YYYY-MM-DD` sorts as it counts. */
function reviewedBeforeNext({ reviewedOn, nextReview }: PolicyDetails['basis']): void {
  if (nextReview > reviewedOn) return;
  throw new DomainError(
    'policy.review-not-later',
    `the next review (${nextReview}) must be later than the day it was reviewed on (${reviewedOn})`,
    { field: 'basis.nextReview' },
  );
}

/** Both were parsed by one schema, so their properties stand in one order. */
function sameDetails(left: Omit<PolicyDetails, 'selector'>, right: PolicyDetails): boolean {
  const { selector: _selector, ...rest } = right;
  return JSON.stringify(left) === JSON.stringify(rest);
}

/** An amendment may arrive between reading and approving: whoever approves names what was read. */
function requireRead(revision: number | undefined, state: PolicyState): void {
  if (revision === undefined && state.revision > 0) {
    throw new DomainError(
      'policy.revision-missing',
      `this policy was amended: name the revision you read (it is ${state.revision} now), or send If-Match`,
      { field: 'revision', revision: state.revision },
    );
  }
  if (revision !== undefined && revision !== state.revision) {
    throw new DomainError(
      'policy.other-revision',
      `what waits for approval is revision ${state.revision}, not ${revision}: read it again`,
      { field: 'revision', revision: state.revision },
    );
  }
}

/** A standing approval is looked at again within a year. */
const LONGEST_STANDING_MS = 366 * 86_400_000;

function grant(
  command: PolicyCommand & { readonly type: 'GrantStandingApproval' },
  state: PolicyState,
): readonly NewPolicyEvent[] {
  const { approval, subject, until, reason, strategies, now } = command;
  if (state.standing?.some((known) => known.approval === approval) === true) return [];
  active(state);
  const { details } = state;
  if (details === undefined || state.boundSince === undefined) {
    throw new DomainError(
      'standing.policy-not-approved',
      'this policy waits for approval itself: nothing can be approved under it in advance',
    );
  }
  if (state.author === subject) {
    throw new DomainError(
      'standing.own-policy',
      'who wrote a policy does not also approve in advance what it asks approval for',
    );
  }
  const ends = parseInstant(until) ?? 0;
  const refuse = (code: string, detail: string): never => {
    throw new DomainError(code, detail, { field: 'until' });
  };
  if (ends <= now) {
    refuse(
      'standing.past-its-end',
      `this standing approval would be past its end already (${until}): until is later than now (${formatInstant(now)})`,
    );
  }
  if (ends > now + LONGEST_STANDING_MS) {
    refuse(
      'standing.too-long',
      `a standing approval is given for at most a year: until ${formatInstant(now + LONGEST_STANDING_MS)}`,
    );
  }
  const review = (parseInstant(`${details.basis.nextReview}T00:00:00.000Z`) ?? 0) + 86_400_000;
  if (ends > review) {
    refuse(
      'standing.beyond-review',
      `the policy is reviewed on ${details.basis.nextReview}: a standing approval ends then at the latest`,
    );
  }
  return [
    {
      type: 'StandingApprovalGranted',
      data: { approval, revision: state.revision, until, reason, strategies: [...new Set(strategies)] },
    },
  ];
}

/**
 * The standing approval that covers a rotation somebody asks for now: of the revision that binds, not past its end, not
 * granted by who asks (separation of duties compares subjects).
 */
export function standingFor(
  state: PolicyState,
  bound: Pick<BoundPolicy, 'revision'>,
  strategy: string,
  requestedBy: string,
  now: number,
): StandingApproval | undefined {
  return (state.standing ?? [])
    .filter(
      (each) =>
        each.revokedAt === undefined &&
        now < each.until &&
        each.revision === bound.revision &&
        each.grantedBy !== requestedBy &&
        each.strategies.some((covered) => covered === strategy),
    )
    .sort((left, right) => right.until - left.until)[0];
}

function decide(command: PolicyCommand, state: PolicyState): readonly NewPolicyEvent[] {
  switch (command.type) {
    case 'DefinePolicy':
      if (state.exists) return [];
      notBeforeRecorded(command.details.effectiveFrom, command.now);
      reviewedBeforeNext(command.details.basis);
      requireNone(termsProblems(command.details.terms), ['terms']);
      return [{ type: 'PolicyDefined', data: command.details }];
    case 'AmendPolicy':
      active(state);
      if (state.details !== undefined && sameDetails(command.details, state.details)) return [];
      notBeforeRecorded(command.details.effectiveFrom, command.now);
      reviewedBeforeNext(command.details.basis);
      requireNone(termsProblems(command.details.terms), ['terms']);
      return [{ type: 'PolicyAmended', data: command.details }];
    case 'ApprovePolicy':
      active(state);
      if (state.boundSince !== undefined) return [];
      if (state.author === command.subject) {
        throw new DomainError(
          'policy.own-approval',
          'a policy is approved by somebody other than its author',
        );
      }
      requireRead(command.revision, state);
      return [
        {
          type: 'PolicyApproved',
          data: { revision: state.revision, ...(command.note === undefined ? {} : { note: command.note }) },
        },
      ];
    case 'GrantStandingApproval':
      return grant(command, state);
    case 'RevokeStandingApproval': {
      const known = state.standing?.find(({ approval }) => approval === command.approval);
      if (known === undefined) {
        throw new DomainError('standing.not-found', 'this policy has no such standing approval');
      }
      return known.revokedAt === undefined
        ? [
            {
              type: 'StandingApprovalRevoked',
              data: { approval: command.approval, reason: command.reason },
            },
          ]
        : [];
    }
    case 'RetirePolicy':
      if (state.retired) return [];
      active(state);
      return [{ type: 'PolicyRetired', data: { reason: command.reason } }];
  }
}

function evolve(state: PolicyState, event: PolicyEvent): PolicyState {
  switch (event.type) {
    case 'PolicyDefined':
      return {
        ...state,
        exists: true,
        policyId: event.stream.slice('policy-'.length),
        details: event.data,
        author: event.actor,
        revision: event.revision,
      };
    case 'PolicyAmended': {
      if (state.details === undefined) return state;
      const { boundSince, ...rest } = state;
      const { details, revision } = state;
      return {
        ...rest,
        details: { ...event.data, selector: state.details.selector },
        author: event.actor,
        revision: event.revision,
        before:
          boundSince === undefined ? state.before : [...state.before, { details, revision, boundSince }],
      };
    }
    case 'PolicyApproved':
      return {
        ...state,
        boundSince: Math.max(
          event.recordedAt,
          parseInstant(state.details?.effectiveFrom ?? '') ?? event.recordedAt,
        ),
      };
    case 'StandingApprovalGranted': {
      const { approval, revision, until, reason, strategies } = event.data;
      const granted: StandingApproval = {
        approval,
        revision,
        until: parseInstant(until) ?? event.recordedAt,
        reason,
        strategies,
        grantedBy: event.actor,
        grantedAt: event.recordedAt,
      };
      return { ...state, standing: [...(state.standing ?? []), granted] };
    }
    case 'StandingApprovalRevoked':
      return {
        ...state,
        standing: (state.standing ?? []).map((each) =>
          each.approval === event.data.approval && each.revokedAt === undefined
            ? { ...each, revokedAt: event.recordedAt }
            : each,
        ),
      };
    case 'PolicyRetired':
      return { ...state, retired: true };
  }
}

export const policyDecider: Decider<PolicyCommand, PolicyState, NewPolicyEvent, PolicyEvent> = {
  initialState: initialPolicy,
  decide,
  evolve,
};

export interface BoundPolicy {
  readonly policyId: string;
  readonly revision: number;
  readonly name: string;
  readonly selector: PolicySelector;
  readonly terms: PolicyTerms;
}

/** What of this policy binds at an instant, if anything. */
export function boundAt(state: PolicyState, now: number): BoundPolicy | undefined {
  if (!state.exists || state.retired || state.details === undefined) return undefined;
  const current =
    state.boundSince !== undefined && state.boundSince <= now
      ? { details: state.details, revision: state.revision }
      : state.before.findLast((earlier) => earlier.boundSince <= now);
  if (current === undefined) return undefined;
  return {
    policyId: state.policyId,
    revision: current.revision,
    name: current.details.name,
    selector: current.details.selector,
    terms: current.details.terms,
  };
}

/**
 * Protection is compared first, then kind, then environment; a named value beats an unnamed one (contracts, Policies).
 * Two policies with the same selector cannot exist: the claim refuses the second.
 */
export function selectPolicy(
  policies: readonly BoundPolicy[],
  family: Pick<FamilyDetails, 'protects' | 'kind' | 'environment'>,
): BoundPolicy | undefined {
  const weight = (selector: PolicySelector): number =>
    (selector.protection === undefined ? 0 : 4) +
    (selector.kind === undefined ? 0 : 2) +
    (selector.environment === undefined ? 0 : 1);
  return policies
    .filter(
      ({ selector }) =>
        (selector.protection ?? family.protects) === family.protects &&
        (selector.kind ?? family.kind) === family.kind &&
        (selector.environment ?? family.environment) === family.environment,
    )
    .sort((left, right) => weight(right.selector) - weight(left.selector))[0];
}
