import type { FamilyView, PlannedWindow } from '#rotation';

/**
 * What a runbook page and an emergency card are made of, as they are at one instant. The same input gives the same bytes: no
 * clock, no look-ups while a page is drawn.
 */
export interface RunbookInput {
  readonly logId: string;
  readonly treeSize: number;
  /** Milliseconds: when it was asked for. Age and due date are of this instant. */
  readonly asOf: number;
  readonly family: FamilyView;
  /** The windows a graceful rotation would get now, or why there are none. */
  readonly windows:
    { readonly accept: PlannedWindow; readonly drain: PlannedWindow } | { readonly none: string };
  readonly due: RunbookDue;
  /** The policy that binds the family now. */
  readonly policy?: {
    readonly name: string;
    readonly revision: number;
    /** ISO 8601. What binds the family: a departure's, where one is in force. */
    readonly stopEmitting: string;
    readonly stopAccepting: string;
    /** In words: what of the policy does not bind now, and until when. */
    readonly departures: readonly string[];
  };
  /** Of which kind the family's back end is; absent where this installation has none of that name. */
  readonly backEndKind?: BackEndKind;
}

/** As back ends declare themselves. */
export type BackEndKind = 'local' | 'attested' | 'vault-transit' | 'vault-kv' | 'vault-database';

/** The line of the schedule: plain JSON, `null` for "not recorded". */
export interface RunbookDue {
  readonly status: string;
  readonly due: string | null;
  readonly overdueDays: number | null;
}
