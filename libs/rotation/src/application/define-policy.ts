import { DomainError } from '#eventlog';
import { canonicalText } from '#eventlog/kit';
import { derivedId, failpoint } from '#platform';
import { policyDecider, type PolicyCommand } from '../domain/policy.decider.js';
import type { PolicyDetails } from '../domain/policy.events.js';
import { claim, release } from './claims.js';
import { causeOf, isRepeat, type CommandContext, type Ledger } from './ledger.js';
import type { Placed } from './placed.js';
import { requireSoundTerms } from './policy-terms.js';
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
    requireSoundTerms(details.terms);
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

/** Amends, approves or retires a policy. */
export class ChangePolicy {
  constructor(
    readonly context: CommandContext,
    readonly policyId: string,
    readonly change:
      | { readonly type: 'amend'; readonly details: Omit<PolicyDetails, 'selector'> }
      | { readonly type: 'approve'; readonly note?: string }
      | { readonly type: 'retire'; readonly reason: string },
    readonly expectedRevision?: number,
  ) {}
}

export class ChangePolicyHandler {
  constructor(private readonly ledger: Ledger) {}

  async execute({ context, policyId, change, expectedRevision }: ChangePolicy): Promise<Placed> {
    const command = this.#command(context, change);
    const repeated = isRepeat(context, policyStream(policyId));
    if (change.type === 'amend' && !repeated) requireSoundTerms(change.details.terms);
    const { history, state, events } = await this.ledger.decideAndAppend(
      () => this.ledger.policy(policyId),
      (policy) => (repeated ? [] : policyDecider.decide(command, policy)),
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

  #command(context: CommandContext, change: ChangePolicy['change']): PolicyCommand {
    switch (change.type) {
      case 'amend':
        return { type: 'AmendPolicy', details: change.details, now: this.ledger.store.clock.now() };
      case 'approve':
        return {
          type: 'ApprovePolicy',
          subject: context.subject,
          ...(change.note === undefined ? {} : { note: change.note }),
        };
      case 'retire':
        return { type: 'RetirePolicy', reason: change.reason };
    }
  }
}
