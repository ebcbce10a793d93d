import { boundAt, selectPolicy, type BoundPolicy, type PolicyState } from '../domain/policy.decider.js';
import type { FamilyDetails } from '../domain/family.events.js';
import type { Ledger } from './ledger.js';
import type { PolicyDirectory } from './policy-directory.js';

/** The policy that binds a family at an instant, read from the streams: what binds, and all that is known of that policy. */
export async function boundPolicy(
  ledger: Ledger,
  policies: PolicyDirectory,
  details: Pick<FamilyDetails, 'protects' | 'kind' | 'environment'>,
  now: number,
): Promise<{ readonly bound: BoundPolicy; readonly state: PolicyState } | undefined> {
  const states = await Promise.all((await policies.policyIds()).map((id) => ledger.policy(id)));
  const bound = selectPolicy(
    states.flatMap(({ state }) => boundAt(state, now) ?? []),
    details,
  );
  const policy = states.find(({ state }) => state.policyId === bound?.policyId)?.state;
  return bound === undefined || policy === undefined ? undefined : { bound, state: policy };
}
