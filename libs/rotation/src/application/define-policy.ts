import { DomainError } from '#eventlog';
import { canonicalText } from '#eventlog/kit';
import { derivedId, failpoint } from '#platform';
import { policyDecider, type PolicyCommand, type PolicyState } from '../domain/policy.decider.js';
import type { PlannedStrategy, PolicyDetails } from '../domain/policy.events.js';
import { claim, release } from './claims.js';
import { causeOf, isRepeat, type CommandContext, type Ledger } from './ledger.js';
import type { Placed } from './placed.js';
import { claimStream, policyStream } from './streams.js';

/** Writes a policy. Its selector is claimed first: only two policies with the same selector collide. */
export class DefinePolicy {
  constructor(
    readonly context: CommandContext,
    readonly details: PolicyDetails,
  ) {}
}

export class DefinePolicyHandler {
  constructor(private readonly ledger: Ledger) {}

  async execute({ context, details }: DefinePolicy): Promise<Placed> {
    const id = derivedId(this.ledger.logId, context.commandId);
    const stream = policyStream(id);
    const { history, state } = await this.ledger.policy(id);
    if (state.exists) return { id, stream, revision: history.revision, changed: false };
    const command = { type: 'DefinePolicy', details, now: this.ledger.store.clock.now() } as const;
    const events = policyDecider.decide(command, state);
    await claim(
      this.ledger,
      {
        kind: 'policy-selector',
        environment: '',
        value: canonicalText(details.selector),
        by: stream,
        refused: (holder) =>
          new DomainError(
            'policy.selector-taken',
            `another policy (${holder}) has the same selector: amend it, or name more or less in this one`,
            { field: 'selector', holder },
          ),
      },
      causeOf(context),
    );
    failpoint('seam:policy-claimed');
    const placed = await this.ledger.decideAndAppend(
      () => this.ledger.policy(id),
      (fresh) => (fresh.exists ? [] : events),
      () => causeOf(context),
    );
    return { id, stream, revision: placed.history.revision, changed: placed.events.length > 0 };
  }
}

/** Amends, approves or retires a policy, or grants and revokes standing approvals under it. */
export class ChangePolicy {
  constructor(
    readonly context: CommandContext,
    readonly policyId: string,
    readonly change:
      | { readonly type: 'amend'; readonly details: Omit<PolicyDetails, 'selector'> }
      | {
          readonly type: 'approve';
          readonly revision?: number | undefined;
          readonly note?: string | undefined;
        }
      | {
          readonly type: 'grant';
          readonly until: string;
          readonly reason: string;
          readonly strategies: readonly PlannedStrategy[];
        }
      | { readonly type: 'revoke-grant'; readonly approval: string; readonly reason: string }
      | { readonly type: 'retire'; readonly reason: string },
    readonly expectedRevision?: number,
  ) {}
}

export class ChangePolicyHandler {
  constructor(private readonly ledger: Ledger) {}

  async execute({ context, policyId, change, expectedRevision }: ChangePolicy): Promise<Placed> {
    const repeated = isRepeat(context, policyStream(policyId));
    const { history, state, events } = await this.ledger.decideAndAppend(
      () => this.ledger.policy(policyId),
      (policy) =>
        repeated
          ? []
          : policyDecider.decide(
              this.#command(context, change, policy, expectedRevision !== undefined),
              policy,
            ),
      () => causeOf(context),
      repeated ? undefined : expectedRevision,
    );
    const selector = state.details?.selector;
    if (change.type === 'retire' && selector !== undefined) {
      // The selector is free again, so that another policy may take it.
      const stream = claimStream(this.ledger.logId, 'policy-selector', '', canonicalText(selector));
      await release(this.ledger, stream, policyStream(policyId), 'its policy was retired', causeOf(context));
    }
    return {
      id: policyId,
      stream: policyStream(policyId),
      revision: history.revision,
      changed: events.length > 0,
    };
  }

  #command(
    context: CommandContext,
    change: ChangePolicy['change'],
    policy: PolicyState,
    seen: boolean,
  ): PolicyCommand {
    const now = this.ledger.store.clock.now();
    switch (change.type) {
      case 'amend':
        return { type: 'AmendPolicy', details: change.details, now };
      case 'approve': {
        // Who names the revision of the whole policy has seen what waits in it.
        const revision = change.revision ?? (seen ? policy.revision : undefined);
        return {
          type: 'ApprovePolicy',
          subject: context.subject,
          ...(revision === undefined ? {} : { revision }),
          ...(change.note === undefined ? {} : { note: change.note }),
        };
      }
      case 'grant':
        return {
          type: 'GrantStandingApproval',
          approval: derivedId(this.ledger.logId, context.commandId),
          subject: context.subject,
          until: change.until,
          reason: change.reason,
          strategies: change.strategies,
          now,
        };
      case 'revoke-grant':
        return { type: 'RevokeStandingApproval', approval: change.approval, reason: change.reason };
      case 'retire':
        return { type: 'RetirePolicy', reason: change.reason };
    }
  }
}
