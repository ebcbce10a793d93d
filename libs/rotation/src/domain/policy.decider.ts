import { DomainError, parseInstant, type Decider } from '#eventlog';
import type {
  NewPolicyEvent,
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
  readonly retired: boolean;
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
  | { readonly type: 'ApprovePolicy'; readonly subject: string; readonly note?: string }
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

/** Both were parsed by one schema, so their properties stand in one order. */
function sameDetails(left: Omit<PolicyDetails, 'selector'>, right: PolicyDetails): boolean {
  const { selector: _selector, ...rest } = right;
  return JSON.stringify(left) === JSON.stringify(rest);
}

function decide(command: PolicyCommand, state: PolicyState): readonly NewPolicyEvent[] {
  switch (command.type) {
    case 'DefinePolicy':
      if (state.exists) return [];
      notBeforeRecorded(command.details.effectiveFrom, command.now);
      return [{ type: 'PolicyDefined', data: command.details }];
    case 'AmendPolicy':
      active(state);
      if (state.details !== undefined && sameDetails(command.details, state.details)) return [];
      notBeforeRecorded(command.details.effectiveFrom, command.now);
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
      return [
        {
          type: 'PolicyApproved',
          data: { revision: state.revision, ...(command.note === undefined ? {} : { note: command.note }) },
        },
      ];
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
